// What travels over the socket, as far as this client uses it. Unknown fields are ignored on purpose.

export interface RequestFrame {
  type: "req";
  id: string;
  method: string;
  params?: unknown;
}

export interface WireError {
  code: string;
  message: string;
  details?: Record<string, unknown>;
  retryable?: boolean;
  retryAfterMs?: number;
}

export interface ResponseFrame {
  type: "res";
  id: string;
  ok: boolean;
  payload?: unknown;
  error?: WireError;
}

export interface EventFrame {
  type: "event";
  event: string;
  payload?: unknown;
  seq?: number;
}

export type Frame = ResponseFrame | EventFrame;

/** A place in the log: the number of an event and its hash. */
export interface Cursor {
  seq: number;
  hash: string;
}

/** Servers write times as milliseconds or as RFC 3339; `toMs` reads both. */
export type Timestamp = number | string;

export interface Hello {
  protocol: number;
  server: { version: string; host?: string; connId?: string };
  snapshot?: { sessionDefaults?: { mainSessionKey?: string } };
  auth?: { deviceToken?: string; role: string; scopes: string[]; issuedAtMs?: number };
  policy?: { maxPayload?: number; tickIntervalMs?: number };
  moltbot?: {
    deviceId: string;
    deviceName?: string;
    cursor: Cursor;
    shippedSeq: number;
    epoch: number;
    storageConfigured: boolean;
    devMode?: boolean;
    bootId: string;
    model?: { provider: string; name: string };
    readOnly?: string;
    /** Set by a read-only copy of a log that another gateway writes. */
    follower?: FollowerStatus;
  };
}

/** How far a read-only copy is. */
export interface FollowerStatus {
  writer: string;
  lagEvents: number;
  lagMs: number;
  lastContactAgeMs: number | null;
}

export type StopReason = "stop" | "aborted" | "timeout" | "error" | "interrupted" | "max_tokens";

/** Says in place of a text that it was forgotten. */
export interface Forgotten {
  seq: number;
  at: Timestamp;
  /** As `device:<id>`, `local`. */
  by: string;
  byName?: string | null;
}

export interface HistoryMessage {
  role: "user" | "assistant";
  content: { type: string; text?: string }[] | string;
  timestamp: Timestamp;
  stopReason?: StopReason;
  errorMessage?: string;
  errorCode?: string;
  provider?: string;
  model?: string;
  durationMs?: number;
  __openclaw?: {
    id?: string;
    seq: number;
    runId?: string;
    idempotencyKey?: string;
    forgotten?: Forgotten;
  };
}

export interface History {
  sessionKey: string;
  sessionId?: string;
  messages: HistoryMessage[];
  hasMore?: boolean;
  cursor: Cursor;
  shippedSeq?: number;
  inFlightRun?: { runId: string; text: string; startedAt: Timestamp } | null;
}

export interface SessionRow {
  key: string;
  sessionId?: string;
  kind?: string;
  label?: string;
  derivedTitle?: string;
  lastMessagePreview?: string;
  channel?: string;
  updatedAt: Timestamp;
  lastSeq: number;
  running?: boolean;
}

export interface LogRecord {
  seq: number;
  at: Timestamp;
  kind: string;
  hash?: string;
  data: Record<string, unknown>;
}

export interface LogEvent {
  /** Without `data` where this device may not see it. */
  records: (Omit<LogRecord, "data"> & { data?: Record<string, unknown> | null })[];
  head: Cursor;
  shippedSeq: number;
}

export interface ChatEvent {
  runId: string;
  sessionKey: string;
  state: "delta" | "final" | "aborted" | "error";
  message?: { content: { type: string; text?: string }[] | string; timestamp?: Timestamp };
  deltaText?: string;
  stopReason?: string;
  errorMessage?: string;
}

export interface PendingDevice {
  requestId: string;
  deviceId: string;
  displayName?: string;
  platform?: string;
  clientId?: string;
  clientMode?: string;
  role: string;
  scopes: string[];
  remoteIp?: string;
  ts: Timestamp;
  expiresAtMs: number;
  code: string;
  seq: number;
  isRepair?: boolean;
}

export interface PairedDevice {
  deviceId: string;
  displayName?: string;
  nameForgotten?: boolean;
  platform?: string;
  clientId?: string;
  clientMode?: string;
  role?: string;
  scopes: string[];
  createdAtMs?: number;
  approvedAtMs?: number;
  approvedBy?: string;
  seq: number;
  connected?: boolean;
  lastSeenAtMs?: number;
}

export interface DeviceList {
  pending: PendingDevice[];
  paired: PairedDevice[];
}

export interface StorageStatus {
  configured: boolean;
  kind: "directory" | "s3" | "other";
  location: string;
  state: "ok" | "behind" | "failing" | "read_only" | "claiming";
  message?: string;
  head: Cursor;
  shipped: Cursor & { at?: Timestamp };
  lagEvents: number;
  lagMs: number;
  role?: "writer" | "follower";
  lastContactAgeMs?: number | null;
  /** Tails that did not get into the log. */
  orphans?: number | null;
  epoch: number;
  writer?: string;
  segments: number;
  segmentBytes: number;
  snapshots: { seq: number; bytes: number; at: Timestamp }[];
  lastError?: string | null;
  lastSync?: Timestamp | null;
  backup?: BackupProgress;
  /** Secrets of R2 that are not set. */
  missing?: string[];
  /** What the last self-test of the store found. */
  selfTest?: SelfTest | null;
  /** The newest signed checkpoint, if any are made. */
  checkpoint?: SignedCheckpoint | null;
  /** Settings that do not go together, and what speaks against the log. */
  warnings?: StorageWarning[];
}

export interface SignedCheckpoint {
  seq: number | null;
  at: Timestamp | null;
  publicKey: string;
  lastError: string | null;
  copy?: { location: string; seq: number | null; lastError: string | null };
}

export interface SelfTest {
  ok: boolean;
  at: Timestamp;
  step?: "put" | "put_again" | "get" | "list" | "delete";
  code?: string;
  message?: string;
}

export interface StorageWarning {
  code: string;
  message: string;
}

export interface BackupProgress {
  phase: "shipping" | "snapshot" | "confirming" | "done";
  done: number;
  total: number;
}

export interface BackupResult {
  ok: boolean;
  seq: number;
  snapshotSeq?: number;
  segments?: number;
  bytes?: number;
  durationMs: number;
}

export interface GatewayStatus {
  version: string;
  uptimeMs: number;
  connections: { deviceId?: string; name?: string; kind?: string }[];
}

/** A record of which nothing may be seen still counts: it says where the log is. */
export function recordsOf(event: LogEvent): LogRecord[] {
  return event.records.map((record) => ({ ...record, data: record.data ?? {} }));
}

export function toMs(at: Timestamp | null | undefined): number {
  if (typeof at === "number") return at;
  const parsed = at ? Date.parse(at) : Number.NaN;
  return Number.isNaN(parsed) ? 0 : parsed;
}

/** The text of a message whose content is a plain string or a list of parts. */
export function textOf(content: { type: string; text?: string }[] | string | undefined): string {
  if (typeof content === "string") return content;
  return (content ?? []).map((part) => (part.type === "text" ? (part.text ?? "") : "")).join("");
}
