//! How the connection is doing, for metrics and for people.

use std::sync::{Mutex, PoisonError};

use super::Endpoint;
use crate::ovsdb::session::Progress;
use crate::ovsdb::txn::Outcome;

/// How the connection is doing, and what was counted since the start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// The replica is complete and follows the server.
    pub connected: bool,
    /// The server that is, or was last, connected to.
    pub endpoint: Option<Endpoint>,
    /// Of a clustered database: which cluster, and how far its log was seen.
    pub progress: Progress,
    /// Connections that brought the replica in sync.
    pub connections: u64,
    /// Connections that could not be opened, would not do, or ended.
    pub failures: u64,
    /// Why the last of those failed or ended, for a reader.
    pub last_failure: Option<String>,
    /// What became of transactions.
    pub outcomes: Outcomes,
}

/// How many transactions came to each [`Outcome`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcomes {
    /// Committed.
    pub committed: u64,
    /// Committed, with other counts than expected.
    pub mismatched: u64,
    /// Not committed, for a reason that may pass.
    pub retry: u64,
    /// Not committed: another process is the writer.
    pub fenced: u64,
    /// Refused.
    pub hard: u64,
    /// Not known.
    pub unknown: u64,
    /// Not sent.
    pub not_connected: u64,
}

impl Outcomes {
    fn count(&mut self, outcome: &Outcome) {
        let counter = match outcome {
            Outcome::Committed(_) => &mut self.committed,
            Outcome::Mismatched { .. } => &mut self.mismatched,
            Outcome::Retry(_) => &mut self.retry,
            Outcome::Fenced(_) => &mut self.fenced,
            Outcome::Hard(_) => &mut self.hard,
            Outcome::Unknown(_) => &mut self.unknown,
            Outcome::NotConnected => &mut self.not_connected,
        };
        *counter += 1;
    }
}

/// The health, written by the driver and read by anybody.
#[derive(Debug, Default)]
pub(super) struct Pulse(Mutex<Health>);

impl Pulse {
    pub(super) fn read(&self) -> Health {
        self.with(|health| health.clone())
    }

    pub(super) fn count(&self, outcome: &Outcome) {
        self.with(|health| health.outcomes.count(outcome));
    }

    pub(super) fn synced(&self, progress: Progress) {
        self.with(|health| {
            health.connected = true;
            health.connections += 1;
            health.progress = progress;
        });
    }

    pub(super) fn progressed(&self, progress: Progress) {
        self.with(|health| health.progress = progress);
    }

    pub(super) fn visiting(&self, endpoint: &Endpoint) {
        self.with(|health| health.endpoint = Some(endpoint.clone()));
    }

    pub(super) fn lost(&self) {
        self.with(|health| health.connected = false);
    }

    pub(super) fn failed(&self, reason: &str, progress: Progress) {
        self.with(|health| {
            health.connected = false;
            health.failures += 1;
            health.last_failure = Some(reason.to_owned());
            health.progress = progress;
        });
    }

    fn with<T>(&self, read_or_write: impl FnOnce(&mut Health) -> T) -> T {
        // What a panicking thread left behind are counters: they are still good.
        read_or_write(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
