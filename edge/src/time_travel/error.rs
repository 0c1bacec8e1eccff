//! Why a moment cannot be shown.

use crate::exit::{Exit, Failure};
use moltbot_store::error::StoreError;
use thiserror::Error;

/// Why a moment cannot be shown.
#[derive(Debug, Error)]
pub enum TravelError {
    /// There is no such moment: tell the person.
    #[error("{0}")]
    NoSuchMoment(String),
    /// It takes longer than whoever asked may wait.
    #[error("this takes too long here; the command line has the time: moltbot log --help")]
    TooLong,
    /// The log cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<TravelError> for Failure {
    fn from(error: TravelError) -> Failure {
        match error {
            TravelError::NoSuchMoment(why) => Failure::new(Exit::Usage, why),
            TravelError::TooLong => Failure::new(Exit::Configuration, error.to_string()),
            TravelError::Store(error) => error.into(),
        }
    }
}
