//! Operations that change rows.

use std::collections::BTreeMap;

use serde::Serialize;
use serde::ser::SerializeMap;

use super::{Columns, Condition, Name, pair};
use crate::ovsdb::value::{Datum, ToDatum, Uuid};

/// The rows an operation is about, and how many there must be.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Target {
    pub(super) table: Name,
    conditions: Vec<Condition>,
    pub(super) count: Option<u64>,
}

impl Target {
    fn new(table: impl Into<Name>) -> Self {
        Self { table: table.into(), conditions: Vec::new(), count: None }
    }

    fn write<M: SerializeMap>(&self, operation: &str, map: &mut M) -> Result<(), M::Error> {
        map.serialize_entry("op", operation)?;
        map.serialize_entry("table", &self.table)?;
        map.serialize_entry("where", &self.conditions)
    }
}

/// The builder methods that `Update`, `Mutate` and `Delete` share.
macro_rules! target {
    ($operation:ident) => {
        impl $operation {
            /// The row of this identifier.
            pub fn row(table: impl Into<Name>, uuid: Uuid) -> Self {
                Self::all(table).filter(Condition::uuid(uuid))
            }

            /// Only rows that meet this condition as well.
            #[must_use]
            pub fn filter(mut self, condition: Condition) -> Self {
                self.target.conditions.push(condition);
                self
            }

            /// How many rows must match. The server commits whatever matches, even nothing: a
            /// different count is told by [`Outcome::Mismatched`](super::Outcome), afterwards.
            #[must_use]
            pub fn expect_count(mut self, count: u64) -> Self {
                self.target.count = Some(count);
                self
            }
        }
    };
}
target!(Update);
target!(Mutate);
target!(Delete);

/// How a new row is known.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Identity {
    Uuid(Uuid),
    Name(String),
}

/// Adds a row.
#[derive(Clone, Debug, PartialEq)]
pub struct Insert {
    pub(super) table: Name,
    identity: Identity,
    pub(super) columns: BTreeMap<Name, Datum>,
}

impl Insert {
    /// A row of this identifier; columns not set hold their default.
    pub fn new(table: impl Into<Name>, uuid: Uuid) -> Self {
        Self { table: table.into(), identity: Identity::Uuid(uuid), columns: BTreeMap::new() }
    }

    /// A row whose identifier the server draws. Within the transaction it goes by this name
    /// ([`NamedUuid`](crate::NamedUuid)), a letter or `_` and then letters, digits and `_`
    /// (RFC 7047 §3.1, `<id>`). A repetition makes another row: where the outcome may be unknown,
    /// use [`new`](Self::new).
    pub fn named(table: impl Into<Name>, name: impl Into<String>) -> Self {
        let identity = Identity::Name(name.into());
        Self { table: table.into(), identity, columns: BTreeMap::new() }
    }

    /// A typed row under its own identifier. Columns that hold their default are left out: the
    /// server fills them in, and an older one may not know them.
    pub fn row(row: &impl Columns) -> Self {
        let columns = row.filled().into_iter().map(|(name, value)| (name.into(), value)).collect();
        Self { table: row.table().into(), identity: Identity::Uuid(row.uuid()), columns }
    }

    /// Sets a column.
    #[must_use]
    pub fn set(mut self, column: impl Into<Name>, value: &(impl ToDatum + ?Sized)) -> Self {
        self.columns.extend([pair(column, value)]);
        self
    }

    /// The identifier of the row; `None` if the server draws it.
    pub fn uuid(&self) -> Option<Uuid> {
        match &self.identity {
            Identity::Uuid(uuid) => Some(*uuid),
            Identity::Name(_) => None,
        }
    }

    pub(super) fn write<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        map.serialize_entry("op", "insert")?;
        map.serialize_entry("table", &self.table)?;
        match &self.identity {
            Identity::Uuid(uuid) => {
                let mut text = Uuid::encode_buffer();
                map.serialize_entry("uuid", &*uuid.hyphenated().encode_lower(&mut text))?;
            }
            Identity::Name(name) => map.serialize_entry("uuid-name", name)?,
        }
        map.serialize_entry("row", &self.columns)
    }
}

