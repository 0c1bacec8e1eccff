import { describe, expect, it } from "vitest";
import css from "./tokens.css?raw";

// Every colour the pages put on another, with the contrast WCAG 2.2 AA asks of it.
const TEXT: [string, string][] = [
  ...["paper", "surface", "sunken"].flatMap((back): [string, string][] => [
    ["ink", back],
    ["ink-2", back],
    ["ink-3", back],
  ]),
  ["accent", "paper"],
  ["accent", "surface"],
  ["accent-ink", "accent"],
  ["ok", "ok-wash"],
  ["warn", "warn-wash"],
  ["bad", "bad-wash"],
  ["bad", "paper"],
  ["bad", "surface"],
  ["surface", "bad"],
  ["accent", "accent-wash"],
];
const CONTROLS: [string, string][] = [
  ["line-strong", "paper"],
  ["line-strong", "surface"],
  ["accent", "paper"],
  ["accent", "sunken"],
  ["ok", "paper"],
];

const tokens = new Map(
  [...css.matchAll(/--([\w-]+): light-dark\((#[0-9a-f]{6}), (#[0-9a-f]{6})\)/gi)].map(
    ([, name = "", light = "", dark = ""]) => [name, [light, dark]] as const,
  ),
);

describe.each(["light", "dark"])("%s", (theme) => {
  const colour = (name: string) => tokens.get(name)?.[theme === "light" ? 0 : 1] ?? "missing";
  it.each(TEXT)("%s on %s can be read", (front, back) => {
    expect(contrast(colour(front), colour(back))).toBeGreaterThanOrEqual(4.5);
  });
  it.each(CONTROLS)("%s on %s can be seen", (front, back) => {
    expect(contrast(colour(front), colour(back))).toBeGreaterThanOrEqual(3);
  });
});

function contrast(a: string, b: string): number {
  const [light, dark] = [luminance(a), luminance(b)].sort((x, y) => y - x);
  return ((light ?? 0) + 0.05) / ((dark ?? 0) + 0.05);
}

function luminance(hex: string): number {
  const [r = 0, g = 0, b = 0] = [1, 3, 5].map((i) => {
    const part = Number.parseInt(hex.slice(i, i + 2), 16) / 255;
    return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}
