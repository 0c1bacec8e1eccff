import { recall, remember } from "../wire/keep";

/** What was typed in a session but not sent, so that a reload loses nothing. */
export function draftOf(sessionKey: string): string {
  return recall(`moltbot.draft.${sessionKey}`) ?? "";
}

export function keepDraft(sessionKey: string, text: string): void {
  remember(`moltbot.draft.${sessionKey}`, text === "" ? null : text);
}
