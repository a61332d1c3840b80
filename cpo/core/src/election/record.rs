//! What the replicas share, what is written there, and what is heard of it.

use std::time::Duration;

use jiff::Timestamp;

/// The record that the replicas share, as the server has it. The clock readings in it are for
/// people: those of other machines decide nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Changes with each write (`metadata.resourceVersion`).
    pub version: String,
    /// Who leads; empty where nobody does (`spec.holderIdentity`).
    pub holder: String,
    /// How long others leave it alone (`spec.leaseDurationSeconds`).
    pub lease: Option<Duration>,
    /// Since when the holder leads (`spec.acquireTime`).
    pub acquired: Option<Timestamp>,
    /// How often it went to another holder (`spec.leaseTransitions`).
    pub transitions: u32,
}

/// What to write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Who leads; empty to give it back.
    pub holder: String,
    /// How long others are to leave it alone.
    pub lease: Duration,
    /// Since when the holder leads; `None`: since now.
    pub acquired: Option<Timestamp>,
    /// How often it went to another holder.
    pub transitions: u32,
}

/// One call to the server. The next is given out when this one has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Call {
    /// Read the record; a consistent read, not one of a cache.
    Read,
    /// Create it.
    Create(Claim),
    /// Replace it, if it is still of this version.
    Replace {
        /// The version it must have.
        version: String,
        /// What to write.
        claim: Claim,
    },
}

/// How a call ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// What a read found; `None`: there is none.
    Read(Option<Record>),
    /// It was written, and is this now.
    Written(Record),
    /// It is of another version, exists already, or is gone: nothing was written.
    Conflict,
    /// Refused, or no answer in time: it may have been written all the same.
    Failed,
}

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// The call that was given out has ended.
    Ended(Answer),
    /// A watch says that the record is of this version, or is gone: reason to read it, no more.
    Told(Option<String>),
    /// Whether this replica could do the work: it has read everything, and reaches the database.
    Fit(bool),
    /// Another writer has taken what this term of leadership had taken.
    Fenced(u64),
    /// The process is to end.
    Stop,
}

/// A term of leadership of this replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Term {
    /// Counts this replica's terms, from 1.
    pub number: u64,
    /// It ends then at the latest (monotonic), unless it is renewed.
    pub until: Duration,
}

/// Why a term ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It could not be renewed in time.
    Deadline,
    /// The record names another holder, or none.
    Taken,
    /// This replica cannot do the work, and gives it to one that can.
    HandedOver,
    /// Another writer took the database.
    Fenced,
    /// The process is to end.
    Stopped,
}

/// Something to be logged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A term of this replica began.
    Began(u64),
    /// The term of this replica ended.
    Ended(u64, End),
    /// Another replica leads, or nobody (empty).
    Holder(String),
}
