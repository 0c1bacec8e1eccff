use super::*;
use crate::testing::{Scene, device, intro, say};

fn ask(name: &str, scopes: &[Scope]) -> Action {
    Action::RequestDevicePairing {
        intro: intro(name, scopes),
        address: "203.0.113.7".into(),
    }
}

fn approve(scene: &Scene, name: &str, scopes: Option<&[Scope]>) -> Action {
    Action::ApproveDevice {
        request: scene.request(name),
        scopes: scopes.map(Scopes::of),
    }
}

fn revoke(name: &str) -> Action {
    Action::RevokeDevice {
        device: name.into(),
    }
}

fn rotate(name: &str) -> Action {
    Action::RotateDeviceToken {
        device: name.into(),
    }
}

/// A founded scene in which `new` has asked for these scopes.
fn asked(scopes: &[Scope]) -> Scene {
    let mut scene = Scene::founded();
    scene.check(
        &device("new"),
        ask("new", scopes),
        "device_pairing_requested",
    );
    scene
}

#[test]
fn an_approved_device_has_what_it_asked_for() {
    let mut scene = asked(&[Scope::Write]);
    scene.check(&device("new"), say("main", "r", "hi"), "!missing_scope");
    let action = approve(&scene, "new", None);
    scene.check(&device("admin"), action, "device_approved");
    assert_eq!(scene.scopes("new"), Scopes::of(&[Scope::Write]));
    assert!(scene.state.devices.pending.is_empty());
}

#[test]
fn a_narrowed_approval_gives_less_and_never_more() {
    let mut scene = asked(&[Scope::Write, Scope::Pairing]);
    let action = approve(&scene, "new", Some(&[Scope::Read, Scope::Admin]));
    scene.check(&Actor::Local, action, "device_approved");
    assert_eq!(scene.scopes("new"), Scopes::of(&[Scope::Read]));
    let asked = &scene.state.devices.paired[&DeviceId::from("new")].asked;
    assert_eq!(*asked, Scopes::of(&[Scope::Write, Scope::Pairing]));
}

#[test]
fn a_scope_upgrade_keeps_the_older_scopes_and_the_token() {
    let mut scene = Scene::founded();
    scene.check(&Actor::Local, rotate("talker"), "device_token_rotated");
    let upgrade = ask("talker", &[Scope::Approvals]);
    scene.check(&device("talker"), upgrade, "device_pairing_requested");
    let action = approve(&scene, "talker", None);
    scene.check(&Actor::Local, action, "device_approved");
    assert_eq!(
        scene.scopes("talker"),
        Scopes::of(&[Scope::Write, Scope::Approvals])
    );
    let talker = &scene.state.devices.paired[&DeviceId::from("talker")];
    assert_eq!((talker.token_generation, talker.roles.len()), (1, 1));
}

#[test]
fn nobody_gives_or_takes_more_than_he_has() {
    let mut scene = asked(&[Scope::Pairing]);
    let action = approve(&scene, "new", None);
    scene.check(&device("talker"), action.clone(), "!missing_scope");
    scene.check(&Actor::Local, action, "device_approved");
    let wider = ask("new", &[Scope::Admin]);
    scene.check(&device("new"), wider, "device_pairing_requested");
    let itself = approve(&scene, "new", None);
    scene.check(&device("new"), itself, "!scope_too_wide");
    scene.check(&device("new"), revoke("admin"), "!scope_too_wide");
    scene.check(&device("new"), rotate("admin"), "!scope_too_wide");
    scene.check(&device("new"), rotate("new"), "device_token_rotated");
}

#[test]
fn scopes_that_this_version_does_not_know_are_asked_for_but_never_given() {
    let mut scene = Scene::founded();
    let mut intro = intro("new", &[]);
    intro.scopes = Scopes::from_names(["operator.read", "operator.talk"]);
    let redeem = Action::RedeemGrant {
        intro: intro.clone(),
    };
    let address = String::new();
    let ask = Action::RequestDevicePairing { intro, address };
    scene.check(&device("new"), ask, "device_pairing_requested");
    let action = approve(&scene, "new", None);
    scene.check(&device("admin"), action, "device_approved");
    assert_eq!(scene.scopes("new"), Scopes::of(&[Scope::Read]));
    let asked = &scene.state.devices.paired[&DeviceId::from("new")].asked;
    assert!(asked.names().any(|name| name == "operator.talk"));
    scene.check(&Actor::Grant, redeem, "device_approved");
    assert_eq!(scene.scopes("new"), Scopes::of(&[Scope::Read]));
    scene.check(&device("admin"), revoke("new"), "device_revoked");
}

