import type { ComponentChildren } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { t } from "../i18n";
import { Mark } from "../kit/icons";
import { Preferences } from "../kit/Preferences";

/** A page of one column with one thing to do, for everything before the door opens. */
export function Page({ title, children }: { title: string; children: ComponentChildren }) {
  const heading = useRef<HTMLHeadingElement>(null);
  useEffect(() => {
    document.title = `${title} · ${t("app.name")}`;
    heading.current?.focus();
  }, [title]);
  return (
    <div class="gate">
      <header class="gate-brand">
        <Mark />
        {t("app.name")}
      </header>
      <main class="gate-page">
        <h1 ref={heading} tabIndex={-1}>
          {title}
        </h1>
        {children}
      </main>
      <footer class="gate-foot">
        <Preferences />
      </footer>
    </div>
  );
}
