import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { Link } from "../model/link";
import { CallError } from "./calls";
import { CHAT_SCOPES } from "./handshake";
import { type Device, tokens } from "./identity";
import { Gateway } from "./socket";

class FakeSocket {
  static all: FakeSocket[] = [];
  onmessage: ((message: { data: string }) => void) | null = null;
  onclose: ((close: { code: number; reason: string }) => void) | null = null;
  sent: { id: string; method: string; params: Record<string, unknown> }[] = [];
  closed = false;
  constructor() {
    FakeSocket.all.push(this);
  }
  send(text: string) {
    this.sent.push(JSON.parse(text));
  }
  close() {
    this.closed = true;
  }
  say(frame: unknown) {
    this.onmessage?.({ data: JSON.stringify(frame) });
  }
  async challenge() {
    this.say({ type: "event", event: "connect.challenge", payload: { nonce: "n", ts: 1 } });
    await vi.advanceTimersByTimeAsync(0);
  }
  answer(result: { ok: boolean; payload?: unknown; error?: unknown }) {
    this.say({ type: "res", id: this.sent.at(-1)?.id, ...result });
  }
  async admit() {
    await this.challenge();
    const auth = { deviceToken: "own", role: "operator", scopes: CHAT_SCOPES };
    this.answer({ ok: true, payload: { protocol: 4, server: { version: "1" }, auth } });
  }
}

const device: Device = { id: "dev", publicKey: "key", sign: async () => "signature" };
const latest = () => FakeSocket.all.at(-1) as FakeSocket;

function start() {
  const seen = { links: [] as Link[], hellos: 0, events: [] as string[] };
  const gateway = new Gateway(
    device,
    CHAT_SCOPES,
    {
      onLink: (link) => seen.links.push(link),
      onHello: () => {
        seen.hellos += 1;
      },
      onEvent: (name) => seen.events.push(name),
    },
    () => new FakeSocket() as unknown as WebSocket,
  );
  gateway.start();
  return { gateway, seen, at: () => seen.links.at(-1)?.at };
}

beforeEach(() => {
  vi.useFakeTimers();
  localStorage.clear();
  sessionStorage.clear();
  FakeSocket.all = [];
});
afterEach(() => vi.useRealTimers());

describe("getting in", () => {
  it("introduces itself when challenged and keeps its token", async () => {
    const { seen, at } = start();
    await latest().admit();
    expect([at(), seen.hellos, tokens.device()]).toEqual(["online", 1, "own"]);
    expect(latest().sent[0]).toMatchObject({ method: "connect", params: { role: "operator" } });
  });

  it("drops a device token that is refused and tries once without", async () => {
    tokens.keepDevice("stale");
    const { at } = start();
    const error = {
      code: "INVALID_REQUEST",
      message: "x",
      details: { code: "AUTH_TOKEN_MISMATCH" },
    };
    await latest().challenge();
    expect(latest().sent[0]?.params.auth).toEqual({ token: "stale" });
    latest().answer({ ok: false, error });
    expect(FakeSocket.all).toHaveLength(2);
    await latest().challenge();
    expect(latest().sent[0]?.params.auth).toEqual({});
    latest().answer({ ok: false, error });
    expect([at(), FakeSocket.all.length]).toEqual(["token", 2]);
  });

  it("keeps asking a gateway that is starting", async () => {
    const { at } = start();
    await latest().challenge();
    const details = { reason: "startup", phase: "replaying", done: 1, total: 2 };
    latest().answer({
      ok: false,
      error: { code: "UNAVAILABLE", message: "", retryAfterMs: 400, details },
    });
    expect(at()).toBe("waking");
    await vi.advanceTimersByTimeAsync(400);
    expect(FakeSocket.all).toHaveLength(2);
  });

  it("does not knock again while it has to be paired", async () => {
    const { at } = start();
    await latest().challenge();
    const error = { code: "NOT_PAIRED", message: "pairing required", details: { requestId: "q" } };
    latest().answer({ ok: false, error });
    await vi.advanceTimersByTimeAsync(60_000);
    expect([at(), FakeSocket.all.length]).toEqual(["pairing", 1]);
  });
});

describe("staying in", () => {
  it("comes back after a lost connection and refuses calls meanwhile", async () => {
    const { gateway, at } = start();
    await latest().admit();
    const call = gateway.request("chat.history");
    latest().onclose?.({ code: 1006, reason: "" });
    await expect(call).rejects.toMatchObject({ code: "OFFLINE" });
    await expect(gateway.request("x")).rejects.toBeInstanceOf(CallError);
    expect(at()).toBe("waiting");
    await vi.advanceTimersByTimeAsync(800);
    await latest().admit();
    expect(at()).toBe("online");
  });

  it("says that a restart was announced", async () => {
    const { seen } = start();
    await latest().admit();
    latest().onclose?.({ code: 1012, reason: "service restart" });
    expect(seen.links.at(-1)).toMatchObject({ at: "waiting", restart: true });
  });

  it("stays out after a revocation until asked to go back", async () => {
    const { gateway, at } = start();
    await latest().admit();
    latest().onclose?.({ code: 1008, reason: "device revoked" });
    await vi.advanceTimersByTimeAsync(60_000);
    expect([at(), FakeSocket.all.length]).toEqual(["revoked", 1]);
    gateway.askAgain();
    expect([tokens.device(), FakeSocket.all.length]).toEqual([null, 2]);
  });

  it("notices a missed event and a silent line", async () => {
    const { at, seen } = start();
    await latest().admit();
    latest().say({ type: "event", event: "tick", seq: 1 });
    latest().say({ type: "event", event: "tick", seq: 3 });
    expect([at(), seen.events.length]).toEqual(["waiting", 1]);
    await vi.advanceTimersByTimeAsync(800);
    await latest().admit();
    await vi.advanceTimersByTimeAsync(71_000);
    expect(at()).not.toBe("online");
  });
});
