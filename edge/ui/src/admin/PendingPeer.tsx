import { useState } from "preact/hooks";
import { span, t } from "../i18n";
import { Ago } from "../kit/Ago";
import { Confirm } from "../kit/Confirm";
import { now } from "../kit/clock";
import { Phrase } from "../kit/Phrase";
import { Seq } from "../kit/Seq";
import { spellCode } from "../model/link";
import { toMs } from "../wire/frames";
import type { PendingPeer } from "../wire/people";
import { deciding } from "./act";
import { Block } from "./Block";
import { ChannelMark, channelName } from "./Channel";
import { decideAtDoor } from "./door";
import { approvePeer, blockPeer, personName } from "./people";
import { Said } from "./Said";
import { mayTalk } from "./state";

export function PendingPeerRow({ peer }: { peer: PendingPeer }) {
  const [asking, setAsking] = useState<"me" | "block" | null>(null);
  const name = personName(peer);
  const code = spellCode(peer.code);
  const busy = deciding.value.has(peer.peerId);
  const act = (decision: () => Promise<boolean>) => decideAtDoor(peer.requestId, decision);
  const close = () => setAsking(null);
  return (
    <li class="pend" id={`ask-${peer.requestId}`}>
      <div>
        <p class="pend-name">
          <ChannelMark channel={peer.channel} />
          <strong dir="auto">{name}</strong> <span class="tag warn">{t("devices.needs")}</span>{" "}
          <span class="tag">{channelName(peer.channel)}</span>
        </p>
        <p class="sub">{origin(peer)}</p>
        <Said text={peer.message} label={t("people.message")} />
        <p class="sub pend-check">{t("people.check")}</p>
        <p class="code6">{code}</p>
      </div>
      <div class="acts">
        <button
          type="button"
          class="btn quiet"
          disabled={busy}
          aria-label={t("people.blockNamed", { name })}
          onClick={() => setAsking("block")}
        >
          {t("people.block")}
        </button>
        {mayTalk.value && (
          <button
            type="button"
            class="btn"
            disabled={busy}
            aria-label={t("people.meNamed", { name, code })}
            onClick={() => setAsking("me")}
          >
            {t("people.me")}
          </button>
        )}
        <button
          type="button"
          class="btn primary"
          disabled={busy}
          aria-label={t("devices.approveNamed", { name, code })}
          onClick={() => void act(() => approvePeer(peer))}
        >
          {t("devices.approve")}
        </button>
      </div>
      {asking === "block" && (
        <Block name={name} run={() => act(() => blockPeer(peer))} onClose={close} />
      )}
      {asking === "me" && (
        <Confirm
          title={t("people.meTitle", { name })}
          verb={t("people.me")}
          run={() => act(() => approvePeer(peer, true))}
          onClose={close}
        >
          <p>{t("people.meText", { channel: channelName(peer.channel) })}</p>
          <p>{t("people.meCode")}</p>
          <p class="code6">{code}</p>
        </Confirm>
      )}
    </li>
  );
}

function origin(peer: PendingPeer) {
  const left = Math.max(0, peer.expiresAtMs - now.value);
  return (
    <>
      {peer.account && `${t("people.account", { account: peer.account })} · `}
      <Phrase of="devices.asked" gap="ago">
        <Ago at={toMs(peer.ts)} />
      </Phrase>{" "}
      · {t("people.holds", { time: span(left) })} · <Seq seq={peer.seq} />
    </>
  );
}
