import { useState } from "preact/hooks";
import { t } from "../i18n";
import { Ago } from "../kit/Ago";
import { Seq } from "../kit/Seq";
import type { KnownPeer } from "../wire/people";
import { deciding } from "./act";
import { Block } from "./Block";
import { ChannelMark, channelName } from "./Channel";
import { NotLoaded } from "./NotLoaded";
import { approvePeer, blockPeer, loadPeers, peers, peersFailed, personName } from "./people";
import { Saved } from "./Saved";

export function People() {
  return (
    <section aria-labelledby="people">
      <h2 id="people" tabIndex={-1}>
        {t("people.title")}
      </h2>
      <Content />
    </section>
  );
}

function Content() {
  const [blocking, setBlocking] = useState<KnownPeer | null>(null);
  const list = peers.value;
  if (list === null) {
    if (!peersFailed.value) return <p class="soft">{t("people.loading")}</p>;
    return <NotLoaded words={t("people.failed")} retry={loadPeers} />;
  }
  if (list.approved.length + list.blocked.length === 0) {
    return <p class="soft">{t("people.none")}</p>;
  }
  return (
    <>
      <table class="table">
        <thead>
          <tr>
            <th scope="col">{t("people.person")}</th>
            <th scope="col" class="wide-only">
              {t("people.channel")}
            </th>
            <th scope="col">{t("devices.since")}</th>
            <th scope="col">
              <span class="unseen">{t("devices.actions")}</span>
            </th>
          </tr>
        </thead>
        <tbody>
          {list.approved.map((peer) => (
            <Row key={peer.peerId} peer={peer} onBlock={() => setBlocking(peer)} />
          ))}
          {list.blocked.map((peer) => (
            <Row key={peer.peerId} peer={peer} />
          ))}
        </tbody>
      </table>
      {list.hasMore && <p class="sub">{t("people.more")}</p>}
      {blocking && (
        <Block
          name={personName(blocking)}
          isOperator={blocking.isOperator ?? false}
          run={() => blockPeer(blocking).then(focusSection)}
          onClose={() => setBlocking(null)}
        />
      )}
    </>
  );
}

/** The row moves to the end of the table; the reader stays with the table. */
function focusSection(): void {
  requestAnimationFrame(() => document.getElementById("people")?.focus());
}

/** Who is blocked can only be let in again, who is in can only be blocked. */
function Row({ peer, onBlock }: { peer: KnownPeer; onBlock?(): void }) {
  const name = personName(peer);
  const at = peer.approvedAtMs ?? peer.blockedAtMs;
  const act = onBlock ?? (() => void approvePeer(peer).then(focusSection));
  return (
    <tr>
      <td>
        <span dir="auto">{name}</span>{" "}
        {peer.isOperator && <span class="tag">{t("people.you")}</span>}
        {!onBlock && <span class="tag bad">{t("people.blocked")}</span>}
        <div class="sub narrow-only">{channelName(peer.channel)}</div>
      </td>
      <td class="wide-only">
        <ChannelMark channel={peer.channel} />
        {channelName(peer.channel)}
      </td>
      <td>
        <Seq seq={peer.seq} />
        {at ? (
          <div class="sub">
            <Ago at={at} />
          </div>
        ) : null}
        <Saved seq={peer.seq} shown={false} />
      </td>
      <td class="table-act">
        <button
          type="button"
          class="btn quiet"
          disabled={deciding.value.has(peer.peerId)}
          aria-label={t(onBlock ? "people.blockNamed" : "people.unblockNamed", { name })}
          onClick={act}
        >
          {t(onBlock ? "people.block" : "people.unblock")}
        </button>
      </td>
    </tr>
  );
}
