// How the gateway's words get into what is shown.
import { hello, type Listener } from "../gate/connection";
import { t } from "../i18n";
import { announce } from "../kit/Announcer";
import { foldChat, foldRecord } from "../model/reduce";
import { foldSessions } from "../model/sessions";
import type { Transcript } from "../model/transcript";
import type { ChatEvent, LogRecord } from "../wire/frames";
import { loadHistory, loadSessions } from "./history";
import { knowMainSession } from "./route";
import { connectionReturned, dispatch, recordArrived } from "./sending";
import { sessions, transcript } from "./state";

export const listener: Listener = {
  ready(fresh) {
    knowMainSession(hello.value?.snapshot?.sessionDefaults?.mainSessionKey);
    connectionReturned(fresh);
    void loadHistory(fresh);
    void loadSessions();
  },
  records(records) {
    for (const record of records) fold(record);
    if (records.some(({ kind }) => kind === "content_forgotten")) forget();
    // A message that was taken, or a run that ended, may let the next one go.
    dispatch();
  },
  event(name, payload) {
    if (name === "chat") transcript.value = foldChat(transcript.value, payload as ChatEvent);
  },
};

/** What was forgotten is not shown any longer, nor kept by this page. */
function forget(): void {
  void loadHistory(true);
  void loadSessions();
}

function fold(record: LogRecord): void {
  const before = transcript.value;
  const after = foldRecord(before, record);
  transcript.value = after;
  if (sessions.value) sessions.value = foldSessions(sessions.value, record);
  recordArrived(record);
  sayBoundary(before, after);
}

function sayBoundary(before: Transcript, after: Transcript): void {
  if (!before.live && after.live) announce(t("chat.replying"));
  if (before.live && !after.live) {
    const last = after.rows.at(-1);
    const stop = last?.role === "assistant" ? last.stop : "stop";
    if (stop === "aborted") announce(t("chat.stoppedAnnounce"));
    else
      announce(
        t(stop === "stop" || stop === "max_tokens" ? "chat.replied" : "chat.failedAnnounce"),
      );
  }
}
