import { useEffect, useState } from "preact/hooks";
import { request } from "../gate/connection";
import { type Key, t, tn } from "../i18n";
import { Confirm } from "../kit/Confirm";
import { act } from "./act";
import { mayAdminister } from "./state";

/** Whose content: `deviceId` or `peerId`, and how that is called. */
export interface Subject {
  by: "deviceId" | "peerId";
  id: string;
  name: string;
}

interface ButtonProps {
  name: string;
  onForget(): void;
}

export function ForgetButton({ name, onForget }: ButtonProps) {
  if (!mayAdminister.value) return null;
  const label = t("forget.named", { name });
  return (
    <button type="button" class="btn quiet" aria-label={label} onClick={onForget}>
      {t("forget.verb")}
    </button>
  );
}

interface Props extends Subject {
  load(): Promise<void>;
  onClose(): void;
}

/** How much it is; nothing while that is not known. */
function useCount({ by, id }: Subject): number | null {
  const [count, setCount] = useState<number | null>(null);
  useEffect(() => {
    const asked = request<Plan>("content.forget", { [by]: id, dryRun: true });
    asked.then((plan) => setCount(plan.messages + plan.answers)).catch(() => setCount(null));
  }, [by, id]);
  return count;
}

interface Plan {
  messages: number;
  answers: number;
}

/** Asks before what was said is gone for ever. */
export function Forget({ load, onClose, ...subject }: Props) {
  const { by, id, name } = subject;
  const count = useCount(subject);
  const said: Key = "forget.done";
  const run = () => act({ id, name, method: "content.forget", params: { [by]: id }, said, load });
  const title = t("forget.title", { name });
  return (
    <Confirm title={title} verb={t("forget.verb")} danger run={run} onClose={onClose}>
      <p>{count === null ? t("forget.text") : tn("forget.count", count)}</p>
      <p>{t(by === "peerId" ? "forget.peer" : "forget.device")}</p>
      <p class="note">{t("forget.access")}</p>
    </Confirm>
  );
}
