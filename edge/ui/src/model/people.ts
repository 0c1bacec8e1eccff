// Who waits at the door, and which replies somebody has to look at.
import type { LogRecord, PendingDevice } from "../wire/frames";
import type { Delivery, PeerList, PendingPeer } from "../wire/people";
import { stillPending } from "./devices";

export type Asker = PendingDevice | PendingPeer;

export function isPeer(asker: Asker): asker is PendingPeer {
  return "peerId" in asker;
}

/** Devices and people in one row, in the order in which they came. */
export function atTheDoor(
  devices: readonly PendingDevice[],
  peers: readonly PendingPeer[],
  now: number,
): Asker[] {
  return stillPending<Asker>([...devices, ...peers], now);
}

export function withAsking(list: PeerList | null, asked: PendingPeer): PeerList {
  const before = list ?? { pending: [], approved: [], blocked: [] };
  const others = before.pending.filter((peer) => peer.peerId !== asked.peerId);
  return { ...before, pending: [...others, asked] };
}

/** Whoever asked with this request, or is this person, waits no longer. */
export function withoutAsking(list: PeerList, gone: { requestId?: string | null; peerId: string }) {
  const stays = (peer: PendingPeer) =>
    peer.requestId !== gone.requestId && peer.peerId !== gone.peerId;
  return { ...list, pending: list.pending.filter(stays) };
}

const NAME_CHARS_MAX = 60;

/** Signs that turn the direction of writing, and with it the sentence around a name. */
const TURNS = /[\u202a-\u202e\u2066-\u2069]/g;

/** Strangers choose their names: one line of bearable length is shown of them. */
export function shortName(name: string | null | undefined): string {
  const line = (name ?? "").replace(TURNS, "").replace(/\s+/g, " ").trim();
  const letters = [...line];
  if (letters.length <= NAME_CHARS_MAX) return letters.join("");
  return `${letters.slice(0, NAME_CHARS_MAX - 1).join("")}…`;
}

/** Whether a text is folded at first. */
export function isLong(text: string): boolean {
  return text.length > 240 || text.split("\n").length > 4;
}

/** Longer than a platform takes when all is well. */
const LATE_MS = 15_000;

/** A reply that arrives as it should is not worth a word; an answer being written takes its time. */
export function needsALook(delivery: Delivery, now: number): boolean {
  if (delivery.status === "unknown") return true;
  return delivery.status !== "streaming" && now - (delivery.queuedAtMs ?? now) > LATE_MS;
}

export function touchesPeople({ kind }: LogRecord): boolean {
  return kind.startsWith("peer_") || kind === "pairing_expired" || kind === "content_forgotten";
}

export function touchesReplies({ kind }: LogRecord): boolean {
  return kind.startsWith("delivery_");
}
