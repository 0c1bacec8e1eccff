import { t } from "../i18n";
import type { Link } from "../model/link";

/** Word and shape, never colour alone: a full dot is connected, a ring is not. */
export function StateDot({ link, words }: { link: Link; words?: string }) {
  const online = link.at === "online";
  return (
    <span class={online ? "state on" : "state"}>
      <span class="dot" aria-hidden="true" />
      {online ? (words ?? t("link.online")) : t(offlineWords(link))}
    </span>
  );
}

function offlineWords(link: Link) {
  return link.at === "connecting" || link.at === "waking" ? "link.connecting" : "link.offline";
}
