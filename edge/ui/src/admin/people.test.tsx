import { act, cleanup, fireEvent, render, screen, within } from "@testing-library/preact";
import { afterEach, beforeAll, beforeEach, describe, expect, it, vi } from "vitest";
import * as connection from "../gate/connection";
import { startLanguage } from "../i18n";
import { now } from "../kit/clock";
import { CallError } from "../wire/calls";
import type { ChannelAccount } from "../wire/channels";
import type { Hello, LogRecord } from "../wire/frames";
import type { Delivery, KnownPeer, PendingPeer } from "../wire/people";
import { problem } from "./act";
import { channels, channelsFailed } from "./channels";
import { Devices } from "./Devices";
import { door } from "./door";
import { peers, peersFailed } from "./people";
import { replies, repliesFailed } from "./replies";
import { devices, listener } from "./state";
import { words } from "./words";

vi.mock("../gate/connection", async (real) => ({
  ...(await real<typeof connection>()),
  request: vi.fn(),
}));
const request = vi.mocked(connection.request);

function asking(id: string, name: string, message = "Hello, may I?"): PendingPeer {
  const at = { ts: Date.now(), expiresAtMs: Date.now() + 3_540_000, seq: 48_198 };
  const place = { channel: "telegram", account: "@molt_bot" };
  const code = `ABCD234${id.toUpperCase()}`;
  return { requestId: `r-${id}`, peerId: `p-${id}`, name, message, code, ...place, ...at };
}

function known(id: string, name: string, change: Partial<KnownPeer> = {}): KnownPeer {
  return { peerId: `p-${id}`, channel: "slack", name, seq: 31, ...change };
}

function reply(id: string, change: Partial<Delivery> = {}): Delivery {
  const to = { peerId: "p-x", channel: "discord", name: "Bo" };
  const at = { queuedAtMs: Date.now() - 60_000, seq: 52 };
  return {
    deliveryId: `d-${id}`,
    status: "unknown",
    text: `Answer ${id}`,
    ...to,
    ...at,
    ...change,
  };
}

function allow(...scopes: string[]): void {
  const auth = { scopes: scopes.map((scope) => `operator.${scope}`) };
  const moltbot = { deviceId: "me", bootId: "b1", epoch: 7 };
  connection.hello.value = { auth, server: { version: "1" }, moltbot } as unknown as Hello;
}

const calls = (method: string) =>
  request.mock.calls.filter(([name]) => name === method).map(([, params]) => params);
const row = (name: string) => screen.getByText(name).closest("li, tr") as HTMLElement;
const dialog = () => screen.getByRole("dialog", { hidden: true });
const press = async (within_: HTMLElement, name: RegExp | string) => {
  const button = within(within_).getByRole("button", { name, hidden: true });
  await act(async () => void fireEvent.click(button));
};

beforeAll(() => {
  startLanguage(words);
  HTMLDialogElement.prototype.showModal ??= function show(this: HTMLDialogElement) {
    this.open = true;
  };
});

beforeEach(() => {
  request.mockReset();
  request.mockImplementation(async (method) => {
    if (method === "device.pair.list") return devices.value;
    if (method === "peer.list") return peers.value;
    if (method === "delivery.list") return replies.value;
    if (method === "channels.status") return channels.value;
    return { seq: 48_215, replication: "replicated" };
  });
  connection.link.value = { at: "online" };
  allow("admin", "pairing");
  connection.shipped.value = 48_190;
  problem.value = null;
  now.value = Date.now();
  devices.value = { pending: [], paired: [] };
  peers.value = { pending: [asking("a", "Li Wei")], approved: [], blocked: [] };
  replies.value = { deliveries: [] };
  peersFailed.value = false;
  repliesFailed.value = false;
  channels.value = null;
  channelsFailed.value = false;
});
afterEach(cleanup);

