import { signal } from "@preact/signals";

export type View = "devices" | "backup";

export const view = signal<View>(viewOf(location.pathname));

export function startRoute(): void {
  window.addEventListener("popstate", () => {
    view.value = viewOf(location.pathname);
  });
}

export function pathOf(to: View): string {
  return to === "devices" ? "/_admin/" : `/_admin/${to}`;
}

export function go(to: View): void {
  if (pathOf(to) !== location.pathname) history.pushState(null, "", pathOf(to));
  view.value = to;
}

function viewOf(pathname: string): View {
  return /\/backup\/?$/.test(pathname) ? "backup" : "devices";
}
