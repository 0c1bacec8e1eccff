// Anything decided on these pages: in effect at once, and explained when it did not work.
import { signal } from "@preact/signals";
import { request } from "../gate/connection";
import { type Key, t } from "../i18n";
import { announce } from "../kit/Announcer";
import { CallError, codeOf } from "../wire/calls";

/** Why the last decision did not work; shown above the lists until the next one. */
export const problem = signal<string | null>(null);
/** What a decision is on its way about: requests, devices, people, replies, by id. */
export const deciding = signal<ReadonlySet<string>>(new Set());

export interface Act {
  /** What it is about, and how that is called. */
  id: string;
  name: string;
  method: string;
  params: Record<string, unknown>;
  /** What is said to screen readers when it is done. */
  said: Key;
  /** The list follows the log; this makes it right before. */
  done?(): void;
  /** Asks for the list anew, however it ended. */
  load(): Promise<void>;
}

export async function act({ id, name, method, params, said, done, load }: Act): Promise<boolean> {
  problem.value = null;
  deciding.value = new Set([...deciding.value, id]);
  try {
    await request(method, params);
    announce(t(said, { name }));
    done?.();
    return true;
  } catch (error) {
    problem.value = words(error, name);
    return false;
  } finally {
    deciding.value = new Set([...deciding.value].filter((one) => one !== id));
    void load();
  }
}

/** A refusal in words; the code alone is never shown. */
function words(error: unknown, name: string): string {
  switch (codeOf(error)) {
    case "last_operator":
      return t("devices.lastOperator", { name });
    case "unknown_request":
      return t("devices.unknownRequest");
    case "unknown_peer":
      return t("people.gone");
    case "unknown_delivery":
    case "wrong_status":
      return t("replies.gone");
    case "OFFLINE":
      return t("link.notNow");
    default:
      return t("devices.failedAct", { message: error instanceof CallError ? error.message : "" });
  }
}
