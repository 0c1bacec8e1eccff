// What the chat shows, as signals. history.ts, listen.ts and sending.ts move them.
import { computed, signal } from "@preact/signals";
import { follower, hello } from "../gate/connection";
import { emptyTranscript, type Transcript } from "../model/transcript";
import type { SessionRow } from "../wire/frames";
import { sessionKey } from "./route";

export const transcript = signal<Transcript>(emptyTranscript(sessionKey.peek()));
export const rows = computed(() => transcript.value.rows);
export const live = computed(() => transcript.value.live);
export const loading = signal<"no" | "first" | "earlier" | "failed">("first");
/** The transcript as the gateway last told it whole; the outbox is compared with it. */
export const told = signal<Transcript | null>(null);
export const sessions = signal<readonly SessionRow[] | null>(null);

export const mayWrite = computed(() => {
  const scopes = hello.value?.auth?.scopes ?? [];
  const may = scopes.includes("operator.write") || scopes.includes("operator.admin");
  return may && follower.value === null;
});

/** Whether there is something to read in the open session; a new one is for writing. */
export function isKnown(key: string): boolean {
  return sessions.peek()?.some((session) => session.key === key) ?? false;
}