describe("somebody at the door", () => {
  it("shows who writes where, what, with which code and until when", () => {
    render(<Devices />);
    const li = within(row("Li Wei"));
    for (const words of ["Telegram", "Hello, may I?", "ABCD234A", "#48,198"]) {
      expect(li.getByText(words)).toBeTruthy();
    }
    expect(li.getByText(/wrote to @molt_bot · asked/)).toBeTruthy();
    expect(li.getByText(/code holds for 5[89].min/)).toBeTruthy();
  });

  it("shows a message as the text it is, and a long one folded", async () => {
    const text = `<b>hi</b> ${"long ".repeat(60)}`.trim();
    peers.value = { pending: [asking("a", "Li", text)], approved: [], blocked: [] };
    render(<Devices />);
    const quote = row("Li").querySelector("blockquote");
    expect(quote?.textContent).toBe(text);
    expect(quote?.querySelector("b")).toBeNull();
    expect(quote?.className).toBe("folded");
    await press(row("Li"), "Show all");
    expect(quote?.className).not.toBe("folded");
  });

  it("is let in as a guest by one press", async () => {
    render(<Devices />);
    await press(row("Li Wei"), "Approve Li Wei, code ABCD234A");
    expect(calls("peer.approve")).toEqual([{ peerId: "p-a" }]);
    expect(screen.queryByText("Li Wei")).toBeNull();
  });

  it("is the operator only after the code was compared", async () => {
    render(<Devices />);
    await press(row("Li Wei"), /^This is me/);
    expect(calls("peer.approve")).toEqual([]);
    expect(within(dialog()).getByText("ABCD234A")).toBeTruthy();
    await press(dialog(), "This is me");
    expect(calls("peer.approve")).toEqual([{ peerId: "p-a", isOperator: true }]);
  });

  it("is made the operator by nobody who may not talk", () => {
    allow("pairing");
    render(<Devices />);
    expect(screen.queryByRole("button", { name: /^This is me/ })).toBeNull();
    expect(screen.getByRole("button", { name: /^Approve Li Wei/ })).toBeTruthy();
  });

  it("is blocked after one more question, and stays when the answer is no", async () => {
    render(<Devices />);
    await press(row("Li Wei"), "Block Li Wei");
    await press(dialog(), "Cancel");
    expect(calls("peer.block")).toEqual([]);
    await press(row("Li Wei"), "Block Li Wei");
    await press(dialog(), "Block");
    expect(calls("peer.block")).toEqual([{ peerId: "p-a" }]);
  });

  it("comes and goes with the gateway's words, beside the devices", () => {
    listener.event("peer.pair.requested", { ...asking("b", "Bo"), seq: 48_199 });
    expect(door.value.map((asker) => asker.requestId)).toEqual(["r-a", "r-b"]);
    listener.event("peer.pair.resolved", { requestId: "r-a", peerId: "p-a", decision: "expired" });
    expect(door.value.map((asker) => asker.requestId)).toEqual(["r-b"]);
    now.value = Date.now() + 4_000_000;
    expect(door.value).toEqual([]);
  });

  it("is listed with the devices before all are approved, and never as the operator", async () => {
    const at = { ts: Date.now(), expiresAtMs: Date.now() + 300_000, seq: 48_211 };
    const device = { requestId: "q", deviceId: "d", displayName: "Pixel 9", code: "KX49TB" };
    const asked = { ...device, ...at, role: "operator", scopes: ["operator.read"] };
    devices.value = { pending: [asked], paired: [] };
    render(<Devices />);
    fireEvent.click(screen.getByRole("button", { name: "Approve all…" }));
    for (const code of ["ABCD234A", "KX4-9TB"]) {
      expect(within(dialog()).getByText(code)).toBeTruthy();
    }
    await press(dialog(), "Approve 2 requests");
    expect(calls("peer.approve")).toEqual([{ peerId: "p-a" }]);
    expect(calls("device.pair.approve")).toEqual([{ requestId: "q" }]);
  });

  it("says why a decision did not work", async () => {
    request.mockImplementation(async (method) => {
      if (method === "peer.approve") throw new CallError("unknown_peer", "no");
      return peers.value;
    });
    render(<Devices />);
    await press(row("Li Wei"), /^Approve/);
    expect(screen.getByRole("alert").textContent).toContain("They wait no longer");
  });
});

