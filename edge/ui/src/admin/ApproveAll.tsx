import { useEffect, useRef } from "preact/hooks";
import { t, tn } from "../i18n";
import { Confirm } from "../kit/Confirm";
import { Seq } from "../kit/Seq";
import { spellCode } from "../model/link";
import { type Asker, isPeer } from "../model/people";
import { ChannelMark, channelName } from "./Channel";
import { approve } from "./decide";
import { focusRow } from "./door";
import { approvePeer, personName } from "./people";
import { nameOf } from "./state";

/** The list is fixed when the dialog opens: who asks meanwhile is not let in unseen. */
export function ApproveAll({ list, onClose }: { list: readonly Asker[]; onClose(): void }) {
  const listed = useRef(list).current;
  useEffect(() => () => focusRow(null), []);
  // Nobody becomes the operator among others: that is asked for each alone.
  const run = () =>
    Promise.all(listed.map((one) => (isPeer(one) ? approvePeer(one) : approve(one))));
  return (
    <Confirm
      title={t("devices.approveAllTitle")}
      verb={tn("devices.approveThese", listed.length)}
      run={run}
      onClose={onClose}
    >
      <p>{t("devices.approveAllText")}</p>
      <ul class="listed">
        {listed.map((asker) => (
          <li key={asker.requestId}>
            <span class="code6">{spellCode(asker.code)}</span>
            <span>
              <Who asker={asker} /> <Seq seq={asker.seq} />
            </span>
          </li>
        ))}
      </ul>
    </Confirm>
  );
}

function Who({ asker }: { asker: Asker }) {
  if (!isPeer(asker)) {
    return (
      <>
        <span dir="auto">{nameOf(asker)}</span>{" "}
        {asker.remoteIp && <span class="sub">{asker.remoteIp}</span>}
      </>
    );
  }
  return (
    <>
      <ChannelMark channel={asker.channel} />
      <span dir="auto">{personName(asker)}</span>{" "}
      <span class="sub">{channelName(asker.channel)}</span>
    </>
  );
}
