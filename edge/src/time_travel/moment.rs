//! Moments: a record by its seq, or a time by the clock of the log's writers.
//!
//! | text | means |
//! |---|---|
//! | `4711`, `#4711` | after this record |
//! | `2026-11-22T14:40:05Z`, `…+08:00` | after the last record up to this time (RFC 3339) |
//! | `2026-11-22 14:40` | the same, in the operator's time zone (seconds may be left out) |
//! | `2026-11-22` | the first moment of that day there |
//! | `90s ago`, `30m ago`, `2h ago`, `3d ago` | so long before now |
//! | `now`, `head` | after the newest record |
//!
//! Invariant: reads no clock; whoever parses says what time it is.

use crate::time_travel::error::TravelError;
use crate::time_travel::source::Source;
use moltbot_core::ids::Seq;
use moltbot_core::record::Record;
use moltbot_core::time::Timestamp;

const MINUTE_MS: i64 = 60_000;
const DAY_MS: i64 = 24 * 60 * MINUTE_MS;

/// A moment of the log, as a person names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// After this record.
    Seq(Seq),
    /// After the last record up to this time.
    Time(Timestamp),
    /// After the newest record.
    Head,
}

/// What is needed to understand a time: the clock and the operator's time zone.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    /// Now.
    pub now: Timestamp,
    /// Minutes east of UTC.
    pub utc_offset_minutes: i32,
}

impl Moment {
    /// Reads one of the forms above.
    pub fn parse(text: &str, clock: Clock) -> Result<Moment, TravelError> {
        let text = text.trim();
        let digits = text.strip_prefix('#').unwrap_or(text);
        if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) {
            // More digits than a number has are beyond any head.
            return Ok(Moment::Seq(Seq(digits.parse().unwrap_or(u64::MAX))));
        }
        if matches!(text, "now" | "head") {
            return Ok(Moment::Head);
        }
        let time = ago(text, clock.now).or_else(|| time(text, clock.utc_offset_minutes));
        time.map(Moment::Time).ok_or_else(|| {
            TravelError::NoSuchMoment(format!(
                "`{text}` is no moment; give a seq as 4711, a time as 2026-11-22T14:40:05Z or \
                 2026-11-22, or `2h ago`"
            ))
        })
    }

    /// The last record that counts at this moment.
    pub async fn record(self, source: &Source) -> Result<Record, TravelError> {
        let head = source.head().seq;
        let seq = match self {
            Moment::Seq(seq) => seq,
            Moment::Head => head,
            Moment::Time(at) => {
                let found = source.record_at(at).await?;
                return found.ok_or_else(|| before_all(at, head));
            }
        };
        let found = source.record(seq).await?;
        found.ok_or_else(|| beyond(seq, head))
    }
}

fn before_all(at: Timestamp, head: Seq) -> TravelError {
    TravelError::NoSuchMoment(if head == Seq::ZERO {
        "the log is empty: no moment of it can be shown".to_owned()
    } else {
        format!("the log begins after {at}; its first record is #1")
    })
}

fn beyond(seq: Seq, head: Seq) -> TravelError {
    TravelError::NoSuchMoment(match (seq, head) {
        (_, Seq::ZERO) => "the log is empty: no moment of it can be shown".to_owned(),
        (Seq::ZERO, _) => "there is no record #0; the log begins with #1".to_owned(),
        _ => format!("there is no record #{seq}; the log ends with #{head}"),
    })
}

/// `2h ago`.
fn ago(text: &str, now: Timestamp) -> Option<Timestamp> {
    let span = text.strip_suffix("ago")?.trim_end();
    let (at, unit) = span.char_indices().next_back()?;
    let unit_ms = match unit {
        's' => 1000,
        'm' => MINUTE_MS,
        'h' => 60 * MINUTE_MS,
        'd' => DAY_MS,
        _ => return None,
    };
    let count = span.get(..at)?.trim_end();
    let all_digits = !count.is_empty() && count.bytes().all(|byte| byte.is_ascii_digit());
    let count: i64 = count.parse().ok().filter(|_| all_digits)?;
    Some(now.plus_ms(count.checked_mul(unit_ms)?.checked_neg()?))
}

/// A date, with or without a time, with or without an offset.
fn time(text: &str, utc_offset_minutes: i32) -> Option<Timestamp> {
    let (date, rest) = text.split_at_checked(10)?;
    let day_ms = day(date)?.checked_mul(DAY_MS)?;
    let local_ms = i64::from(utc_offset_minutes) * MINUTE_MS;
    let (time_ms, offset_ms) = match rest.strip_prefix(['T', 't', ' ']) {
        None if rest.is_empty() => (0, local_ms),
        None => return None,
        Some(rest) => {
            let zone = rest.find(['Z', 'z', '+', '-']);
            let (time, zone) = rest.split_at(zone.unwrap_or(rest.len()));
            let offset = if zone.is_empty() {
                local_ms
            } else {
                offset(zone)?
            };
            (time_of_day(time)?, offset)
        }
    };
    Some(Timestamp(day_ms + time_ms - offset_ms))
}

