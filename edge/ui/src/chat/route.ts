import { computed, signal } from "@preact/signals";
import { newSessionKey } from "../model/sessions";
import { recall, remember } from "../wire/keep";

const LAST = "moltbot.lastSession";

const path = signal(location.pathname);
const mainKey = signal("agent:main:main");

/** The session in the address; without one, the last that was open here. */
export const sessionKey = computed(() => keyOf(path.value) ?? recall(LAST) ?? mainKey.value);

export function startRoute(): void {
  window.addEventListener("popstate", () => arrive(location.pathname));
  const key = keyOf(path.value);
  if (key) remember(LAST, key);
}

export function knowMainSession(key: string | undefined): void {
  if (key) mainKey.value = key;
}

export function openSession(key: string): void {
  const next = pathOf(key);
  // `/` means "the last one", which is about to change: going back must find the one left now.
  if (!keyOf(location.pathname)) history.replaceState(null, "", pathOf(sessionKey.value));
  if (next !== location.pathname) history.pushState(null, "", next);
  arrive(next);
}

export function openNewSession(): void {
  openSession(newSessionKey());
}

export function pathOf(key: string): string {
  return `/s/${encodeURIComponent(key).replaceAll("%3A", ":")}`;
}

export function keyOf(pathname: string): string | null {
  const found = /^\/s\/([^/]+)\/?$/.exec(pathname)?.[1];
  if (!found) return null;
  try {
    return decodeURIComponent(found);
  } catch {
    return null;
  }
}

function arrive(pathname: string): void {
  const key = keyOf(pathname);
  if (key) remember(LAST, key);
  path.value = pathname;
}
