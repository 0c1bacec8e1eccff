import { useState } from "preact/hooks";
import { t } from "../i18n";
import { Ago } from "../kit/Ago";
import { Phrase } from "../kit/Phrase";
import { Seq } from "../kit/Seq";
import { spellCode } from "../model/link";
import { type PendingDevice, toMs } from "../wire/frames";
import { deciding } from "./act";
import { approve, deny } from "./decide";
import { decideAtDoor } from "./door";
import { ScopeChoice, ScopeTags } from "./Scopes";
import { nameOf } from "./state";

export function PendingDeviceRow({ device }: { device: PendingDevice }) {
  const [scopes, setScopes] = useState<readonly string[]>(device.scopes);
  const name = nameOf(device);
  const code = spellCode(device.code);
  const busy = deciding.value.has(device.requestId);
  const act = (decision: () => Promise<boolean>) => void decideAtDoor(device.requestId, decision);
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
          onClick={() => act(() => deny(device))}
        >
          {t("devices.deny")}
        </button>
        <button
          type="button"
          class="btn primary"
          disabled={busy || scopes.length === 0}
          aria-label={t("devices.approveNamed", { name, code })}
          onClick={() => act(() => approve(device, narrowed))}
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
