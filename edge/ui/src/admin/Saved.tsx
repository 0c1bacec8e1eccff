import { shipped } from "../gate/connection";
import { t } from "../i18n";
import { saveState } from "../model/devices";

/** In effect at once, but only safe when it is in the backup: say which of the two. */
export function Saved({ seq, shown }: { seq: number; shown: boolean }) {
  const state = saveState(seq, shipped.value);
  if (state === "saved" && !shown) return null;
  return <div class="sub">{t(state === "saved" ? "devices.saved" : "devices.saving")}</div>;
}