describe("people", () => {
  it("are blocked and let in again", async () => {
    const approved = [known("b", "Bo", { approvedAtMs: Date.now() })];
    peers.value = { pending: [], approved, blocked: [known("c", "Cy")] };
    render(<Devices />);
    await press(row("Bo"), "Block Bo");
    await press(dialog(), "Block");
    expect(calls("peer.block")).toEqual([{ peerId: "p-b" }]);
    expect(within(row("Cy")).getByText("blocked")).toBeTruthy();
    await press(row("Cy"), "Unblock Cy");
    expect(calls("peer.approve")).toEqual([{ peerId: "p-c" }]);
  });

  it("are said to be the operator and guests again, as often as need be", async () => {
    allow("pairing", "write");
    const me = known("me", "Me", { isOperator: true });
    peers.value = { pending: [], approved: [known("b", "Bo"), me], blocked: [] };
    render(<Devices />);
    await press(row("Bo"), "This is me: Bo");
    expect(calls("peer.approve")).toEqual([]);
    expect(within(dialog()).getByText(/only if this account is your own/)).toBeTruthy();
    await press(dialog(), "This is me");
    await press(row("Me"), "Guest: Me, not me");
    expect(calls("peer.approve")).toEqual([
      { peerId: "p-b", isOperator: true },
      { peerId: "p-me", isOperator: false },
    ]);
  });

  it("are not made the operator by who may not talk, but taken back by him", () => {
    allow("pairing");
    const me = known("me", "Me", { isOperator: true });
    peers.value = { pending: [], approved: [known("b", "Bo"), me], blocked: [known("c", "Cy")] };
    render(<Devices />);
    expect(screen.queryByRole("button", { name: /^This is me/ })).toBeNull();
    expect(within(row("Me")).getByRole("button", { name: /^Guest/ })).toBeTruthy();
    expect(within(row("Cy")).getAllByRole("button")).toHaveLength(1);
  });

  it("without a name are told apart", () => {
    const nameless = [known("12345678", "", { name: null }), known("98765432", "")];
    peers.value = { pending: [], approved: nameless, blocked: [] };
    render(<Devices />);
    expect(screen.getByText("Somebody (p-1234)")).toBeTruthy();
    expect(screen.getByText("Somebody (p-9876)")).toBeTruthy();
  });

  it("warns before the operator shuts himself out", async () => {
    peers.value = { pending: [], approved: [known("me", "Me", { isOperator: true })], blocked: [] };
    render(<Devices />);
    expect(within(row("Me")).getByText("you")).toBeTruthy();
    await press(row("Me"), "Block Me");
    expect(within(dialog()).getByText(/You said that this is you/)).toBeTruthy();
  });

  it("says how the list fills, and what to do when it cannot be loaded", async () => {
    peers.value = { pending: [], approved: [], blocked: [] };
    const { unmount } = render(<Devices />);
    expect(screen.getByText(/^Nobody yet\./)).toBeTruthy();
    unmount();
    peers.value = null;
    peersFailed.value = true;
    render(<Devices />);
    expect(screen.getByText("The list of people could not be loaded.")).toBeTruthy();
    await act(async () => void fireEvent.click(screen.getByRole("button", { name: "Retry" })));
    expect(calls("peer.list")).toHaveLength(1);
  });
});

describe("replies", () => {
  it("are not worth a word while they arrive", () => {
    const fresh = { status: "attempted", queuedAtMs: Date.now() } as const;
    replies.value = { deliveries: [reply("1", fresh), reply("2", { status: "streaming" })] };
    render(<Devices />);
    expect(screen.queryByText("Replies")).toBeNull();
    act(() => {
      now.value = Date.now() + 20_000;
    });
    expect(screen.getByText("Answer 1")).toBeTruthy();
    expect(screen.queryByText("Answer 2")).toBeNull();
  });

  it("of unknown outcome are resent by somebody who knows that they may arrive twice", async () => {
    replies.value = { deliveries: [reply("1")] };
    render(<Devices />);
    expect(within(row("Answer 1")).getByText("May have arrived")).toBeTruthy();
    await press(row("Answer 1"), "Resend the reply to Bo");
    expect(within(dialog()).getByText(/Bo may get it twice/)).toBeTruthy();
    await press(dialog(), "Resend");
    expect(calls("delivery.resend")).toEqual([{ deliveryId: "d-1" }]);
  });

  it("that wait can be dropped and not resent", async () => {
    replies.value = { deliveries: [reply("1", { status: "due" })] };
    render(<Devices />);
    expect(screen.queryByRole("button", { name: /^Resend/ })).toBeNull();
    await press(row("Answer 1"), "Drop the reply to Bo");
    await press(dialog(), "Drop");
    expect(calls("delivery.cancel")).toEqual([{ deliveryId: "d-1" }]);
  });

  it("are for administrators", () => {
    allow("pairing", "write");
    replies.value = { deliveries: [reply("1")] };
    render(<Devices />);
    expect(screen.queryByText("Replies")).toBeNull();
    const record = { seq: 1, at: 0, kind: "delivery_unknown", data: {} } as LogRecord;
    listener.records([record]);
    expect(calls("delivery.list")).toEqual([]);
    allow("admin");
    listener.records([record]);
    expect(calls("delivery.list")).toHaveLength(1);
  });
});

