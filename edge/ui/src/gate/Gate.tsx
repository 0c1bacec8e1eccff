import { useEffect, useState } from "preact/hooks";
import { count, seconds, t } from "../i18n";
import { now } from "../kit/clock";
import type { Link, Progress } from "../model/link";
import { askAgain, link, retryNow } from "./connection";
import { Page } from "./Page";
import { PairingPage } from "./PairingPage";
import { TokenPage } from "./TokenPage";

/** Whether this state of the connection needs a page of its own instead of the view. */
export function isClosed(state: Link): boolean {
  return ["pairing", "token", "revoked", "refused"].includes(state.at);
}

/** What is shown instead of a view that cannot be shown yet. */
export function Gate() {
  const state = link.value;
  switch (state.at) {
    case "pairing":
      return <PairingPage key={state.asked.requestId} asked={state.asked} />;
    case "token":
      return <TokenPage state={state} />;
    case "revoked":
      return <RevokedPage />;
    case "refused":
      return <RefusedPage message={state.message} />;
    case "waking":
      return <WakingPage progress={state.progress} />;
    case "waiting":
      return <UnreachablePage retryAt={state.retryAt} />;
    default:
      return <Connecting />;
  }
}

/** Most connections are made before anybody could read a word; only slow ones say something. */
function Connecting() {
  const [slow, setSlow] = useState(false);
  useEffect(() => {
    const timer = setTimeout(() => setSlow(true), 200);
    return () => clearTimeout(timer);
  }, []);
  return <main class="gate-quiet">{slow && <h1>{t("link.connecting")}</h1>}</main>;
}

function WakingPage({ progress }: { progress: Progress }) {
  const { phase, done, total } = progress;
  return (
    <Page title={t("wake.title")}>
      <p>{phaseWords(phase)}</p>
      {total > 0 && (
        <>
          <progress value={done} max={total} aria-label={t("wake.title")} />
          <p class="figures">{t("wake.progress", { done: count(done), total: count(total) })}</p>
        </>
      )}
      {progress.message && <p class="soft">{progress.message}</p>}
      <p class="soft">{t("wake.by")}</p>
    </Page>
  );
}

function phaseWords(phase: string): string {
  switch (phase) {
    case "connecting":
      return t("wake.connecting");
    case "claiming":
      return t("wake.claiming");
    case "restoring":
      return t("wake.restoring");
    case "replaying":
      return t("wake.replaying");
    default:
      return t("wake.opening");
  }
}

function UnreachablePage({ retryAt }: { retryAt: number }) {
  return (
    <Page title={t("unreachable.title")}>
      <p>{t("unreachable.text")}</p>
      <p class="acts">
        <button type="button" class="btn" onClick={retryNow}>
          {t("link.retryNow")}
        </button>
        <span class="soft">{t("link.nextTry", { time: seconds(retryAt - now.value) })}</span>
      </p>
    </Page>
  );
}

function RevokedPage() {
  return (
    <Page title={t("revoked.title")}>
      <p>{t("revoked.text")}</p>
      <p>
        <button type="button" class="btn primary" onClick={askAgain}>
          {t("pair.again")}
        </button>
      </p>
    </Page>
  );
}

function RefusedPage({ message }: { message: string }) {
  return (
    <Page title={t("refused.title")}>
      <p>{message ? t("refused.text", { message }) : t("refused.unknown")}</p>
      <p>{t("refused.help")}</p>
      <p>
        <button type="button" class="btn" onClick={retryNow}>
          {t("act.retry")}
        </button>
      </p>
    </Page>
  );
}
