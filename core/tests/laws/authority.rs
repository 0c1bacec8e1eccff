//! Laws on authority: nobody gets what nobody may give.

use super::driver::Gateway;
use super::generate::{step, steps};
use super::universe::{command, device, intro, peer, principal};
use super::{START_MS, Taken, walk};
use moltbot_core::actor::{Actor, Scope, Scopes};
use moltbot_core::command::{Action, DmPolicy};
use moltbot_core::decide::{Decision, scopes_of};
use moltbot_core::event::Event;
use moltbot_core::state::State;
use proptest::prelude::*;
use proptest::sample::select;

proptest! {
    #[test]
    fn no_sequence_of_commands_by_non_operators_gives_anyone_a_right(
        steps in proptest::collection::vec(step(outsider().prop_map(Some)), 1..40),
    ) {
        let mut gateway = founded();
        let founded = gateway.state.clone();
        walk(&mut gateway, &steps, |Taken { command, answer, after, .. }| {
            let Ok(Decision::Events(events)) = answer else { return Ok(()) };
            for event in events {
                prop_assert!(!gives_or_takes(event) || let_in_by_policy(event, &command.action), "{event:?}");
            }
            prop_assert_eq!(&after.state.devices.paired, &founded.devices.paired);
            prop_assert_eq!(&after.state.config, &founded.config);
            Ok(())
        })?;
    }

    #[test]
    fn rights_change_only_by_who_has_them(steps in steps()) {
        walk(&mut Gateway::default(), &steps, |taken| {
            let Ok(Decision::Events(events)) = taken.answer else { return Ok(()) };
            events.iter().try_for_each(|event| is_authorised(&taken, event))
        })?;
    }

    #[test]
    fn a_device_never_revokes_the_last_administrator(steps in steps()) {
        walk(&mut Gateway::default(), &steps, |Taken { before, command, after, .. }| {
            let left = administrators(&after.state);
            let by_device = matches!(command.actor, Actor::Device(_));
            prop_assert!(!by_device || administrators(before) == 0 || left > 0);
            Ok(())
        })?;
    }
}

/// A gateway with an administrator (device 0), a device that may talk (1), and a person who was
/// let in (0).
fn founded() -> Gateway {
    let mut gateway = Gateway::default();
    let mut does = |at: i64, actor: Actor, action: Action| {
        let answer = gateway.submit(&command(START_MS - 100 + at, actor, action));
        answer.expect("the founder may");
        gateway.state.clone()
    };
    let redeem = |n, scopes: &[Scope]| Action::RedeemGrant {
        intro: intro(n, Scopes::of(scopes)),
    };
    does(0, Actor::Grant, redeem(0, &[Scope::Admin]));
    does(
        1,
        Actor::Grant,
        redeem(1, &[Scope::Write, Scope::Approvals]),
    );
    let knock = Action::ReceiveFromPeer {
        channel: "telegram".into(),
        account: "bot".into(),
        name: "Li".into(),
        text: "hello".into(),
        run: "first".into(),
        policy: DmPolicy::Pairing,
    };
    does(2, Actor::Peer(peer(0)), knock);
    let approve = Action::ApprovePeer {
        peer: peer(0),
        is_operator: true,
    };
    does(3, Actor::Device(device(0)), approve);
    gateway
}

fn outsider() -> impl Strategy<Value = Actor> {
    let devices = (1..4_u8).map(|n| Actor::Device(device(n)));
    let peers = (0..4_u8).map(|n| Actor::Peer(peer(n)));
    // Nobody ever said who these are.
    let unnamed = (0..4_u8).map(|n| Actor::Access(principal(n)));
    select(devices.chain(peers).chain(unnamed).collect::<Vec<_>>())
}

