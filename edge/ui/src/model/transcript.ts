import type { Forgotten, History, HistoryMessage, StopReason } from "../wire/frames";
import { textOf, toMs } from "../wire/frames";

export interface UserRow {
  role: "user";
  /** The idempotency key of the send, so that the optimistic row and this one are the same row. */
  id: string;
  seq: number;
  at: number;
  text: string;
  forgotten?: Forgotten;
}

export interface AnswerRow {
  role: "assistant";
  id: string;
  seq: number;
  at: number;
  text: string;
  forgotten?: Forgotten;
  runId: string;
  stop: StopReason;
  errorCode?: string;
  errorMessage?: string;
  model?: string;
  durationMs?: number;
}

export type Row = UserRow | AnswerRow;

/** An answer being written. Its text is not in the log until the run ends. */
export interface Live {
  runId: string;
  text: string;
  startedAt: number;
  /** The event that asked for it; null when only its words have been seen. */
  since: number | null;
}

export interface Transcript {
  sessionKey: string;
  rows: readonly Row[];
  live: Live | null;
  /** Events up to here are folded in. */
  upTo: number;
  hasMore: boolean;
  loaded: boolean;
}

export function emptyTranscript(sessionKey: string): Transcript {
  return { sessionKey, rows: [], live: null, upTo: 0, hasMore: false, loaded: false };
}

/**
 * A page of history is the truth up to its cursor. Rows folded after that cursor stay; so do older
 * pages, unless this is another log (`fresh`).
 */
export function withHistory(before: Transcript, history: History, fresh: boolean): Transcript {
  const page = history.messages.map(rowOf);
  const first = page[0]?.seq ?? history.cursor.seq;
  const older = fresh ? [] : before.rows.filter((row) => row.seq < first);
  const newer = fresh ? [] : before.rows.filter((row) => row.seq > history.cursor.seq);
  const rows = [...older, ...page, ...newer];
  return {
    sessionKey: before.sessionKey,
    rows,
    live: liveAfter(before, history, rows, fresh),
    upTo: fresh ? history.cursor.seq : Math.max(before.upTo, history.cursor.seq),
    hasMore: older.length > 0 ? before.hasMore : (history.hasMore ?? false),
    loaded: true,
  };
}

function liveAfter(before: Transcript, history: History, rows: Row[], fresh: boolean): Live | null {
  const known = fresh ? null : before.live;
  const told = history.inFlightRun;
  if (told && !hasAnswer(rows, told.runId)) {
    const same = known?.runId === told.runId ? known : null;
    // Words may have arrived while the history was on its way: the longer text is the newer one.
    const text = same && same.text.length > told.text.length ? same.text : told.text;
    const since = same?.since ?? null;
    return { runId: told.runId, text, startedAt: toMs(told.startedAt), since };
  }
  const startedLater = known?.since != null && known.since > history.cursor.seq;
  return startedLater ? known : null;
}

/** Puts an earlier page in front. */
export function withEarlier(after: Transcript, history: History): Transcript {
  const first = after.rows[0]?.seq ?? Number.POSITIVE_INFINITY;
  const page = history.messages.map(rowOf).filter((row) => row.seq < first);
  return { ...after, rows: [...page, ...after.rows], hasMore: history.hasMore ?? false };
}

export function hasAnswer(rows: readonly Row[], runId: string): boolean {
  return rows.some((row) => row.role === "assistant" && row.runId === runId);
}

function rowOf(message: HistoryMessage): Row {
  const mark = message.__openclaw;
  const seq = mark?.seq ?? 0;
  const forgotten = mark?.forgotten;
  const text = forgotten ? "" : textOf(message.content);
  const base = { seq, at: toMs(message.timestamp), text, ...given("forgotten", forgotten) };
  if (message.role === "user") {
    return { role: "user", id: mark?.idempotencyKey ?? mark?.runId ?? `#${seq}`, ...base };
  }
  return {
    role: "assistant",
    id: `#${seq}`,
    runId: mark?.runId ?? `#${seq}`,
    stop: message.stopReason ?? "stop",
    ...base,
    ...given("errorCode", message.errorCode),
    ...given("errorMessage", message.errorMessage),
    ...given("model", message.model),
    ...given("durationMs", message.durationMs),
  };
}

/** A property only if there is a value for it. */
export function given<K extends string, V>(key: K, value: V | undefined | null) {
  return (value == null ? {} : { [key]: value }) as { [P in K]?: V };
}

/** The answer that may be asked for again: the last one, if it did not come out well. */
export function retryable(transcript: Transcript): AnswerRow | null {
  const last = transcript.rows.at(-1);
  if (transcript.live || last?.role !== "assistant" || last.forgotten) return null;
  return ["interrupted", "error", "timeout"].includes(last.stop) ? last : null;
}
