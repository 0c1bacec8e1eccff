import { head, shipped } from "../gate/connection";
import { seqText, span, t, tn } from "../i18n";
import { Ago } from "../kit/Ago";
import { toMs } from "../wire/frames";
import { BackupButton, BackupProgress, BackupResultLine, LastBackup } from "./BackupNow";
import { lastEventAt, mayAdminister, storage } from "./state";

/** The state of the gateway in three figures, always about this moment. */
export function Strip() {
  const state = storage.value;
  const behind = Math.max(0, head.value - shipped.value);
  const at = lastEventAt.value ?? toMs(state?.shipped.at);
  return (
    <section class="strip" aria-label={t("strip.state")}>
      <div>
        <div class="label">{t("strip.last")}</div>
        <div class="figure">{seqText(head.value)}</div>
        <div class="sub">{at > 0 && <Ago at={at} />}</div>
      </div>
      <div>
        <div class="label">{t("strip.backedUp")}</div>
        <div class="figure">{seqText(shipped.value)}</div>
        <div class="sub">
          {behind > 0
            ? tn("strip.behind", behind, { time: span(state?.lagMs ?? 0) })
            : t("strip.level")}
        </div>
      </div>
      <div class="strip-backup">
        <div>
          <div class="label">{t("strip.backup")}</div>
          <LastBackup />
          <BackupProgress />
          <BackupResultLine />
        </div>
        {mayAdminister.value && state?.role !== "follower" && <BackupButton />}
      </div>
    </section>
  );
}
