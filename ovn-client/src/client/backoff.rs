//! How long to wait before trying the endpoints again.

use std::time::Duration;

/// Waiting times that double from `min` to `max`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// The first.
    pub min: Duration,
    /// The longest.
    pub max: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { min: Duration::from_secs(1), max: Duration::from_secs(8) }
    }
}

impl Backoff {
    /// How long to wait after this many rounds in vain (from 1 on): between half of the doubled
    /// time and all of it, as `random` decides.
    pub(super) fn delay(self, rounds: u32, random: u32) -> Duration {
        let doubled = 2_u32.saturating_pow(rounds.saturating_sub(1).min(16));
        let full = self.min.saturating_mul(doubled).min(self.max);
        let half = full / 2;
        half.saturating_add(half.mul_f64(f64::from(random) / f64::from(u32::MAX)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiting_doubles_up_to_the_longest_and_is_scattered() {
        let delay = |rounds, random| Backoff::default().delay(rounds, random).as_millis();
        assert_eq!(
            [1, 2, 3, 4, 5, u32::MAX].map(|rounds| delay(rounds, u32::MAX)),
            [1000, 2000, 4000, 8000, 8000, 8000]
        );
        assert_eq!((delay(1, 0), delay(9, 0)), (500, 4000));
    }
}
