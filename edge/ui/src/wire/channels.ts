// How the chat platforms are doing, as the gateway tells of them.

export interface ChannelAccount {
  accountId: string;
  /** What people see; nothing before the platform said who the bot is. */
  name?: string | null;
  /** The name one mentions it by, without `@`. */
  handle?: string | null;
  state: "connecting" | "receiving" | "failing" | "stopped";
  sinceMs: number;
  /** One sentence that says what to do. */
  lastError?: string | null;
  dmPolicy: "pairing" | "open" | "allowlist" | "disabled";
}

export interface ChannelsStatus {
  channelOrder: string[];
  channelLabels: Record<string, string>;
  channelAccounts: Record<string, ChannelAccount[]>;
}
