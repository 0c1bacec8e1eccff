import { admin } from "../i18n/en/admin";
import { common } from "../i18n/en/common";
import type { Words } from "../i18n/keys";

export const words: Words = {
  en: { ...common, ...admin },
  zh: () => import("./words.zh").then((chunk) => chunk.words),
};
