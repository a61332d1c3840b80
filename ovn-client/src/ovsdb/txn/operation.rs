//! Any operation.

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use super::reply::{Expectation, Expected};
use super::{Delete, Insert, Mutate, Select, Update, Wait};

/// One operation of a transaction.
#[derive(Clone, Debug, PartialEq)]
pub enum Operation {
    /// Adds a row.
    Insert(Insert),
    /// Sets columns of rows.
    Update(Update),
    /// Changes columns of rows relative to what they hold.
    Mutate(Mutate),
    /// Removes rows.
    Delete(Delete),
    /// Guards the transaction.
    Wait(Wait),
    /// Reads rows.
    Select(Select),
    /// Leaves a note in the server's log.
    Comment(String),
}

impl Operation {
    pub(crate) fn expectation(&self) -> Expectation {
        match self {
            Self::Insert(_) => Expectation::Inserted,
            Self::Update(Update { target, .. })
            | Self::Mutate(Mutate { target, .. })
            | Self::Delete(Delete { target }) => Expectation::Count(match target.count {
                Some(count) => Expected::Exactly(count),
                None => Expected::Any,
            }),
            Self::Wait(wait) => Expectation::Guard { fence: wait.is_fence() },
            Self::Select(select) => Expectation::Rows { table: select.table().clone() },
            Self::Comment(_) => Expectation::Nothing,
        }
    }
}

macro_rules! from {
    ($($operation:ident),*) => {$(
        impl From<$operation> for Operation {
            fn from(operation: $operation) -> Self {
                Self::$operation(operation)
            }
        }
    )*};
}
from!(Insert, Update, Mutate, Delete, Wait, Select);

impl Serialize for Operation {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        match self {
            Self::Insert(insert) => insert.write(&mut map)?,
            Self::Update(update) => update.write(&mut map)?,
            Self::Mutate(mutate) => mutate.write(&mut map)?,
            Self::Delete(delete) => delete.write(&mut map)?,
            Self::Wait(wait) => wait.write(&mut map)?,
            Self::Select(select) => select.write(&mut map)?,
            Self::Comment(text) => {
                map.serialize_entry("op", "comment")?;
                map.serialize_entry("comment", text)?;
            }
        }
        map.end()
    }
}
