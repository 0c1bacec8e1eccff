import { useComputed } from "@preact/signals";
import type { ComponentChildren } from "preact";
import { link, shipped } from "../gate/connection";
import { fullTime, seqText, span, t, timeOfDay } from "../i18n";
import { Seq } from "../kit/Seq";
import { Markdown } from "../md/Markdown";
import type { Outgoing } from "../model/outbox";
import type { AnswerRow, Row } from "../model/transcript";
import { type Forgotten, toMs } from "../wire/frames";
import { discard, retry, retrying, sendAgain } from "./sending";
import { live } from "./state";

interface FrameProps {
  seq: number | null;
  who: string;
  meta?: ComponentChildren;
  busy?: boolean;
  children: ComponentChildren;
}

/** One line of the ledger: the number at the left, who said what at the right. */
function Frame({ seq, who, meta, busy = false, children }: FrameProps) {
  // Read as one yes or no: a line is not drawn anew whenever others are saved.
  const unsaved = useComputed(() => seq !== null && seq > shipped.value);
  return (
    <article
      class="message"
      id={seq === null ? undefined : String(seq)}
      aria-busy={busy || undefined}
    >
      <div class="rail">{seq !== null && <Seq seq={seq} link unsaved={unsaved.value} />}</div>
      <div class="said">
        <header class="who">
          <strong>{who}</strong>
          {meta && <span class="soft"> · {meta}</span>}
          {seq !== null && <span class="who-seq soft"> · {seqText(seq)}</span>}
        </header>
        {children}
      </div>
    </article>
  );
}

function At({ at }: { at: number }) {
  return (
    <time dateTime={new Date(at).toISOString()} title={fullTime(at)}>
      {timeOfDay(at)}
    </time>
  );
}

export function Message({ row, mayRetry }: { row: Row; mayRetry: boolean }) {
  if (row.role === "user") {
    return (
      <Frame seq={row.seq} who={t("chat.you")} meta={<At at={row.at} />}>
        {row.forgotten ? <Gone mark={row.forgotten} /> : <UserText text={row.text} />}
      </Frame>
    );
  }
  const meta = (
    <>
      <At at={row.at} />
      {row.durationMs !== undefined && ` · ${span(row.durationMs)}`}
    </>
  );
  return (
    <Frame seq={row.seq} who={t("chat.bot")} meta={meta}>
      {row.forgotten ? (
        <Gone mark={row.forgotten} />
      ) : (
        <>
          {row.text && <Markdown text={row.text} />}
          <Ending answer={row} mayRetry={mayRetry} />
        </>
      )}
    </Frame>
  );
}

/** Stands where a text was that nobody can read any more. */
function Gone({ mark }: { mark: Forgotten }) {
  const who = mark.byName || t("chat.operator");
  return <p class="ending">{t("chat.forgotten", { date: fullTime(toMs(mark.at)), who })}</p>;
}

function UserText({ text }: { text: string }) {
  return (
    <div class="prose plain" dir="auto">
      {text}
    </div>
  );
}

/** How an answer ended, if not simply by being finished; and the way on from there. */
function Ending({ answer, mayRetry }: { answer: AnswerRow; mayRetry: boolean }) {
  if (answer.stop === "stop") return null;
  if (answer.stop === "aborted") return <p class="ending">{t("chat.stopped")}</p>;
  if (answer.stop === "max_tokens") return <p class="ending">{t("chat.maxTokens")}</p>;
  const asked = retrying.value?.runId === answer.runId ? retrying.value : null;
  return (
    <div class="ending bad">
      <p>{asked?.failed ? t("link.notNow") : reason(answer)}</p>
      {mayRetry && (
        <button
          type="button"
          class="btn"
          disabled={link.value.at !== "online" || (asked !== null && !asked.failed)}
          onClick={() => void retry(answer)}
        >
          {t("act.retry")}
        </button>
      )}
    </div>
  );
}

function reason(answer: AnswerRow): string {
  if (answer.stop === "interrupted") return t("chat.interrupted");
  if (answer.stop === "timeout") return t("chat.timeout");
  const detail = answer.errorMessage;
  // The gateway knows which variable holds the key.
  if (answer.errorCode === "model_auth" && detail) return t("error.key", { message: detail });
  const known = knownError(answer.errorCode ?? "");
  if (known) return known;
  return detail
    ? `${t("chat.error")} ${t("chat.errorDetail", { message: detail })}`
    : t("chat.error");
}

function knownError(code: string): string | null {
  if (/auth|key|forbidden|permission/i.test(code)) return t("error.auth");
  if (/rate|overload|quota/i.test(code)) return t("error.rate");
  if (/unreachable|network|connect|dns/i.test(code)) return t("error.unreachable");
  if (/no_model|not_configured|unconfigured/i.test(code)) return t("error.noModel");
  return null;
}

/** The answer being written. It alone listens to the words as they come. */
export function LiveMessage() {
  const run = live.value;
  if (!run) return null;
  return (
    <li>
      <Frame seq={null} who={t("chat.bot")} meta={t("chat.writing")} busy>
        {run.text === "" ? (
          <p class="soft thinking">{t("chat.thinking")}</p>
        ) : (
          <div class="growing">
            <Markdown text={run.text} growing />
          </div>
        )}
      </Frame>
    </li>
  );
}

/** A message of ours that the log does not have yet. */
export function OutgoingMessage({ item }: { item: Outgoing }) {
  return (
    <Frame seq={null} who={t("chat.you")} meta={deliveryWords(item)}>
      <UserText text={item.text} />
      {(item.state === "failed" || item.state === "waiting") && (
        <p class="outgoing-acts">
          {item.state === "failed" && (
            <button type="button" class="btn" onClick={() => sendAgain(item.key)}>
              {t("compose.again")}
            </button>
          )}
          <button type="button" class="btn quiet" onClick={() => discard(item.key)}>
            {t("compose.remove")}
          </button>
        </p>
      )}
    </Frame>
  );
}

function deliveryWords(item: Outgoing): string {
  if (item.state === "failed") return t("compose.notSent");
  if (item.state === "sent") return t("compose.sending");
  return t(link.value.at === "online" ? "compose.queued" : "compose.waits");
}
