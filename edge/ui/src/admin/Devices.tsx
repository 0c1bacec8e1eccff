import { t } from "../i18n";
import { problem } from "./decide";
import { MissingScope } from "./MissingScope";
import { PairedTable } from "./Paired";
import { PendingList } from "./Pending";
import { Strip } from "./Strip";
import { devices, devicesFailed, loadDevices, mayPair } from "./state";

export function Devices() {
  return (
    <>
      <Strip />
      {mayPair.value ? <Lists /> : <MissingScope scope="operator.pairing" />}
    </>
  );
}

function Lists() {
  if (devices.value === null) {
    if (!devicesFailed.value) return <p class="page-hint">{t("devices.loading")}</p>;
    return (
      <div class="page-hint">
        <p>{t("devices.failed")}</p>
        <button type="button" class="btn" onClick={() => void loadDevices()}>
          {t("act.retry")}
        </button>
      </div>
    );
  }
  return (
    <>
      <p class="problem page-problem" role="alert">
        {problem.value}
      </p>
      <PendingList />
      <PairedTable />
    </>
  );
}
