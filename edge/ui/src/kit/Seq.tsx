import { seqText, t } from "../i18n";

interface Props {
  seq: number;
  link?: boolean;
  /** Only on the gateway's own disk so far. */
  unsaved?: boolean;
}

/** The number of the event behind something: our line number in the ledger. */
export function Seq({ seq, link = false, unsaved = false }: Props) {
  const name = seqText(seq);
  const kind = unsaved ? "seq unsaved" : "seq";
  const title = unsaved ? t("chat.unsaved", { seq: name }) : undefined;
  if (!link) {
    return (
      <span class={kind} title={title}>
        {name}
      </span>
    );
  }
  return (
    <a class={kind} href={`#${seq}`} title={title} aria-label={t("chat.permalink", { seq: name })}>
      {name}
    </a>
  );
}
