import { hello } from "../gate/connection";
import { t } from "../i18n";

/** Nobody should work in this mode without knowing it. */
export function DevBanner() {
  if (!hello.value?.moltbot?.devMode) return null;
  return <p class="banner loud">{t("nav.dev")}</p>;
}
