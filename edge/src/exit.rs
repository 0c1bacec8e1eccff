//! Exit codes, for people and for whatever supervises the process.

use moltbot_store::error::{ErrorKind, StoreError};

/// Why the process ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Everything was shipped, or there was nothing to do.
    Clean = 0,
    /// The command line was wrong.
    Usage = 2,
    /// The configuration is wrong; what to set was said.
    Configuration = 3,
    /// The log does not verify.
    CorruptLog = 4,
    /// Another gateway took the log over. Never restart automatically.
    Fenced = 5,
    /// The local disk failed.
    Disk = 6,
}

impl From<&StoreError> for Exit {
    fn from(error: &StoreError) -> Exit {
        match error.kind() {
            ErrorKind::Corrupt => Exit::CorruptLog,
            ErrorKind::Fenced => Exit::Fenced,
            ErrorKind::Disk | ErrorKind::Internal => Exit::Disk,
            ErrorKind::Invalid | ErrorKind::Transient => Exit::Configuration,
        }
    }
}

/// A failure that ends the process: its code and a sentence for a person.
#[derive(Debug)]
pub struct Failure {
    /// The exit code.
    pub exit: Exit,
    /// What happened, what it means, what helps.
    pub message: String,
}

impl Failure {
    /// A failure with its code and sentence.
    pub fn new(exit: Exit, message: impl Into<String>) -> Failure {
        Failure {
            exit,
            message: message.into(),
        }
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Failure {
        Failure::new(Exit::from(&error), error.to_string())
    }
}
