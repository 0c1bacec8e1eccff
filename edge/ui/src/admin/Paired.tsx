import { useState } from "preact/hooks";
import { hello } from "../gate/connection";
import { t } from "../i18n";
import { Ago } from "../kit/Ago";
import { Confirm } from "../kit/Confirm";
import { now } from "../kit/clock";
import { Seq } from "../kit/Seq";
import type { PairedDevice } from "../wire/frames";
import { fresh, revoke } from "./decide";
import { Forget, ForgetButton } from "./Forget";
import { Saved } from "./Saved";
import { ScopeTags } from "./Scopes";
import { devices, loadDevices, nameOf } from "./state";

export function PairedTable() {
  const [leaving, setLeaving] = useState<PairedDevice | null>(null);
  const [forgetting, setForgetting] = useState<PairedDevice | null>(null);
  const list = [...(devices.value?.paired ?? [])].sort((a, b) => b.seq - a.seq);
  return (
    <section aria-labelledby="paired">
      <h2 id="paired">{t("devices.paired")}</h2>
      {list.length === 0 ? (
        <p class="soft">{t("devices.pairedNone")}</p>
      ) : (
        <table class="table">
          <thead>
            <tr>
              <th scope="col">{t("devices.device")}</th>
              <th scope="col" class="wide-only">
                {t("devices.scopes")}
              </th>
              <th scope="col" class="wide-only">
                {t("devices.lastSeen")}
              </th>
              <th scope="col">{t("devices.since")}</th>
              <th scope="col">
                <span class="unseen">{t("devices.actions")}</span>
              </th>
            </tr>
          </thead>
          <tbody>
            {list.map((device) => (
              <PairedRow
                key={device.deviceId}
                device={device}
                onRevoke={() => setLeaving(device)}
                onForget={() => setForgetting(device)}
              />
            ))}
          </tbody>
        </table>
      )}
      {forgetting && (
        <Forget
          by="deviceId"
          id={forgetting.deviceId}
          name={nameOf(forgetting)}
          load={loadDevices}
          onClose={() => setForgetting(null)}
        />
      )}
      {leaving && <Revoke device={leaving} onClose={() => setLeaving(null)} />}
    </section>
  );
}

function isThis(device: PairedDevice): boolean {
  return device.deviceId === hello.value?.moltbot?.deviceId;
}

interface RowProps {
  device: PairedDevice;
  onRevoke(): void;
  onForget(): void;
}

function PairedRow({ device, onRevoke, onForget }: RowProps) {
  const name = nameOf(device);
  const undoUntil = fresh.value.get(device.deviceId) ?? 0;
  const undo = undoUntil > now.value;
  return (
    <tr class={undoUntil > 0 ? "arrived" : undefined}>
      <td>
        <span dir="auto">{name}</span>
        {isThis(device) && <div class="sub">{t("devices.this")}</div>}
        <div class="narrow-only">
          <ScopeTags scopes={device.scopes} />
        </div>
      </td>
      <td class="wide-only">
        <ScopeTags scopes={device.scopes} />
      </td>
      <td class="wide-only">{lastSeen(device)}</td>
      <td>
        <Seq seq={device.seq} />
        <Saved seq={device.seq} shown={undoUntil > 0} />
      </td>
      <td class="table-act">
        {undo ? (
          <button
            type="button"
            class="btn quiet"
            aria-label={t("devices.undoNamed", { name })}
            onClick={() => void revoke(device)}
          >
            {t("devices.undo")}
          </button>
        ) : (
          <div class="acts">
            <ForgetButton name={name} onForget={onForget} />
            <button
              type="button"
              class="btn quiet"
              aria-label={t("devices.revokeNamed", { name })}
              onClick={onRevoke}
            >
              {t("devices.revoke")}
            </button>
          </div>
        )}
      </td>
    </tr>
  );
}

function lastSeen(device: PairedDevice) {
  if (device.connected || isThis(device)) return t("devices.now");
  return device.lastSeenAtMs ? <Ago at={device.lastSeenAtMs} /> : t("devices.away");
}

function Revoke({ device, onClose }: { device: PairedDevice; onClose(): void }) {
  const title = t("devices.revokeTitle", { name: nameOf(device) });
  const run = () => revoke(device);
  return (
    <Confirm title={title} verb={t("devices.revoke")} danger run={run} onClose={onClose}>
      <p>{t("devices.revokeText")}</p>
      {isThis(device) && <p class="note">{t("devices.revokeSelf")}</p>}
    </Confirm>
  );
}
