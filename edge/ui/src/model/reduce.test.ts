import { describe, expect, it } from "vitest";
import { type ChatEvent, type History, type LogRecord, recordsOf } from "../wire/frames";
import { foldChat, foldRecord } from "./reduce";
import {
  emptyTranscript,
  retryable,
  type Transcript,
  withEarlier,
  withHistory,
} from "./transcript";

const KEY = "agent:main:main";

function record(seq: number, kind: string, data: Record<string, unknown> = {}): LogRecord {
  return { seq, at: 1000 + seq, kind, hash: `h${seq}`, data: { session_key: KEY, ...data } };
}

function delta(text: string, runId = "r1", sessionKey = KEY): ChatEvent {
  return { runId, sessionKey, state: "delta", message: { content: [{ type: "text", text }] } };
}

function history(messages: History["messages"], seq: number, more = {}): History {
  return { sessionKey: KEY, messages, cursor: { seq, hash: `h${seq}` }, ...more };
}

function said(seq: number, role: "user" | "assistant", text: string, runId = "r1") {
  const mark = { seq, runId, ...(role === "user" ? { idempotencyKey: runId } : {}) };
  return { role, content: text, timestamp: 1000 + seq, __openclaw: mark };
}

const exchange = [
  record(1, "message_received", { idempotency_key: "r1", run_id: "r1", text: "Hello" }),
  record(2, "run_requested", { run_id: "r1" }),
  record(3, "run_started", { run_id: "r1", model: "m" }),
];

function folded(records: LogRecord[], from: Transcript = emptyTranscript(KEY)): Transcript {
  return records.reduce(foldRecord, from);
}

describe("records this device may not see", () => {
  it("move the log on and change nothing else", () => {
    const hidden = { seq: 9, at: 1009, kind: "device_approved", data: null };
    const head = { seq: 9, hash: "h9" };
    const event = { records: [hidden], head, shippedSeq: 9 };
    const before = folded(exchange);
    expect(folded(recordsOf(event), before)).toEqual({ ...before, upTo: 9 });
  });
});

describe("folding the log", () => {
  it("turns an exchange into two rows", () => {
    const end = record(4, "run_completed", { run_id: "r1", text: "Hi", duration_ms: 900 });
    const { rows, live } = folded([...exchange, end]);
    expect(rows.map((row) => [row.role, row.text, row.seq])).toEqual([
      ["user", "Hello", 1],
      ["assistant", "Hi", 4],
    ]);
    expect(live).toBeNull();
  });

  it("keeps the idempotency key as the identity of the row", () => {
    expect(folded(exchange).rows[0]?.id).toBe("r1");
  });

  it("changes nothing when an event comes twice", () => {
    const once = folded(exchange);
    expect(folded(exchange, once)).toEqual(once);
  });

  it("ignores other sessions but counts their events", () => {
    const other = record(9, "message_received", { session_key: "other", text: "x" });
    const after = folded([other]);
    expect(after.rows).toEqual([]);
    expect(after.upTo).toBe(9);
  });

  it.each([
    ["run_cancelled", { text: "half" }, "aborted"],
    ["run_cancelled", { reason: "timeout" }, "timeout"],
    ["run_failed", { error_code: "overloaded" }, "error"],
    ["run_interrupted", {}, "interrupted"],
  ])("%s %o ends the answer as %s", (kind, data, stop) => {
    const after = folded([...exchange, record(4, kind, { run_id: "r1", ...data })]);
    expect(after.rows.at(-1)).toMatchObject({ role: "assistant", stop });
    expect(after.live).toBeNull();
  });

  it("offers a retry only for a bad end that is the last word", () => {
    const failed = folded([...exchange, record(4, "run_failed", { run_id: "r1" })]);
    expect(retryable(failed)?.runId).toBe("r1");
    const again = folded([record(5, "run_requested", { run_id: "r2", retry_of: "r1" })], failed);
    expect(retryable(again)).toBeNull();
    expect(
      retryable(folded([...exchange, record(4, "run_completed", { run_id: "r1" })])),
    ).toBeNull();
  });
});

describe("words as they come", () => {
  it("takes the cumulative text and never goes back", () => {
    const started = folded(exchange);
    const longer = foldChat(started, delta("Hello wor"));
    expect(longer.live?.text).toBe("Hello wor");
    expect(foldChat(longer, delta("Hel"))).toBe(longer);
  });

  it("leaves the rows alone, so that only the live answer is drawn again", () => {
    const started = folded(exchange);
    expect(foldChat(started, delta("a")).rows).toBe(started.rows);
  });

  it("shows a run whose beginning was not seen", () => {
    expect(foldChat(emptyTranscript(KEY), delta("mid")).live?.text).toBe("mid");
  });

  it("ignores late words of a finished run and words of other sessions", () => {
    const done = folded([...exchange, record(4, "run_completed", { run_id: "r1", text: "Hi" })]);
    expect(foldChat(done, delta("Hi"))).toBe(done);
    expect(foldChat(done, delta("Hi", "r9", "other"))).toBe(done);
  });
});

describe("history", () => {
  it("replaces what it covers and keeps what came after", () => {
    const before = folded([...exchange, record(4, "run_completed", { run_id: "r1", text: "Hi" })]);
    const told = history([said(1, "user", "Hello")], 1);
    const after = withHistory(before, told, false);
    expect(after.rows.map((row) => row.seq)).toEqual([1, 4]);
  });

  it("resumes an answer mid-way, with the longer of the two texts", () => {
    const inFlightRun = { runId: "r1", text: "Hel", startedAt: 5 };
    const fresh = withHistory(emptyTranscript(KEY), history([], 3, { inFlightRun }), true);
    expect(fresh.live?.text).toBe("Hel");
    const ahead = foldChat(folded(exchange), delta("Hello"));
    const after = withHistory(
      ahead,
      history([said(1, "user", "Hello")], 3, { inFlightRun }),
      false,
    );
    expect(after.live?.text).toBe("Hello");
  });

  it("ends a live answer the gateway no longer knows", () => {
    const stale = foldChat(folded(exchange), delta("Hel"));
    const told = history([said(1, "user", "Hello")], 9);
    expect(withHistory(stale, told, false).live).toBeNull();
  });

  it("keeps a run that began after the history was written", () => {
    const after = withHistory(folded(exchange), history([], 0), false);
    expect(after.live?.runId).toBe("r1");
  });

  it("forgets everything of another log", () => {
    const after = withHistory(folded(exchange), history([said(1, "user", "Other")], 1), true);
    expect(after.rows.map((row) => row.text)).toEqual(["Other"]);
    expect(after.upTo).toBe(1);
  });

  it("puts earlier pages in front, once", () => {
    const page = history([said(5, "user", "late", "k5")], 9, { hasMore: true });
    const shown = withHistory(emptyTranscript(KEY), page, true);
    const more = withEarlier(
      shown,
      history([said(1, "user", "early", "k1"), said(5, "user", "late", "k5")], 9),
    );
    expect(more.rows.map((row) => row.seq)).toEqual([1, 5]);
    expect(more.hasMore).toBe(false);
  });
});
