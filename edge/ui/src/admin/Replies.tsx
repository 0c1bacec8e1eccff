import { useState } from "preact/hooks";
import { t } from "../i18n";
import { Ago } from "../kit/Ago";
import { Confirm } from "../kit/Confirm";
import { Phrase } from "../kit/Phrase";
import { Seq } from "../kit/Seq";
import { neighbour } from "../model/devices";
import type { Delivery } from "../wire/people";
import { deciding } from "./act";
import { ChannelMark, channelName } from "./Channel";
import { NotLoaded } from "./NotLoaded";
import { personName } from "./people";
import { drop, loadReplies, replies, repliesFailed, resend, stuck } from "./replies";
import { Said } from "./Said";
import { mayAdminister } from "./state";

/** There only while there is something to see: a reply that arrived is none of it. */
export function Replies() {
  const list = stuck.value;
  const failed = replies.value === null && repliesFailed.value;
  if (!mayAdminister.value || (list.length === 0 && !failed)) return null;
  return (
    <section aria-labelledby="replies">
      <h2 id="replies" tabIndex={-1}>
        {t("replies.title")} {list.length > 0 && <span class="count">{list.length}</span>}
      </h2>
      {failed ? (
        <NotLoaded words={t("replies.failed")} retry={loadReplies} />
      ) : (
        <p class="soft replies-why">{t("replies.why")}</p>
      )}
      <ul class="pending">
        {list.map((delivery) => (
          <Row key={delivery.deliveryId} delivery={delivery} />
        ))}
      </ul>
      {replies.value?.hasMore && <p class="sub">{t("people.more")}</p>}
    </section>
  );
}

const STATUS = {
  unknown: "replies.unknown",
  due: "replies.due",
  streaming: "replies.attempted",
  attempted: "replies.attempted",
} as const;

function Row({ delivery }: { delivery: Delivery }) {
  const [asking, setAsking] = useState<"resend" | "drop" | null>(null);
  const name = personName(delivery);
  const { status } = delivery;
  const busy = deciding.value.has(delivery.deliveryId);
  return (
    <li class="pend" id={`reply-${delivery.deliveryId}`}>
      <div>
        <p class="pend-name">
          <ChannelMark channel={delivery.channel} />
          <Phrase of="replies.to" gap="name">
            <strong dir="auto">{name}</strong>
          </Phrase>{" "}
          <span class={status === "unknown" ? "tag warn" : "tag"}>{t(STATUS[status])}</span>{" "}
          <span class="tag">{channelName(delivery.channel)}</span>
        </p>
        <p class="sub">
          {delivery.queuedAtMs ? (
            <>
              <Phrase of="replies.since" gap="ago">
                <Ago at={delivery.queuedAtMs} />
              </Phrase>{" "}
              ·{" "}
            </>
          ) : null}
          <Seq seq={delivery.seq} />
        </p>
        <Said text={delivery.text ?? ""} label={t("replies.text")} />
      </div>
      <div class="acts">
        {(status === "unknown" || status === "due") && (
          <button
            type="button"
            class={status === "unknown" ? "btn quiet" : "btn"}
            disabled={busy}
            aria-label={t("replies.dropNamed", { name })}
            onClick={() => setAsking("drop")}
          >
            {t("replies.drop")}
          </button>
        )}
        {status === "unknown" && (
          <button
            type="button"
            class="btn"
            disabled={busy}
            aria-label={t("replies.resendNamed", { name })}
            onClick={() => setAsking("resend")}
          >
            {t("replies.resend")}
          </button>
        )}
      </div>
      {asking && (
        <Settle delivery={delivery} what={asking} name={name} onClose={() => setAsking(null)} />
      )}
    </li>
  );
}

interface SettleProps {
  delivery: Delivery;
  what: "resend" | "drop";
  name: string;
  onClose(): void;
}

function Settle({ delivery, what, name, onClose }: SettleProps) {
  const again = what === "resend";
  const run = async () => {
    const ids = stuck.peek().map((one) => one.deliveryId);
    if (await (again ? resend : drop)(delivery)) focusReply(neighbour(ids, delivery.deliveryId));
  };
  return (
    <Confirm
      title={t(again ? "replies.resendTitle" : "replies.dropTitle", { name })}
      verb={t(again ? "replies.resend" : "replies.drop")}
      danger={!again}
      run={run}
      onClose={onClose}
    >
      <p>{t(again ? "replies.resendText" : "replies.dropText", { name })}</p>
    </Confirm>
  );
}

/** The next reply, else a heading that is still there. */
function focusReply(deliveryId: string | null): void {
  requestAnimationFrame(() => {
    const row = deliveryId === null ? null : document.getElementById(`reply-${deliveryId}`);
    const target =
      row?.querySelector<HTMLElement>(".acts .btn:last-child") ??
      document.getElementById("replies") ??
      document.getElementById("waiting");
    target?.focus();
  });
}