describe("channels", () => {
  const status = (change: Partial<ChannelAccount> = {}) => {
    const bot = { accountId: "7", name: "Molt", handle: "molt_bot", sinceMs: Date.now() };
    const account = { ...bot, state: "receiving", dmPolicy: "pairing", ...change } as const;
    return {
      channelOrder: ["telegram"],
      channelLabels: { telegram: "Telegram" },
      channelAccounts: { telegram: [account] },
    };
  };
  const section = () =>
    within(screen.getByRole("heading", { name: "Channels" }).parentElement as HTMLElement);

  it("say how to set one up, and what to do when they cannot be loaded", async () => {
    channelsFailed.value = true;
    render(<Devices />);
    channels.value = { channelOrder: [], channelLabels: {}, channelAccounts: {} };
    await act(async () => void fireEvent.click(section().getByRole("button", { name: "Retry" })));
    expect(calls("channels.status")).toHaveLength(1);
    expect(section().getByText(/set TELEGRAM_BOT_TOKEN/)).toBeTruthy();
  });

  it("say which bot receives since when, and who may write to it", () => {
    channels.value = status();
    render(<Devices />);
    for (const words of ["Telegram", "Receiving", "Molt · @molt_bot", "now"]) {
      expect(section().getByText(words)).toBeTruthy();
    }
    expect(section().getAllByText("Whoever was let in; others ask first")).toHaveLength(2);
  });

  it("follow the gateway, with its sentence when something is wrong", () => {
    channels.value = status({ state: "connecting", name: null, handle: null });
    render(<Devices />);
    const lastError = "Telegram refuses the bot token: check TELEGRAM_BOT_TOKEN";
    const tell = (change: Partial<ChannelAccount>) =>
      act(() => listener.event("channels.changed", status(change)));
    tell({ state: "failing", lastError: "Telegram cannot be reached: no route" });
    expect(section().getByText("Failing, keeps trying")).toBeTruthy();
    expect(section().getByText("Telegram cannot be reached: no route")).toBeTruthy();
    tell({ state: "stopped", lastError });
    expect(section().getByText("Stopped")).toBeTruthy();
    expect(section().getByText(lastError)).toBeTruthy();
    expect(document.querySelector(".page-warning")?.textContent).toBe(`Stopped · ${lastError}`);
    tell({});
    expect(section().queryByText(lastError)).toBeNull();
    expect(document.querySelector(".page-warning")).toBeNull();
  });

  it("are shown to who may only read", () => {
    allow("read");
    channels.value = status();
    render(<Devices />);
    expect(section().getByText("Receiving")).toBeTruthy();
  });
});

describe("forgetting", () => {
  const LI = known("li", "Li Wei");

  function plan(): void {
    const before = request.getMockImplementation();
    request.mockImplementation(async (method, params) => {
      const dry = (params as { dryRun?: boolean } | undefined)?.dryRun;
      return dry ? { messages: 3, answers: 2 } : before?.(method, params);
    });
  }

  it("says how much it is and that access stays, and asks before it does anything", async () => {
    plan();
    peers.value = { pending: [], approved: [LI], blocked: [] };
    render(<Devices />);
    await press(row("Li Wei"), "Forget what Li Wei said");
    expect(dialog().textContent).toContain("5 messages become unreadable");
    expect(dialog().textContent).toContain("permissions do not change");
    expect(calls("content.forget")).toEqual([{ peerId: "p-li", dryRun: true }]);
    await press(dialog(), "Cancel");
    expect(calls("content.forget")).toHaveLength(1);
    await press(row("Li Wei"), "Forget what Li Wei said");
    await press(dialog(), "Forget");
    expect(calls("content.forget").at(-1)).toEqual({ peerId: "p-li" });
  });

  it("is offered for a device too, and only to administrators", async () => {
    plan();
    const laptop = { deviceId: "d-1", displayName: "Laptop", scopes: [], seq: 3 };
    devices.value = { pending: [], paired: [laptop] };
    peers.value = { pending: [], approved: [], blocked: [] };
    render(<Devices />);
    await press(row("Laptop"), "Forget what Laptop said");
    await press(dialog(), "Forget");
    expect(calls("content.forget").at(-1)).toEqual({ deviceId: "d-1" });
    cleanup();
    allow("pairing");
    render(<Devices />);
    expect(screen.queryByRole("button", { name: /Forget/ })).toBeNull();
  });

  it("says that a name was forgotten instead of showing none", () => {
    const gone = known("gone", "", { name: null, nameForgotten: true });
    peers.value = { pending: [], approved: [gone], blocked: [] };
    render(<Devices />);
    expect(screen.getByText("Name forgotten (p-gone)")).toBeTruthy();
  });

  it("loads the lists anew when somebody was forgotten elsewhere", () => {
    render(<Devices />);
    const record = { seq: 9, at: 1, kind: "content_forgotten", data: {} } as LogRecord;
    listener.records?.([record]);
    expect(calls("peer.list")).toHaveLength(1);
    expect(calls("device.pair.list")).toHaveLength(1);
  });
});
