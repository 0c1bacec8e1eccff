import type { ComponentChildren } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { Dots } from "./icons";

/** The browser's own disclosure, closed again by Escape, by a choice, or by going elsewhere. */
export function Menu({ label, children }: { label: string; children: ComponentChildren }) {
  const ref = useRef<HTMLDetailsElement>(null);
  useEffect(() => {
    const close = (event: Event) => {
      const menu = ref.current;
      if (menu?.open && !menu.contains(event.target as Node)) menu.open = false;
    };
    document.addEventListener("pointerdown", close);
    document.addEventListener("focusin", close);
    return () => {
      document.removeEventListener("pointerdown", close);
      document.removeEventListener("focusin", close);
    };
  }, []);
  // Focus goes back first: a dialog that a choice opens returns it to where it was.
  const shut = () => {
    if (!ref.current) return;
    ref.current.open = false;
    ref.current.querySelector("summary")?.focus();
  };
  return (
    <details
      class="menu"
      ref={ref}
      onKeyDown={(event) => {
        if (event.key === "Escape") shut();
      }}
      onClick={(event) => {
        if ((event.target as Element).closest(".menu-item")) shut();
      }}
    >
      <summary class="btn icon-only" aria-label={label}>
        <Dots />
      </summary>
      <div class="menu-box">{children}</div>
    </details>
  );
}
