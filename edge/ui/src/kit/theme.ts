import { signal } from "@preact/signals";
import { recall, remember } from "../wire/keep";

export type Theme = "system" | "light" | "dark";

const KEPT = "moltbot.theme";

export const theme = signal<Theme>("system");

export function startTheme(): void {
  const kept = recall(KEPT);
  apply(kept === "light" || kept === "dark" ? kept : "system");
}

export function chooseTheme(next: Theme): void {
  remember(KEPT, next === "system" ? null : next);
  apply(next);
}

function apply(next: Theme): void {
  theme.value = next;
  if (next === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = next;
}
