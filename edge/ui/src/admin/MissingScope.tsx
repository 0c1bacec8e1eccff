import { t } from "../i18n";
import { scopeName } from "./Scopes";

export function MissingScope({ scope }: { scope: string }) {
  return (
    <section>
      <h2>{t("refusedScope.title")}</h2>
      <p class="soft">{t("refusedScope.text", { scope: scopeName(scope) })}</p>
    </section>
  );
}
