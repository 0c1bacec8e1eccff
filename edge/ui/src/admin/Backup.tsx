import { bytes, count, seqText, t, tn } from "../i18n";
import { Ago } from "../kit/Ago";
import { Seq } from "../kit/Seq";
import { sentenceOf } from "../model/backup";
import { type StorageStatus, type StorageWarning, toMs } from "../wire/frames";
import { BackupButton, BackupProgress, BackupResultLine, LastBackup } from "./BackupNow";
import { MissingScope } from "./MissingScope";
import { loadStorage, mayAdminister, storage, storageFailed } from "./state";

export function Backup() {
  const state = storage.value;
  if (state) return <Known state={state} />;
  if (!storageFailed.value) return <p class="page-hint">{t("backup.loading")}</p>;
  return (
    <div class="page-hint">
      <p>{t("backup.failedLoad")}</p>
      <button type="button" class="btn" onClick={() => void loadStorage()}>
        {t("act.retry")}
      </button>
    </div>
  );
}

function Known({ state }: { state: StorageStatus }) {
  const troubled = state.state === "failing" || state.state === "read_only";
  return (
    <>
      <Configured state={state} />
      <section class="backup-state">
        <p class={troubled ? "sentence bad" : "sentence"}>{stateWords(state)}</p>
        {state.lastError && (
          <p class="problem">{t("backup.error", { message: state.lastError })}</p>
        )}
        <LastBackup />
        <BackupProgress />
        <BackupResultLine />
        {mayAdminister.value && state.role !== "follower" && <BackupButton />}
      </section>
      {(state.orphans ?? 0) > 0 && (
        <p class="page-warning" role="status">
          {tn("storage.orphans", state.orphans ?? 0)}
        </p>
      )}
      {!mayAdminister.value && <MissingScope scope="operator.admin" />}
      <SelfTestLine state={state} />
      <Facts state={state} />
      <Snapshots state={state} />
    </>
  );
}

/** Whether the data outlives this machine, and what stands against it. */
function Configured({ state }: { state: StorageStatus }) {
  const missing = state.missing ?? [];
  return (
    <>
      {state.configured ? (
        <p class="page-good">{t("storage.configured")}</p>
      ) : (
        <section class="page-warning" aria-labelledby="not-configured">
          <h2 id="not-configured">{t("storage.missingTitle")}</h2>
          <p>{t("storage.missingText")}</p>
          {missing.length > 0 && (
            <p>
              <strong>{t("storage.missing", { names: missing.join(", ") })}</strong>
            </p>
          )}
        </section>
      )}
      {(state.warnings ?? []).map((warning) => (
        <p class="page-warning" role="status" key={warning.code}>
          {warningWords(warning, missing)}
        </p>
      ))}
    </>
  );
}

function warningWords(warning: StorageWarning, missing: string[]): string {
  switch (warning.code) {
    case "sleep_without_storage":
      return t("storage.sleep");
    case "r2_incomplete":
      return t("storage.incomplete", { names: missing.join(", ") });
    default:
      return warning.message;
  }
}

function SelfTestLine({ state }: { state: StorageStatus }) {
  const test = state.selfTest;
  if (!test) return null;
  return (
    <section class="self-test" aria-labelledby="self-test">
      <h2 id="self-test">{t("storage.selfTest")}</h2>
      <p class={test.ok ? "soft" : "problem"}>
        {test.ok ? t("storage.selfTestOk") : test.message} <Ago at={toMs(test.at)} />
      </p>
    </section>
  );
}

function stateWords(state: StorageStatus): string {
  const said = sentenceOf(state);
  if ("n" in said) return tn(said.key, said.n, { seq: seqText(said.seq) });
  return t(said.key, "seq" in said ? { seq: seqText(said.seq) } : {});
}

function Facts({ state }: { state: StorageStatus }) {
  const size = `${tn("backup.segments", state.segments)} · ${bytes(state.segmentBytes)}`;
  const facts: [string, string][] = [
    [t("backup.where"), state.location],
    [t("backup.segmentsTitle"), size],
    [t("backup.epoch"), count(state.epoch)],
  ];
  if (state.writer) facts.push([t("backup.writer"), state.writer]);
  return (
    <section>
      <dl class="facts">
        {facts.map(([name, value]) => (
          <div key={name}>
            <dt>{name}</dt>
            <dd>{value}</dd>
          </div>
        ))}
      </dl>
    </section>
  );
}

function Snapshots({ state }: { state: StorageStatus }) {
  const list = [...state.snapshots].sort((a, b) => b.seq - a.seq);
  return (
    <section aria-labelledby="snapshots">
      <h2 id="snapshots">{t("backup.snapshots")}</h2>
      {list.length === 0 ? (
        <p class="soft">{t("backup.noSnapshots")}</p>
      ) : (
        <table class="table">
          <thead>
            <tr>
              <th scope="col">{t("backup.event")}</th>
              <th scope="col">{t("backup.size")}</th>
              <th scope="col">{t("backup.age")}</th>
            </tr>
          </thead>
          <tbody>
            {list.map((one) => (
              <tr key={one.seq}>
                <td>
                  <Seq seq={one.seq} />
                </td>
                <td class="figures">{bytes(one.bytes)}</td>
                <td>
                  <Ago at={toMs(one.at)} />
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
    </section>
  );
}
