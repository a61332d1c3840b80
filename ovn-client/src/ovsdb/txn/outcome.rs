//! What became of a transaction.

use std::collections::BTreeMap;
use std::fmt;

use crate::ovsdb::message::RpcError;
use crate::ovsdb::value::{Datum, Uuid};

/// What became of a transaction, sorted by what to do next.
#[derive(Clone, Debug, PartialEq)]
#[must_use]
pub enum Outcome {
    /// It is committed, and every count was as expected.
    Committed(Vec<OperationResult>),
    /// It is committed, **but operations matched another number of rows than expected**: read
    /// the replica and compute again.
    Mismatched {
        /// The results of all operations.
        results: Vec<OperationResult>,
        /// Where the counts differ; never empty.
        mismatches: Vec<CountMismatch>,
    },
    /// It is not committed, for a reason that may pass: compute again from the replica.
    Retry(TransactError),
    /// It is not committed because the fence failed: another process is the writer now.
    Fenced(TransactError),
    /// It is not committed and never will be as it is.
    Hard(TransactError),
    /// Whether it is committed is not known. Never send it again blindly: wait until the replica
    /// is in sync and compute again.
    Unknown(UnknownReason),
    /// It was not sent: there is no connection, or the replica is not complete yet.
    NotConnected,
}

impl Outcome {
    /// Whether the transaction is certainly committed.
    pub fn is_committed(&self) -> bool {
        match self {
            Self::Committed(_) | Self::Mismatched { .. } => true,
            Self::Retry(_)
            | Self::Fenced(_)
            | Self::Hard(_)
            | Self::Unknown(_)
            | Self::NotConnected => false,
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Committed(_) => f.write_str("committed"),
            Self::Mismatched { mismatches, .. } => {
                f.write_str("committed, but")?;
                mismatches.iter().try_for_each(|mismatch| write!(f, " {mismatch};"))
            }
            Self::Retry(error) => write!(f, "not committed for now: {error}"),
            Self::Fenced(error) => write!(f, "fenced: {error}"),
            Self::Hard(error) => write!(f, "refused: {error}"),
            Self::Unknown(reason) => write!(f, "unknown: {reason}"),
            Self::NotConnected => f.write_str("not connected"),
        }
    }
}

/// The result of one operation.
#[derive(Clone, Debug, PartialEq)]
pub enum OperationResult {
    /// The row that was inserted.
    Inserted(Uuid),
    /// How many rows matched.
    Count(u64),
    /// The rows that were read.
    Rows(Vec<SelectedRow>),
    /// Nothing to tell.
    Done,
}

/// A row that was read: its columns by name.
pub type SelectedRow = BTreeMap<String, Datum>;

/// An operation that matched another number of rows than expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CountMismatch {
    /// The index of the operation.
    pub operation: usize,
    /// How many rows should have matched.
    pub expected: u64,
    /// How many did.
    pub actual: u64,
}

impl fmt::Display for CountMismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { operation, expected, actual } = self;
        write!(f, "operation {operation} matched {actual} rows instead of {expected}")
    }
}

/// Why a transaction was not committed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransactError {
    /// The index of the operation that failed; `None` if it failed as a whole, at commit.
    pub operation: Option<usize>,
    /// What the server said.
    pub error: RpcError,
}

impl fmt::Display for TransactError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.operation {
            Some(operation) => write!(f, "operation {operation}: {}", self.error),
            None => self.error.fmt(f),
        }
    }
}

/// Why it is not known whether a transaction is committed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UnknownReason {
    /// The connection or the monitor ended before the reply.
    ConnectionLost,
    /// The reply could not be understood.
    Malformed(String),
    /// The cluster could not tell the server.
    Cluster(TransactError),
}

impl fmt::Display for UnknownReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ConnectionLost => f.write_str("the connection ended before the reply"),
            Self::Malformed(why) => write!(f, "the reply cannot be understood: {why}"),
            Self::Cluster(error) => error.fmt(f),
        }
    }
}
