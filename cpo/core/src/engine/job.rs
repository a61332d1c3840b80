//! Jobs, how they end, and how far each Service has come.

use std::time::Duration;

use super::chores::Chore;
use crate::effect::Effect;
use crate::ids::ServiceKey;
use crate::plan::Since;
use crate::problem::Problem;

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
    Service(ServiceKey),
    Chore(Chore),
    Nobody,
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
