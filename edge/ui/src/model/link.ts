// Where the connection stands, and what a refusal of the gateway means for the person reading.
import type { WireError } from "../wire/frames";

export type PairingReason = "not-paired" | "scope-upgrade" | "role-upgrade";

export interface PairingAsked {
  requestId: string;
  code: string;
  adminUrl: string;
  reason: PairingReason;
  expiresAtMs: number;
}

export interface Progress {
  phase: string;
  done: number;
  total: number;
  message?: string;
}

export type Link =
  | { at: "connecting" }
  | { at: "online" }
  | { at: "waking"; progress: Progress }
  | { at: "waiting"; retryAt: number; restart: boolean }
  | { at: "pairing"; asked: PairingAsked }
  | { at: "token"; why: "missing" | "mismatch" | "limited"; retryAt?: number }
  | { at: "revoked" }
  | { at: "refused"; code: string; message: string };

/** What to do after `connect` was refused. */
export function linkAfterRefusal(error: WireError, now: number): Link {
  const details = error.details ?? {};
  if (error.code === "NOT_PAIRED" && typeof details.requestId === "string") {
    return { at: "pairing", asked: pairingFrom(details, now) };
  }
  const code = String(details.code ?? "");
  if (code === "AUTH_TOKEN_MISSING") return { at: "token", why: "missing" };
  if (code === "AUTH_TOKEN_MISMATCH") return { at: "token", why: "mismatch" };
  if (code === "AUTH_RATE_LIMITED") {
    return { at: "token", why: "limited", retryAt: now + (error.retryAfterMs ?? 60_000) };
  }
  if (error.code === "UNAVAILABLE") return { at: "waking", progress: progressFrom(details) };
  return { at: "refused", code: code || error.code, message: error.message };
}

function pairingFrom(details: Record<string, unknown>, now: number): PairingAsked {
  return {
    requestId: String(details.requestId),
    code: String(details.code ?? ""),
    adminUrl: String(details.adminUrl ?? "/_admin/"),
    reason: (details.reason as PairingReason | undefined) ?? "not-paired",
    expiresAtMs: Number(details.expiresAtMs ?? now + 300_000),
  };
}

function progressFrom(details: Record<string, unknown>): Progress {
  return {
    phase: String(details.phase ?? "opening"),
    done: Number(details.done ?? 0),
    total: Number(details.total ?? 0),
    ...(typeof details.message === "string" ? { message: details.message } : {}),
  };
}

/** 0.8 s growing by 1.7 to 15 s: quick after a hiccup, gentle during an outage. */
export function backoffMs(attempt: number): number {
  return Math.min(15_000, Math.round(800 * 1.7 ** attempt));
}

/** Six characters in two groups, as they are read aloud. */
export function spellCode(code: string): string {
  return code.length === 6 ? `${code.slice(0, 3)}-${code.slice(3)}` : code;
}