/// Sets columns of the rows that match.
#[derive(Clone, Debug, PartialEq)]
pub struct Update {
    pub(super) target: Target,
    pub(super) columns: BTreeMap<Name, Datum>,
}

impl Update {
    /// All rows of a table.
    pub fn all(table: impl Into<Name>) -> Self {
        Self { target: Target::new(table), columns: BTreeMap::new() }
    }

    /// What turns a typed row into another of the same identifier: the columns that differ, of
    /// exactly one row. `None` if there are none.
    pub fn changed<R: Columns>(old: &R, new: &R) -> Option<Self> {
        let differing = old.columns().into_iter().zip(new.columns());
        let columns: BTreeMap<Name, Datum> = differing
            .filter(|(old, new)| old != new)
            .map(|(_, (name, value))| (name.into(), value))
            .collect();
        let update = Self::row(old.table(), old.uuid()).expect_count(1);
        (!columns.is_empty()).then_some(Self { columns, ..update })
    }

    /// Sets a column.
    #[must_use]
    pub fn set(mut self, column: impl Into<Name>, value: &(impl ToDatum + ?Sized)) -> Self {
        self.columns.extend([pair(column, value)]);
        self
    }

    pub(super) fn write<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        self.target.write("update", map)?;
        map.serialize_entry("row", &self.columns)
    }
}

/// Changes columns of the rows that match, relative to what they hold.
#[derive(Clone, Debug, PartialEq)]
pub struct Mutate {
    pub(super) target: Target,
    mutations: Vec<(Name, Mutator, Datum)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
enum Mutator {
    #[serde(rename = "insert")]
    Insert,
    #[serde(rename = "delete")]
    Remove,
    #[serde(rename = "+=")]
    Add,
}

impl Mutate {
    /// All rows of a table.
    pub fn all(table: impl Into<Name>) -> Self {
        Self { target: Target::new(table), mutations: Vec::new() }
    }

    /// Adds elements to a set, or pairs to a map. **A key that is there keeps its value**: remove
    /// it first, in the same operation.
    #[must_use]
    pub fn insert(self, column: impl Into<Name>, value: &(impl ToDatum + ?Sized)) -> Self {
        self.mutation(column, Mutator::Insert, value)
    }

    /// Removes elements from a set; from a map the pairs, or by a set the keys whatever their
    /// value.
    #[must_use]
    pub fn remove(self, column: impl Into<Name>, value: &(impl ToDatum + ?Sized)) -> Self {
        self.mutation(column, Mutator::Remove, value)
    }

    /// Adds to a number.
    #[must_use]
    pub fn add(self, column: impl Into<Name>, addend: i64) -> Self {
        self.mutation(column, Mutator::Add, &addend)
    }

    fn mutation(
        mut self,
        column: impl Into<Name>,
        mutator: Mutator,
        value: &(impl ToDatum + ?Sized),
    ) -> Self {
        let (column, value) = pair(column, value);
        self.mutations.push((column, mutator, value));
        self
    }

    pub(super) fn write<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        self.target.write("mutate", map)?;
        map.serialize_entry("mutations", &self.mutations)
    }
}

/// Removes the rows that match.
#[derive(Clone, Debug, PartialEq)]
pub struct Delete {
    pub(super) target: Target,
}

impl Delete {
    /// All rows of a table.
    pub fn all(table: impl Into<Name>) -> Self {
        Self { target: Target::new(table) }
    }

    pub(super) fn write<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        self.target.write("delete", map)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ovsdb::txn::Operation;
    use crate::ovsdb::value::NamedUuid;

    #[test]
    fn a_row_may_be_named_within_its_transaction() {
        let json = |operation: Operation| serde_json::to_value(operation).unwrap();
        let insert = json(Insert::named("T", "new").set("name", "x").into());
        assert_eq!((&insert["uuid-name"], insert.get("uuid")), (&"new".into(), None));
        let refer = Insert::named("T", "other").set("next", &NamedUuid("new".to_owned()));
        assert_eq!(json(refer.into())["row"]["next"], serde_json::json!(["named-uuid", "new"]));
    }
}
