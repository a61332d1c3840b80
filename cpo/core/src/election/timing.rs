//! How long a lease lasts, and when it is renewed.

use std::time::Duration;

/// Three lengths of time that have to fit together; as in other controllers, 15, 10 and 2 seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    lease: Duration,
    renew_deadline: Duration,
    retry: Duration,
}

/// Why lengths of time do not fit together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TimingError {
    /// The record holds whole seconds.
    #[error("the lease duration has to be whole seconds, one at least, and is {0:?}")]
    NotWholeSeconds(Duration),
    /// A holder would go on after others may have taken over.
    #[error(
        "the lease duration has to be longer than the renew deadline: {lease:?} is not longer \
         than {renew_deadline:?}"
    )]
    LeaseTooShort {
        /// The lease duration.
        lease: Duration,
        /// The renew deadline.
        renew_deadline: Duration,
    },
    /// One renewal that fails would be the last.
    #[error(
        "the renew deadline has to be longer than 1.2 times the retry period: {renew_deadline:?} \
         is not longer than 1.2 times {retry:?}"
    )]
    DeadlineTooShort {
        /// The renew deadline.
        renew_deadline: Duration,
        /// The retry period.
        retry: Duration,
    },
    /// Calls would follow each other without a pause.
    #[error("the retry period cannot be zero")]
    NoRetryPeriod,
}

impl Timing {
    /// Lengths of time that fit together: `lease` > `renew_deadline` > 1.2 × `retry` > 0.
    ///
    /// # Errors
    /// When they do not.
    pub fn new(
        lease: Duration,
        renew_deadline: Duration,
        retry: Duration,
    ) -> Result<Self, TimingError> {
        if lease.subsec_nanos() != 0 || lease.is_zero() {
            return Err(TimingError::NotWholeSeconds(lease));
        }
        if lease <= renew_deadline {
            return Err(TimingError::LeaseTooShort { lease, renew_deadline });
        }
        if renew_deadline.saturating_mul(5) <= retry.saturating_mul(6) {
            return Err(TimingError::DeadlineTooShort { renew_deadline, retry });
        }
        if retry.is_zero() {
            return Err(TimingError::NoRetryPeriod);
        }
        Ok(Self { lease, renew_deadline, retry })
    }

    /// How long others leave a record alone that does not change.
    #[must_use]
    pub const fn lease(&self) -> Duration {
        self.lease
    }

    /// How long a holder leads after the beginning of its last renewal.
    #[must_use]
    pub const fn renew_deadline(&self) -> Duration {
        self.renew_deadline
    }

    /// The time from one renewal to the next, and between two looks at the record of another.
    #[must_use]
    pub const fn retry(&self) -> Duration {
        self.retry
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn milliseconds(lease: u64, deadline: u64, retry: u64) -> Result<Timing, TimingError> {
        let [lease, deadline, retry] = [lease, deadline, retry].map(Duration::from_millis);
        Timing::new(lease, deadline, retry)
    }

    #[test]
    fn the_usual_lengths_fit() {
        assert!(milliseconds(15_000, 10_000, 2_000).is_ok());
    }

    #[test]
    fn lengths_that_do_not_fit_are_refused_with_both_named() {
        let text =
            |lease, deadline, retry| milliseconds(lease, deadline, retry).unwrap_err().to_string();
        assert!(text(10_000, 10_000, 2_000).contains("10s is not longer than 10s"));
        assert!(text(15_000, 10_000, 8_334).contains("10s is not longer than 1.2 times 8.334s"));
        assert!(milliseconds(15_000, 10_000, 8_333).is_ok());
        assert!(text(1_500, 1_000, 100).contains("whole seconds"));
        assert!(text(0, 0, 0).contains("whole seconds"));
        assert!(text(15_000, 10_000, 0).contains("cannot be zero"));
    }
}