/// The number of the day `YYYY-MM-DD`, counted from 1970-01-01 (the inverse of
/// [`civil_date`](moltbot_core::time::civil_date), by the same algorithms).
fn day(text: &str) -> Option<i64> {
    let mut parts = text.split('-');
    let (year, month) = (number(parts.next()?, 4)?, number(parts.next()?, 2)?);
    let day = number(parts.next()?, 2)?;
    if parts.next().is_some() || !(1..=12).contains(&month) || day < 1 {
        return None;
    }
    let year_from_march = year - i64::from(month <= 2);
    let era = year_from_march.div_euclid(400);
    let year_of_era = year_from_march.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    let days = era * 146_097 + day_of_era - 719_468;
    // A day that the month does not have comes out as one of the next month.
    (moltbot_core::time::civil_date(days) == (year, month, day)).then_some(days)
}

/// `HH:MM`, `HH:MM:SS` or `HH:MM:SS.fff…` in milliseconds.
fn time_of_day(text: &str) -> Option<i64> {
    let (clock, fraction) = match text.split_once('.') {
        Some((clock, fraction)) if clock.len() == 8 => (clock, fraction),
        Some(_) => return None,
        None => (text, "0"),
    };
    let parts: Vec<&str> = clock.split(':').collect();
    let (hours, minutes, seconds) = match parts.as_slice() {
        [h, m] => (number(h, 2)?, number(m, 2)?, 0),
        [h, m, s] => (number(h, 2)?, number(m, 2)?, number(s, 2)?),
        _ => return None,
    };
    let all_digits = !fraction.is_empty() && fraction.bytes().all(|byte| byte.is_ascii_digit());
    // RFC 3339 knows leap seconds, the log's clock does not.
    if hours > 23 || minutes > 59 || seconds > 60 || !all_digits {
        return None;
    }
    let ms: String = fraction.chars().chain("000".chars()).take(3).collect();
    Some((hours * 60 + minutes) * MINUTE_MS + seconds * 1000 + ms.parse::<i64>().ok()?)
}

/// `Z` or `+08:00`, in milliseconds east of UTC.
fn offset(text: &str) -> Option<i64> {
    let (sign, clock) = match text.split_at_checked(1)? {
        ("Z" | "z", "") => return Some(0),
        ("+", clock) => (1, clock),
        ("-", clock) => (-1, clock),
        _ => return None,
    };
    let (hours, minutes) = clock.split_once(':')?;
    let (hours, minutes) = (number(hours, 2)?, number(minutes, 2)?);
    (hours <= 23 && minutes <= 59).then_some(sign * (hours * 60 + minutes) * MINUTE_MS)
}

fn number(text: &str, digits: usize) -> Option<i64> {
    let is_one = text.len() == digits && text.bytes().all(|byte| byte.is_ascii_digit());
    is_one.then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLOCK: Clock = Clock {
        now: Timestamp(1_795_358_405_123), // 2026-11-22T14:40:05.123Z
        utc_offset_minutes: 480,
    };

    #[track_caller]
    fn check(text: &str, expected: &str) {
        let said = match Moment::parse(text, CLOCK) {
            Ok(Moment::Seq(seq)) => format!("#{seq}"),
            Ok(Moment::Time(at)) => at.rfc3339(),
            Ok(Moment::Head) => "head".to_owned(),
            Err(error) => error.to_string(),
        };
        assert!(said.starts_with(expected), "`{text}` is {said}");
    }

    #[test]
    fn seqs_times_days_and_spans_are_understood() {
        check("4711", "#4711");
        check(" #1 ", "#1");
        check("99999999999999999999999", "#18446744073709551615");
        check("now", "head");
        check("head", "head");
        check("2026-11-22T14:40:05.123Z", "2026-11-22T14:40:05.123Z");
        check("2026-11-22T14:40:05Z", "2026-11-22T14:40:05.000Z");
        check("2026-11-22t14:40:05.1z", "2026-11-22T14:40:05.100Z");
        check(
            "2026-11-22T22:40:05.123456+08:00",
            "2026-11-22T14:40:05.123Z",
        );
        check("2026-11-22T09:10:05-05:30", "2026-11-22T14:40:05.000Z");
        check("2026-11-22 22:40", "2026-11-22T14:40:00.000Z");
        check("2026-11-22T22:40:05", "2026-11-22T14:40:05.000Z");
        check("2026-11-22", "2026-11-21T16:00:00.000Z");
        check("2024-02-29T00:00Z", "2024-02-29T00:00:00.000Z");
        check("1970-01-01T00:00:00Z", "1970-01-01T00:00:00.000Z");
        check("1969-12-31T23:59:59.999Z", "1969-12-31T23:59:59.999Z");
        check("2h ago", "2026-11-22T12:40:05.123Z");
        check("90 s ago", "2026-11-22T14:38:35.123Z");
        check("30m ago", "2026-11-22T14:10:05.123Z");
        check("3d ago", "2026-11-19T14:40:05.123Z");
    }

    #[test]
    fn what_is_no_moment_is_said_to_be_none() {
        for text in [
            "",
            "#",
            "yesterday",
            "-1",
            "1.5",
            "2026-13-01",
            "2026-02-29",
            "2026-11-31",
            "2026-00-10",
            "2026-11-00",
            "26-11-22",
            "2026-11-22T",
            "2026-11-22T25:00Z",
            "2026-11-22T14:60Z",
            "2026-11-22T14Z",
            "2026-11-22T14:40:05.Z",
            "2026-11-22x",
            "2026-11-22T14:40.5Z",
            "2026-11-22T14:40+8",
            "2026-11-22T14:40+24:00",
            "ago",
            "h ago",
            "+2h ago",
            "2y ago",
            "99999999999999999999d ago",
            "2026-11-é2",
            "２h ago",
        ] {
            check(text, &format!("`{text}` is no moment"));
        }
    }
}
