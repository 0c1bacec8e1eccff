import type { StorageStatus } from "../wire/frames";
import { toMs } from "../wire/frames";

export type Sentence =
  | { key: "backup.readOnly" | "backup.claiming" | "backup.nothing" }
  | { key: "backup.allSaved" | "backup.directory" | "backup.follower"; seq: number }
  | { key: "backup.behind" | "backup.failing" | "backup.directoryBehind"; seq: number; n: number };

/** One sentence of state: is my data safe? */
export function sentenceOf(storage: StorageStatus): Sentence {
  const seq = storage.shipped.seq;
  const n = storage.lagEvents;
  if (storage.role === "follower") return { key: "backup.follower", seq };
  if (storage.state === "read_only") return { key: "backup.readOnly" };
  if (storage.state === "claiming") return { key: "backup.claiming" };
  if (storage.state === "failing") return { key: "backup.failing", seq, n };
  if (!storage.configured) {
    return n > 0 ? { key: "backup.directoryBehind", seq, n } : { key: "backup.directory", seq };
  }
  if (seq === 0 && n === 0) return { key: "backup.nothing" };
  return n > 0 ? { key: "backup.behind", seq, n } : { key: "backup.allSaved", seq };
}

/** When the archive last took something; null if it never did. */
export function lastBackupAt(storage: StorageStatus): number | null {
  return toMs(storage.shipped.at) || toMs(storage.lastSync) || null;
}

export function backupShare(storage: StorageStatus | null): number | null {
  const backup = storage?.backup;
  if (!backup || backup.phase === "done") return null;
  return backup.total > 0 ? Math.min(1, backup.done / backup.total) : 0;
}
