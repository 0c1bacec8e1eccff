// What the admin pages show, and how the gateway's words get into it.
import { computed, signal } from "@preact/signals";
import { hello, type Listener, link, request } from "../gate/connection";
import { t } from "../i18n";
import { announce } from "../kit/Announcer";
import { now } from "../kit/clock";
import {
  stillPending,
  touchesDevices,
  withoutPending,
  withPending,
  withPresence,
} from "../model/devices";
import type { DeviceList, GatewayStatus, PendingDevice, StorageStatus } from "../wire/frames";

export const devices = signal<DeviceList | null>(null);
export const devicesFailed = signal(false);
export const storage = signal<StorageStatus | null>(null);
export const storageFailed = signal(false);
export const status = signal<(GatewayStatus & { readAt: number }) | null>(null);
/** When the newest event arrived here. */
export const lastEventAt = signal<number | null>(null);

export const pending = computed(() => stillPending(devices.value?.pending ?? [], now.value));
export const pendingCount = computed(() => pending.value.length);

export const scopes = computed(() => hello.value?.auth?.scopes ?? []);
export const mayPair = computed(() => has("operator.pairing"));
export const mayAdminister = computed(() => has("operator.admin"));

function has(scope: string): boolean {
  return scopes.value.includes(scope) || scopes.value.includes("operator.admin");
}

export function nameOf(device: { displayName?: string; deviceId: string }): string {
  return device.displayName || t("devices.unnamed");
}

export const listener: Listener = {
  ready() {
    void loadDevices();
    void loadStorage();
    void loadStatus();
  },
  records(records) {
    if (records.length > 0) lastEventAt.value = Date.now();
    if (records.some(touchesDevices)) void loadDevices();
  },
  event(name, payload) {
    switch (name) {
      case "device.pair.requested":
        return asked(payload as PendingDevice);
      case "device.pair.resolved":
        return resolved((payload as { requestId: string }).requestId);
      case "device.presence": {
        const { deviceId, connected } = payload as { deviceId: string; connected: boolean };
        if (devices.value) devices.value = withPresence(devices.value, deviceId, connected);
        return;
      }
      case "storage":
        storage.value = payload as StorageStatus;
    }
  },
};

function asked(device: PendingDevice): void {
  devices.value = withPending(devices.value ?? { pending: [], paired: [] }, device);
  announce(t("devices.wantsIn", { name: nameOf(device) }));
}

function resolved(requestId: string): void {
  if (devices.value) devices.value = withoutPending(devices.value, requestId);
  void loadDevices();
}

let asking = 0;

export async function loadDevices(): Promise<void> {
  const mine = ++asking;
  try {
    const list = await request<DeviceList>("device.pair.list");
    // Of two overlapping questions the later one has the newer answer.
    if (mine !== asking) return;
    devices.value = list;
    devicesFailed.value = false;
  } catch {
    if (mine === asking && link.value.at === "online") devicesFailed.value = true;
  }
}

export async function loadStorage(): Promise<void> {
  try {
    storage.value = await request<StorageStatus>("storage.status");
    storageFailed.value = false;
  } catch {
    if (link.value.at === "online") storageFailed.value = true;
  }
}

export async function loadStatus(): Promise<void> {
  try {
    status.value = { ...(await request<GatewayStatus>("status")), readAt: Date.now() };
  } catch {
    // Only the foot and the restart dialog use it; both can do without.
  }
}
