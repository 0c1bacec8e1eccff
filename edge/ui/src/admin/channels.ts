// How the chat platforms are doing; the gateway says when that changes.
import { signal } from "@preact/signals";
import { t } from "../i18n";
import { announce } from "../kit/Announcer";
import type { ChannelAccount, ChannelsStatus } from "../wire/channels";
import { channelName } from "./Channel";
import { loader } from "./loader";

export const channels = signal<ChannelsStatus | null>(null);
export const channelsFailed = signal(false);
export const loadChannels = loader("channels.status", channels, channelsFailed);

const WORSE = { failing: "channels.failingNow", stopped: "channels.stoppedNow" } as const;

export function channelsChanged(next: ChannelsStatus): void {
  const before = new Map(accountsOf(channels.value).map(([id, { state }]) => [id, state]));
  channels.value = next;
  for (const [channel, { state }] of accountsOf(next)) {
    if (state === before.get(channel) || (state !== "failing" && state !== "stopped")) continue;
    announce(t(WORSE[state], { name: channelName(channel) }));
  }
}

/** The bots, with the platform of each. */
export function accountsOf(status: ChannelsStatus | null): [string, ChannelAccount][] {
  const order = status?.channelOrder ?? [];
  return order.flatMap((channel) =>
    (status?.channelAccounts[channel] ?? []).map((one): [string, ChannelAccount] => [channel, one]),
  );
}
