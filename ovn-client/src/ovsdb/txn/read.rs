//! Operations that change nothing.

use std::collections::BTreeMap;

use serde::ser::SerializeMap;

use super::{Condition, Name, pair};
use crate::ovsdb::value::{Datum, ToDatum, Uuid};

/// A guard: the transaction goes on only if the rows that match hold these values now
/// (RFC 7047 §5.2.6 with a timeout of zero).
#[derive(Clone, Debug, PartialEq)]
pub struct Wait {
    table: Name,
    conditions: Vec<Condition>,
    columns: BTreeMap<Name, Datum>,
    absent: bool,
    fence: bool,
}

impl Wait {
    /// This row exists, and holds what is added by [`holds`](Self::holds).
    pub fn row(table: impl Into<Name>, uuid: Uuid) -> Self {
        Self::matching(table, Condition::uuid(uuid)).holds("_uuid", &uuid)
    }

    /// At least one row meets the condition, and every one that does holds what is added by
    /// [`holds`](Self::holds).
    pub fn matching(table: impl Into<Name>, condition: Condition) -> Self {
        let (table, conditions) = (table.into(), vec![condition]);
        Self { table, conditions, columns: BTreeMap::new(), absent: false, fence: false }
    }

    /// No row meets the condition.
    pub fn absent(table: impl Into<Name>, condition: Condition) -> Self {
        let absent = Self::matching(table, condition).holds("_uuid", &Uuid::nil());
        Self { absent: true, ..absent }
    }

    /// Only rows that meet this condition as well.
    #[must_use]
    pub fn filter(mut self, condition: Condition) -> Self {
        self.conditions.push(condition);
        self
    }

    /// The row's column equals this value.
    #[must_use]
    pub fn holds(mut self, column: impl Into<Name>, value: &(impl ToDatum + ?Sized)) -> Self {
        self.columns.extend([pair(column, value)]);
        self
    }

    /// Makes this guard the fence: if it fails, this process is no longer the writer
    /// ([`Outcome::Fenced`](super::Outcome::Fenced)).
    #[must_use]
    pub fn fence(mut self) -> Self {
        self.fence = true;
        self
    }

    /// Whether this guard is the fence.
    pub fn is_fence(&self) -> bool {
        self.fence
    }

    pub(super) fn write<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        map.serialize_entry("op", "wait")?;
        map.serialize_entry("timeout", &0)?;
        map.serialize_entry("table", &self.table)?;
        map.serialize_entry("where", &self.conditions)?;
        map.serialize_entry("columns", &Vec::from_iter(self.columns.keys()))?;
        map.serialize_entry("until", "==")?;
        let rows: &[_] = if self.absent { &[] } else { &[&self.columns] };
        map.serialize_entry("rows", rows)
    }
}

/// Reads rows as they are within the transaction.
#[derive(Clone, Debug, PartialEq)]
pub struct Select {
    table: Name,
    conditions: Vec<Condition>,
    columns: Option<Vec<Name>>,
}

impl Select {
    /// All columns of all rows of a table.
    pub fn all(table: impl Into<Name>) -> Self {
        Self { table: table.into(), conditions: Vec::new(), columns: None }
    }

    /// Only rows that meet this condition as well.
    #[must_use]
    pub fn filter(mut self, condition: Condition) -> Self {
        self.conditions.push(condition);
        self
    }

    /// Only these columns.
    #[must_use]
    pub fn columns<N: Into<Name>>(mut self, columns: impl IntoIterator<Item = N>) -> Self {
        self.columns = Some(columns.into_iter().map(Into::into).collect());
        self
    }

    pub(super) fn table(&self) -> &Name {
        &self.table
    }

    pub(super) fn write<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        map.serialize_entry("op", "select")?;
        map.serialize_entry("table", &self.table)?;
        map.serialize_entry("where", &self.conditions)?;
        match &self.columns {
            Some(columns) => map.serialize_entry("columns", columns),
            None => Ok(()),
        }
    }
}
