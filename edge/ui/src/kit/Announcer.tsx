import { signal } from "@preact/signals";

const line = signal("");

/** Says one sentence to screen readers: beginnings and ends only, never the words of an answer. */
export function announce(text: string): void {
  // The same sentence twice is silent unless the region was empty in between.
  line.value = "";
  setTimeout(() => {
    line.value = text;
  }, 50);
}

export function Announcer() {
  return (
    <div class="unseen" role="status" aria-live="polite">
      {line.value}
    </div>
  );
}
