import { useSignalEffect } from "@preact/signals";
import { useEffect, useRef, useState } from "preact/hooks";
import { head, hello, link, retryNow } from "../gate/connection";
import { Gate, isClosed } from "../gate/Gate";
import { ReadOnly } from "../gate/ReadOnly";
import { count, span, t, tn } from "../i18n";
import { Announcer } from "../kit/Announcer";
import { Banner } from "../kit/Banner";
import { now } from "../kit/clock";
import { DevBanner } from "../kit/DevBanner";
import { Mark } from "../kit/icons";
import { Menu } from "../kit/Menu";
import plainMark from "../kit/mark.svg";
import waitingMark from "../kit/mark-waiting.svg";
import { Preferences } from "../kit/Preferences";
import { StateDot } from "../kit/StateDot";
import { Backup } from "./Backup";
import { Devices } from "./Devices";
import { doorCount } from "./door";
import { Restart } from "./Restart";
import { go, pathOf, type View, view } from "./route";
import { mayAdminister, status } from "./state";

export function App() {
  const open = hello.value !== null && !isClosed(link.value);
  return (
    <>
      {open ? <Admin /> : <Gate />}
      <Announcer />
    </>
  );
}

const TITLES = { devices: "devices.title", backup: "backup.title" } as const;
const SUBS = { devices: "devices.sub", backup: "backup.sub" } as const;

function Admin() {
  const [restarting, setRestarting] = useState(false);
  return (
    <div class="app">
      <a class="skip" href="#content">
        {t("nav.skip")}
      </a>
      <Sidebar />
      <main class="admin" id="content">
        <TopBar onRestart={() => setRestarting(true)} />
        <DevBanner />
        <Banner link={link.value} head={head.value} draft={false} onRetry={retryNow} />
        <ReadOnly />
        <div class="admin-body">{view.value === "backup" ? <Backup /> : <Devices />}</div>
      </main>
      <nav class="bottom" aria-label={t("app.main")}>
        <a class="nav-link" href="/">
          {t("nav.chat")}
        </a>
        <ViewLink to="devices" />
        <ViewLink to="backup" />
      </nav>
      {restarting && <Restart onClose={() => setRestarting(false)} />}
    </div>
  );
}

function TopBar({ onRestart }: { onRestart(): void }) {
  const heading = useRef<HTMLHeadingElement>(null);
  const first = useRef(true);
  useEffect(() => {
    if (!first.current) heading.current?.focus();
    first.current = false;
  }, [view.value]);
  useSignalEffect(() => showCount(doorCount.value));
  return (
    <header class="top">
      <div class="top-name">
        <h1 ref={heading} tabIndex={-1}>
          {t(TITLES[view.value])}
        </h1>
        <p class="sub">{t(SUBS[view.value])}</p>
      </div>
      <Menu label={t("act.menu")}>
        {mayAdminister.value && (
          <button type="button" class="menu-item" onClick={onRestart}>
            {t("restart.menu")}
          </button>
        )}
        <div class="menu-prefs">
          <Preferences />
        </div>
      </Menu>
    </header>
  );
}

/** Somebody at the door is seen from another tab as well. */
function showCount(n: number): void {
  const title = `${t("nav.admin")} · ${t("app.name")}`;
  document.title = n > 0 ? `(${n}) ${title}` : title;
  const icon = document.querySelector<HTMLLinkElement>('link[rel="icon"]');
  const wanted = n > 0 ? waitingMark : plainMark;
  if (icon && icon.getAttribute("href") !== wanted) icon.href = wanted;
}

function Sidebar() {
  return (
    <nav class="nav" aria-label={t("app.main")}>
      <div class="brand">
        <Mark />
        {t("app.name")}
      </div>
      <a class="nav-link" href="/">
        {t("nav.chat")}
      </a>
      <h2>{t("nav.admin")}</h2>
      <ViewLink to="devices" />
      <ViewLink to="backup" />
      <Foot />
    </nav>
  );
}

function ViewLink({ to }: { to: View }) {
  const n = to === "devices" ? doorCount.value : 0;
  return (
    <a
      class="nav-link"
      href={pathOf(to)}
      aria-current={view.value === to ? "page" : undefined}
      onClick={(event) => {
        if (event.metaKey || event.ctrlKey || event.shiftKey) return;
        event.preventDefault();
        go(to);
      }}
    >
      <span class="nav-name">{t(TITLES[to])}</span>
      {n > 0 && (
        <>
          <span class="count" aria-hidden="true">
            {n}
          </span>
          <span class="unseen">{tn("nav.waiting", n)}</span>
        </>
      )}
    </a>
  );
}

function Foot() {
  const epoch = hello.value?.moltbot?.epoch ?? 0;
  const known = status.value;
  const version = hello.value?.server.version ?? "";
  return (
    <div class="foot">
      <StateDot link={link.value} words={t("foot.live", { n: count(epoch) })} />
      <p>
        {known
          ? t("foot.up", { version, time: span(known.uptimeMs + now.value - known.readAt) })
          : t("foot.version", { version })}
      </p>
      <Preferences />
    </div>
  );
}
