import { cleanup, render } from "@testing-library/preact";
import * as fc from "fast-check";
import { afterEach, describe, expect, it } from "vitest";
import { decodeEntities, safeHref } from "./links";
import { Markdown } from "./Markdown";
import { type Block, extend, parse } from "./parse";

afterEach(cleanup);

const ATTACKS = [
  "<script>alert(1)</script>",
  "<img src=x onerror=alert(1)>",
  "<svg/onload=alert(1)>",
  "<iframe src=javascript:alert(1)></iframe>",
  '<a href="javascript:alert(1)">x</a>',
  "[x](javascript:alert(1))",
  "[x](JaVaScRiPt:alert(1))",
  "[x](java\tscript:alert(1))",
  "[x](javascript&colon;alert(1))",
  "[x](&#106;avascript:alert(1))",
  "[x](\u0001javascript:alert(1))",
  "[x](data:text/html;base64,PHNjcmlwdD4=)",
  "[x](vbscript:msgbox(1))",
  "[x](file:///etc/passwd)",
  "[x](//evil.example)",
  "![x](javascript:alert(1))",
  "![x](https://tracker.example/pixel.png)",
  "<javascript:alert(1)>",
  "[x]: javascript:alert(1)\n\n[x]",
  '[a](https://ok.example"onmouseover=alert(1))',
  "| a |\n|---|\n| <b onclick=alert(1)>x</b> |",
  "- <details open ontoggle=alert(1)>",
  "> <style>*{display:none}</style>",
  "`<script>`",
  "<!-- --><base href=//evil>",
];

const FORBIDDEN = "script,img,svg,iframe,style,base,object,embed,form,input,link,meta,details,b";

function check(container: Element): void {
  expect(container.querySelector(FORBIDDEN)).toBeNull();
  for (const element of container.querySelectorAll("*")) {
    for (const { name } of element.attributes) expect(name).not.toMatch(/^on|^style$|^src/i);
  }
  for (const link of container.querySelectorAll("a")) {
    expect(link.getAttribute("href")).toMatch(/^(https?:\/\/|mailto:|tel:|#\d+$)/i);
  }
}

describe("what a message may do", () => {
  it.each(ATTACKS)("%s stays harmless", (text) => {
    check(render(<Markdown text={text} />).container);
  });

  it("holds for anything made of dangerous pieces", () => {
    const pieces = fc.constantFrom(
      ...ATTACKS,
      "[",
      "](",
      ")",
      "<",
      ">",
      "javascript:",
      "&#x6a;",
      "\n",
      "`",
      "```",
      "| ",
      "- ",
      "> ",
      "**",
      "![",
    );
    const text = fc.array(fc.oneof(pieces, fc.string({ maxLength: 6 })), { maxLength: 12 });
    fc.assert(
      fc.property(text, (parts) => {
        check(render(<Markdown text={parts.join("")} />).container);
        cleanup();
      }),
      { numRuns: 300 },
    );
  });

  it("prints html as the text it is", () => {
    const { container } = render(<Markdown text={"a <b>c</b>\n\n<div>d</div>"} />);
    expect(container.textContent).toBe("a <b>c</b><div>d</div>");
  });

  it("shows a remote image as a link", () => {
    const { container } = render(<Markdown text="![cat](https://x.example/c.png)" />);
    expect(container.querySelector("a")?.getAttribute("rel")).toBe("noopener noreferrer");
  });
});

describe("addresses", () => {
  it.each([
    "https://a.example/x?y=1",
    "http://a.example",
    "mailto:a@b.example",
    "tel:+123",
    "#48204",
  ])("%s is fine", (href) => expect(safeHref(href)).toBe(href));
  it("reads #48,204 as an event", () => expect(safeHref("#48,204")).toBe("#48204"));
  it.each(["javascript:x", "/admin", "x", "#top", "https://", "ftp://a.example", "blob:https://a"])(
    "%s is text",
    (href) => expect(safeHref(href)).toBeNull(),
  );
  it("decodes what the lexer leaves", () => {
    expect(decodeEntities("&lt;a&gt; &amp;amp; &#65;&#x42; &nope; &#xD800;")).toBe(
      "<a> &amp; AB &nope; &#xD800;",
    );
  });
});

describe("structure", () => {
  it("knows headings, lists, tables and code", () => {
    const text =
      "# T\n\n1. a\n2. b\n   - c\n\n| x | y |\n|:-|-:|\n| 1 | 2 |\n\n```rs\nfn\n```\n- [x] done";
    const { container } = render(<Markdown text={text} />);
    const count = (selector: string) => container.querySelectorAll(selector).length;
    expect([count("h3"), count("ol > li"), count("ul"), count("td"), count("pre")]).toEqual([
      1, 2, 2, 2, 1,
    ]);
    expect(container.querySelector("figcaption span")?.textContent).toBe("rs");
    expect(container.textContent).toContain("☑ done");
  });

  it("loses no letter", () => {
    fc.assert(
      fc.property(fc.string({ maxLength: 80 }), (text) => {
        const plain = text.replace(/\r\n?/g, "\n");
        const parsed = parse(text);
        if (parsed.blocks.length === 0) return;
        expect(parsed.blocks.map((block) => block.raw).join("")).toHaveLength(plain.length);
      }),
    );
  });
});

describe("growing text", () => {
  const TEXT =
    "# A\n\nb **c** d\n\n- x\n- y\n\n  z\n\n```js\n1\n\n2\n```\n\n| a |\n|---|\n| 1 |\n\nlast *one*.\n";

  it("ends in the same blocks as reading it whole, wherever it was cut", () => {
    let grown = parse("");
    for (let i = 1; i <= TEXT.length; i++) grown = extend(grown, TEXT.slice(0, i));
    expect(strip(grown.blocks)).toEqual(strip(parse(TEXT).blocks));
  });

  it("does not touch settled blocks", () => {
    const before = parse("one\n\ntwo\n\nthree\n\nfo");
    const after = extend(before, "one\n\ntwo\n\nthree\n\nfour");
    expect(after.blocks[0]).toBe(before.blocks[0]);
    expect(after.blocks[1]).toBe(before.blocks[1]);
  });

  it("starts over when the text is not a continuation", () => {
    expect(extend(parse("a\n\nb\n\nc"), "x").blocks).toHaveLength(1);
  });
});

function strip(blocks: Block[]) {
  return JSON.parse(JSON.stringify(blocks));
}
