//! `delivery.*`: replies on their way to people on channels.
//!
//! Invariant: nothing is resent because of what is shown here; an operator asks for it, knowing that
//! the person may get the reply twice.

use super::{Caller, devices};
use crate::gateway::Running;
use crate::limits::DELIVERIES_LISTED_MAX;
use crate::present;
use crate::ws::frame::{Failure, Params};
use moltbot_core::command::Action;
use moltbot_core::delivery::{Delivery, DeliveryStatus};
use moltbot_core::ids::DeliveryId;
use serde_json::{Value, json};
use std::cmp::Reverse;

/// Replies without an outcome, newest first. Of more than [`DELIVERIES_LISTED_MAX`] those stay that
/// nobody but an operator can settle.
pub(super) fn list(running: &Running) -> Value {
    let (open, has_more) = running.view.read(|model| {
        let mut open: Vec<(&DeliveryId, &Delivery)> = model.state.deliveries.iter().collect();
        let has_more = open.len() > DELIVERIES_LISTED_MAX;
        open.sort_unstable_by_key(|(_, delivery)| {
            let is_unknown = delivery.status == DeliveryStatus::Unknown;
            (Reverse(is_unknown), Reverse(delivery.queued))
        });
        open.truncate(DELIVERIES_LISTED_MAX);
        open.sort_unstable_by_key(|(_, delivery)| Reverse(delivery.queued));
        let own = |(id, delivery): (&DeliveryId, &Delivery)| (id.clone(), delivery.clone());
        (open.into_iter().map(own).collect::<Vec<_>>(), has_more)
    });
    let row =
        |(id, delivery): &(DeliveryId, Delivery)| present::people::delivery(running, id, delivery);
    json!({
        "deliveries": open.iter().map(row).collect::<Vec<_>>(),
        "hasMore": has_more,
        "shippedSeq": running.shipped_seq(),
    })
}

pub(super) async fn resend(caller: &Caller, params: &Params) -> Result<Value, Failure> {
    settle(caller, params, |delivery| Action::ResendDelivery {
        delivery,
    })
    .await
}

pub(super) async fn cancel(caller: &Caller, params: &Params) -> Result<Value, Failure> {
    settle(caller, params, |delivery| Action::CancelDelivery {
        delivery,
    })
    .await
}

async fn settle(
    caller: &Caller,
    params: &Params,
    action: fn(DeliveryId) -> Action,
) -> Result<Value, Failure> {
    let delivery = DeliveryId::from(params.id("deliveryId")?);
    let mut answer = devices::act(caller, action(delivery.clone())).await?;
    answer["deliveryId"] = json!(delivery);
    Ok(answer)
}
