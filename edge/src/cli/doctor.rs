//! `moltbot doctor`: looks at everything a start needs and says what to do. Never prints a secret.

use super::say;
use crate::exit::{Exit, Failure};
use crate::home;
use crate::models;
use crate::settings::Settings;
use moltbot_agent::Choice;
use moltbot_agent::model::KeyCheck;
use moltbot_store::replica::Replica;
use moltbot_store::restore;
use std::net::TcpListener;

/// One thing that was looked at: its name, and what is wrong with it if anything is.
type Finding = (&'static str, Result<String, String>);

pub(super) async fn run(settings: &Settings) -> Result<(), Failure> {
    let mut findings: Vec<Finding> = vec![
        ("home", check_home(settings)),
        ("token", check_token(settings)),
        ("port", check_port(settings)),
    ];
    let model = check_model(settings).await;
    findings.extend(model.map(|found| ("model", found)));
    findings.push(("replica", check_replica(settings).await));
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
        Ok(choice) => (check_choice(choice).await, models::half_set(choice)),
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

async fn check_replica(settings: &Settings) -> Result<String, String> {
    let replica = Replica::open(&settings.remote.url, &settings.remote.options)
        .map_err(|error| error.to_string())?;
    let survey = restore::survey(&replica)
        .await
        .map_err(|error| error.to_string())?;
    let kind = if replica.kind.is_remote() {
        ""
    } else {
        " (on this machine only)"
    };
    let location = &replica.location;
    Ok(format!(
        "{location}{kind}, {} events, epoch {}",
        survey.tail.cursor.seq,
        survey.epoch()
    ))
}
