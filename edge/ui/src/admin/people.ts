// The people on chat platforms, and the two decisions about one of them.
import { signal } from "@preact/signals";
import { type Key, t } from "../i18n";
import { announce } from "../kit/Announcer";
import { shortName, withAsking, withoutAsking } from "../model/people";
import type { PeerList, PendingPeer } from "../wire/people";
import { act } from "./act";
import { channelName } from "./Channel";
import { loader } from "./loader";

export const peers = signal<PeerList | null>(null);
export const peersFailed = signal(false);
export const loadPeers = loader("peer.list", peers, peersFailed);

interface Person {
  peerId: string;
  channel: string;
  name?: string | null;
}

/** A platform that told no name still told people apart. */
export function personName(person: {
  peerId: string;
  name?: string | null;
  nameForgotten?: boolean;
}): string {
  if (person.nameForgotten) return t("forget.name", { id: person.peerId.slice(0, 16) });
  return shortName(person.name) || t("people.unnamed", { id: person.peerId.slice(0, 6) });
}

export function peerAsked(peer: PendingPeer): void {
  peers.value = withAsking(peers.value, peer);
  const channel = channelName(peer.channel);
  announce(t("people.wantsIn", { name: personName(peer), channel }));
}

export function peerResolved(gone: { requestId?: string | null; peerId: string }): void {
  if (peers.value) peers.value = withoutAsking(peers.value, gone);
}

/** Lets somebody in who waits, or again who was blocked. */
export function approvePeer(person: Person, isOperator = false): Promise<boolean> {
  const more = isOperator ? { isOperator } : {};
  return decide(person, "peer.approve", "people.approvedNow", more);
}

/** Says of somebody who is in already whether it is the operator himself. */
export function sayWho(person: Person, isOperator: boolean): Promise<boolean> {
  const said = isOperator ? "people.meNow" : "people.guestNow";
  return decide(person, "peer.approve", said, { isOperator });
}

export function blockPeer(person: Person): Promise<boolean> {
  return decide(person, "peer.block", "people.blockedNow");
}

function decide(
  person: Person,
  method: string,
  said: Key,
  more: Record<string, unknown> = {},
): Promise<boolean> {
  const { peerId } = person;
  const params = { peerId, ...more };
  const done = () => peerResolved(person);
  return act({ id: peerId, name: personName(person), method, params, said, done, load: loadPeers });
}
