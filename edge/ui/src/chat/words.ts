import { chat } from "../i18n/en/chat";
import { common } from "../i18n/en/common";
import type { Words } from "../i18n/keys";

export const words: Words = {
  en: { ...common, ...chat },
  zh: () => import("./words.zh").then((chunk) => chunk.words),
};
