import { useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { follower, hello, link } from "../gate/connection";
import { count, t } from "../i18n";
import { draftOf, keepDraft } from "./drafts";
import { sessionKey } from "./route";
import { send, stop } from "./sending";
import { isKnown, live, mayWrite } from "./state";

/** Room for the frame around a message. */
const FRAME_BYTES = 4096;

/** Enter sends, unless it ends a word of an input method or asks for a new line. */
export function isSendKey(event: KeyboardEvent): boolean {
  // Safari reports the Enter that ends a composition after it has ended; 229 still tells.
  if (event.isComposing || event.keyCode === 229) return false;
  return event.key === "Enter" && !event.shiftKey && !event.altKey;
}

export function Composer({ onSend }: { onSend(): void }) {
  const key = sessionKey.value;
  const text = useSignal(draftOf(key));
  const problem = useSignal<string | null>(null);
  const field = useRef<HTMLTextAreaElement>(null);
  const first = useRef(true);
  useEffect(() => {
    text.value = draftOf(key);
    // The heading takes the focus on arrival in a session that has something to read.
    const here = first.current || !isKnown(key);
    first.current = false;
    if (here && matchMedia("(pointer: fine)").matches) field.current?.focus();
  }, [key]);
  if (follower.value) {
    const { writer } = follower.value;
    return <p class="compose soft">{t("chat.follower", { writer })}</p>;
  }
  if (!mayWrite.value) return <p class="compose soft">{t("chat.denied")}</p>;
  const write = (next: string) => {
    text.value = next;
    problem.value = null;
    keepDraft(key, next);
  };
  const submit = () => {
    const message = text.value.trim();
    if (message === "") return;
    problem.value = tooLong(message);
    if (problem.value) return;
    send(message);
    write("");
    onSend();
    field.current?.focus();
  };
  return (
    <form
      class="compose"
      onSubmit={(event) => {
        event.preventDefault();
        submit();
      }}
    >
      <div class="compose-box">
        <textarea
          ref={field}
          rows={2}
          aria-label={t("compose.label")}
          placeholder={t("compose.placeholder")}
          enterkeyhint="send"
          dir="auto"
          value={text.value}
          onInput={(event) => write(event.currentTarget.value)}
          onKeyDown={(event) => {
            if (!isSendKey(event)) return;
            event.preventDefault();
            submit();
          }}
        />
        {problem.value && (
          <p class="problem" role="alert">
            {problem.value}
          </p>
        )}
        <ComposeRow empty={text.value.trim() === ""} />
      </div>
    </form>
  );
}

/** While an answer is written, Send makes room for Stop; typed words can queue behind it. */
function ComposeRow({ empty }: { empty: boolean }) {
  const running = live.value !== null;
  return (
    <div class="compose-row">
      <span class="compose-keys soft">
        <kbd>Enter</kbd> {t("compose.enter")} · <kbd>Shift Enter</kbd> {t("compose.newline")}
      </span>
      {running && !empty && (
        <button type="submit" class="btn quiet">
          {t("compose.queue")}
        </button>
      )}
      {running ? (
        <button
          type="button"
          class="btn"
          disabled={link.value.at !== "online"}
          onClick={() => void stop()}
        >
          {t("compose.stop")}
        </button>
      ) : (
        <button type="submit" class="btn primary" disabled={empty}>
          {t("compose.send")}
        </button>
      )}
    </div>
  );
}

function tooLong(message: string): string | null {
  const limit = (hello.value?.policy?.maxPayload ?? 524_288) - FRAME_BYTES;
  const size = new TextEncoder().encode(JSON.stringify(message)).length;
  if (size <= limit) return null;
  return t("compose.tooLong", { n: count(Math.floor((message.length * limit) / size)) });
}
