//! `moltbot doctor`: looks at everything a start needs and says what to do. Never prints a secret.

use super::say;
use crate::exit::{Exit, Failure};
use crate::home;
use crate::models;
use crate::settings::{Provider, Settings};
use moltbot_store::replica::Replica;
use moltbot_store::restore;
use std::net::TcpListener;

/// One thing that was looked at: its name, and what is wrong with it if anything is.
type Finding = (&'static str, Result<String, String>);

pub(super) async fn run(settings: &Settings) -> Result<(), Failure> {
    let findings: [Finding; 5] = [
        ("home", check_home(settings)),
        ("token", check_token(settings)),
        ("port", check_port(settings)),
        ("model", check_model(settings)),
        ("replica", check_replica(settings).await),
    ];
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

fn check_model(settings: &Settings) -> Result<String, String> {
    let model = models::build(settings)
        .map_err(|failure| failure.message)?
        .info();
    let advice = match settings.provider {
        Provider::Demo => "; set ANTHROPIC_API_KEY for a real one",
        Provider::Anthropic { .. } => "",
    };
    Ok(format!("{} by {}{advice}", model.model, model.provider))
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
