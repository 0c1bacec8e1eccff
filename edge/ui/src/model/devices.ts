import type { DeviceList, LogRecord, PendingDevice } from "../wire/frames";

/** `written`: on this machine; `saved`: in the archive as well. */
export function saveState(seq: number, shippedSeq: number): "saving" | "saved" {
  return seq <= shippedSeq ? "saved" : "saving";
}

export function stillPending<Asker extends { expiresAtMs: number; seq: number }>(
  pending: readonly Asker[],
  now: number,
): Asker[] {
  return pending.filter((asker) => asker.expiresAtMs > now).sort((a, b) => a.seq - b.seq);
}

export function withPending(list: DeviceList, asked: PendingDevice): DeviceList {
  const others = list.pending.filter(
    (device) => device.requestId !== asked.requestId && device.deviceId !== asked.deviceId,
  );
  return { ...list, pending: [...others, asked] };
}

export function withoutPending(list: DeviceList, requestId: string): DeviceList {
  return { ...list, pending: list.pending.filter((device) => device.requestId !== requestId) };
}

export function withPresence(list: DeviceList, deviceId: string, connected: boolean): DeviceList {
  const paired = list.paired.map((device) =>
    device.deviceId === deviceId ? { ...device, connected } : device,
  );
  return { ...list, paired };
}

const DEVICE_KINDS = new Set([
  "content_forgotten",
  "device_pairing_requested",
  "device_approved",
  "device_rejected",
  "device_revoked",
  "pairing_expired",
]);

export function touchesDevices(record: LogRecord): boolean {
  return DEVICE_KINDS.has(record.kind);
}

/** Focus after a row has gone: the one that took its place, else the one before. */
export function neighbour(ids: readonly string[], gone: string): string | null {
  const index = ids.indexOf(gone);
  const rest = ids.filter((id) => id !== gone);
  return rest[Math.min(Math.max(index, 0), rest.length - 1)] ?? null;
}
