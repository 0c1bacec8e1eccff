import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  afterReconnect,
  afterResync,
  compare,
  forgetShipped,
  mark,
  nextToSend,
  type Outbox,
  stillOurs,
  take,
  write,
} from "./outbox";

const S = "agent:main:main";
const none = new Set<string>();

function boxOf(...keys: string[]): Outbox {
  return keys.reduce<Outbox>((box, key) => write(box, key, S, `text ${key}`, 1), []);
}

describe("outbox", () => {
  it("sends one at a time and waits while an answer is written", () => {
    const box = boxOf("a", "b");
    expect(nextToSend(box, none)?.key).toBe("a");
    expect(nextToSend(mark(box, "a", { state: "sent" }), none)).toBeNull();
    expect(nextToSend(box, new Set([S]))).toBeNull();
    expect(nextToSend(take(box, "a", 5), none)?.key).toBe("b");
  });

  it("keeps a message until the archive has it", () => {
    const box = take(boxOf("a"), "a", 7);
    expect(forgetShipped(box, 6)).toHaveLength(1);
    expect(forgetShipped(box, 7)).toHaveLength(0);
  });

  it("keeps the key when it sends again", () => {
    const sent = mark(boxOf("a"), "a", { state: "sent" });
    expect(nextToSend(afterReconnect(sent), none)?.key).toBe("a");
  });

  it("offers taken messages again to a log that is another one", () => {
    const [item] = afterResync(take(boxOf("a"), "a", 7));
    expect(item).toMatchObject({ key: "a", state: "waiting", seq: null });
  });

  it("believes the history: present is taken, missing is sent again", () => {
    const box = take(take(boxOf("a", "b"), "a", 7), "b", 8);
    const after = compare(box, S, new Map([["a", 7]]), 0);
    expect(after.map((item) => item.state)).toEqual(["taken", "waiting"]);
  });

  it("does not judge what the history does not reach", () => {
    const box = take(boxOf("a"), "a", 7);
    expect(compare(box, S, new Map(), 50)[0]?.state).toBe("taken");
  });

  it("shows only what the transcript does not", () => {
    const box = take(boxOf("a", "b", "c"), "a", 7);
    expect(stillOurs(box, S, new Set(["b"])).map((item) => item.key)).toEqual(["c"]);
  });

  it("stays small and never drops the newest", () => {
    const sizes = fc.array(fc.integer({ min: 1, max: 60_000 }), { minLength: 1, maxLength: 80 });
    fc.assert(
      fc.property(sizes, (lengths) => {
        let box: Outbox = [];
        lengths.forEach((n, i) => {
          box = write(box, `k${i}`, S, "x".repeat(n), i);
        });
        expect(box.length).toBeLessThanOrEqual(40);
        expect(box.at(-1)?.key).toBe(`k${lengths.length - 1}`);
      }),
      { numRuns: 30 },
    );
  });
});
