import { browserName, platformName } from "./browser";
import type { Device } from "./identity";

export type GrantOutcome =
  | { kind: "granted"; deviceToken: string }
  | { kind: "refused"; code: string }
  | { kind: "starting"; retryAfterMs: number }
  | { kind: "unreachable" };

export function grantPayload(grant: string, deviceId: string, signedAt: number): string {
  return `grant|${grant}|${deviceId}|${signedAt}`;
}

/** Turns a one-time link into a paired device. */
export async function redeemGrant(grant: string, device: Device): Promise<GrantOutcome> {
  const signedAt = Date.now();
  const signature = await device.sign(grantPayload(grant, device.id, signedAt));
  const body = {
    grant,
    device: { id: device.id, publicKey: device.publicKey, signature, signedAt },
    displayName: browserName(navigator.userAgent),
    platform: platformName(navigator.userAgent),
    locale: navigator.language,
    userAgent: navigator.userAgent,
  };
  try {
    const answer = await fetch("/pairing/grant", {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(body),
    });
    return await readGrant(answer);
  } catch {
    return { kind: "unreachable" };
  }
}

/**
 * Asks for a ticket: a link for this browser alone, for whom an identity provider in front of the
 * admin page vouches. Without one there is none.
 */
export async function askForTicket(): Promise<string | "starting" | null> {
  try {
    const answer = await fetch("/api/admin/ws-ticket", { method: "POST" });
    if (answer.status === 503) return "starting";
    if (!answer.ok) return null;
    return ((await answer.json()) as { ticket?: string }).ticket ?? null;
  } catch {
    return null;
  }
}

async function readGrant(answer: Response): Promise<GrantOutcome> {
  if (answer.status === 503) {
    const seconds = Number(answer.headers.get("retry-after")) || 1;
    return { kind: "starting", retryAfterMs: seconds * 1000 };
  }
  const reply = (await answer.json()) as { deviceToken?: string; code?: string };
  if (answer.ok && reply.deviceToken) return { kind: "granted", deviceToken: reply.deviceToken };
  return { kind: "refused", code: reply.code ?? "unknown" };
}

export type PairingState = "pending" | "approved" | "rejected" | "expired" | "unknown";

/** Waits up to 25 s for a decision; "pending" means ask again. */
export async function waitForDecision(
  requestId: string,
  signal: AbortSignal,
): Promise<PairingState | "unreachable"> {
  try {
    const url = `/pairing/${encodeURIComponent(requestId)}?wait=25`;
    const answer = await fetch(url, { signal, cache: "no-store" });
    if (!answer.ok) return "unreachable";
    return ((await answer.json()) as { state: PairingState }).state;
  } catch {
    return "unreachable";
  }
}
