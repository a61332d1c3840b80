//! Requests that wait for their answers.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Requests by number, which is the order in which they were asked, and since when they wait.
#[derive(Debug)]
pub(super) struct Unanswered {
    patience: Option<Duration>,
    since: BTreeMap<u64, Instant>,
}

impl Unanswered {
    pub(super) const fn new(patience: Option<Duration>) -> Self {
        Self { patience, since: BTreeMap::new() }
    }

    pub(super) fn ask(&mut self, request: u64, now: Instant) {
        self.since.insert(request, now);
    }

    pub(super) fn answer(&mut self, request: u64) {
        self.since.remove(&request);
    }

    /// When the oldest has waited for too long.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let (_, since) = self.since.first_key_value()?;
        self.patience.and_then(|patience| since.checked_add(patience))
    }
}
