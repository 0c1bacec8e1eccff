//! Clock and randomness of the gateway: read here, carried by every command from here on.

use moltbot_core::ids::{Entropy, hex};
use moltbot_core::time::Timestamp;
use ring::rand::{SecureRandom, SystemRandom};
use std::time::{SystemTime, UNIX_EPOCH};

/// The time.
pub fn now() -> Timestamp {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    Timestamp(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

/// Random bytes from the system.
///
/// # Panics
/// When the system has no randomness: nothing secret may be made then.
pub fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    let filled = SystemRandom::new().fill(&mut bytes);
    assert!(filled.is_ok(), "the system gives no randomness");
    bytes
}

/// Randomness for one command.
pub fn entropy() -> Entropy {
    Entropy(random())
}

/// A random id of 32 hex digits.
pub fn id() -> String {
    hex(&random::<16>())
}
