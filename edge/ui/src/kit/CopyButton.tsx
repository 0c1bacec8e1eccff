import { useEffect, useState } from "preact/hooks";
import { t } from "../i18n";
import { announce } from "./Announcer";

export function CopyButton({ text, label }: { text: string; label: string }) {
  const [copied, setCopied] = useState(false);
  useEffect(() => {
    if (!copied) return;
    const timer = setTimeout(() => setCopied(false), 2000);
    return () => clearTimeout(timer);
  }, [copied]);
  const copy = async () => {
    if (!(await toClipboard(text))) return;
    setCopied(true);
    announce(t("act.copied"));
  };
  return (
    <button
      type="button"
      class="btn quiet small"
      onClick={copy}
      aria-label={copied ? undefined : label}
    >
      {copied ? t("act.copied") : t("act.copy")}
    </button>
  );
}

async function toClipboard(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return copyBySelection(text);
  }
}

/** The clipboard API is missing on plain http; the old command is not. */
function copyBySelection(text: string): boolean {
  const field = document.createElement("textarea");
  field.value = text;
  field.className = "unseen";
  document.body.append(field);
  field.select();
  const done = document.execCommand("copy");
  field.remove();
  return done;
}
