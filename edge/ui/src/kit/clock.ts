import { signal } from "@preact/signals";

/** The time of day for "2 min ago" and countdowns; moves once a second while the page is visible. */
export const now = signal(Date.now());

export function startClock(): void {
  setInterval(() => {
    if (!document.hidden) now.value = Date.now();
  }, 1000);
}
