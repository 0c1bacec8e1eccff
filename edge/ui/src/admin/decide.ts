// The three decisions about a device.
import { signal } from "@preact/signals";
import { withoutPending } from "../model/devices";
import type { PairedDevice, PendingDevice } from "../wire/frames";
import { act } from "./act";
import { devices, loadDevices, nameOf } from "./state";

/** Devices approved here a moment ago: they can be taken back with one press. */
export const fresh = signal<ReadonlyMap<string, number>>(new Map());

const UNDO_MS = 10_000;

export function approve(device: PendingDevice, scopes?: string[]): Promise<boolean> {
  // The answer waits for the backup; the row does not.
  fresh.value = new Map([...fresh.value, [device.deviceId, Date.now() + UNDO_MS]]);
  return answer(device, "device.pair.approve", "devices.approved", scopes ? { scopes } : {});
}

export function deny(device: PendingDevice): Promise<boolean> {
  return answer(device, "device.pair.reject", "devices.denied");
}

function answer(
  device: PendingDevice,
  method: string,
  said: "devices.approved" | "devices.denied",
  more: Record<string, unknown> = {},
): Promise<boolean> {
  const id = device.requestId;
  const params = { requestId: id, ...more };
  const done = () => {
    if (devices.value) devices.value = withoutPending(devices.value, id);
  };
  return act({ id, name: nameOf(device), method, params, said, done, load: loadDevices });
}

export function revoke(device: PairedDevice): Promise<boolean> {
  const id = device.deviceId;
  const [method, params, said] = ["device.revoke", { deviceId: id }, "devices.revoked"] as const;
  return act({ id, name: nameOf(device), method, params, said, load: loadDevices });
}
