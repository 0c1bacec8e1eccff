import { describe, expect, it } from "vitest";
import type { LogRecord, PendingDevice, SessionRow, StorageStatus } from "../wire/frames";
import { backupShare, lastBackupAt, sentenceOf } from "./backup";
import { neighbour, saveState, stillPending, withPending } from "./devices";
import { backoffMs, linkAfterRefusal, spellCode } from "./link";
import { foldSessions, newSessionKey, titleOf } from "./sessions";

describe("refusals", () => {
  it("shows the pairing page with its code", () => {
    const details = { requestId: "q", code: "KX49TB", adminUrl: "/_admin/", expiresAtMs: 9 };
    const link = linkAfterRefusal({ code: "NOT_PAIRED", message: "pairing required", details }, 0);
    expect(link).toMatchObject({ at: "pairing", asked: { code: "KX49TB", reason: "not-paired" } });
    expect(spellCode("KX49TB")).toBe("KX4-9TB");
  });

  it.each([
    ["AUTH_TOKEN_MISSING", "missing"],
    ["AUTH_TOKEN_MISMATCH", "mismatch"],
    ["AUTH_RATE_LIMITED", "limited"],
  ])("%s shows the token page", (code, why) => {
    const error = { code: "INVALID_REQUEST", message: "unauthorized", details: { code } };
    expect(linkAfterRefusal(error, 0)).toMatchObject({ at: "token", why });
  });

  it("waits for a gateway that is starting, and explains the rest", () => {
    const details = { phase: "replaying", done: 5, total: 9 };
    const waking = linkAfterRefusal({ code: "UNAVAILABLE", message: "starting", details }, 0);
    expect(waking).toMatchObject({ at: "waking", progress: { done: 5, total: 9 } });
    expect(linkAfterRefusal({ code: "X", message: "no" }, 0).at).toBe("refused");
  });

  it("comes back quickly first, then gently", () => {
    expect([0, 1, 2, 20].map(backoffMs)).toEqual([800, 1360, 2312, 15_000]);
  });
});

describe("devices", () => {
  const ask = (id: string, seq: number, expiresAtMs = 100) =>
    ({ requestId: id, deviceId: `d${id}`, seq, expiresAtMs }) as PendingDevice;

  it("keeps one request for each device and drops expired ones", () => {
    const list = withPending(
      { pending: [ask("a", 1)], paired: [] },
      { ...ask("b", 2), deviceId: "da" },
    );
    expect(list.pending.map((one) => one.requestId)).toEqual(["b"]);
    expect(stillPending([ask("a", 1, 5), ask("b", 2)], 5).map((one) => one.requestId)).toEqual([
      "b",
    ]);
  });

  it("says saving until the archive has it", () => {
    expect(saveState(5, 4)).toBe("saving");
    expect(saveState(5, 5)).toBe("saved");
  });

  it("gives focus to the next, else to the one before", () => {
    expect(neighbour(["a", "b", "c"], "b")).toBe("c");
    expect(neighbour(["a", "b"], "b")).toBe("a");
    expect(neighbour(["a"], "a")).toBeNull();
  });
});

describe("backup", () => {
  const status = (change: Partial<StorageStatus>) =>
    ({
      configured: true,
      state: "ok",
      lagEvents: 0,
      shipped: { seq: 9, hash: "" },
      ...change,
    }) as StorageStatus;

  it("says one true sentence for every state", () => {
    const key = (change: Partial<StorageStatus>) => sentenceOf(status(change)).key;
    expect(key({})).toBe("backup.allSaved");
    expect(key({ lagEvents: 3 })).toBe("backup.behind");
    expect(key({ configured: false })).toBe("backup.directory");
    expect(key({ configured: false, lagEvents: 3 })).toBe("backup.directoryBehind");
    expect(key({ state: "failing", lagEvents: 3 })).toBe("backup.failing");
    expect(key({ state: "read_only" })).toBe("backup.readOnly");
    expect(key({ state: "claiming" })).toBe("backup.claiming");
    expect(key({ role: "follower", state: "behind", lagEvents: 3 })).toBe("backup.follower");
    expect(key({ shipped: { seq: 0, hash: "" } })).toBe("backup.nothing");
  });

  it("knows the last backup and how far a running one is", () => {
    expect(
      lastBackupAt(status({ shipped: { seq: 9, hash: "", at: "1970-01-01T00:00:01Z" } })),
    ).toBe(1000);
    expect(lastBackupAt(status({}))).toBeNull();
    expect(backupShare(status({ backup: { phase: "shipping", done: 2, total: 8 } }))).toBe(0.25);
    expect(backupShare(status({ backup: { phase: "done", done: 8, total: 8 } }))).toBeNull();
  });
});

describe("sessions", () => {
  const event = (seq: number, kind: string, key: string) =>
    ({ seq, at: seq, kind, data: { session_key: key, text: "Hello there" } }) as LogRecord;

  it("is born with its first message and comes first with its newest", () => {
    let rows: readonly SessionRow[] = foldSessions([], event(1, "message_received", "a"));
    rows = foldSessions(rows, event(2, "message_received", "b"));
    expect(rows.map((row) => row.key)).toEqual(["b", "a"]);
    expect(titleOf(rows[0])).toBe("Hello there");
    rows = foldSessions(rows, event(3, "run_started", "a"));
    expect(rows.map((row) => [row.key, row.running])).toEqual([
      ["b", undefined],
      ["a", true],
    ]);
  });

  it("makes keys that are new", () => {
    expect(newSessionKey()).toMatch(/^agent:main:web:[0-9a-z]{10,}$/);
    expect(newSessionKey()).not.toBe(newSessionKey());
  });
});
