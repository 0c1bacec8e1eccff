import { span, t } from "../i18n";
import { now } from "../kit/clock";
import { follower, hello } from "./connection";

/** Says that nothing can be changed here, and how old what is shown may be. */
export function ReadOnly() {
  const copy = follower.value;
  if (copy) {
    const behind = Math.max(0, now.value - copy.behindSince);
    const time = span(Math.ceil(behind / 1000) * 1000);
    return <p class="banner">{t("link.follower", { time, writer: copy.writer })}</p>;
  }
  const reason = hello.value?.moltbot?.readOnly;
  return reason ? <p class="banner">{t("link.readOnly", { reason })}</p> : null;
}
