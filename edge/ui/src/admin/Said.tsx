import { useState } from "preact/hooks";
import { t } from "../i18n";
import { isLong } from "../model/people";

/** What somebody wrote, as plain text; a long one opens in place. */
export function Said({ text, label }: { text: string; label: string }) {
  const [open, setOpen] = useState(false);
  const long = isLong(text);
  if (text.trim() === "") return <p class="sub">{t("people.noText")}</p>;
  return (
    <div class="said">
      <span class="unseen">{label}</span>
      <blockquote class={long && !open ? "folded" : undefined} dir="auto">
        {text}
      </blockquote>
      {long && (
        <button
          type="button"
          class="linkish"
          aria-expanded={open}
          onClick={() => setOpen((was) => !was)}
        >
          {t(open ? "people.less" : "people.all")}
        </button>
      )}
    </div>
  );
}
