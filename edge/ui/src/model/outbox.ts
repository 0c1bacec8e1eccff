// Messages written here that the archive does not hold yet. Each keeps its idempotency key for life,
// so sending it again can never make it appear twice.

export interface Outgoing {
  key: string;
  sessionKey: string;
  text: string;
  at: number;
  /** waiting: to be sent; sent: no answer yet; taken: in the log at `seq`; failed: refused. */
  state: "waiting" | "sent" | "taken" | "failed";
  seq: number | null;
  error?: string;
}

export type Outbox = readonly Outgoing[];

const MAX_ITEMS = 40;
const MAX_CHARACTERS = 400_000;

export function write(box: Outbox, key: string, sessionKey: string, text: string, at: number) {
  return bounded([...box, { key, sessionKey, text, at, state: "waiting", seq: null }]);
}

export function mark(box: Outbox, key: string, change: Partial<Outgoing>): Outbox {
  return box.map((item) => (item.key === key ? { ...item, ...change } : item));
}

export function take(box: Outbox, key: string, seq: number | undefined): Outbox {
  return mark(box, key, { state: "taken", ...(seq === undefined ? {} : { seq }) });
}

export function remove(box: Outbox, key: string): Outbox {
  return box.filter((item) => item.key !== key);
}

/** The archive has everything up to `shippedSeq`: those messages are safe without us. */
export function forgetShipped(box: Outbox, shippedSeq: number): Outbox {
  const kept = box.filter(
    (item) => item.state !== "taken" || item.seq === null || item.seq > shippedSeq,
  );
  return kept.length === box.length ? box : kept;
}

/** A new connection: what was on its way may not have arrived. */
export function afterReconnect(box: Outbox): Outbox {
  return box.map((item) => (item.state === "sent" ? { ...item, state: "waiting" } : item));
}

/** Another log than the one that took our messages: offer all of them again. */
export function afterResync(box: Outbox): Outbox {
  return box.map((item) => (item.state === "failed" ? item : again(item)));
}

/**
 * What the history of a session, known from event `from` on, says about its messages: present ones
 * are taken, and one that was taken but is not there is offered again.
 */
export function compare(
  box: Outbox,
  sessionKey: string,
  present: ReadonlyMap<string, number>,
  from: number,
): Outbox {
  return box.map((item) => {
    if (item.sessionKey !== sessionKey) return item;
    const seq = present.get(item.key);
    if (seq !== undefined) return { ...item, state: "taken", seq };
    const missing = item.state === "taken" && (item.seq ?? 0) >= from;
    return missing ? again(item) : item;
  });
}

function again(item: Outgoing): Outgoing {
  return { ...item, state: "waiting", seq: null };
}

/** The next message to send, one at a time in each session, and none while an answer is written. */
export function nextToSend(box: Outbox, busy: ReadonlySet<string>): Outgoing | null {
  const blocked = new Set(busy);
  for (const item of box) {
    if (item.state === "sent") blocked.add(item.sessionKey);
  }
  return box.find((item) => item.state === "waiting" && !blocked.has(item.sessionKey)) ?? null;
}

/** Those not shown by the transcript itself. */
export function stillOurs(box: Outbox, sessionKey: string, shown: ReadonlySet<string>): Outbox {
  return box.filter(
    (item) => item.sessionKey === sessionKey && item.state !== "taken" && !shown.has(item.key),
  );
}

/** Keeps the box small; messages already in the log go first, then the oldest. */
function bounded(box: Outgoing[]): Outbox {
  let kept = box;
  while (kept.length > MAX_ITEMS || weight(kept) > MAX_CHARACTERS) {
    if (kept.length <= 1) break;
    const taken = kept.findIndex((item) => item.state === "taken");
    const victim = Math.max(0, taken);
    kept = kept.filter((_, index) => index !== victim);
  }
  return kept;
}

function weight(box: Outgoing[]): number {
  return box.reduce((sum, item) => sum + item.text.length, 0);
}
