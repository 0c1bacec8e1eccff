// The three decisions about a device. Each is in effect at once; the list follows the log.
import { signal } from "@preact/signals";
import { request } from "../gate/connection";
import { t } from "../i18n";
import { announce } from "../kit/Announcer";
import { withoutPending } from "../model/devices";
import { CallError, codeOf } from "../wire/calls";
import type { PairedDevice, PendingDevice } from "../wire/frames";
import { devices, loadDevices, nameOf } from "./state";

/** Why the last decision did not work; shown above the lists until the next one. */
export const problem = signal<string | null>(null);
/** Requests a decision of which is on its way. */
export const deciding = signal<ReadonlySet<string>>(new Set());
/** Devices approved here a moment ago: they can be taken back with one press. */
export const fresh = signal<ReadonlyMap<string, number>>(new Map());

const UNDO_MS = 10_000;

export async function approve(device: PendingDevice, scopes?: string[]): Promise<boolean> {
  const params = { requestId: device.requestId, ...(scopes ? { scopes } : {}) };
  // The answer waits for the backup; the row does not.
  const undoable = () => markFresh(device.deviceId);
  return decide("device.pair.approve", params, device, "devices.approved", undoable);
}

export function deny(device: PendingDevice): Promise<boolean> {
  const params = { requestId: device.requestId };
  return decide("device.pair.reject", params, device, "devices.denied");
}

async function decide(
  method: string,
  params: { requestId: string },
  device: PendingDevice,
  said: "devices.approved" | "devices.denied",
  before?: () => void,
): Promise<boolean> {
  const id = params.requestId;
  problem.value = null;
  deciding.value = new Set([...deciding.value, id]);
  before?.();
  try {
    await request(method, params);
    announce(t(said, { name: nameOf(device) }));
    if (devices.value) devices.value = withoutPending(devices.value, id);
    return true;
  } catch (error) {
    problem.value = words(error, nameOf(device));
    return false;
  } finally {
    deciding.value = new Set([...deciding.value].filter((one) => one !== id));
    void loadDevices();
  }
}

export async function revoke(device: PairedDevice): Promise<boolean> {
  problem.value = null;
  try {
    await request("device.revoke", { deviceId: device.deviceId });
    announce(t("devices.revoked", { name: nameOf(device) }));
    return true;
  } catch (error) {
    problem.value = words(error, nameOf(device));
    return false;
  } finally {
    void loadDevices();
  }
}

/** A refusal in words; the code alone is never shown. */
function words(error: unknown, name: string): string {
  switch (codeOf(error)) {
    case "last_operator":
      return t("devices.lastOperator", { name });
    case "unknown_request":
      return t("devices.unknownRequest");
    case "OFFLINE":
      return t("link.notNow");
    default:
      return t("devices.failedAct", { message: error instanceof CallError ? error.message : "" });
  }
}

function markFresh(deviceId: string): void {
  fresh.value = new Map([...fresh.value, [deviceId, Date.now() + UNDO_MS]]);
}
