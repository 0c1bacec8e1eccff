// The source of all words. zh-CN must have exactly these keys, or the types do not check.
// Names in {braces} are filled in; `.one` and `.other` are chosen by the number {n}.
// Words of both entries, among them all the pages before the door opens.

export const common = {
  "app.name": "Moltbot",
  "app.main": "Main",

  "nav.chat": "Chat",
  "nav.operate": "Operate",
  "nav.admin": "Admin",
  "nav.recent": "Recent",
  "nav.sessions": "Sessions",
  "nav.noSessions": "What you talk about shows up here.",
  "nav.skip": "Skip to content",
  "nav.dev":
    "DEV_MODE is on: everybody who reaches this address is let in. Never use it where others can.",

  "prefs.theme": "Theme",
  "prefs.system": "System",
  "prefs.light": "Light",
  "prefs.dark": "Dark",
  "prefs.language": "Language",

  "link.connecting": "Connecting…",
  "link.online": "Connected",
  "link.offline": "Not connected",
  "link.notNow": "Not connected. Try again when the connection is back.",
  "link.head": "{head} · backed up to {shipped}",
  "link.reconnecting": "Reconnecting… your draft is kept. Showing everything up to {seq}.",
  "link.reconnectingAdmin": "Reconnecting… showing everything up to {seq}.",
  "link.restarting": "The gateway restarts. Your draft is kept.",
  "link.nextTry": "next try in {time}",
  "link.retryNow": "Retry now",
  "link.back": "Reconnected",
  "link.lost": "Connection lost. Reconnecting.",
  "link.readOnly": "This gateway only reads at the moment: {reason}. Messages wait.",

  "link.follower": "Read-only copy, up to {time} behind. The log is written by {writer}.",

  "wake.title": "Waking up…",
  "wake.opening": "Opening the event log.",
  "wake.connecting": "Asking the backup for what is missing here.",
  "wake.claiming": "Making sure that no other machine writes.",
  "wake.restoring": "Restoring from the backup.",
  "wake.replaying": "Replaying events.",
  "wake.progress": "Replayed {done} of {total}",
  "wake.by": "This page opens by itself.",
  "wake.banner": "Waking up… replayed {done} of {total}.",

  "pair.title": "Pairing required",
  "pair.intro": "This browser is not paired yet. Compare this code with the one in Admin:",
  "pair.scope":
    "This browser is paired, but may not do this yet. Compare this code with the one in Admin:",
  "pair.code": "Pairing code",
  "pair.how":
    "On a device that is paired already, open {url}, check that the code there is the same, and press Approve.",
  "pair.waiting": "Waiting… this page opens by itself.",
  "pair.terminal": "No paired device? Use the terminal of the gateway:",
  "pair.rejected": "The request was denied.",
  "pair.rejectedText": "Somebody looked at it and said no. If that was a mistake, ask again.",
  "pair.again": "Ask again",
  "pair.expires": "The code holds for {time}.",
  "pair.grantUnknown":
    "The link you opened was used already or is too old. Ask here instead, or make a new one.",
  "pair.grantFailed": "The link could not be redeemed. Ask here instead.",

  "token.title": "Gateway token missing",
  "token.intro": "This gateway wants to see a token before it talks to a new browser.",
  "token.run": "On the machine of the gateway, run this and open the link it prints:",
  "token.or": "Or paste the token here:",
  "token.enter": "Connect",
  "token.mismatch": "That token is not the one of this gateway. Check that you copied all of it.",
  "token.limited": "Too many tries. You can try again in {time}.",
  "token.empty": "Paste a token first.",

  "revoked.title": "This device's access was taken back",
  "revoked.text":
    "Somebody with admin rights revoked it. Nothing here was deleted. You can ask to be let in again.",

  "refused.title": "The gateway did not let us in",
  "refused.text": "It answered: {message}",
  "refused.unknown": "It gave no reason.",
  "refused.help": "Try again. If it stays like this, look at the log of the gateway.",

  "unreachable.title": "The gateway does not answer",
  "unreachable.text": "It may be starting or the network may be down. This page keeps trying.",

  "act.retry": "Retry",
  "act.copy": "Copy",
  "act.copied": "Copied",
  "act.close": "Close",
  "act.cancel": "Cancel",
  "act.menu": "More",
  "act.openSessions": "Open sessions",
} as const;
