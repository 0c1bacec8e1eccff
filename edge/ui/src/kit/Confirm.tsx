import type { ComponentChildren } from "preact";
import { useState } from "preact/hooks";
import { t } from "../i18n";
import { Dialog } from "./Dialog";

interface Props {
  title: string;
  /** What the button says that does it. */
  verb: string;
  danger?: boolean;
  run(): Promise<unknown>;
  onClose(): void;
  children: ComponentChildren;
}

/** Asks once more before something that is not easily taken back. */
export function Confirm({ title, verb, danger = false, run, onClose, children }: Props) {
  const [busy, setBusy] = useState(false);
  const go = async () => {
    setBusy(true);
    await run();
    onClose();
  };
  return (
    <Dialog title={title} onClose={onClose}>
      {children}
      <div class="acts end">
        <button type="button" class="btn quiet" onClick={onClose}>
          {t("act.cancel")}
        </button>
        <button
          type="button"
          class={`btn ${danger ? "danger" : "primary"}`}
          disabled={busy}
          onClick={() => void go()}
        >
          {verb}
        </button>
      </div>
    </Dialog>
  );
}
