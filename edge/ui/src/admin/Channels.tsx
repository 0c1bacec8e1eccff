import { t } from "../i18n";
import { Ago } from "../kit/Ago";
import { shortName } from "../model/people";
import type { ChannelAccount } from "../wire/channels";
import { ChannelMark, channelName } from "./Channel";
import { accountsOf, channels, channelsFailed, loadChannels } from "./channels";
import { NotLoaded } from "./NotLoaded";

export function Channels() {
  return (
    <section aria-labelledby="channels">
      <h2 id="channels">{t("channels.title")}</h2>
      <Content />
    </section>
  );
}

/** What is wrong, at the head of the page: whoever looks for it looks there first. */
export function ChannelTrouble() {
  const wrong = accountsOf(channels.value).filter(([, { lastError }]) => lastError);
  return (
    <>
      {wrong.map(([channel, account]) => (
        <p class="page-warning" key={`${channel} ${account.accountId}`}>
          <strong>{t(STATES[account.state][0])}</strong> · {account.lastError}
        </p>
      ))}
    </>
  );
}

function Content() {
  if (channels.value === null) {
    if (!channelsFailed.value) return <p class="soft">{t("channels.loading")}</p>;
    return <NotLoaded words={t("channels.failed")} retry={loadChannels} />;
  }
  const accounts = accountsOf(channels.value);
  if (accounts.length === 0) return <p class="soft">{t("channels.none")}</p>;
  return (
    <table class="table">
      <thead>
        <tr>
          <th scope="col">{t("people.channel")}</th>
          <th scope="col">{t("channels.state")}</th>
          <th scope="col" class="wide-only">
            {t("channels.strangers")}
          </th>
          <th scope="col">{t("devices.since")}</th>
        </tr>
      </thead>
      <tbody>
        {accounts.map(([channel, account]) => (
          <Row key={`${channel} ${account.accountId}`} channel={channel} account={account} />
        ))}
      </tbody>
    </table>
  );
}

const STATES = {
  connecting: ["channels.connecting", "tag"],
  receiving: ["channels.receiving", "tag good"],
  failing: ["channels.failing", "tag warn"],
  stopped: ["channels.stopped", "tag bad"],
} as const;

const POLICIES = {
  pairing: "channels.pairing",
  open: "channels.open",
  allowlist: "channels.allowlist",
  disabled: "channels.disabled",
} as const;

function Row({ channel, account }: { channel: string; account: ChannelAccount }) {
  const [words, tag] = STATES[account.state];
  const policy = t(POLICIES[account.dmPolicy]);
  return (
    <tr>
      <td>
        <ChannelMark channel={channel} />
        {channelName(channel)}
        <Bot account={account} />
        <div class="sub narrow-only">{policy}</div>
      </td>
      <td class="channel-state">
        <span class={tag}>{t(words)}</span>
        {account.lastError && <div class="sub">{account.lastError}</div>}
      </td>
      <td class="wide-only">{policy}</td>
      <td>
        <Ago at={account.sinceMs} />
      </td>
    </tr>
  );
}

function Bot({ account }: { account: ChannelAccount }) {
  const handle = account.handle ? `@${account.handle}` : null;
  const said = [shortName(account.name), handle].filter(Boolean).join(" · ");
  if (!said) return null;
  return (
    <div class="sub" dir="auto">
      {said}
    </div>
  );
}
