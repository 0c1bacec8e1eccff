import { signal } from "@preact/signals";
import { link, request } from "../gate/connection";
import { bytes, count, fullTime, seqText, span, t, tn } from "../i18n";
import { Ago } from "../kit/Ago";
import { announce } from "../kit/Announcer";
import { Phrase } from "../kit/Phrase";
import { backupShare, lastBackupAt } from "../model/backup";
import { CallError } from "../wire/calls";
import type { BackupResult, BackupProgress as Progress } from "../wire/frames";
import { loadStorage, storage } from "./state";

const running = signal(false);
const result = signal<BackupResult | { problem: string } | null>(null);

async function backUp(): Promise<void> {
  running.value = true;
  result.value = null;
  try {
    const outcome = await request<BackupResult>("storage.backup");
    result.value = outcome.ok ? outcome : { problem: "" };
    if (outcome.ok) announce(t("backup.done"));
  } catch (error) {
    result.value = { problem: error instanceof CallError ? error.message : "" };
  } finally {
    running.value = false;
    void loadStorage();
  }
}

export function BackupButton() {
  return (
    <button
      type="button"
      class="btn"
      disabled={running.value || link.value.at !== "online"}
      onClick={() => void backUp()}
    >
      {running.value ? t("backup.running") : t("backup.now")}
    </button>
  );
}

export function LastBackup() {
  const at = storage.value ? lastBackupAt(storage.value) : null;
  if (!storage.value) return null;
  return (
    <p class="last-backup" title={at ? fullTime(at) : undefined}>
      <Phrase of="backup.last" gap="when">
        {at ? <Ago at={at} /> : t("backup.lastNone")}
      </Phrase>
    </p>
  );
}

export function BackupProgress() {
  if (!running.value) return null;
  const backup = storage.value?.backup;
  const share = backupShare(storage.value);
  return (
    <div class="backup-progress">
      <progress max={1} value={share ?? undefined} aria-label={t("backup.progress")} />
      <p class="sub figures">{backup ? phaseWords(backup) : t("backup.running")}</p>
    </div>
  );
}

function phaseWords(backup: Progress): string {
  const fill = { done: count(backup.done), total: count(backup.total) };
  return t(`backup.phase.${backup.phase}`, fill);
}

export function BackupResultLine() {
  const outcome = result.value;
  if (outcome === null) return null;
  if ("problem" in outcome) {
    return (
      <p class="problem">
        {t("backup.failedNow")} {outcome.problem}
      </p>
    );
  }
  const line = t("backup.result", {
    seq: seqText(outcome.seq),
    time: span(outcome.durationMs),
    segments: tn("backup.segments", outcome.segments ?? 0),
    bytes: bytes(outcome.bytes ?? 0),
  });
  return <p class="sub result">{line}</p>;
}