fn gives_or_takes(event: &Event) -> bool {
    matches!(
        event,
        Event::DeviceApproved(_)
            | Event::DeviceRejected(_)
            | Event::DeviceRevoked(_)
            | Event::DeviceTokenRotated(_)
            | Event::PeerApproved(_)
            | Event::PeerBlocked(_)
            | Event::ConfigChanged(_)
            | Event::DeliveryResent(_)
            | Event::ContentForgotten(_)
            | Event::DataKeysDeleted(_)
            | Event::FileWritten(_)
            | Event::FileDeleted(_)
            | Event::DirectoryCreated(_)
            | Event::WriterStarted(_)
    )
}

fn let_in_by_policy(event: &Event, action: &Action) -> bool {
    let open = matches!(
        action,
        Action::ReceiveFromPeer {
            policy: DmPolicy::Open,
            ..
        }
    );
    open && matches!(event, Event::PeerApproved(e) if !e.is_operator)
}

fn is_authorised(taken: &Taken, event: &Event) -> Result<(), TestCaseError> {
    let Taken {
        before, command, ..
    } = taken;
    let actor = &command.actor;
    let may = |scope| scopes_of(before, actor).grants(scope);
    match event {
        Event::DeviceApproved(e) => {
            let Some(request) = &e.request else {
                let by_ticket = matches!(actor, Actor::Access(_));
                prop_assert!(*actor == Actor::Grant || by_ticket && may(Scope::Admin));
                return Ok(());
            };
            prop_assert!(may(Scope::Pairing));
            let asked = &before.devices.pending[request].asked;
            let had = scopes_of(before, &Actor::Device(e.device.clone()));
            let given = e
                .scopes
                .names()
                .filter(|name| !had.names().any(|h| h == *name));
            let given = Scopes::from_names(given);
            prop_assert!(scopes_of(before, actor).covers(&given));
            prop_assert!(asked.scopes.covers(&given));
            prop_assert_eq!(given.known(), given);
            prop_assert!(e.scopes.covers(&had));
        }
        Event::DeviceRevoked(e) => {
            let target = scopes_of(before, &Actor::Device(e.device.clone()));
            prop_assert!(may(Scope::Pairing) && scopes_of(before, actor).covers(&target));
        }
        Event::DeviceRejected(_) | Event::DeviceTokenRotated(_) | Event::PeerBlocked(_) => {
            prop_assert!(may(Scope::Pairing));
        }
        Event::PeerApproved(e) => {
            let approved = may(Scope::Pairing) && (!e.is_operator || may(Scope::Write));
            prop_assert!(approved || let_in_by_policy(event, &command.action));
        }
        Event::ConfigChanged(_)
        | Event::DeliveryResent(_)
        | Event::FileWritten(_)
        | Event::FileDeleted(_)
        | Event::DirectoryCreated(_) => prop_assert!(may(Scope::Admin)),
        Event::DeliveryCancelled(_) => {
            // What waits for a person goes with the request or the person himself.
            let goes_along = !matches!(command.action, Action::CancelDelivery { .. });
            prop_assert!(goes_along || may(Scope::Admin));
        }
        Event::MessageReceived(_) => {
            let let_in = matches!(actor, Actor::Peer(_))
                && matches!(command.action, Action::ReceiveFromPeer { .. });
            prop_assert!(let_in || may(Scope::Write));
        }
        Event::RunCancelled(_) => prop_assert!(may(Scope::Write)),
        Event::PrincipalIdentified(_) => prop_assert_eq!(actor, &Actor::System),
        Event::ContentForgotten(_) => prop_assert!(may(Scope::Admin)),
        Event::RunFailed(_) => {
            let goes_along = matches!(command.action, Action::Forget { .. });
            prop_assert!(*actor == Actor::System || goes_along && may(Scope::Admin));
        }
        Event::RunCompleted(_)
        | Event::DeliveryConfirmed(_)
        | Event::DataKeysDeleted(_)
        | Event::MasterKeyRotated(_) => {
            prop_assert_eq!(actor, &Actor::System);
        }
        _ => {}
    }
    Ok(())
}

fn administrators(state: &State) -> usize {
    let paired = state.devices.paired.values();
    paired
        .filter(|device| device.scopes.grants(Scope::Admin))
        .count()
}
