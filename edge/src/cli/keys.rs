//! `moltbot keys …`: how the data keys in the replica are wrapped. Needs no running gateway.

use super::say;
use crate::exit::Failure;
use crate::settings::Settings;
use clap::Subcommand;
use moltbot_store::error::StoreError;
use moltbot_store::keys::{self, KeySurvey, MasterKeys};
use moltbot_store::replica::Replica;
use moltbot_store::settings::StoreSettings;

#[derive(Subcommand)]
pub(super) enum Verb {
    /// Say how the data keys in the replica are wrapped, and what to do about it
    Status,
}

pub(super) async fn run(settings: &Settings, verb: Verb) -> Result<(), Failure> {
    let Verb::Status = verb;
    let replica = super::log::replica(settings)?;
    let survey = survey(settings, &replica).await?;
    let KeySurvey {
        plain,
        current,
        previous,
        ..
    } = &survey;
    let masters = &settings.master_keys;
    say(format_args!("plain      {plain}"));
    say(format_args!(
        "current    {current}  {}",
        named(masters.current.as_ref())
    ));
    say(format_args!(
        "previous   {previous}  {}",
        named(masters.previous.as_ref())
    ));
    say(format_args!("closed     {}", survey.closed.len()));
    say(format_args!("damaged    {}", survey.damaged.len()));
    for id in &survey.damaged {
        say(format_args!(
            "  keys/{id} is damaged; put it back from a backup of the bucket"
        ));
    }
    say(match advice(&survey, masters) {
        Ok(words) | Err(words) => words,
    });
    Ok(())
}

fn named(master: Option<&keys::MasterKey>) -> String {
    master.map_or("not set".to_owned(), |master| {
        format!("fingerprint {}", master.fingerprint())
    })
}

/// How the keys of a replica are wrapped.
pub(super) async fn survey(
    settings: &Settings,
    replica: &Replica,
) -> Result<KeySurvey, StoreError> {
    keys::survey(replica, &settings.master_keys, &StoreSettings::default()).await
}

/// What that means and what to do; an error when the gateway would not start.
pub(super) fn advice(survey: &KeySurvey, masters: &MasterKeys) -> Result<String, String> {
    let all = survey.plain + survey.current + survey.previous;
    if let Some(id) = survey.damaged.first() {
        return Err(format!(
            "`keys/{id}` is damaged; put it back from a backup of the bucket"
        ));
    }
    if !survey.closed.is_empty() {
        let count = survey.closed.len();
        let to_set = match (&masters.current, &masters.previous) {
            (None, _) => "MOLTBOT_MASTER_KEY",
            (Some(_), _) => "MOLTBOT_MASTER_KEY_PREVIOUS",
        };
        return Err(format!(
            "{count} data keys are wrapped by a master key that is not known here; set {to_set} to it"
        ));
    }
    let Some(master) = &masters.current else {
        return Ok(format!(
            "{all} data keys, plain; whoever reads the replica reads everything. Set MOLTBOT_MASTER_KEY to wrap them"
        ));
    };
    let fingerprint = master.fingerprint();
    match survey.plain + survey.previous {
        0 if masters.previous.is_some() => Ok(format!(
            "{all} data keys, wrapped by the master key {fingerprint}; MOLTBOT_MASTER_KEY_PREVIOUS is not needed any more"
        )),
        0 => Ok(format!(
            "{all} data keys, wrapped by the master key {fingerprint}"
        )),
        left => Ok(format!(
            "{left} of {all} data keys are not wrapped by the master key {fingerprint} yet; the next start of the gateway does that"
        )),
    }
}
