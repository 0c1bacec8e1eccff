import { t } from "../i18n";
import { Confirm } from "../kit/Confirm";

interface Props {
  name: string;
  isOperator?: boolean;
  run(): Promise<unknown>;
  onClose(): void;
}

export function Block({ name, isOperator = false, run, onClose }: Props) {
  const title = t("people.blockTitle", { name });
  return (
    <Confirm title={title} verb={t("people.block")} danger run={run} onClose={onClose}>
      <p>{t("people.blockText", { name })}</p>
      {isOperator && <p class="note">{t("people.blockSelf")}</p>}
    </Confirm>
  );
}
