import { beforeEach, describe, expect, it, vi } from "vitest";
import type { Listener } from "./connection";

const SILENT: Listener = { ready() {}, records() {}, event() {} };
/** Never says anything: what happens before it is what these tests are about. */
class DeafSocket {
  static opened = 0;
  constructor() {
    DeafSocket.opened += 1;
  }
  close() {}
}

let asked: { path: string; body: unknown }[] = [];

/** Answers each request to a path with the next of its answers. */
function answering(answers: Record<string, [number, unknown][]>): void {
  vi.stubGlobal("fetch", async (path: string, options: RequestInit) => {
    asked.push({ path, body: options.body ? JSON.parse(String(options.body)) : null });
    const next = answers[path]?.shift();
    if (!next) throw new TypeError("nobody answers");
    return new Response(JSON.stringify(next[1]), { status: next[0] });
  });
}

/** Starts a connection of a fresh page; what this browser has as its token when it dials. */
async function start(ticketed: boolean): Promise<string | null> {
  vi.resetModules();
  const { startConnection } = await import("./connection");
  const { tokens } = await import("../wire/identity");
  await startConnection(["operator.read"], SILENT, ticketed);
  expect(DeafSocket.opened).toBe(1);
  return tokens.device();
}

beforeEach(() => {
  vi.stubGlobal("WebSocket", DeafSocket);
  localStorage.clear();
  sessionStorage.clear();
  DeafSocket.opened = 0;
  asked = [];
  location.hash = "";
});

const TICKET = "/api/admin/ws-ticket";
const GRANT = "/pairing/grant";
const given: [number, unknown] = [200, { ticket: "t-1", expiresInMs: 60_000 }];
const granted: [number, unknown] = [200, { deviceToken: "own" }];

describe("the admin page of a browser that is not paired", () => {
  it("redeems a ticket before it dials", async () => {
    answering({ [TICKET]: [given], [GRANT]: [granted] });
    expect(await start(true)).toBe("own");
    expect(asked.map((request) => request.path)).toEqual([TICKET, GRANT]);
    expect(asked[1]?.body).toMatchObject({ grant: "t-1" });
  });

  it("asks to be let in as anywhere else when nobody gives tickets", async () => {
    for (const status of [401, 403, 404, 500]) {
      DeafSocket.opened = 0;
      answering({ [TICKET]: [[status, { error: "no" }]] });
      expect(await start(true)).toBeNull();
    }
    expect(asked.every((request) => request.path === TICKET)).toBe(true);
    DeafSocket.opened = 0;
    answering({});
    expect(await start(true)).toBeNull();
  });

  it("waits for a gateway that is waking up", async () => {
    vi.useFakeTimers();
    answering({ [TICKET]: [[503, { error: "Gateway starting" }], given], [GRANT]: [granted] });
    const started = start(true);
    // Each look lets the clock go on.
    await vi.waitFor(() => expect(asked).toHaveLength(3), { timeout: 4_000, interval: 100 });
    expect(await started).toBe("own");
    vi.useRealTimers();
  });

  it("prefers the link in its address", async () => {
    location.hash = "#grant=g-1";
    answering({ [GRANT]: [granted] });
    expect(await start(true)).toBe("own");
    expect(asked).toMatchObject([{ path: GRANT, body: { grant: "g-1" } }]);
  });
});

it("no ticket is asked for by the chat page, nor by a browser that is paired", async () => {
  answering({});
  expect(await start(false)).toBeNull();
  localStorage.setItem("moltbot.deviceToken.v1", "own");
  DeafSocket.opened = 0;
  expect(await start(true)).toBe("own");
  expect(asked).toEqual([]);
});
