import { computed, signal } from "@preact/signals";
import { recall, remember } from "../wire/keep";
import type { Key, PluralKey, Table, Words } from "./keys";

export type { Key } from "./keys";
export type Language = "en" | "zh-CN";
export type Fill = Record<string, string | number>;

const KEPT = "moltbot.language";

let source: Words = { en: {}, zh: async () => ({}) };
const table = signal<Table>({});
export const language = signal<Language>("en");

export async function startLanguage(words: Words): Promise<void> {
  source = words;
  const kept = recall(KEPT);
  const wanted = kept ?? navigator.languages?.find((tag) => /^(en|zh)/i.test(tag)) ?? "en";
  await speak(/^zh/i.test(wanted) ? "zh-CN" : "en");
}

export async function chooseLanguage(next: Language): Promise<void> {
  remember(KEPT, next);
  await speak(next);
}

async function speak(next: Language): Promise<void> {
  // A chunk that cannot be loaded must not leave an empty page.
  const zh = next === "zh-CN" ? await source.zh().catch(() => null) : null;
  table.value = zh ?? source.en;
  language.value = zh ? "zh-CN" : "en";
  document.documentElement.lang = language.value;
}

export function t(key: Key, fill?: Fill): string {
  return fillIn(table.value[key] ?? key, fill);
}

/** The plural form for `n`, which is also filled in. */
export function tn(key: PluralKey, n: number, fill: Fill = {}): string {
  const form = plural.value.select(n) === "one" ? "one" : "other";
  return t(`${key}.${form}` as Key, { n: count(n), ...fill });
}

export function fillIn(text: string, fill: Fill | undefined): string {
  if (!fill) return text;
  return text.replace(/\{(\w+)\}/g, (whole, name: string) => String(fill[name] ?? whole));
}

const plural = computed(() => new Intl.PluralRules(language.value));
const numbers = computed(() => new Intl.NumberFormat(language.value));
const clock = computed(
  () =>
    new Intl.DateTimeFormat(language.value, { hour: "2-digit", minute: "2-digit", hour12: false }),
);
const dayClock = computed(
  () =>
    new Intl.DateTimeFormat(language.value, {
      month: "short",
      day: "numeric",
      hour: "2-digit",
      minute: "2-digit",
      hour12: false,
    }),
);
const full = computed(
  () => new Intl.DateTimeFormat(language.value, { dateStyle: "full", timeStyle: "medium" }),
);
const relative = computed(
  () => new Intl.RelativeTimeFormat(language.value, { numeric: "auto", style: "narrow" }),
);

export function count(n: number): string {
  return numbers.value.format(n);
}

export function seqText(seq: number): string {
  return `#${count(seq)}`;
}

/** "14:02" today, with the day before that. */
export function timeOfDay(at: number, now = Date.now()): string {
  const sameDay = new Date(at).toDateString() === new Date(now).toDateString();
  return (sameDay ? clock : dayClock).value.format(at);
}

export function fullTime(at: number): string {
  return full.value.format(at);
}

const STEPS: [number, Intl.RelativeTimeFormatUnit][] = [
  [60, "second"],
  [60, "minute"],
  [24, "hour"],
  [Number.POSITIVE_INFINITY, "day"],
];

/** "2 min ago" */
export function ago(at: number, now: number): string {
  let value = Math.max(0, (now - at) / 1000);
  for (const [size, name] of STEPS) {
    if (value < size) return spaced(relative.value.format(-Math.floor(value), name));
    value /= size;
  }
  return "";
}

/** The short forms stick to their number in English; "3.1 s" reads better than "3.1s". */
function spaced(text: string): string {
  return text.replace(/(\d)([A-Za-z])/g, "$1\u00a0$2").replace(/(\d\u00a0)m\b/g, "$1min");
}

function unit(value: number, name: string, digits = 0): string {
  const options = { style: "unit", unit: name, unitDisplay: "narrow" } as const;
  const format = new Intl.NumberFormat(language.value, {
    ...options,
    maximumFractionDigits: digits,
  });
  return spaced(format.format(value));
}

/** "3.1 s", "340 ms", "3 h 12 m" */
export function span(ms: number): string {
  if (ms < 1000) return unit(Math.round(ms), "millisecond");
  if (ms < 60_000) return unit(ms / 1000, "second", ms < 10_000 ? 1 : 0);
  const minutes = Math.floor(ms / 60_000);
  if (minutes < 60) return unit(minutes, "minute");
  const [hours, rest] = [Math.floor(minutes / 60), minutes % 60];
  if (hours >= 48) return unit(Math.floor(hours / 24), "day");
  return rest > 0 ? `${unit(hours, "hour")} ${unit(rest, "minute")}` : unit(hours, "hour");
}

/** Whole seconds, for countdowns. */
export function seconds(ms: number): string {
  return unit(Math.max(0, Math.ceil(ms / 1000)), "second");
}

export function bytes(n: number): string {
  if (n < 1000) return unit(n, "byte");
  if (n < 1_000_000) return unit(n / 1000, "kilobyte");
  if (n < 1_000_000_000) return unit(n / 1_000_000, "megabyte", 1);
  return unit(n / 1_000_000_000, "gigabyte", 1);
}
