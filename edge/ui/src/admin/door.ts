// Everyone who waits to be let in, devices and people alike.
import { computed } from "@preact/signals";
import { now } from "../kit/clock";
import { neighbour } from "../model/devices";
import { atTheDoor } from "../model/people";
import { peers } from "./people";
import { devices } from "./state";

export const door = computed(() =>
  atTheDoor(devices.value?.pending ?? [], peers.value?.pending ?? [], now.value),
);
export const doorCount = computed(() => door.value.length);

/** After a decision the next one waiting gets the focus, or the heading when nobody is left. */
export async function decideAtDoor(
  requestId: string,
  decision: () => Promise<boolean>,
): Promise<void> {
  const ids = door.peek().map((asker) => asker.requestId);
  if (await decision()) focusRow(neighbour(ids, requestId));
}

export function focusRow(requestId: string | null): void {
  requestAnimationFrame(() => {
    const row = requestId === null ? null : document.getElementById(`ask-${requestId}`);
    const target =
      row?.querySelector<HTMLElement>(".btn.primary") ?? document.getElementById("waiting");
    target?.focus();
  });
}
