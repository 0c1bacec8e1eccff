import { act, cleanup, fireEvent, render, screen, within } from "@testing-library/preact";
import { afterEach, beforeAll, beforeEach, describe, expect, it, vi } from "vitest";
import * as connection from "../gate/connection";
import { startLanguage } from "../i18n";
import { CallError } from "../wire/calls";
import type { Hello, PendingDevice, StorageStatus } from "../wire/frames";
import { problem } from "./act";
import { Backup } from "./Backup";
import { Devices } from "./Devices";
import { Restart } from "./Restart";
import { devices, status, storage } from "./state";
import { words } from "./words";

vi.mock("../gate/connection", async (real) => ({
  ...(await real<typeof connection>()),
  request: vi.fn(),
}));
const request = vi.mocked(connection.request);

const SCOPES = ["operator.read", "operator.write", "operator.admin"];

function asking(id: string, name: string, code: string): PendingDevice {
  const at = { ts: Date.now(), expiresAtMs: Date.now() + 300_000, seq: 48_211 };
  return {
    requestId: id,
    deviceId: `d-${id}`,
    displayName: name,
    role: "operator",
    scopes: SCOPES,
    code,
    ...at,
  };
}

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
    return { seq: 48_215, replication: "replicated" };
  });
  connection.link.value = { at: "online" };
  const auth = { scopes: ["operator.admin", "operator.pairing"] };
  connection.hello.value = {
    auth,
    server: { version: "0.1.0" },
    moltbot: { deviceId: "me", bootId: "b1", epoch: 7 },
  } as unknown as Hello;
  connection.head.value = 48_213;
  connection.shipped.value = 48_190;
  problem.value = null;
  devices.value = {
    pending: [asking("a", "Pixel 9", "KX49TB"), asking("b", "iPhone 17", "M7QWZ2")],
    paired: [
      { deviceId: "me", displayName: "ThinkPad", scopes: SCOPES, seq: 112, connected: true },
    ],
  };
});
afterEach(cleanup);

describe("deciding", () => {
  it("shows who asks, with the code and the event", () => {
    render(<Devices />);
    const row = screen.getByText("Pixel 9").closest("li") as HTMLElement;
    expect(within(row).getByText("KX4-9TB")).toBeTruthy();
    expect(within(row).getByText("#48,211")).toBeTruthy();
  });

  it("approves with what was asked, or with less", async () => {
    render(<Devices />);
    const row = screen.getByText("Pixel 9").closest("li") as HTMLElement;
    fireEvent.click(within(row).getByLabelText(/^admin/));
    await act(
      async () => void fireEvent.click(within(row).getByRole("button", { name: /Approve/ })),
    );
    const scopes = ["operator.read", "operator.write"];
    expect(request).toHaveBeenCalledWith("device.pair.approve", { requestId: "a", scopes });
  });

  it("approves all that were listed, and nobody who came later", async () => {
    render(<Devices />);
    fireEvent.click(screen.getByRole("button", { name: "Approve all…" }));
    const dialog = screen.getByRole("dialog", { hidden: true });
    expect(within(dialog).getByText("KX4-9TB")).toBeTruthy();
    const list = devices.value;
    act(() => {
      if (list)
        devices.value = { ...list, pending: [...list.pending, asking("c", "Late", "ZZZZZZ")] };
    });
    const all = within(dialog).getByRole("button", { name: "Approve 2 requests", hidden: true });
    await act(async () => void fireEvent.click(all));
    const approved = request.mock.calls.filter(([method]) => method === "device.pair.approve");
    expect(approved.map(([, params]) => params)).toEqual([{ requestId: "a" }, { requestId: "b" }]);
  });

  it("explains why the last admin device cannot be revoked", async () => {
    request.mockImplementation(async (method) => {
      if (method === "device.revoke") throw new CallError("last_operator", "no");
      return devices.value;
    });
    render(<Devices />);
    fireEvent.click(screen.getByRole("button", { name: "Revoke ThinkPad" }));
    const dialog = screen.getByRole("dialog", { hidden: true });
    await act(
      async () =>
        void fireEvent.click(within(dialog).getByRole("button", { name: "Revoke", hidden: true })),
    );
    expect(screen.getByRole("alert").textContent).toContain("last device with admin rights");
  });

  it("says what is missing to a device that may not decide", () => {
    connection.hello.value = { auth: { scopes: [] }, server: { version: "1" } } as unknown as Hello;
    render(<Devices />);
    expect(screen.getByText("This device may not administer")).toBeTruthy();
  });
});

