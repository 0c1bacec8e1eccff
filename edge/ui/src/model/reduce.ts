// Folds what the gateway recorded into what is on the screen. Folding an event twice changes nothing.
import type { ChatEvent, Forgotten, LogRecord, StopReason } from "../wire/frames";
import { textOf, toMs } from "../wire/frames";
import { type AnswerRow, given, hasAnswer, type Transcript } from "./transcript";

export function foldRecord(before: Transcript, record: LogRecord): Transcript {
  if (record.seq <= before.upTo) return before;
  const after = { ...before, upTo: record.seq };
  if (record.data.session_key !== before.sessionKey) return after;
  const runId = String(record.data.run_id ?? "");
  switch (record.kind) {
    case "message_received":
      return { ...after, rows: [...before.rows, userRow(record)] };
    case "run_requested":
      return before.live ? after : begin(after, record, runId);
    case "run_started":
      return before.live?.runId === runId ? after : begin(after, record, runId);
    case "run_completed":
    case "run_cancelled":
    case "run_failed":
    case "run_interrupted":
      return end(after, record, runId);
    default:
      return after;
  }
}

function begin(transcript: Transcript, record: LogRecord, runId: string): Transcript {
  const live = { runId, text: "", startedAt: toMs(record.at), since: record.seq };
  return { ...transcript, live };
}

function end(transcript: Transcript, record: LogRecord, runId: string): Transcript {
  const live = transcript.live?.runId === runId ? null : transcript.live;
  if (hasAnswer(transcript.rows, runId)) return { ...transcript, live };
  return { ...transcript, live, rows: [...transcript.rows, answerRow(record, runId)] };
}

function userRow(record: LogRecord) {
  const key = record.data.idempotency_key ?? record.data.run_id;
  return {
    role: "user" as const,
    id: typeof key === "string" ? key : `#${record.seq}`,
    seq: record.seq,
    at: toMs(record.at),
    text: String(record.data.text ?? ""),
    ...given("forgotten", record.data.forgotten as Forgotten | undefined),
  };
}

function answerRow(record: LogRecord, runId: string): AnswerRow {
  const data = record.data as Record<string, string | number | undefined>;
  return {
    role: "assistant",
    id: `#${record.seq}`,
    seq: record.seq,
    at: toMs(record.at),
    text: String(data.text ?? ""),
    runId,
    stop: stopOf(record),
    ...given("forgotten", record.data.forgotten as Forgotten | undefined),
    ...given("errorCode", data.error_code as string | undefined),
    ...given("errorMessage", data.error_message as string | undefined),
    ...given("model", data.model as string | undefined),
    ...given("durationMs", data.duration_ms as number | undefined),
  };
}

function stopOf(record: LogRecord): StopReason {
  switch (record.kind) {
    case "run_cancelled":
      return record.data.reason === "timeout" ? "timeout" : "aborted";
    case "run_failed":
      return record.data.error_code === "timeout" ? "timeout" : "error";
    case "run_interrupted":
      return "interrupted";
    default:
      return (record.data.stop_reason as StopReason | undefined) ?? "stop";
  }
}

/** Words of a running answer. They are cumulative, so a lost one costs nothing. */
export function foldChat(before: Transcript, event: ChatEvent): Transcript {
  if (event.sessionKey !== before.sessionKey || hasAnswer(before.rows, event.runId)) return before;
  const text = event.message ? textOf(event.message.content) : null;
  if (text === null) return before;
  const live = before.live;
  if (live?.runId === event.runId) {
    return text.length < live.text.length ? before : { ...before, live: { ...live, text } };
  }
  if (event.state !== "delta" || live) return before;
  const startedAt = toMs(event.message?.timestamp) || Date.now();
  return { ...before, live: { runId: event.runId, text, startedAt, since: null } };
}
