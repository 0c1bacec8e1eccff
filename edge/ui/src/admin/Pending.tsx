import { useState } from "preact/hooks";
import { t } from "../i18n";
import { isPeer } from "../model/people";
import { ApproveAll } from "./ApproveAll";
import { door } from "./door";
import { PendingDeviceRow } from "./PendingDevice";
import { PendingPeerRow } from "./PendingPeer";

export function PendingList() {
  const [listing, setListing] = useState(false);
  const list = door.value;
  return (
    <section aria-labelledby="waiting">
      <div class="section-head">
        <h2 id="waiting" tabIndex={-1}>
          {t("devices.waiting")} {list.length > 0 && <span class="count">{list.length}</span>}
        </h2>
        {list.length > 1 && (
          <button type="button" class="btn" onClick={() => setListing(true)}>
            {t("devices.approveAll")}
          </button>
        )}
      </div>
      {list.length === 0 && <p class="soft">{t("devices.none")}</p>}
      <ul class="pending">
        {list.map((asker) =>
          isPeer(asker) ? (
            <PendingPeerRow key={asker.requestId} peer={asker} />
          ) : (
            <PendingDeviceRow key={asker.requestId} device={asker} />
          ),
        )}
      </ul>
      {listing && <ApproveAll list={list} onClose={() => setListing(false)} />}
    </section>
  );
}