const STORED = {
  configured: true,
  state: "behind",
  location: "r2://b",
  head: { seq: 48_213, hash: "" },
  shipped: { seq: 48_190, hash: "", at: Date.now() - 2000 },
  lagEvents: 23,
  lagMs: 1800,
  epoch: 7,
  segments: 214,
  segmentBytes: 61_300_000,
  snapshots: [],
} as unknown as StorageStatus;

describe("backup", () => {
  it("says one sentence, the last backup, and runs one", async () => {
    storage.value = STORED;
    const outcome = { ok: true, seq: 48_213, segments: 8, bytes: 61_300, durationMs: 900 };
    request.mockImplementation(async (method) => (method === "storage.backup" ? outcome : STORED));
    render(<Backup />);
    expect(screen.getByText(/23 newer events are only on this machine/)).toBeTruthy();
    expect(screen.getByText(/Last backup:/)).toBeTruthy();
    await act(async () => void fireEvent.click(screen.getByRole("button", { name: "Backup Now" })));
    expect(screen.getByText(/Backed up to #48,213 in .*8 segments/)).toBeTruthy();
  });

  it("says plainly that a directory is not a backup elsewhere", () => {
    storage.value = { ...STORED, configured: false, kind: "directory" };
    render(<Backup />);
    expect(screen.getByText(/directory on this machine/)).toBeTruthy();
  });

  it("names what is missing when R2 is not configured, and warns of sleeping without it", () => {
    const missing = ["R2_ACCESS_KEY_ID", "CF_ACCOUNT_ID"];
    const warnings = [{ code: "sleep_without_storage", message: "" }];
    storage.value = { ...STORED, configured: false, missing, warnings };
    render(<Backup />);
    expect(screen.getByRole("heading", { name: "R2 Storage Not Configured" })).toBeTruthy();
    expect(screen.getByText("Missing: R2_ACCESS_KEY_ID, CF_ACCOUNT_ID")).toBeTruthy();
    expect(screen.getByText(/SANDBOX_SLEEP_AFTER puts the gateway to sleep/)).toBeTruthy();
  });

  it("says what the self-test of the store found", () => {
    const message = "the bucket `b` does not exist";
    storage.value = { ...STORED, selfTest: { ok: false, at: Date.now(), message } };
    render(<Backup />);
    expect(screen.getByText(/R2 storage is configured\. Your data will persist/)).toBeTruthy();
    expect(screen.getByText(/the bucket `b` does not exist/)).toBeTruthy();
  });

  it("shows that a backup runs, and why it failed", async () => {
    storage.value = STORED;
    let refuse: (error: Error) => void = () => {};
    request.mockImplementation((method) =>
      method === "storage.backup"
        ? new Promise((_, reject) => {
            refuse = reject;
          })
        : Promise.resolve(STORED),
    );
    render(<Backup />);
    await act(async () => void fireEvent.click(screen.getByRole("button", { name: "Backup Now" })));
    const button = screen.getByRole("button", { name: "Syncing..." }) as HTMLButtonElement;
    expect(button.disabled).toBe(true);
    await act(async () => refuse(new CallError("UNAVAILABLE", "the clock is wrong")));
    expect(screen.getByText(/did not finish.*the clock is wrong/)).toBeTruthy();
    expect(screen.getByRole("button", { name: "Backup Now" })).toBeTruthy();
  });
});

describe("restart", () => {
  it("says who is affected first, then follows the gateway until it is back", async () => {
    storage.value = STORED;
    const connections = [{ deviceId: "me", name: "ThinkPad" }, { name: "iPhone" }];
    status.value = { version: "1", uptimeMs: 1, connections, readAt: 0 };
    request.mockImplementation(async (method) =>
      method === "status" ? { ...status.value } : { ok: true },
    );
    await act(async () => void render(<Restart onClose={() => {}} />));
    expect(screen.getByText(/2 connections drop/)).toBeTruthy();
    expect(screen.getByText(/23 newer events are copied/)).toBeTruthy();
    await act(async () => void fireEvent.click(screen.getByText("Restart")));
    await act(async () => {
      connection.link.value = { at: "waiting", retryAt: 0, restart: true };
    });
    expect(screen.getByText("Starting…")).toBeTruthy();
    await act(async () => {
      const said = connection.hello.value as Hello;
      connection.hello.value = { ...said, moltbot: { ...said.moltbot, bootId: "b2" } as never };
      connection.link.value = { at: "online" };
    });
    expect(screen.getByText("The gateway is back.")).toBeTruthy();
  });
});
