import { seconds, seqText, t } from "../i18n";
import type { Link } from "../model/link";
import { now } from "./clock";

interface Props {
  link: Link;
  head: number;
  /** Said when there is a draft to worry about. */
  draft: boolean;
  onRetry(): void;
}

/** The slim line above a view that has lost its connection. What is below stays usable. */
export function Banner({ link, head, draft, onRetry }: Props) {
  if (link.at === "online") return null;
  return (
    <div class="banner">
      <span>{words(link, head, draft)}</span>
      {link.at === "waiting" && (
        <span class="banner-act">
          {t("link.nextTry", { time: seconds(link.retryAt - now.value) })}
          <button type="button" class="linkish" onClick={onRetry}>
            {t("link.retryNow")}
          </button>
        </span>
      )}
    </div>
  );
}

function words(link: Link, head: number, draft: boolean): string {
  if (link.at === "waking" && link.progress.total > 0) {
    const { done, total } = link.progress;
    return t("wake.banner", { done: seqText(done).slice(1), total: seqText(total).slice(1) });
  }
  if (link.at === "waiting" && link.restart && draft) return t("link.restarting");
  return t(draft ? "link.reconnecting" : "link.reconnectingAdmin", { seq: seqText(head) });
}
