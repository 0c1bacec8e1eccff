import { effect } from "@preact/signals";
import { link, request } from "../gate/connection";
import { emptyTranscript, withEarlier, withHistory } from "../model/transcript";
import type { History, SessionRow } from "../wire/frames";
import { sessionKey } from "./route";
import { loading, sessions, told, transcript } from "./state";

const PAGE = 50;

/** Another session in the address means another transcript; the old one is not kept. */
export function followRoute(): void {
  effect(() => {
    const key = sessionKey.value;
    if (transcript.peek().sessionKey === key) return;
    transcript.value = emptyTranscript(key);
    if (link.peek().at === "online") void loadHistory(true);
  });
}

export async function loadHistory(fresh: boolean): Promise<void> {
  const key = transcript.value.sessionKey;
  if (!transcript.value.loaded) loading.value = "first";
  try {
    const history = await request<History>("chat.history", { sessionKey: key, limit: PAGE });
    if (transcript.value.sessionKey !== key) return;
    transcript.value = withHistory(transcript.value, history, fresh);
    loading.value = "no";
    told.value = transcript.value;
  } catch {
    if (transcript.value.sessionKey === key && !transcript.value.loaded) loading.value = "failed";
  }
}

export async function loadEarlier(): Promise<void> {
  const { sessionKey: key, rows: shown } = transcript.value;
  const before = shown[0]?.seq;
  if (before === undefined || loading.value !== "no") return;
  loading.value = "earlier";
  try {
    const query = { sessionKey: key, limit: PAGE, before };
    const history = await request<History>("chat.history", query);
    if (transcript.value.sessionKey === key) {
      transcript.value = withEarlier(transcript.value, history);
    }
  } finally {
    loading.value = "no";
  }
}

export async function loadSessions(): Promise<void> {
  try {
    const reply = await request<{ sessions: SessionRow[] }>("sessions.list", { limit: 100 });
    sessions.value = reply.sessions;
  } catch {
    // The list is a convenience; what is open stays usable without it.
    sessions.value ??= [];
  }
}
