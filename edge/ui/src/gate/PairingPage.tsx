import { useEffect, useState } from "preact/hooks";
import { span, t } from "../i18n";
import { CopyButton } from "../kit/CopyButton";
import { now } from "../kit/clock";
import { Phrase } from "../kit/Phrase";
import { backoffMs, type PairingAsked, spellCode } from "../model/link";
import { type PairingState, waitForDecision } from "../wire/http";
import { notice, retryNow } from "./connection";
import { Page } from "./Page";

export function PairingPage({ asked }: { asked: PairingAsked }) {
  const [rejected, setRejected] = useState(false);
  useEffect(() => {
    const stop = new AbortController();
    void untilDecided(asked.requestId, stop.signal).then((state) => {
      if (stop.signal.aborted) return;
      if (state === "rejected") setRejected(true);
      else enter(state);
    });
    return () => stop.abort();
  }, [asked.requestId]);
  if (rejected) return <Rejected />;
  const code = spellCode(asked.code);
  return (
    <Page title={t("pair.title")}>
      {notice.value && <p class="note">{t(notice.value)}</p>}
      <p>{t(asked.reason === "not-paired" ? "pair.intro" : "pair.scope")}</p>
      <p class="code6" aria-label={`${t("pair.code")} ${[...code].join(" ")}`} role="img">
        {code}
      </p>
      <p>
        <Phrase of="pair.how" gap="url">
          <AdminLink url={asked.adminUrl} />
        </Phrase>
      </p>
      <p class="pair-wait">
        <span class="dot" aria-hidden="true" />
        {t("pair.waiting")}{" "}
        <span class="soft">
          {t("pair.expires", { time: span(Math.max(0, asked.expiresAtMs - now.value)) })}
        </span>
      </p>
      <p class="soft">{t("pair.terminal")}</p>
      <Command text={`moltbot devices approve ${code}`} />
    </Page>
  );
}

export function Command({ text }: { text: string }) {
  return (
    <div class="command">
      <code>{text}</code>
      <CopyButton text={text} label={t("act.copy")} />
    </div>
  );
}

function AdminLink({ url }: { url: string }) {
  const absolute = URL.canParse(url, location.origin) ? new URL(url, location.origin) : null;
  if (!absolute?.protocol.startsWith("http")) return <span>{url}</span>;
  return <a href={absolute.href}>{absolute.href}</a>;
}

function Rejected() {
  return (
    <Page title={t("pair.rejected")}>
      <p>{t("pair.rejectedText")}</p>
      <p>
        <button type="button" class="btn primary" onClick={retryNow}>
          {t("pair.again")}
        </button>
      </p>
    </Page>
  );
}

/** Asks until somebody decided. A gateway that is away for a moment changes nothing. */
async function untilDecided(requestId: string, signal: AbortSignal): Promise<PairingState> {
  for (let failures = 0; !signal.aborted; ) {
    const state = await waitForDecision(requestId, signal);
    if (state !== "pending" && state !== "unreachable") return state;
    failures = state === "unreachable" ? failures + 1 : 0;
    if (failures > 0) await pause(backoffMs(failures));
  }
  return "unknown";
}

/** Approved: go in. Expired: ask for a new code, but only while somebody looks. */
function enter(state: PairingState): void {
  if (state === "approved" || !document.hidden) return void retryNow();
  document.addEventListener("visibilitychange", () => retryNow(), { once: true });
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
