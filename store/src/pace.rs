//! How often: the PUT budget and the waits between retries.
//!
//! Invariant: no clock and no randomness from outside; time comes in as milliseconds that never go
//! back, jitter from a seed.

use crate::settings::StoreSettings;

/// A token bucket over PUTs. Running dry slows shipping down, it never stops it.
#[derive(Debug, Clone)]
pub(crate) struct Budget {
    tokens: u32,
    burst: u32,
    refill_ms: u64,
    refilled_at: u64,
}

impl Budget {
    pub(crate) fn new(settings: &StoreSettings, now_ms: u64) -> Budget {
        Budget {
            tokens: settings.put_burst,
            burst: settings.put_burst,
            refill_ms: settings.put_refill_ms.max(1),
            refilled_at: now_ms,
        }
    }

    pub(crate) fn refill(&mut self, now_ms: u64) {
        let earned = now_ms.saturating_sub(self.refilled_at) / self.refill_ms;
        self.refilled_at += earned * self.refill_ms;
        let earned = u32::try_from(earned).unwrap_or(u32::MAX);
        self.tokens = self.tokens.saturating_add(earned).min(self.burst);
        if self.tokens == self.burst {
            self.refilled_at = self.refilled_at.max(now_ms);
        }
    }

    pub(crate) fn spend(&mut self) {
        self.tokens = self.tokens.saturating_sub(1);
    }

    pub(crate) fn tokens(&self) -> u32 {
        self.tokens
    }

    /// When there will be a token; in the past when there is one.
    pub(crate) fn token_at(&self) -> u64 {
        if self.tokens > 0 {
            return 0;
        }
        self.refilled_at.saturating_add(self.refill_ms)
    }
}

/// Waits that double, with jitter, for as long as something fails.
#[derive(Debug, Clone)]
pub(crate) struct Backoff {
    failures: u32,
    ms_min: u64,
    ms_max: u64,
    random: u64,
}

impl Backoff {
    pub(crate) fn new(settings: &StoreSettings, seed: u64) -> Backoff {
        Backoff {
            failures: 0,
            ms_min: settings.retry_ms_min.max(1),
            ms_max: settings.retry_ms_max.max(1),
            random: seed,
        }
    }

    pub(crate) fn reset(&mut self) {
        self.failures = 0;
    }

    /// How long to wait after one more failure: between half the step and the whole of it.
    pub(crate) fn next_ms(&mut self) -> u64 {
        let step = self
            .ms_min
            .saturating_mul(1 << self.failures.min(20))
            .min(self.ms_max);
        self.failures = self.failures.saturating_add(1);
        let half = step / 2;
        half + self.random() % (step - half + 1)
    }

    /// The splitmix64 sequence.
    fn random(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.random;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_budget_refills_to_its_burst_and_no_further() {
        let mut budget = Budget::new(&StoreSettings::default(), 0);
        for _ in 0..40 {
            budget.spend();
        }
        assert_eq!((budget.tokens(), budget.token_at()), (0, 2600));
        budget.refill(2599);
        assert_eq!(budget.tokens(), 0);
        budget.refill(5300);
        assert_eq!(budget.tokens(), 2);
        budget.refill(10_000_000);
        assert_eq!(budget.tokens(), 30);
    }

    #[test]
    fn waits_grow_to_the_longest_and_start_again() {
        let mut backoff = Backoff::new(&StoreSettings::default(), 7);
        assert!((100..=200).contains(&backoff.next_ms()));
        for _ in 0..40 {
            backoff.next_ms();
        }
        assert!((15_000..=30_000).contains(&backoff.next_ms()));
        backoff.reset();
        assert!(backoff.next_ms() <= 200);
    }
}
