// Markdown to a small tree of our own. No HTML string is ever made: what is not in this tree cannot
// reach the page.
import { Lexer, type Token, type Tokens } from "marked";
import { decodeEntities, safeHref } from "./links";

export type Inline =
  | { kind: "text"; text: string }
  | { kind: "code"; text: string }
  | { kind: "break" }
  | { kind: "strong" | "em" | "del"; inside: Inline[] }
  | { kind: "link"; href: string; inside: Inline[] }
  | { kind: "image"; href: string; alt: string };

export type Align = "left" | "center" | "right" | null;

export interface Item {
  checked: boolean | null;
  blocks: Block[];
}

export type Block = { raw: string } & (
  | { kind: "paragraph"; inside: Inline[] }
  | { kind: "heading"; level: number; inside: Inline[] }
  | { kind: "code"; language: string; text: string }
  | { kind: "quote"; blocks: Block[] }
  | { kind: "list"; ordered: boolean; start: number; items: Item[] }
  | { kind: "table"; align: Align[]; head: Inline[][]; rows: Inline[][][] }
  | { kind: "rule" }
);

export interface Parsed {
  text: string;
  blocks: Block[];
}

export function parse(text: string): Parsed {
  const plain = text.replace(/\r\n?/g, "\n");
  return { text: plain, blocks: blocksOf(lex(plain)) };
}

/** What a further block can still change: the last one, and a list that a blank line interrupted. */
const UNSETTLED = 2;

/** Parses a text that grew, without looking again at the part that can no longer change. */
export function extend(before: Parsed, text: string): Parsed {
  const plain = text.replace(/\r\n?/g, "\n");
  if (!plain.startsWith(before.text) || before.blocks.length <= UNSETTLED) return parse(text);
  const settled = before.blocks.slice(0, -UNSETTLED);
  const offset = settled.reduce((sum, block) => sum + block.raw.length, 0);
  return { text: plain, blocks: [...settled, ...blocksOf(lex(plain.slice(offset)))] };
}

function lex(text: string): Token[] {
  try {
    return new Lexer({ gfm: true, breaks: true }).lex(text);
  } catch {
    // Absurdly deep nesting overflows the lexer; the words still have to be readable.
    return [{ type: "text", raw: text, text }];
  }
}

/** Blank space belongs to the block before it, so that the `raw`s together are the whole text. */
function blocksOf(tokens: Token[]): Block[] {
  const blocks: Block[] = [];
  let lead = "";
  for (const token of tokens) {
    const block = blockOf(token);
    const last = blocks.at(-1);
    if (block) blocks.push({ ...block, raw: lead + block.raw });
    else if (last) last.raw += token.raw;
    if (block) lead = "";
    else if (!last) lead += token.raw;
  }
  return blocks;
}

function blockOf(token: Token): Block | null {
  const raw = token.raw;
  switch (token.type) {
    case "space":
    case "def":
    case "checkbox":
      return null;
    case "heading":
      return { raw, kind: "heading", level: (token as Tokens.Heading).depth, inside: inner(token) };
    case "code": {
      const code = token as Tokens.Code;
      return {
        raw,
        kind: "code",
        language: (code.lang ?? "").split(/\s/)[0] ?? "",
        text: code.text,
      };
    }
    case "blockquote":
      return { raw, kind: "quote", blocks: blocksOf((token as Tokens.Blockquote).tokens) };
    case "list":
      return listOf(token as Tokens.List);
    case "table":
      return tableOf(token as Tokens.Table);
    case "hr":
      return { raw, kind: "rule" };
    case "html":
      return { raw, kind: "paragraph", inside: [{ kind: "text", text: raw.trimEnd() }] };
    default:
      return { raw, kind: "paragraph", inside: inner(token) };
  }
}

function listOf(list: Tokens.List): Block {
  const items = list.items.map((item) => ({
    checked: item.task ? Boolean(item.checked) : null,
    blocks: blocksOf(item.tokens),
  }));
  const start = typeof list.start === "number" ? list.start : 1;
  return { raw: list.raw, kind: "list", ordered: list.ordered, start, items };
}

function tableOf(table: Tokens.Table): Block {
  const cells = (row: Tokens.TableCell[]) => row.map((cell) => inlinesOf(cell.tokens));
  const rows = table.rows.map(cells);
  return { raw: table.raw, kind: "table", align: table.align, head: cells(table.header), rows };
}

function inner(token: Token): Inline[] {
  const inside = "tokens" in token ? token.tokens : undefined;
  if (inside) return inlinesOf(inside);
  return [{ kind: "text", text: decodeEntities("text" in token ? String(token.text) : token.raw) }];
}

function inlinesOf(tokens: Token[]): Inline[] {
  return tokens.filter((token) => token.type !== "checkbox").flatMap(inlineOf);
}

function inlineOf(token: Token): Inline[] {
  switch (token.type) {
    case "strong":
    case "em":
    case "del":
      return [{ kind: token.type, inside: inner(token) }];
    case "codespan":
      return [{ kind: "code", text: (token as Tokens.Codespan).text }];
    case "br":
      return [{ kind: "break" }];
    case "link": {
      const href = safeHref(decodeEntities((token as Tokens.Link).href));
      return href ? [{ kind: "link", href, inside: inner(token) }] : textual(token.raw);
    }
    case "image": {
      const { href, text } = token as Tokens.Image;
      const safe = safeHref(decodeEntities(href));
      return safe ? [{ kind: "image", href: safe, alt: decodeEntities(text) }] : textual(token.raw);
    }
    case "html":
    case "escape":
      return textual(token.type === "escape" ? (token as Tokens.Escape).text : token.raw);
    default:
      return inner(token);
  }
}

function textual(text: string): Inline[] {
  return [{ kind: "text", text }];
}
