//! Models and the run driver.
//!
//! A *run* is one model turn: a [`ModelRequest`] goes in, deltas come out, and it
//! ends in exactly one [`RunOutcome`]. This crate talks to model providers and knows
//! nothing of the log, of channels or of serving HTTP: what a model may know about the log arrives as
//! plain data in [`LogFacts`].
//!
//! Invariants: nothing here reads the environment, a clock or randomness (time and seeds are passed
//! in; only the HTTP client honours the system's proxy settings); nothing here starts a task; dropping a stream or a run's future is always a clean stop; an API
//! key never appears in an error, a `Debug` text or a log line.
//!
//! Reading order: [`model`] (the seam), [`run`] (the driver), [`provider`] (which model answers),
//! [`context`] and [`prompt`] (what is asked), [`error`], [`settings`] (every bound). To add a
//! provider that speaks a known API, add a row to [`provider`]; for another API, implement [`Model`]
//! in a folder under `model/`.

mod calendar;
pub mod context;
pub mod error;
pub mod model;
pub mod prompt;
pub mod provider;
pub mod run;
pub mod secret;
pub mod settings;
#[cfg(any(test, feature = "testing"))]
pub mod testing;

pub use error::{ModelError, ModelErrorKind};
pub use model::{
    LogFacts, Model, ModelEvent, ModelInfo, ModelRequest, ModelStream, Role, StopReason, Turn,
    Usage,
};
pub use provider::{Choice, HalfSet, Provider};
pub use run::{Cancel, CancelHandle, RunLimits, RunOutcome, drive};
pub use settings::Settings;
