import { describe, expect, it } from "vitest";
import type { LogRecord } from "../wire/frames";
import type { PendingPeer } from "../wire/people";
import {
  isLong,
  needsALook,
  shortName,
  touchesPeople,
  touchesReplies,
  withAsking,
  withoutAsking,
} from "./people";

const ask = (id: string, peerId = `p${id}`) => ({ requestId: id, peerId }) as PendingPeer;
const ids = (list: { pending: PendingPeer[] }) => list.pending.map((peer) => peer.requestId);

describe("who asks", () => {
  it("is in the list once, also before the list came", () => {
    const list = withAsking(withAsking(null, ask("a")), ask("b", "pa"));
    expect(ids(list)).toEqual(["b"]);
    expect([list.approved, list.blocked]).toEqual([[], []]);
  });

  it("leaves it by request or by person", () => {
    const list = withAsking(withAsking(null, ask("a")), ask("b"));
    expect(ids(withoutAsking(list, { requestId: "a", peerId: "other" }))).toEqual(["b"]);
    expect(ids(withoutAsking(list, { requestId: null, peerId: "pb" }))).toEqual(["a"]);
  });
});

describe("what strangers choose", () => {
  it("is one line of bearable length", () => {
    expect(shortName("  Li\n\n Wei ")).toBe("Li Wei");
    expect([...shortName("𠮷".repeat(500))]).toHaveLength(60);
    expect(shortName("Li\u202e ?uoy kcolB")).toBe("Li ?uoy kcolB");
    expect(shortName(null)).toBe("");
  });

  it("is folded when it is long in letters or in lines", () => {
    expect([isLong("hi"), isLong("x".repeat(241)), isLong("\n\n\n\n")]).toEqual([
      false,
      true,
      true,
    ]);
  });
});

describe("what needs a look", () => {
  const at = (status: "due" | "streaming" | "attempted" | "unknown", age: number) =>
    needsALook({ status, queuedAtMs: 0, deliveryId: "", peerId: "", channel: "", seq: 1 }, age);

  it("is unknown, or late", () => {
    expect([at("unknown", 0), at("due", 1), at("attempted", 1)]).toEqual([true, false, false]);
    expect([at("due", 20_000), at("attempted", 20_000)]).toEqual([true, true]);
    expect(at("streaming", 20_000)).toBe(false);
  });

  it("is noticed in the log", () => {
    const kinds = ["peer_blocked", "pairing_expired", "delivery_unknown", "run_started"];
    const touched = kinds.map((kind) => {
      const record = { seq: 1, at: 0, kind, data: {} } as LogRecord;
      return [touchesPeople(record), touchesReplies(record)];
    });
    expect(touched).toEqual([
      [true, false],
      [true, false],
      [false, true],
      [false, false],
    ]);
  });
});
