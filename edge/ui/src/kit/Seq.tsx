import { seqText, t } from "../i18n";

/** The number of the event behind something: our line number in the ledger. */
export function Seq({ seq, link = false }: { seq: number; link?: boolean }) {
  if (!link) return <span class="seq">{seqText(seq)}</span>;
  return (
    <a class="seq" href={`#${seq}`} aria-label={t("chat.permalink", { seq: seqText(seq) })}>
      {seqText(seq)}
    </a>
  );
}
