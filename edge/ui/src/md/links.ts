/**
 * The address a link of a message may have, or null. Messages come from a model that reads the
 * internet, so anything that is not plainly harmless is shown as text.
 */
export function safeHref(href: string): string | null {
  // Browsers drop tabs, newlines and other control characters inside a scheme; so must the check.
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is being removed
  const plain = href.replace(/[\u0000-\u0020\u007f-\u009f\u200b-\u200f\u2028\u2029\ufeff]/g, "");
  if (/^#[0-9][0-9,]*$/.test(plain)) return plain.replaceAll(",", "");
  if (/^(mailto|tel):/i.test(plain)) return plain;
  if (!/^https?:\/\//i.test(plain)) return null;
  return URL.canParse(plain) ? plain : null;
}

const NAMED: Record<string, string> = {
  amp: "&",
  lt: "<",
  gt: ">",
  quot: '"',
  apos: "'",
  nbsp: "\u00a0",
  copy: "©",
  reg: "®",
  trade: "™",
  hellip: "…",
  mdash: "—",
  ndash: "–",
  lsquo: "‘",
  rsquo: "’",
  ldquo: "“",
  rdquo: "”",
  laquo: "«",
  raquo: "»",
  bull: "•",
  middot: "·",
  times: "×",
  divide: "÷",
  deg: "°",
  plusmn: "±",
  larr: "←",
  rarr: "→",
  euro: "€",
  yen: "¥",
  sect: "§",
};

/** The lexer leaves `&amp;` as it is, because it was made for writing HTML. */
export function decodeEntities(text: string): string {
  return text.replace(/&(#x[0-9a-f]{1,6}|#[0-9]{1,7}|[a-z]{2,8});/gi, (whole, name: string) => {
    if (!name.startsWith("#")) return NAMED[name] ?? whole;
    const hex = name[1] === "x" || name[1] === "X";
    const point = Number.parseInt(name.slice(hex ? 2 : 1), hex ? 16 : 10);
    const valid = point > 0 && point <= 0x10ffff && !(point >= 0xd800 && point <= 0xdfff);
    return valid ? String.fromCodePoint(point) : whole;
  });
}
