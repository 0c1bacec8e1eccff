import type { ComponentChildren } from "preact";
import { useState } from "preact/hooks";
import { type Key, t } from "../i18n";
import { Ago } from "../kit/Ago";
import { Confirm } from "../kit/Confirm";
import { Seq } from "../kit/Seq";
import type { KnownPeer } from "../wire/people";
import { deciding } from "./act";
import { Block } from "./Block";
import { ChannelMark, channelName } from "./Channel";
import { Forget, ForgetButton } from "./Forget";
import { NotLoaded } from "./NotLoaded";
import {
  approvePeer,
  blockPeer,
  loadPeers,
  peers,
  peersFailed,
  personName,
  sayWho,
} from "./people";
import { Saved } from "./Saved";
import { mayTalk } from "./state";

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
  const [forgetting, setForgetting] = useState<KnownPeer | null>(null);
  const [claiming, setClaiming] = useState<KnownPeer | null>(null);
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
            <Row key={peer.peerId} peer={peer}>
              <Who peer={peer} onMe={() => setClaiming(peer)} />
              <ForgetButton name={personName(peer)} onForget={() => setForgetting(peer)} />
              <Act
                peer={peer}
                name="people.blockNamed"
                verb="people.block"
                run={() => setBlocking(peer)}
              />
            </Row>
          ))}
          {list.blocked.map((peer) => (
            <Row key={peer.peerId} peer={peer} isBlocked>
              <ForgetButton name={personName(peer)} onForget={() => setForgetting(peer)} />
              <Act
                peer={peer}
                name="people.unblockNamed"
                verb="people.unblock"
                run={() => void approvePeer(peer).then(focusSection)}
              />
            </Row>
          ))}
        </tbody>
      </table>
      {list.hasMore && <p class="sub">{t("people.more")}</p>}
      {claiming && <ThisIsMe peer={claiming} onClose={() => setClaiming(null)} />}
      {forgetting && (
        <Forget
          by="peerId"
          id={forgetting.peerId}
          name={personName(forgetting)}
          load={loadPeers}
          onClose={() => setForgetting(null)}
        />
      )}
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

interface RowProps {
  peer: KnownPeer;
  isBlocked?: boolean;
  children: ComponentChildren;
}

function Row({ peer, isBlocked = false, children }: RowProps) {
  const at = peer.approvedAtMs ?? peer.blockedAtMs;
  return (
    <tr>
      <td>
        <span dir="auto">{personName(peer)}</span>{" "}
        {peer.isOperator && <span class="tag">{t("people.you")}</span>}
        {isBlocked && <span class="tag bad">{t("people.blocked")}</span>}
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
        <div class="acts">{children}</div>
      </td>
    </tr>
  );
}

interface ActProps {
  peer: KnownPeer;
  verb: Key;
  /** What the button is called for who does not see the row. */
  name: Key;
  run(): void;
}

function Act({ peer, verb, name, run }: ActProps) {
  return (
    <button
      type="button"
      class="btn quiet"
      disabled={deciding.value.has(peer.peerId)}
      aria-label={t(name, { name: personName(peer) })}
      onClick={run}
    >
      {t(verb)}
    </button>
  );
}

/** Whether it is the operator himself can be said, and taken back, at any time. */
function Who({ peer, onMe }: { peer: KnownPeer; onMe(): void }) {
  if (peer.isOperator) {
    const run = () => void sayWho(peer, false).then(focusSection);
    return <Act peer={peer} name="people.guestNamed" verb="people.guest" run={run} />;
  }
  if (!mayTalk.value) return null;
  return <Act peer={peer} name="people.meAgain" verb="people.me" run={onMe} />;
}

function ThisIsMe({ peer, onClose }: { peer: KnownPeer; onClose(): void }) {
  return (
    <Confirm
      title={t("people.meTitle", { name: personName(peer) })}
      verb={t("people.me")}
      run={() => sayWho(peer, true).then(focusSection)}
      onClose={onClose}
    >
      <p>{t("people.meText", { channel: channelName(peer.channel) })}</p>
      <p>{t("people.meYours")}</p>
    </Confirm>
  );
}
