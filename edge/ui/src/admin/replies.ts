// Replies whose outcome is open, and the two things that can be done about one.
import { computed, signal } from "@preact/signals";
import { now } from "../kit/clock";
import { needsALook } from "../model/people";
import type { Delivery, DeliveryList } from "../wire/people";
import { act } from "./act";
import { loader } from "./loader";
import { personName } from "./people";

export const replies = signal<DeliveryList | null>(null);
export const repliesFailed = signal(false);
export const loadReplies = loader("delivery.list", replies, repliesFailed);

export const stuck = computed(() =>
  (replies.value?.deliveries ?? []).filter((delivery) => needsALook(delivery, now.value)),
);

export function resend(delivery: Delivery): Promise<boolean> {
  return settle(delivery, "delivery.resend", "replies.resentNow");
}

export function drop(delivery: Delivery): Promise<boolean> {
  return settle(delivery, "delivery.cancel", "replies.droppedNow");
}

function settle(
  delivery: Delivery,
  method: string,
  said: "replies.resentNow" | "replies.droppedNow",
): Promise<boolean> {
  const { deliveryId } = delivery;
  const [params, name] = [{ deliveryId }, personName(delivery)];
  return act({ id: deliveryId, name, method, params, said, load: loadReplies });
}
