//! Jobs, how they end, and how far each Service has come.

use std::time::Duration;

use super::LAST_BACKOFF;
use super::chores::Chore;
use crate::effect::Effect;
use crate::ids::ServiceKey;
use crate::plan::{Plan, Since};
use crate::problem::Problem;
use crate::time::Now;

/// Calls for one tenant under way at a time, to its API server and the under cluster's.
const CALLS_PER_TENANT: usize = 24;
/// Jobs of one tenant for the Northbound database under way at a time: several transactions' worth,
/// so that the database never waits for us, and few enough that others' turns come soon.
const ROWS_PER_TENANT: usize = 256;

/// Plans of one Service in a row that may each have effects, within [`ROUNDS_PERIOD`]; more is a
/// fight with somebody, and is slowed down.
const ROUNDS_IN_A_ROW: u32 = 16;
/// After this long, plans are counted anew.
const ROUNDS_PERIOD: Duration = Duration::from_secs(30);

/// Number of a job.
pub type JobId = u64;

/// One effect to execute.
#[derive(Clone, Debug)]
pub struct Job {
    /// Its number, to be given back to [`Engine::done`](super::Engine::done).
    pub id: JobId,
    /// The Service it is for, if it is for one.
    pub service: Option<ServiceKey>,
    /// The effect.
    pub effect: Effect,
}

/// What an operator should read in the log: a Service's state as it was just told to its tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// The Service.
    pub service: ServiceKey,
    /// What stands against it, most severe first.
    pub problems: Vec<Problem>,
}

/// How a job ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Done, or nothing was left to do.
    Done,
    /// Not done; what it would have changed was handed in before this if it is known.
    Failed,
}

/// Who waits for a job.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Waiter {
    Service(ServiceKey, Lane),
    Chore(Chore),
    Nobody,
}

/// What a job waits for. Each has a bound of its own; a tenant with either at its bound waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Lane {
    /// An API server: one call for each job.
    Calls,
    /// The Northbound database: many jobs share a transaction.
    Rows,
}

/// Jobs of one tenant under way.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Load {
    calls: usize,
    rows: usize,
}

impl Load {
    /// Whether the tenant may have more under way.
    pub(super) const fn has_room(self) -> bool {
        self.calls < CALLS_PER_TENANT && self.rows < ROWS_PER_TENANT
    }

    pub(super) const fn begin(&mut self, lane: Lane) {
        let count = self.of(lane);
        *count = count.saturating_add(1);
    }

    pub(super) const fn end(&mut self, lane: Lane) {
        let count = self.of(lane);
        *count = count.saturating_sub(1);
    }

    const fn of(&mut self, lane: Lane) -> &mut usize {
        match lane {
            Lane::Calls => &mut self.calls,
            Lane::Rows => &mut self.rows,
        }
    }
}

/// How far a Service has come.
#[derive(Debug, Default)]
pub(super) struct Progress {
    pub(super) under_way: u32,
    pub(super) failed: bool,
    pub(super) failures: u32,
    pub(super) rounds: u32,
    pub(super) rounds_since: Duration,
    pub(super) not_before: Duration,
    pub(super) since: Since,
    /// Good news that holds when the plan under way is done.
    pub(super) hoped: Vec<Effect>,
    /// Good news that holds, to be told when nothing else is to be done.
    pub(super) news: Vec<Effect>,
}

impl Progress {
    /// Keeps since when each tolerated state lasts, and forgets those that ended.
    pub(super) fn remember(&mut self, plan: &Plan, now: Now) {
        self.since.retain(|wait, _| plan.waits.contains(wait));
        for wait in &plan.waits {
            self.since.entry(*wait).or_insert(now.mono);
        }
    }

    /// Counts a plan that has effects, and slows down after too many.
    pub(super) fn count_round(&mut self, now: Now) {
        if self.rounds == 0 || now.mono >= self.rounds_since + ROUNDS_PERIOD {
            (self.rounds, self.rounds_since) = (0, now.mono);
        }
        self.rounds += 1;
        if self.rounds > ROUNDS_IN_A_ROW {
            self.not_before = now.mono + LAST_BACKOFF / 10;
        }
    }
}

/// What is counted, for metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Live rows of ours that somebody else deleted.
    pub foreign_deletes: u64,
    /// Plans made.
    pub plans: u64,
    /// Jobs that failed.
    pub failures: u64,
}
