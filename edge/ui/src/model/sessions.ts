import type { LogRecord, SessionRow } from "../wire/frames";
import { toMs } from "../wire/frames";

export function newSessionKey(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(9));
  const id = Array.from(bytes, (b) => b.toString(36).padStart(2, "0")).join("");
  return `agent:main:web:${id}`;
}

/** The name a person would call it by; null while it has none. */
export function titleOf(session: SessionRow | undefined): string | null {
  return session?.label || session?.derivedTitle || session?.lastMessagePreview || null;
}

/** Keeps the list right while it is open; newest first. */
export function foldSessions(
  rows: readonly SessionRow[],
  record: LogRecord,
): readonly SessionRow[] {
  const key = record.data.session_key;
  if (typeof key !== "string") return rows;
  const before = rows.find((row) => row.key === key);
  if (!before && record.kind !== "message_received") return rows;
  if (before && before.lastSeq >= record.seq) return rows;
  const after = { ...(before ?? born(key, record)), ...changeOf(record), lastSeq: record.seq };
  if (record.kind !== "message_received") {
    return rows.map((row) => (row.key === key ? after : row));
  }
  return [after, ...rows.filter((row) => row.key !== key)];
}

function born(key: string, record: LogRecord): SessionRow {
  const words = String(record.data.text ?? "").trim();
  const derivedTitle = words.length > 60 ? `${words.slice(0, 59)}…` : words;
  return { key, derivedTitle, channel: "web", updatedAt: toMs(record.at), lastSeq: 0 };
}

function changeOf(record: LogRecord): Partial<SessionRow> {
  switch (record.kind) {
    case "message_received":
      return { updatedAt: toMs(record.at), lastMessagePreview: String(record.data.text ?? "") };
    case "run_requested":
    case "run_started":
      return { running: true };
    case "run_completed":
    case "run_cancelled":
    case "run_failed":
    case "run_interrupted":
      return { running: false, updatedAt: toMs(record.at) };
    default:
      return {};
  }
}
