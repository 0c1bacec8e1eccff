// People on chat platforms and the replies on their way to them, as the gateway tells of them.
import type { Timestamp } from "./frames";

export interface PendingPeer {
  requestId: string;
  peerId: string;
  /** As `telegram`. */
  channel: string;
  /** The bot that was written to. */
  account?: string;
  name?: string | null;
  /** The first message, as far as it is shown. */
  message: string;
  code: string;
  ts: Timestamp;
  expiresAtMs: number;
  seq: number;
}

export interface KnownPeer {
  peerId: string;
  channel: string;
  account?: string;
  name?: string | null;
  nameForgotten?: boolean;
  seq: number;
  isOperator?: boolean;
  approvedAtMs?: number | null;
  blockedAtMs?: number | null;
}

export interface PeerList {
  pending: PendingPeer[];
  approved: KnownPeer[];
  blocked: KnownPeer[];
  hasMore?: boolean;
}

export interface Delivery {
  deliveryId: string;
  peerId: string;
  channel: string;
  name?: string | null;
  status: "due" | "streaming" | "attempted" | "unknown";
  /** The beginning; nothing when it cannot be read any more. */
  text?: string | null;
  queuedAtMs?: number | null;
  seq: number;
}

export interface DeliveryList {
  deliveries: Delivery[];
  hasMore?: boolean;
}
