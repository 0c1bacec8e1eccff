//! Bounds and waits of this crate, with their units.

use std::time::Duration;

/// Messages that one reply may become, on any platform.
pub const PIECES_MAX: usize = 16;
/// Characters of what a platform said that an error keeps.
pub const EXCERPT_CHARS_MAX: usize = 200;
/// Characters of a person's name as the platform shows it.
pub const NAME_CHARS_MAX: usize = 80;
/// How long connecting to a platform may take.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the platform may take to answer, on top of what it was asked to wait.
pub const ANSWER_TIMEOUT: Duration = Duration::from_secs(20);
/// How long one wait for updates lasts.
pub const POLL_SECS: u32 = 25;
/// The pause after a platform had nothing and answered without waiting, so that nobody asks it
/// thousands of times a second.
pub const EMPTY_PAUSE: Duration = Duration::from_millis(500);
/// Idle connections are closed before the platform does it: a request on a connection that the
/// other side is closing ends as "perhaps sent".
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(15);
/// Bytes of one answer of a platform.
pub const ANSWER_BYTES_MAX: usize = 8 * 1024 * 1024;
/// The pause after a platform asked for one without saying how long.
pub const PAUSE_DEFAULT_MS: u64 = 5_000;
/// The longest pause that is believed; more is asked for again.
pub const PAUSE_MS_MAX: u64 = 60 * 60 * 1_000;
