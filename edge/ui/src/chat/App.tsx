import { useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { head, hello, link, retryNow, shipped } from "../gate/connection";
import { Gate, isClosed } from "../gate/Gate";
import { ReadOnly } from "../gate/ReadOnly";
import { seqText, t, tn } from "../i18n";
import { Announcer } from "../kit/Announcer";
import { Banner } from "../kit/Banner";
import { DevBanner } from "../kit/DevBanner";
import { Dialog } from "../kit/Dialog";
import { Cross, Lines, Mark, Plus } from "../kit/icons";
import { Preferences } from "../kit/Preferences";
import { StateDot } from "../kit/StateDot";
import { titleOf } from "../model/sessions";
import { Composer } from "./Composer";
import { openNewSession, sessionKey } from "./route";
import { SessionList } from "./SessionList";
import { stop } from "./sending";
import { isKnown, live, rows, sessions, transcript } from "./state";
import { type Follow, Transcript } from "./Transcript";

export function App() {
  const open = hello.value !== null && !isClosed(link.value);
  return (
    <>
      {open ? <Chat /> : <Gate />}
      <Announcer />
    </>
  );
}

function Chat() {
  const follow = useRef<Follow>(null);
  useEffect(() => {
    const onKey = (event: KeyboardEvent) => {
      const inDialog = document.querySelector("dialog[open]") !== null;
      if (event.key === "Escape" && !event.isComposing && !inDialog && live.peek()) void stop();
    };
    document.addEventListener("keydown", onKey);
    return () => document.removeEventListener("keydown", onKey);
  }, []);
  return (
    <div class="app">
      <a class="skip" href="#content">
        {t("nav.skip")}
      </a>
      <Sidebar />
      <main class="chat" id="content">
        <TopBar />
        <DevBanner />
        <Banner link={link.value} head={head.value} draft onRetry={retryNow} />
        <ReadOnly />
        <Transcript key={sessionKey.value} follow={follow} />
        <Composer onSend={() => follow.current?.toEnd()} />
      </main>
      <BottomBar />
    </div>
  );
}

function TopBar() {
  const title = titleOf(sessions.value?.find((one) => one.key === sessionKey.value));
  const name = title ?? t("chat.title");
  const heading = useRef<HTMLHeadingElement>(null);
  const first = useRef(true);
  useEffect(() => {
    document.title = `${name} · ${t("app.name")}`;
  }, [name]);
  useEffect(() => {
    // On arrival in another session; the first and a new one are for writing.
    if (!first.current && isKnown(sessionKey.value)) heading.current?.focus();
    first.current = false;
  }, [sessionKey.value]);
  return (
    <header class="top">
      <Drawer />
      <div class="top-name">
        <h1 ref={heading} tabIndex={-1} dir="auto">
          {name}
        </h1>
        <p class="sub">{subline()}</p>
      </div>
      <button type="button" class="btn wide-only" onClick={openNewSession}>
        {t("chat.new")}
      </button>
      <button
        type="button"
        class="btn icon-only narrow-only"
        aria-label={t("chat.new")}
        onClick={openNewSession}
      >
        <Plus />
      </button>
    </header>
  );
}

function subline(): string {
  const model = hello.value?.moltbot?.model?.name;
  const channel = sessions.value?.find((one) => one.key === sessionKey.value)?.channel ?? "web";
  const { hasMore } = transcript.value;
  const messages = hasMore ? null : tn("chat.messages", rows.value.length);
  return [model, channel, messages].filter(Boolean).join(" · ");
}

function Sidebar() {
  return (
    <nav class="nav" aria-label={t("app.main")}>
      <div class="brand">
        <Mark />
        {t("app.name")}
      </div>
      <h2>{t("nav.recent")}</h2>
      <div class="nav-scroll">
        <SessionList />
      </div>
      <h2>{t("nav.operate")}</h2>
      <AdminLink />
      <Foot />
    </nav>
  );
}

function AdminLink() {
  return (
    <a class="nav-link" href="/_admin/">
      {t("nav.admin")}
    </a>
  );
}

function Foot() {
  return (
    <div class="foot">
      <StateDot link={link.value} />
      <p class="figures">
        {t("link.head", { head: seqText(head.value), shipped: seqText(shipped.value) })}
      </p>
      <Preferences />
    </div>
  );
}

/** On a phone the sessions come out from the side. */
function Drawer() {
  const open = useSignal(false);
  const close = () => {
    open.value = false;
  };
  return (
    <>
      <button
        type="button"
        class="btn quiet icon-only narrow-only"
        aria-label={t("act.openSessions")}
        aria-haspopup="dialog"
        onClick={() => {
          open.value = true;
        }}
      >
        <Lines />
      </button>
      {open.value && (
        <Dialog title={t("nav.sessions")} onClose={close} class="drawer">
          <button
            type="button"
            class="btn quiet icon-only dialog-close"
            aria-label={t("act.close")}
            onClick={close}
          >
            <Cross />
          </button>
          <div class="nav-scroll">
            <SessionList onPick={close} />
          </div>
          <Foot />
        </Dialog>
      )}
    </>
  );
}

function BottomBar() {
  return (
    <nav class="bottom" aria-label={t("app.main")}>
      <a class="nav-link" href="/" aria-current="page">
        {t("nav.chat")}
      </a>
      <AdminLink />
    </nav>
  );
}
