import type { ComponentChildren } from "preact";
import { type Key, t } from "../i18n";

/** Any character that no sentence contains. */
const GAP = "\ue000";

/** A sentence with an element in one of its gaps, wherever its language puts it. */
export function Phrase({
  of,
  gap,
  children,
}: {
  of: Key;
  gap: string;
  children: ComponentChildren;
}) {
  const [before, after] = t(of, { [gap]: GAP }).split(GAP);
  return (
    <>
      {before}
      {children}
      {after}
    </>
  );
}
