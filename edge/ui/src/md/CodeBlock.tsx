import { t } from "../i18n";
import { CopyButton } from "../kit/CopyButton";

export function CodeBlock({ language, text }: { language: string; text: string }) {
  const name = language || t("md.code");
  return (
    <figure class="code">
      <figcaption>
        <span>{name}</span>
        <CopyButton text={text} label={t("md.copyCode")} />
      </figcaption>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: a box that scrolls needs the keyboard */}
      <pre tabIndex={0}>
        <code>{text}</code>
      </pre>
    </figure>
  );
}
