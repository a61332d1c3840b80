//! The time, as handed to the core.

use std::time::Duration;

use jiff::Timestamp;

/// The moment of a decision: the wall clock for what is written into objects, a monotonic clock
/// (counted from any fixed moment) for waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// Wall clock.
    pub wall: Timestamp,
    /// Monotonic clock.
    pub mono: Duration,
}

impl Now {
    /// The wall clock as objects carry it: RFC 3339, whole seconds, UTC.
    #[must_use]
    pub fn rfc3339(&self) -> String {
        rfc3339(self.wall)
    }
}

/// RFC 3339 in whole seconds, UTC: `metav1.Time`.
#[must_use]
pub fn rfc3339(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}
