import type { Signal } from "@preact/signals";
import { link, request } from "../gate/connection";

/** Asks for a list. Of two overlapping questions the later one has the newer answer. */
export function loader<T>(
  method: string,
  list: Signal<T | null>,
  failed: Signal<boolean>,
): () => Promise<void> {
  let asking = 0;
  return async () => {
    const mine = ++asking;
    try {
      const answer = await request<T>(method);
      if (mine !== asking) return;
      list.value = answer;
      failed.value = false;
    } catch {
      if (mine === asking && link.value.at === "online") failed.value = true;
    }
  };
}
