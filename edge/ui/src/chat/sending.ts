// Messages on their way out: kept until the archive has them, sent one at a time, never twice.
import { effect, signal } from "@preact/signals";
import { link, request, shipped } from "../gate/connection";
import {
  afterReconnect,
  afterResync,
  compare,
  forgetShipped,
  mark,
  nextToSend,
  type Outbox,
  remove,
  take,
  write,
} from "../model/outbox";
import type { AnswerRow, Transcript } from "../model/transcript";
import { newId } from "../wire/bytes";
import { codeOf } from "../wire/calls";
import type { LogRecord } from "../wire/frames";
import { recallJson, remember } from "../wire/keep";
import { loadHistory } from "./history";
import { live, loading, mayWrite, told, transcript } from "./state";

const KEPT = "moltbot.outbox.v1";

export const outbox = signal<Outbox>(recallJson<Outbox>(KEPT) ?? []);
/** The answer whose Retry is on its way, and whether it was refused. */
export const retrying = signal<{ runId: string; failed: boolean } | null>(null);

/** Keys this page has let go of; another tab may still have them in the shared shelf. */
const gone = new Set<string>();

export function startSending(): void {
  effect(() => {
    change(forgetShipped(outbox.peek(), shipped.value));
  });
  effect(() => {
    // When an answer ends, what was queued behind it may go.
    if (!live.value?.runId && link.value.at === "online") dispatch();
  });
  effect(() => {
    if (told.value) compareWithHistory(told.value);
  });
}

export function send(text: string): void {
  const key = newId();
  change(write(outbox.value, key, transcript.value.sessionKey, text, Date.now()));
  dispatch();
}

export function dispatch(): void {
  if (link.peek().at !== "online" || !mayWrite.peek()) return;
  const item = nextToSend(outbox.peek(), busySessions());
  if (!item) return;
  change(mark(outbox.peek(), item.key, { state: "sent" }));
  const { sessionKey, text: message, key: idempotencyKey } = item;
  request<{ seq?: number }>("chat.send", { sessionKey, message, idempotencyKey })
    .then((reply) => change(take(outbox.peek(), item.key, reply.seq)))
    .catch((error: unknown) => notTaken(item.key, codeOf(error)))
    .finally(dispatch);
  dispatch();
}

function notTaken(key: string, code: string): void {
  const lost = code === "OFFLINE";
  change(mark(outbox.peek(), key, lost ? { state: "waiting" } : { state: "failed", error: code }));
}

/** A session that is writing, or whose past is not known yet, takes nothing new. */
function busySessions(): Set<string> {
  const busy = live.peek() !== null || loading.peek() === "first";
  return new Set(busy ? [transcript.peek().sessionKey] : []);
}

export function sendAgain(key: string): void {
  change(mark(outbox.value, key, { state: "waiting" }));
  dispatch();
}

export function discard(key: string): void {
  change(remove(outbox.value, key));
}

export function connectionReturned(fresh: boolean): void {
  change(fresh ? afterResync(outbox.value) : afterReconnect(outbox.value));
}

export function recordArrived(record: LogRecord): void {
  if (record.kind !== "message_received") return;
  const key = record.data.idempotency_key;
  if (typeof key === "string") change(take(outbox.value, key, record.seq));
}

function compareWithHistory(known: Transcript): void {
  const present = new Map(known.rows.map((row) => [row.id, row.seq]));
  const from = known.hasMore ? (known.rows[0]?.seq ?? 0) : 0;
  change(compare(outbox.peek(), known.sessionKey, present, from));
  dispatch();
}

export async function stop(): Promise<void> {
  const run = live.value;
  if (!run) return;
  const { sessionKey } = transcript.value;
  const params = { sessionKey, runId: run.runId };
  const reply = await request<{ aborted: boolean }>("chat.abort", params).catch(() => null);
  // Nothing to stop: what we believe about this run is out of date.
  if (reply && !reply.aborted) await loadHistory(true);
}

export async function retry(answer: AnswerRow): Promise<void> {
  const { runId } = answer;
  retrying.value = { runId, failed: false };
  try {
    const { sessionKey } = transcript.value;
    await request("chat.retry", { sessionKey, runId, idempotencyKey: newId() });
    retrying.value = null;
  } catch {
    retrying.value = { runId, failed: true };
  }
}

function change(next: Outbox): void {
  const before = outbox.peek();
  if (next === before) return;
  const kept = new Set(next.map((item) => item.key));
  for (const item of before) if (!kept.has(item.key)) gone.add(item.key);
  outbox.value = next;
  const elsewhere = (recallJson<Outbox>(KEPT) ?? []).filter(
    (item) => !kept.has(item.key) && !gone.has(item.key),
  );
  remember(KEPT, JSON.stringify([...elsewhere, ...next]));
}
