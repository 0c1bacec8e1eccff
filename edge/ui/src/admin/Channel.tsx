import type { ComponentChildren } from "preact";
import { Icon } from "../kit/icons";

// Drawn for us; no company's mark.
const KNOWN: Record<string, [name: string, drawing: ComponentChildren]> = {
  telegram: [
    "Telegram",
    <path key="plane" d="M17 4L3 9.5l4.5 2M17 4l-2.5 12-7-4.5M17 4L7.5 11.5V16l2.3-2.9" />,
  ],
  discord: [
    "Discord",
    <path key="talk" d="M3.5 5h13v9h-6l-3.5 3v-3H3.5zM7.5 9.5h.01M12.5 9.5h.01" />,
  ],
  slack: ["Slack", <path key="hash" d="M8 3.5L6.5 16.5M13.5 3.5L12 16.5M4 7.5h13M3 12.5h13" />],
};

export function channelName(channel: string): string {
  return KNOWN[channel]?.[0] ?? channel;
}

/** The platform's sign; its name stands beside it. */
export function ChannelMark({ channel }: { channel: string }) {
  return (
    <Icon class="channel">{KNOWN[channel]?.[1] ?? <path d="M3.5 5h13v9h-6l-3.5 3v-3H3.5z" />}</Icon>
  );
}
