import type { ComponentChildren } from "preact";
import { useMemo, useRef } from "preact/hooks";
import { t } from "../i18n";
import { CodeBlock } from "./CodeBlock";
import { type Block, extend, type Inline, type Item, type Parsed, parse } from "./parse";

/** `growing` text is appended to; only its last blocks are read and drawn again. */
export function Markdown({ text, growing = false }: { text: string; growing?: boolean }) {
  const last = useRef<Parsed | null>(null);
  const parsed = useMemo(() => {
    const next = growing && last.current ? extend(last.current, text) : parse(text);
    last.current = next;
    return next;
  }, [text, growing]);
  return (
    <div class="prose" dir="auto">
      {parsed.blocks.map((block, index) => (
        <SettledBlock key={index} block={block} />
      ))}
    </div>
  );
}

/** The same `raw` gives the same node, which Preact then leaves alone. */
function SettledBlock({ block }: { block: Block }) {
  return useMemo(() => <>{drawBlock(block)}</>, [block.raw]);
}

function drawBlock(block: Block): ComponentChildren {
  switch (block.kind) {
    case "paragraph":
      return <p>{block.inside.map(drawInline)}</p>;
    case "heading":
      return drawHeading(block.level, block.inside);
    case "code":
      return <CodeBlock language={block.language} text={block.text} />;
    case "quote":
      return <blockquote>{block.blocks.map(drawBlock)}</blockquote>;
    case "list":
      return drawList(block);
    case "table":
      return <Table block={block} />;
    case "rule":
      return <hr />;
  }
}

/** The page has its own h1 and messages are below it, so a message starts at h3. */
function drawHeading(level: number, inside: Inline[]) {
  const words = inside.map(drawInline);
  if (level <= 1) return <h3>{words}</h3>;
  if (level === 2) return <h4>{words}</h4>;
  return <h5>{words}</h5>;
}

function drawList(block: Extract<Block, { kind: "list" }>) {
  const items = block.items.map((item, index) => <li key={index}>{drawItem(item)}</li>);
  return block.ordered ? <ol start={block.start}>{items}</ol> : <ul>{items}</ul>;
}

function drawItem(item: Item) {
  const box = item.checked === null ? null : item.checked ? "☑ " : "☐ ";
  const [only] = item.blocks;
  // A tight item is a line, not a paragraph.
  if (item.blocks.length === 1 && only?.kind === "paragraph") {
    return [box, ...only.inside.map(drawInline)];
  }
  return [box, ...item.blocks.map((block) => drawTight(block))];
}

function drawTight(block: Block): ComponentChildren {
  return block.kind === "paragraph" ? <p>{block.inside.map(drawInline)}</p> : drawBlock(block);
}

function Table({ block }: { block: Extract<Block, { kind: "table" }> }) {
  const cell = (index: number) => `to-${block.align[index] ?? "left"}`;
  return (
    // Wide tables scroll in their own box, so the page never does; a scroll box needs the keyboard.
    // biome-ignore lint/a11y/useSemanticElements: a fieldset would be a lie
    // biome-ignore lint/a11y/noNoninteractiveTabindex: scrollable region
    <div class="table-box" tabIndex={0} role="group" aria-label={headline(block.head)}>
      <table>
        <thead>
          <tr>
            {block.head.map((inside, i) => (
              <th key={i} class={cell(i)} scope="col">
                {inside.map(drawInline)}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {block.rows.map((row, r) => (
            <tr key={r}>
              {row.map((inside, i) => (
                <td key={i} class={cell(i)}>
                  {inside.map(drawInline)}
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function headline(head: Inline[][]): string {
  return head.map((cell) => cell.map(plainText).join("")).join(", ");
}

function plainText(inline: Inline): string {
  if ("text" in inline) return inline.text;
  if ("inside" in inline) return inline.inside.map(plainText).join("");
  return inline.kind === "image" ? inline.alt : " ";
}

function drawInline(inline: Inline): ComponentChildren {
  switch (inline.kind) {
    case "text":
      return inline.text;
    case "code":
      return <code>{inline.text}</code>;
    case "break":
      return <br />;
    case "strong":
      return <strong>{inline.inside.map(drawInline)}</strong>;
    case "em":
      return <em>{inline.inside.map(drawInline)}</em>;
    case "del":
      return <del>{inline.inside.map(drawInline)}</del>;
    case "link":
      return <Link href={inline.href}>{inline.inside.map(drawInline)}</Link>;
    case "image":
      // Loading it would tell a stranger that this was read.
      return <Link href={inline.href}>{t("md.image", { alt: inline.alt || inline.href })}</Link>;
  }
}

function Link({ href, children }: { href: string; children: ComponentChildren }) {
  if (href.startsWith("#")) return <a href={href}>{children}</a>;
  return (
    <a href={href} target="_blank" rel="noopener noreferrer">
      {children}
    </a>
  );
}
