import { t } from "../i18n";
import { problem } from "./act";
import { Channels, ChannelTrouble } from "./Channels";
import { MissingScope } from "./MissingScope";
import { NotLoaded } from "./NotLoaded";
import { PairedTable } from "./Paired";
import { PendingList } from "./Pending";
import { People } from "./People";
import { Replies } from "./Replies";
import { Strip } from "./Strip";
import { devices, devicesFailed, loadDevices, mayPair } from "./state";

export function Devices() {
  return (
    <>
      <Strip />
      <ChannelTrouble />
      {mayPair.value ? <Lists /> : <MissingScope scope="operator.pairing" />}
      <Channels />
    </>
  );
}

function Lists() {
  if (devices.value === null) {
    if (!devicesFailed.value) return <p class="page-hint">{t("devices.loading")}</p>;
    return (
      <div class="page-hint">
        <NotLoaded words={t("devices.failed")} retry={loadDevices} />
      </div>
    );
  }
  return (
    <>
      <p class="problem page-problem" role="alert">
        {problem.value}
      </p>
      <PendingList />
      <Replies />
      <PairedTable />
      <People />
    </>
  );
}
