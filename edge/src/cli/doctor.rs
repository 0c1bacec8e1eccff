//! `moltbot doctor`: looks at everything a start needs and says what to do. Never prints a secret.

use super::{keys, say};
use crate::auth::access::Verifier;
use crate::exit::{Exit, Failure};
use crate::home;
use crate::limits::{DOCTOR_CHECK_MS_MAX, SELF_TEST_MS_MAX};
use crate::models;
use crate::settings::Settings;
use crate::stamp;
use moltbot_agent::Choice;
use moltbot_agent::model::KeyCheck;
use moltbot_channels::Channel as _;
use moltbot_channels::telegram::Telegram;
use moltbot_core::event::Event;
use moltbot_core::record::Record;
use moltbot_core::state::UnknownCritical;
use moltbot_store::checkpoint::{self, Audit};
use moltbot_store::error::{ErrorKind, StoreError};
use moltbot_store::replica::Replica;
use moltbot_store::settings::StoreSettings;
use moltbot_store::{orphans, restore, self_test};
use std::net::TcpListener;
use std::time::Duration;

/// One thing that was looked at: its name, and what is wrong with it if anything is.
type Finding = (&'static str, Result<String, String>);

pub(super) async fn run(settings: &Settings) -> Result<(), Failure> {
    let mut findings: Vec<Finding> = vec![
        ("home", check_home(settings)),
        ("token", check_token(settings)),
        ("port", check_port(settings)),
    ];
    // What is far away is asked at once: the slowest answer is all that one waits for.
    let (model, access, telegram, replica, keys) = tokio::join!(
        check_model(settings),
        check_access(settings),
        check_telegram(settings),
        in_time(check_replica(settings)),
        in_time(check_keys(settings)),
    );
    // Looks for what the check before may have made.
    let log = check_log(settings).await;
    findings.extend(model.map(|found| ("model", found)));
    findings.extend(access.into_iter().map(|found| ("access", found)));
    findings.extend(telegram.map(|found| ("telegram", found)));
    findings.push(("replica", replica));
    findings.push(("keys", keys));
    findings.extend(
        check_orphans(settings)
            .await
            .map(|found| ("orphans", found)),
    );
    findings.extend(log.map(|found| ("log", found)));
    let mut wrong = 0;
    for (name, finding) in &findings {
        match finding {
            Ok(text) => say(format_args!("ok     {name:8} {text}")),
            Err(text) => {
                wrong += 1;
                say(format_args!("WRONG  {name:8} {text}"));
            }
        }
    }
    if wrong == 0 {
        return Ok(());
    }
    Err(Failure::new(
        Exit::Configuration,
        format!("{wrong} of {} checks failed", findings.len()),
    ))
}

fn check_home(settings: &Settings) -> Result<String, String> {
    home::create(settings).map_err(|failure| failure.message)?;
    let probe = settings.home.join(".doctor");
    let written = std::fs::write(&probe, b"probe").and_then(|()| std::fs::remove_file(&probe));
    written.map_err(|error| format!("cannot write to {}: {error}", settings.home.display()))?;
    Ok(settings.home.display().to_string())
}

fn check_token(settings: &Settings) -> Result<String, String> {
    if settings.token.is_some() {
        return Ok("given by MOLTBOT_GATEWAY_TOKEN".to_owned());
    }
    if let Some(missing) = settings.missing_token() {
        return Err(missing);
    }
    Ok(format!("kept in {}", settings.home.join("token").display()))
}

fn check_port(settings: &Settings) -> Result<String, String> {
    let listen = settings.listen;
    match TcpListener::bind(listen) {
        Ok(_) => Ok(format!("{listen} is free")),
        Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => {
            Ok(format!("{listen} is in use, perhaps by the gateway itself"))
        }
        Err(error) => Err(format!(
            "cannot listen on {listen}: {error}; choose another --bind"
        )),
    }
}

/// Who answers and why, whether the key is taken, and what is set in part.
async fn check_model(settings: &Settings) -> impl Iterator<Item = Result<String, String>> {
    let (found, half_set) = match &settings.provider {
        Ok(choice) => (
            in_time(check_choice(choice)).await,
            models::half_set(choice),
        ),
        Err(error) => (Err(error.message()), Vec::new()),
    };
    std::iter::once(found).chain(half_set.into_iter().map(Err))
}

async fn check_choice(choice: &Choice) -> Result<String, String> {
    let Some(access) = &choice.access else {
        return Ok("the demo model; set ANTHROPIC_API_KEY for a real one".to_owned());
    };
    let variables = choice.provider.variables();
    let are = if variables.len() == 1 { "is" } else { "are" };
    let who = format!(
        "{} by {} at {}, because {} {are} set",
        access.model,
        access.provider,
        access.base_url,
        variables.join(" and ")
    );
    // The list of models costs nothing; it is asked for where the key would go anyway.
    match choice.check(models::settings()).await {
        Ok(Some(KeyCheck::Unknown { status })) => Ok(format!(
            "{who}; whether the key is right cannot be told (status {status})"
        )),
        Ok(_) => Ok(format!("{who}; the key is accepted")),
        Err(error) => Err(format!("{who}. {}", error.message())),
    }
}

/// What `/debug/access` would say of the variables: what is wrong with them, and whether the team's
/// keys can be fetched.
async fn check_access(settings: &Settings) -> Vec<Result<String, String>> {
    let access = &settings.access;
    let mut found: Vec<_> = access.problems.iter().cloned().map(Err).collect();
    match &access.team {
        Some(team) => {
            let denied = Verifier::new(team.clone()).unreachable().await;
            found.push(match denied {
                Some(denied) => Err(denied.to_string()),
                None => Ok(format!("tokens of {} are checked", team.issuer)),
            });
        }
        None if found.is_empty() => found.push(Ok(
            "Cloudflare Access is not configured; behind Cloudflare, set CF_ACCESS_TEAM_DOMAIN and CF_ACCESS_AUD"
                .to_owned(),
        )),
        None => {}
    }
    if let Some(name) = access.skipped_by {
        found.push(Ok(format!(
            "{name} is set: Access is skipped and whoever asks administers; never where others can reach this"
        )));
    }
    found
}

/// Who the bot is, if one is configured.
async fn check_telegram(settings: &Settings) -> Option<Result<String, String>> {
    let bot = settings.telegram.as_ref()?;
    let asked = async {
        let channel = Telegram::new(bot.token.reveal(), bot.api_url.clone())
            .map_err(|error| error.to_string())?;
        let account = channel
            .identify()
            .await
            .map_err(|error| error.to_string())?;
        let handle = account
            .handle
            .map_or(account.id.0, |handle| format!("@{handle}"));
        Ok(format!("the bot is {handle}, called {}", account.name))
    };
    Some(in_time(asked).await)
}

/// What a check found, or that nothing answered.
async fn in_time(check: impl Future<Output = Result<String, String>>) -> Result<String, String> {
    let limit = Duration::from_millis(DOCTOR_CHECK_MS_MAX);
    let found = tokio::time::timeout(limit, check).await;
    found.unwrap_or_else(|_| {
        Err(format!(
            "no answer in {} s; check the address and the network",
            limit.as_secs()
        ))
    })
}

/// What wraps the data keys, and whether all of them can be opened.
async fn check_keys(settings: &Settings) -> Result<String, String> {
    let replica = Replica::open(&settings.remote.url, &settings.remote.options)
        .map_err(|error| error.to_string())?;
    let survey = keys::survey(settings, &replica).await;
    let survey = survey.map_err(|error| error.to_string())?;
    keys::advice(&survey, &settings.master_keys)
}

/// Tails that did not get into the log, if there are any. Nothing is wrong with the gateway then,
/// but somebody's words may be in them.
async fn check_orphans(settings: &Settings) -> Option<Result<String, String>> {
    let replica = Replica::open(&settings.remote.url, &settings.remote.options).ok()?;
    let limit = Duration::from_millis(DOCTOR_CHECK_MS_MAX);
    let listed = tokio::time::timeout(limit, orphans::list(&replica)).await;
    let count = listed.ok()?.ok()?.len();
    (count > 0).then(|| {
        Ok(format!(
            "{count} under orphan/, with records that did not get into the log; see: moltbot log orphans list"
        ))
    })
}

/// Reads the whole log: is it whole, is it what was signed, does this version know all that it must?
/// Why it cannot be reached is for another check.
async fn check_log(settings: &Settings) -> Option<Result<String, String>> {
    let limit = Duration::from_millis(DOCTOR_CHECK_MS_MAX);
    match tokio::time::timeout(limit, Box::pin(read_log(settings))).await {
        Ok(Err(error)) if error.kind() == ErrorKind::Transient => None,
        Ok(found) => Some(found.unwrap_or_else(|error| Err(error.to_string()))),
        Err(_) => Some(Ok(format!(
            "too long to be read in {} s; see: moltbot log verify",
            limit.as_secs()
        ))),
    }
}

async fn read_log(settings: &Settings) -> Result<Result<String, String>, StoreError> {
    let replica = Replica::open(&settings.remote.url, &settings.remote.options)?;
    let mut audit = Audit::new(checkpoint::all(&replica).await?, None);
    let mut unknown = None;
    let mut see = |record: &Record| {
        audit.see(record);
        let is_unknown = || matches!(record.event(), Ok(Event::Unknown(_)));
        if record.critical && unknown.is_none() && is_unknown() {
            unknown = Some(UnknownCritical {
                seq: record.seq,
                kind: record.kind,
                version: record.version,
            });
        }
    };
    let bounds = StoreSettings::default();
    let verified = restore::verify_each(&replica, &bounds, &mut |_, _| {}, &mut see).await?;
    let report = audit.finish();
    if let Some(unknown) = unknown {
        return Ok(Err(unknown.to_string()));
    }
    if let Some(finding) = report.findings.first() {
        return Ok(Err(finding.to_string()));
    }
    let signed = report.newest.map_or_else(
        || "nothing of it signed yet".to_owned(),
        |newest| format!("signed up to #{}", newest.checkpoint.cursor.seq),
    );
    Ok(Ok(format!("{} events, whole, {signed}", verified.records)))
}

/// Tries what the log relies on, then looks at what is there. A directory is only looked at, as by
/// the gateway itself.
async fn check_replica(settings: &Settings) -> Result<String, String> {
    let replica = Replica::open(&settings.remote.url, &settings.remote.options)
        .map_err(|error| error.to_string())?;
    let is_remote = replica.kind.is_remote();
    if is_remote {
        let limit = Duration::from_millis(SELF_TEST_MS_MAX);
        let tested = self_test::run(&replica, &stamp::id(), limit).await;
        tested.map_err(|finding| finding.diagnosis.to_string())?;
    }
    let survey = restore::survey(&replica)
        .await
        .map_err(|error| error.to_string())?;
    let kind = if is_remote {
        " (creates, refuses to overwrite, reads, lists and deletes)"
    } else {
        " (on this machine only)"
    };
    Ok(format!(
        "{}{kind}, {} events, epoch {}",
        replica.location,
        survey.tail.cursor.seq,
        survey.epoch()
    ))
}