#[test]
fn a_request_that_lapsed_cannot_be_approved() {
    let mut scene = asked(&[Scope::Read]);
    let action = approve(&scene, "new", None);
    scene.now_ms += DEVICE_REQUEST_TTL_MS;
    scene.check(&Actor::Local, action, "!unknown_request");
    scene.check(&Actor::System, Action::ExpirePairings, "pairing_expired");
    scene.check(&Actor::System, Action::ExpirePairings, "");
}

#[test]
fn a_rejected_request_cannot_be_approved() {
    let mut scene = asked(&[Scope::Read]);
    let action = approve(&scene, "new", None);
    let request = scene.request("new");
    scene.check(
        &Actor::Local,
        Action::RejectDevice { request },
        "device_rejected",
    );
    scene.check(&Actor::Local, action, "!unknown_request");
}

#[test]
fn a_device_that_asks_again_has_one_request() {
    let mut scene = asked(&[Scope::Read]);
    scene.check(&device("new"), ask("new", &[Scope::Read]), "");
    let changed = ask("new", &[Scope::Write]);
    let expected = "pairing_expired device_pairing_requested";
    scene.check(&device("new"), changed, expected);
    assert_eq!(scene.state.devices.pending.len(), 1);
}

#[test]
fn a_revoked_device_loses_its_scopes_at_once() {
    let mut scene = Scene::founded();
    scene.check(
        &device("talker"),
        ask("talker", &[Scope::Admin]),
        "device_pairing_requested",
    );
    scene.check(&device("admin"), revoke("talker"), "device_revoked");
    scene.check(&device("talker"), say("main", "r", "hi"), "!missing_scope");
    assert!(scene.scopes("talker").is_empty());
    assert!(scene.state.devices.pending.is_empty());
    scene.check(&device("admin"), revoke("talker"), "!unknown_device");
}

#[test]
fn the_last_administrator_is_revoked_on_the_machine_only() {
    let mut scene = Scene::founded();
    scene.check(&device("admin"), revoke("admin"), "!last_operator");
    scene.check(&Actor::Local, revoke("admin"), "device_revoked");
}

#[test]
fn a_device_speaks_for_itself_only_and_keeps_its_key() {
    let mut scene = Scene::founded();
    scene.check(
        &device("talker"),
        ask("new", &[Scope::Read]),
        "!not_allowed",
    );
    scene.check(&Actor::Local, ask("new", &[Scope::Read]), "!not_allowed");
    let mut other_key = intro("admin", &[Scope::Admin]);
    other_key.public_key = vec![9; 32];
    let redeem = Action::RedeemGrant { intro: other_key };
    scene.check(&device("admin"), redeem.clone(), "!not_allowed");
    scene.check(&Actor::Grant, redeem, "!bad_device");
}

#[test]
fn only_so_many_devices_wait() {
    let mut scene = Scene::default();
    for n in 0..DEVICE_REQUESTS_MAX {
        let name = format!("d{n}");
        scene.check(
            &device(&name),
            ask(&name, &[Scope::Read]),
            "device_pairing_requested",
        );
    }
    scene.check(
        &device("new"),
        ask("new", &[Scope::Read]),
        "!too_many_requests",
    );
    scene.now_ms += DEVICE_REQUEST_TTL_MS;
    let expected = format!("{}device_pairing_requested", "pairing_expired ".repeat(32));
    scene.check(&device("new"), ask("new", &[Scope::Read]), &expected);
}

#[test]
fn a_description_has_bounds() {
    let check = |change: fn(&mut DeviceIntro)| {
        let mut intro = intro("new", &[Scope::Read]);
        change(&mut intro);
        let actor = Actor::Device(intro.device.clone());
        let address = String::new();
        let action = Action::RequestDevicePairing { intro, address };
        Scene::default().check(&actor, action, "!bad_device");
    };
    check(|intro| intro.public_key = vec![1; 31]);
    check(|intro| intro.name = "é".repeat(NAME_CHARS_MAX + 1));
    check(|intro| intro.role = "r".repeat(ID_BYTES_MAX + 1));
    check(|intro| intro.device = "d".repeat(ID_BYTES_MAX + 1).into());
    check(|intro| intro.scopes = Scopes::from_names((0..33).map(|n| n.to_string())));
}
