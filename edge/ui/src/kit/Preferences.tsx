import { chooseLanguage, type Language, language, t } from "../i18n";
import { chooseTheme, type Theme, theme } from "./theme";

export function Preferences() {
  return (
    <div class="prefs">
      <select
        aria-label={t("prefs.theme")}
        value={theme.value}
        onChange={(event) => chooseTheme(event.currentTarget.value as Theme)}
      >
        <option value="system">{t("prefs.system")}</option>
        <option value="light">{t("prefs.light")}</option>
        <option value="dark">{t("prefs.dark")}</option>
      </select>
      <select
        aria-label={t("prefs.language")}
        value={language.value}
        onChange={(event) => chooseLanguage(event.currentTarget.value as Language)}
      >
        {/* Each language in its own words, so that it can be found by who needs it. */}
        <option value="en" lang="en">
          English
        </option>
        <option value="zh-CN" lang="zh-CN">
          中文
        </option>
      </select>
    </div>
  );
}
