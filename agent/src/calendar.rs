//! The date and time of day at a given instant and offset; pure, proleptic Gregorian.
//!
//! It reads no clock and no time zone database: both arrive as numbers.

use moltbot_core::time::civil_date;
use std::fmt::Write as _;

const DAY_MS: i64 = 86_400_000;
const WEEKDAYS_EN: [&str; 7] = [
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
    "Sunday",
];
const WEEKDAYS_ZH: [&str; 7] = [
    "星期一",
    "星期二",
    "星期三",
    "星期四",
    "星期五",
    "星期六",
    "星期日",
];

/// An instant as a person at that offset reads it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LocalTime {
    day_number: i64,
    ms_of_day: i64,
    offset_minutes: i32,
}

impl LocalTime {
    /// `now_ms` counts from the Unix epoch, `offset_minutes` is east of UTC.
    pub(crate) fn at(now_ms: i64, offset_minutes: i32) -> Self {
        let local_ms = now_ms.saturating_add(i64::from(offset_minutes) * 60_000);
        Self {
            day_number: local_ms.div_euclid(DAY_MS),
            ms_of_day: local_ms.rem_euclid(DAY_MS),
            offset_minutes,
        }
    }

    /// `2026-11-22`.
    pub(crate) fn date(self) -> String {
        let (year, month, day) = civil_date(self.day_number);
        format!("{year:04}-{month:02}-{day:02}")
    }

    /// `14:05:09`.
    pub(crate) fn clock(self) -> String {
        let seconds = self.ms_of_day / 1000;
        format!(
            "{:02}:{:02}:{:02}",
            seconds / 3600,
            seconds / 60 % 60,
            seconds % 60
        )
    }

    /// `UTC`, `UTC+8` or `UTC-3:30`.
    pub(crate) fn offset(self) -> String {
        if self.offset_minutes == 0 {
            return "UTC".to_owned();
        }
        let sign = if self.offset_minutes < 0 { '-' } else { '+' };
        let minutes = self.offset_minutes.unsigned_abs();
        let mut text = format!("UTC{sign}{}", minutes / 60);
        if !minutes.is_multiple_of(60) {
            // Writing to a string cannot fail.
            let _ = write!(text, ":{:02}", minutes % 60);
        }
        text
    }

    /// `Monday`.
    pub(crate) fn weekday_en(self) -> &'static str {
        self.weekday(&WEEKDAYS_EN)
    }

    /// `星期一`.
    pub(crate) fn weekday_zh(self) -> &'static str {
        self.weekday(&WEEKDAYS_ZH)
    }

    fn weekday(self, names: &[&'static str; 7]) -> &'static str {
        // Day 0 of the epoch was a Thursday.
        let from_monday = (self.day_number + 3).rem_euclid(7);
        usize::try_from(from_monday)
            .ok()
            .and_then(|i| names.get(i))
            .copied()
            .unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(now_ms: i64, offset_minutes: i32, expected: &str) {
        let at = LocalTime::at(now_ms, offset_minutes);
        let text = format!(
            "{} {} {} {}",
            at.weekday_en(),
            at.date(),
            at.clock(),
            at.offset()
        );
        assert_eq!(text, expected);
    }

    #[test]
    fn instants_become_local_dates() {
        check(0, 0, "Thursday 1970-01-01 00:00:00 UTC");
        check(1_795_358_970_000, 0, "Sunday 2026-11-22 14:49:30 UTC");
        check(1_795_358_970_000, 600, "Monday 2026-11-23 00:49:30 UTC+10");
        check(951_782_400_000, -210, "Monday 2000-02-28 20:30:00 UTC-3:30");
        check(-1, 0, "Wednesday 1969-12-31 23:59:59 UTC");
        assert_eq!(LocalTime::at(0, 0).weekday_zh(), "星期四");
    }

    #[test]
    fn extreme_instants_do_not_overflow() {
        for now_ms in [i64::MIN, i64::MAX] {
            for offset in [i32::MIN, i32::MAX] {
                let at = LocalTime::at(now_ms, offset);
                assert!(!at.date().is_empty() && !at.clock().is_empty());
            }
        }
    }
}
