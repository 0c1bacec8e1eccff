// The one connection of a page, as signals. Both entries start it with what they want to hear.
import { signal } from "@preact/signals";
import { type Key, t } from "../i18n";
import { announce } from "../kit/Announcer";
import type { Link } from "../model/link";
import {
  type Cursor,
  type FollowerStatus,
  type Hello,
  type LogEvent,
  type LogRecord,
  recordsOf,
} from "../wire/frames";
import { askForTicket, type GrantOutcome, redeemGrant } from "../wire/http";
import { type Device, loadDevice, tokens } from "../wire/identity";
import { Gateway } from "../wire/socket";

export const link = signal<Link>({ at: "connecting" });
/** What the gateway said when it let us in; stays during a reconnect. */
export const hello = signal<Hello | null>(null);
export const head = signal(0);
export const shipped = signal(0);
/** How far behind a read-only copy is, as it last said; null: this is the gateway that writes. */
export const follower = signal<{ writer: string; behindSince: number } | null>(null);
/** Why a link that was opened did not work, for the page that follows. */
export const notice = signal<Key | null>(null);

export interface Listener {
  /** The log is being followed. `fresh`: what was known before belongs to another log, or nothing was. */
  ready(fresh: boolean): void;
  records(records: LogRecord[]): void;
  event(name: string, payload: unknown): void;
}

let gateway: Gateway | null = null;
let cursor: Cursor | null = null;

/** `ticketed`: this page may stand behind an identity provider that lets its browser in. */
export async function startConnection(
  scopes: string[],
  listener: Listener,
  ticketed = false,
): Promise<void> {
  const device = await loadDevice();
  await redeemFromAddress(device);
  if (ticketed && tokens.device() === null) await redeemTicket(device);
  gateway = new Gateway(device, scopes, {
    onLink: moved,
    onHello: (said) => void follow(said, listener),
    onEvent: (name, payload) => heard(name, payload, listener),
  });
  gateway.start();
}

export function request<T>(method: string, params: unknown = {}): Promise<T> {
  if (!gateway) return Promise.reject(new Error("not started"));
  return gateway.request<T>(method, params);
}

export const retryNow = () => gateway?.retryNow();
export const submitToken = (token: string) => gateway?.submitToken(token);
export const askAgain = () => gateway?.askAgain();

function moved(next: Link): void {
  const before = link.value;
  link.value = next;
  if (!hello.value) return;
  if (next.at === "waiting" && before.at === "online") announce(t("link.lost"));
  if (next.at === "online") announce(t("link.back"));
}

async function follow(said: Hello, listener: Listener): Promise<void> {
  hello.value = said;
  noteFollower(said.moltbot?.follower);
  head.value = said.moltbot?.cursor.seq ?? 0;
  shipped.value = said.moltbot?.shippedSeq ?? 0;
  try {
    const from = cursor;
    const reply = await request<{ head: Cursor; shippedSeq: number; resync: boolean }>(
      "log.subscribe",
      from ? { from } : {},
    );
    const fresh = from === null || reply.resync;
    if (fresh) cursor = reply.head;
    head.value = reply.head.seq;
    shipped.value = reply.shippedSeq;
    listener.ready(fresh);
  } catch {
    // Without the log there is nothing live, but what the methods answer can still be shown.
    if (link.value.at === "online") listener.ready(true);
  }
}

/** Ages are told at one moment and grow from there. */
function noteFollower(said: FollowerStatus | undefined): void {
  follower.value = said ? { writer: said.writer, behindSince: Date.now() - said.lagMs } : null;
}

function heard(name: string, payload: unknown, listener: Listener): void {
  if (name === "storage" && follower.peek()) noteFollower(payload as FollowerStatus);
  if (name !== "log") return listener.event(name, payload);
  const log = payload as LogEvent;
  head.value = Math.max(head.value, log.head.seq);
  shipped.value = Math.max(shipped.value, log.shippedSeq);
  const last = log.records.at(-1);
  if (last) cursor = { seq: last.seq, hash: last.hash ?? log.head.hash };
  listener.records(recordsOf(log));
}

/** A one-time link pairs this browser before anything else happens. */
async function redeemFromAddress(device: Device): Promise<void> {
  const grant = new URLSearchParams(location.hash.slice(1)).get("grant");
  if (!grant) return;
  const outcome = await whenStarted(() => redeemGrant(grant, device));
  if (outcome.kind === "granted") tokens.keepDevice(outcome.deviceToken);
  else notice.value = noticeFor(outcome);
  history.replaceState(null, "", location.pathname + location.search);
}

/** Where nobody gives tickets, this browser asks to be let in as anywhere else. */
async function redeemTicket(device: Device): Promise<void> {
  const outcome = await whenStarted(async (): Promise<GrantOutcome> => {
    const ticket = await askForTicket();
    if (ticket === "starting") return { kind: "starting", retryAfterMs: 1000 };
    return ticket === null ? { kind: "unreachable" } : redeemGrant(ticket, device);
  });
  if (outcome.kind === "granted") tokens.keepDevice(outcome.deviceToken);
}

/** Tries again, for a minute or so, while the gateway is waking up. */
async function whenStarted(redeem: () => Promise<GrantOutcome>): Promise<GrantOutcome> {
  let outcome = await redeem();
  for (let tries = 0; tries < 60 && outcome.kind === "starting"; tries++) {
    const pause = outcome.retryAfterMs;
    link.value = { at: "waking", progress: { phase: "opening", done: 0, total: 0 } };
    await new Promise((resolve) => setTimeout(resolve, pause));
    outcome = await redeem();
  }
  return outcome;
}

function noticeFor(outcome: { kind: string; code?: string }): Key {
  return outcome.code === "grant_unknown" ? "pair.grantUnknown" : "pair.grantFailed";
}
