//! The variables of the log and its replica.

use super::wrong;
use crate::exit::Failure;
use moltbot_store::settings::StoreSettings;

/// What `MOLTBOT_SHIP_LINGER_MS` may be: shorter only makes more requests, longer only loses more.
const LINGER_MS: std::ops::RangeInclusive<u64> = 10..=60_000;

/// The bounds and rhythm of the store, as far as they can be set from outside.
///
/// `MOLTBOT_SHIP_LINGER_MS`: how long a record waits for others before it is shipped, always; without
/// it the wait is short while the budget of requests lasts and a second after that.
pub(super) fn store(env: &dyn Fn(&str) -> Option<String>) -> Result<StoreSettings, Failure> {
    let mut settings = StoreSettings::default();
    let Some(text) = env("MOLTBOT_SHIP_LINGER_MS") else {
        return Ok(settings);
    };
    match text.parse().ok().filter(|ms| LINGER_MS.contains(ms)) {
        Some(ms) => {
            settings.linger_ms = ms;
            settings.linger_idle_ms = ms;
            Ok(settings)
        }
        None => Err(wrong(
            "MOLTBOT_SHIP_LINGER_MS must be a number of milliseconds from 10 to 60000",
        )),
    }
}
