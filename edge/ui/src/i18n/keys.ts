import type { admin } from "./en/admin";
import type { chat } from "./en/chat";
import type { common } from "./en/common";

export type Key = keyof typeof common | keyof typeof chat | keyof typeof admin;

type Stem<K> = K extends `${infer S}.other` ? S : never;
/** Keys that come in `.one` and `.other`. */
export type PluralKey = Stem<Key>;

export type Table = Partial<Record<Key, string>>;

/** The words of one entry: English at hand, Chinese in a chunk of its own. */
export interface Words {
  en: Table;
  zh(): Promise<Table>;
}
