//! Requests that wait for their answers.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// While an answer may be on its way in, a second more for so many bytes that have come of it: a
/// message that moves on is waited for, one that trickles is not.
const SLOWEST: usize = 16 * 1024;

/// Requests by number, which is the order in which they were asked.
#[derive(Debug)]
pub(super) struct Unanswered {
    patience: Option<Duration>,
    waiting: BTreeMap<u64, Waiting>,
}

/// What waits for an answer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Waiting {
    /// The method.
    pub(super) method: &'static str,
    /// When it was asked.
    pub(super) since: Instant,
}

impl Unanswered {
    pub(super) const fn new(patience: Option<Duration>) -> Self {
        Self { patience, waiting: BTreeMap::new() }
    }

    pub(super) fn ask(&mut self, request: u64, method: &'static str, now: Instant) {
        self.waiting.insert(request, Waiting { method, since: now });
    }

    pub(super) fn answer(&mut self, request: u64) {
        self.waiting.remove(&request);
    }

    /// What has waited longest.
    pub(super) fn oldest(&self) -> Option<Waiting> {
        self.waiting.first_key_value().map(|(_, waiting)| *waiting)
    }

    /// When it has waited for too long. `arriving` is how much there is of a message whose end has
    /// not come.
    pub(super) fn deadline(&self, arriving: usize) -> Option<Instant> {
        let more = u64::try_from(arriving / SLOWEST).map(Duration::from_secs).ok()?;
        let patience = self.patience?.checked_add(more)?;
        self.oldest()?.since.checked_add(patience)
    }
}
