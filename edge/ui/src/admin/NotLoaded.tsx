import { t } from "../i18n";

/** What could not be loaded, and a way to try again. */
export function NotLoaded({ words, retry }: { words: string; retry(): Promise<void> }) {
  return (
    <>
      <p>{words}</p>
      <button type="button" class="btn" onClick={() => void retry()}>
        {t("act.retry")}
      </button>
    </>
  );
}
