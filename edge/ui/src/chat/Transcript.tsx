import type { RefObject } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { t } from "../i18n";
import { stillOurs } from "../model/outbox";
import { retryable } from "../model/transcript";
import { loadEarlier, loadHistory } from "./history";
import { LiveMessage, Message, OutgoingMessage } from "./Message";
import { outbox } from "./sending";
import { live, loading, rows, transcript } from "./state";

/** How far from the end still counts as reading the end. */
const NEAR = 96;

export interface Follow {
  toEnd(): void;
}

export function Transcript({ follow }: { follow: RefObject<Follow | null> }) {
  const scroller = useRef<HTMLDivElement>(null);
  const content = useRef<HTMLDivElement>(null);
  const [away, setAway] = useState(false);
  const stuck = useRef(true);
  const lastTop = useRef(0);
  const toEnd = () => {
    stuck.current = true;
    setAway(false);
    scroller.current?.scrollTo({ top: scroller.current.scrollHeight });
  };
  follow.current = { toEnd };
  useEffect(() => {
    const box = scroller.current;
    if (!box || !content.current) return;
    // Follows the end as it grows, but never pulls away someone who scrolled up to read.
    const watcher = new ResizeObserver(() => {
      if (stuck.current) box.scrollTop = box.scrollHeight;
    });
    watcher.observe(content.current);
    watcher.observe(box);
    return () => watcher.disconnect();
  }, []);
  const scrolled = () => {
    const box = scroller.current;
    if (!box) return;
    const near = box.scrollHeight - box.scrollTop - box.clientHeight < NEAR;
    // Text that grew below moves the end away too; only going up is leaving it.
    if (near) stuck.current = true;
    else if (box.scrollTop < lastTop.current) stuck.current = false;
    lastTop.current = box.scrollTop;
    setAway(!stuck.current);
  };
  return (
    <div class="transcript" ref={scroller} onScroll={scrolled}>
      <div class="thread" ref={content}>
        <Thread />
      </div>
      {away && (
        <button type="button" class="btn to-end" onClick={toEnd}>
          {t("chat.latest")}
        </button>
      )}
    </div>
  );
}

function Thread() {
  const shown = new Set(rows.value.map((row) => row.id));
  const ours = stillOurs(outbox.value, transcript.peek().sessionKey, shown);
  const state = loading.value;
  if (state === "failed") return <Failed />;
  if (state === "first" && ours.length === 0) return <Loading />;
  const running = live.value !== null;
  if (rows.value.length + ours.length === 0 && !running)
    return <p class="hint">{t("chat.empty")}</p>;
  const again = retryable(transcript.peek());
  // One flat list: a row of ours keeps its place, and its element, when the log takes it over.
  const lines = [
    ...rows.value.map((row) => (
      <li key={row.id}>
        <Message row={row} mayRetry={row === again} />
      </li>
    )),
    <LiveMessage key="live" />,
    ...ours.map((item) => (
      <li key={item.key}>
        <OutgoingMessage item={item} />
      </li>
    )),
  ];
  return (
    <>
      {transcript.peek().hasMore && <Earlier busy={state === "earlier"} />}
      <ol class="messages" aria-label={t("chat.transcript")}>
        {lines}
      </ol>
    </>
  );
}

function Earlier({ busy }: { busy: boolean }) {
  return (
    <p class="earlier">
      <button type="button" class="btn quiet" disabled={busy} onClick={() => void loadEarlier()}>
        {t("chat.earlier")}
      </button>
    </p>
  );
}

function Loading() {
  const [slow, setSlow] = useState(false);
  useEffect(() => {
    const timer = setTimeout(() => setSlow(true), 200);
    return () => clearTimeout(timer);
  }, []);
  return <p class="hint">{slow && t("chat.loading")}</p>;
}

function Failed() {
  return (
    <div class="hint">
      <p>{t("chat.failed")}</p>
      <button type="button" class="btn" onClick={() => void loadHistory(true)}>
        {t("act.retry")}
      </button>
    </div>
  );
}
