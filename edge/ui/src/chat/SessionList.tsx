import { t } from "../i18n";
import { titleOf } from "../model/sessions";
import { openSession, pathOf, sessionKey } from "./route";
import { sessions } from "./state";

export function SessionList({ onPick }: { onPick?(): void }) {
  const list = sessions.value;
  if (list === null) return null;
  if (list.length === 0) return <p class="nav-hint">{t("nav.noSessions")}</p>;
  return (
    <ul class="nav-list">
      {list.map((session) => (
        <li key={session.key}>
          <a
            href={pathOf(session.key)}
            aria-current={session.key === sessionKey.value ? "page" : undefined}
            onClick={(event) => {
              if (event.metaKey || event.ctrlKey || event.shiftKey || event.button !== 0) return;
              event.preventDefault();
              openSession(session.key);
              onPick?.();
            }}
          >
            <span class="nav-name" dir="auto">
              {titleOf(session) ?? t("chat.title")}
            </span>
            {session.running && (
              <>
                <span class="pulse" aria-hidden="true" />
                <span class="unseen">{t("chat.writing")}</span>
              </>
            )}
          </a>
        </li>
      ))}
    </ul>
  );
}
