//! The one place that reads the clocks.

use std::time::Duration;

use cpo_core::time::Now;
use jiff::Timestamp;
use tokio::time::Instant;

/// Hands the time to the core.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    start: Instant,
}

impl Clock {
    /// A clock whose monotonic part begins now.
    pub(crate) fn start() -> Self {
        Self { start: Instant::now() }
    }

    /// The time.
    pub(crate) fn now(&self) -> Now {
        Now { wall: Timestamp::now(), mono: self.start.elapsed() }
    }

    /// The moment of a monotonic time of ours.
    pub(crate) fn at(&self, mono: Duration) -> Instant {
        self.start + mono
    }
}
