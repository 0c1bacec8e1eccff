import { useState } from "preact/hooks";
import { seconds, t } from "../i18n";
import { now } from "../kit/clock";
import type { Link } from "../model/link";
import { notice, submitToken } from "./connection";
import { Page } from "./Page";
import { Command } from "./PairingPage";

export function TokenPage({ state }: { state: Extract<Link, { at: "token" }> }) {
  const [problem, setProblem] = useState<string | null>(null);
  const wait = (state.retryAt ?? 0) - now.value;
  const submit = (event: SubmitEvent) => {
    event.preventDefault();
    const field = (event.currentTarget as HTMLFormElement).elements.namedItem("token");
    const token = (field as HTMLInputElement).value.trim();
    if (token) submitToken(token);
    else setProblem(t("token.empty"));
  };
  return (
    <Page title={t("token.title")}>
      {notice.value && <p class="note">{t(notice.value)}</p>}
      <p>{t("token.intro")}</p>
      <p>{t("token.run")}</p>
      <Command text="moltbot devices link" />
      <form class="token" onSubmit={submit}>
        <label for="token">{t("token.or")}</label>
        <div class="token-row">
          <input
            id="token"
            name="token"
            type="password"
            autocomplete="current-password"
            spellcheck={false}
            aria-describedby="token-problem"
          />
          <button type="submit" class="btn primary" disabled={wait > 0}>
            {t("token.enter")}
          </button>
        </div>
        <p id="token-problem" class="problem" role="alert">
          {problem ?? problemOf(state.why, wait)}
        </p>
      </form>
    </Page>
  );
}

function problemOf(why: "missing" | "mismatch" | "limited", wait: number): string | null {
  if (why === "mismatch") return t("token.mismatch");
  if (why === "limited" && wait > 0) return t("token.limited", { time: seconds(wait) });
  return null;
}
