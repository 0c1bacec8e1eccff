// What the admin pages show, and how the gateway's words get into it.
import { computed, signal } from "@preact/signals";
import { hello, type Listener, link, request } from "../gate/connection";
import { t } from "../i18n";
import { announce } from "../kit/Announcer";
import { touchesDevices, withoutPending, withPending, withPresence } from "../model/devices";
import { touchesPeople, touchesReplies } from "../model/people";
import type { ChannelsStatus } from "../wire/channels";
import type {
  DeviceList,
  GatewayStatus,
  LogRecord,
  PendingDevice,
  StorageStatus,
} from "../wire/frames";
import type { PendingPeer } from "../wire/people";
import { channelsChanged, loadChannels } from "./channels";
import { loader } from "./loader";
import { loadPeers, peerAsked, peerResolved } from "./people";
import { loadReplies } from "./replies";

export const devices = signal<DeviceList | null>(null);
export const devicesFailed = signal(false);
export const loadDevices = loader("device.pair.list", devices, devicesFailed);
export const storage = signal<StorageStatus | null>(null);
export const storageFailed = signal(false);
export const status = signal<(GatewayStatus & { readAt: number }) | null>(null);
/** When the newest event arrived here. */
export const lastEventAt = signal<number | null>(null);

export const scopes = computed(() => hello.value?.auth?.scopes ?? []);
export const mayPair = computed(() => has("operator.pairing"));
export const mayAdminister = computed(() => has("operator.admin"));
/** Whoever may not talk makes nobody the operator, who does. */
export const mayTalk = computed(() => has("operator.write"));

function has(scope: string): boolean {
  return scopes.value.includes(scope) || scopes.value.includes("operator.admin");
}

export function nameOf(device: {
  displayName?: string;
  nameForgotten?: boolean;
  deviceId: string;
}): string {
  if (device.nameForgotten) return t("forget.name", { id: device.deviceId.slice(0, 6) });
  return device.displayName || t("devices.unnamed");
}

export const listener: Listener = {
  ready() {
    void loadDevices();
    if (mayPair.peek()) void loadPeers();
    if (mayAdminister.peek()) void loadReplies();
    void loadChannels();
    void loadStorage();
    void loadStatus();
  },
  records(records) {
    if (records.length > 0) lastEventAt.value = Date.now();
    if (records.some(touchesDevices)) void loadDevices();
    if (records.some(touchesPeople) && mayPair.peek()) void loadPeers();
    if (records.some(touchesReplies) && mayAdminister.peek()) repliesMoved(records);
  },
  event(name, payload) {
    switch (name) {
      case "device.pair.requested":
        return asked(payload as PendingDevice);
      case "device.pair.resolved":
        return resolved((payload as { requestId: string }).requestId);
      case "peer.pair.requested":
        return peerAsked(payload as PendingPeer);
      case "peer.pair.resolved":
        return peerResolved(payload as { requestId?: string | null; peerId: string });
      case "device.presence": {
        const { deviceId, connected } = payload as { deviceId: string; connected: boolean };
        if (devices.value) devices.value = withPresence(devices.value, deviceId, connected);
        return;
      }
      case "channels.changed":
        return channelsChanged(payload as ChannelsStatus);
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

function repliesMoved(records: readonly LogRecord[]): void {
  if (records.some(({ kind }) => kind === "delivery_unknown")) announce(t("replies.lost"));
  void loadReplies();
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
