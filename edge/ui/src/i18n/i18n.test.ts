import { beforeAll, describe, expect, it } from "vitest";
import { words as adminWords } from "../admin/words";
import { words as chatWords } from "../chat/words";
import { admin } from "./en/admin";
import { chat } from "./en/chat";
import { common } from "./en/common";
import { ago, bytes, chooseLanguage, language, seqText, span, startLanguage, t, tn } from "./index";
import { admin as zhAdmin } from "./zh-CN/admin";
import { chat as zhChat } from "./zh-CN/chat";
import { common as zhCommon } from "./zh-CN/common";

const TABLES = [
  ["common", common, zhCommon],
  ["chat", chat, zhChat],
  ["admin", admin, zhAdmin],
] as const;

describe.each(TABLES)("%s", (_name, en: Record<string, string>, zh: Record<string, string>) => {
  it("has the same keys in both languages", () => {
    expect(Object.keys(zh).sort()).toEqual(Object.keys(en).sort());
  });

  it("fills in the same names", () => {
    const gaps = (text: string) => [...new Set(text.match(/\{\w+\}/g) ?? [])].sort();
    for (const [key, text] of Object.entries(en)) {
      // Chinese has one form; its `.one` may speak of {n} where English writes the word.
      if (!key.endsWith(".one")) expect([key, gaps(zh[key] ?? "")]).toEqual([key, gaps(text)]);
    }
  });

  it("has every plural in both forms", () => {
    for (const key of Object.keys(en)) {
      if (key.endsWith(".one")) expect(en).toHaveProperty([key.replace(/\.one$/, ".other")]);
    }
  });

  it("uses full-width punctuation and no exclamation marks in Chinese", () => {
    for (const text of Object.values(zh)) expect(text).not.toMatch(/[\u4e00-\u9fff][,;:?!]|！/);
  });

  it("has no empty text", () => {
    for (const text of [...Object.values(en), ...Object.values(zh)])
      expect(text.trim()).not.toBe("");
  });
});

describe("speaking", () => {
  beforeAll(() => startLanguage({ en: { ...chatWords.en, ...adminWords.en }, zh: adminWords.zh }));

  it("fills in and counts", () => {
    expect(tn("chat.messages", 1)).toBe("1 message");
    expect(tn("chat.messages", 1200)).toBe("1,200 messages");
    expect(t("chat.permalink", { seq: seqText(48204) })).toBe("Event #48,204");
  });

  it("writes short times and sizes", () => {
    const plain = (text: string) => text.replaceAll("\u00a0", " ");
    expect(plain(span(3100))).toBe("3.1 s");
    expect(plain(span(340))).toBe("340 ms");
    expect(plain(span(11_520_000))).toBe("3 h 12 min");
    expect(plain(ago(0, 180_000))).toBe("3 min ago");
    expect(plain(bytes(412_000))).toBe("412 kB");
  });

  it("says it to the reader and to the document in Chinese", async () => {
    await chooseLanguage("zh-CN");
    expect(t("devices.approve")).toBe("批准");
    expect(tn("nav.waiting", 2)).toBe("2 个请求在等待");
    expect(document.documentElement.lang).toBe("zh-CN");
    await chooseLanguage("en");
    expect(language.value).toBe("en");
  });
});
