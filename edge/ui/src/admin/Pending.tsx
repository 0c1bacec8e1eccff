import { useEffect, useRef, useState } from "preact/hooks";
import { t, tn } from "../i18n";
import { Ago } from "../kit/Ago";
import { Dialog } from "../kit/Dialog";
import { Phrase } from "../kit/Phrase";
import { Seq } from "../kit/Seq";
import { neighbour } from "../model/devices";
import { spellCode } from "../model/link";
import { type PendingDevice, toMs } from "../wire/frames";
import { approve, deciding, deny } from "./decide";
import { ScopeChoice, ScopeTags } from "./Scopes";
import { nameOf, pending } from "./state";

export function PendingList() {
  const [listing, setListing] = useState(false);
  const list = pending.value;
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
        {list.map((device) => (
          <PendingRow key={device.requestId} device={device} />
        ))}
      </ul>
      {listing && <ApproveAll list={list} onClose={() => setListing(false)} />}
    </section>
  );
}

function PendingRow({ device }: { device: PendingDevice }) {
  const [scopes, setScopes] = useState<readonly string[]>(device.scopes);
  const name = nameOf(device);
  const code = spellCode(device.code);
  const busy = deciding.value.has(device.requestId);
  const act = async (decision: () => Promise<boolean>) => {
    const ids = pending.peek().map((one) => one.requestId);
    if (await decision()) focusRow(neighbour(ids, device.requestId));
  };
  const narrowed = scopes.length < device.scopes.length ? [...scopes] : undefined;
  return (
    <li class="pend" id={`ask-${device.requestId}`}>
      <div>
        <p class="pend-name">
          <strong dir="auto">{name}</strong> <span class="tag warn">{t("devices.needs")}</span>{" "}
          {device.isRepair && <span class="tag">{t("devices.repair")}</span>}{" "}
          <ScopeTags scopes={device.scopes} />
        </p>
        <p class="sub">{origin(device)}</p>
        <p class="sub pend-check">{t("devices.check")}</p>
        <p class="code6">{code}</p>
        <details>
          <summary>{t("devices.may")}</summary>
          <ScopeChoice asked={device.scopes} chosen={scopes} onChange={setScopes} />
        </details>
      </div>
      <div class="acts">
        <button
          type="button"
          class="btn quiet"
          disabled={busy}
          aria-label={t("devices.denyNamed", { name, code })}
          onClick={() => void act(() => deny(device))}
        >
          {t("devices.deny")}
        </button>
        <button
          type="button"
          class="btn primary"
          disabled={busy || scopes.length === 0}
          aria-label={t("devices.approveNamed", { name, code })}
          onClick={() => void act(() => approve(device, narrowed))}
        >
          {t("devices.approve")}
        </button>
      </div>
    </li>
  );
}

function origin(device: PendingDevice) {
  const place = [device.remoteIp, device.platform].filter(Boolean).join(" · ");
  return (
    <>
      {place && `${place} · `}
      <Phrase of="devices.asked" gap="ago">
        <Ago at={toMs(device.ts)} />
      </Phrase>{" "}
      · <Seq seq={device.seq} />
    </>
  );
}

/** After a decision the next one waiting gets the focus, or the heading when nobody is left. */
function focusRow(requestId: string | null): void {
  requestAnimationFrame(() => {
    const row = requestId === null ? null : document.getElementById(`ask-${requestId}`);
    const target =
      row?.querySelector<HTMLElement>(".btn.primary") ?? document.getElementById("waiting");
    target?.focus();
  });
}

/** The list is fixed when the dialog opens: who asks meanwhile is not let in unseen. */
function ApproveAll({ list, onClose }: { list: readonly PendingDevice[]; onClose(): void }) {
  const listed = useRef(list);
  const [busy, setBusy] = useState(false);
  const n = listed.current.length;
  const run = async () => {
    setBusy(true);
    await Promise.all(listed.current.map((device) => approve(device)));
    onClose();
  };
  useEffect(() => () => focusRow(null), []);
  return (
    <Dialog title={t("devices.approveAllTitle")} onClose={onClose}>
      <p>{t("devices.approveAllText")}</p>
      <ul class="listed">
        {listed.current.map((device) => (
          <li key={device.requestId}>
            <span class="code6">{spellCode(device.code)}</span>
            <span>
              <span dir="auto">{nameOf(device)}</span>{" "}
              <span class="sub">
                {device.remoteIp && `${device.remoteIp} · `}
                <Seq seq={device.seq} />
              </span>
            </span>
          </li>
        ))}
      </ul>
      <div class="acts end">
        <button type="button" class="btn quiet" onClick={onClose}>
          {t("act.cancel")}
        </button>
        <button type="button" class="btn primary" disabled={busy} onClick={() => void run()}>
          {tn("devices.approveThese", n)}
        </button>
      </div>
    </Dialog>
  );
}
