//! Rows.

use std::fmt;
use std::sync::Arc;

use crate::ovsdb::schema::Layout;
use crate::ovsdb::value::{Datum, FromDatum, Uuid};

/// A row: its identifier and its columns, ascending by name.
#[derive(Clone, PartialEq, Eq)]
pub struct Row {
    uuid: Uuid,
    names: Arc<[Arc<str>]>,
    values: Box<[Datum]>,
}

impl Row {
    /// A row outside any replica, for example in a test.
    pub fn new<N: Into<Arc<str>>>(
        uuid: Uuid,
        columns: impl IntoIterator<Item = (N, Datum)>,
    ) -> Self {
        let mut columns: Vec<(Arc<str>, Datum)> =
            columns.into_iter().map(|(name, value)| (name.into(), value)).collect();
        columns.sort_by(|a, b| a.0.cmp(&b.0));
        columns.dedup_by(|a, b| a.0 == b.0);
        let (names, values): (Vec<_>, Vec<_>) = columns.into_iter().unzip();
        Self { uuid, names: names.into(), values: values.into() }
    }

    /// A row of this layout; columns not given hold their default.
    pub(super) fn complete(uuid: Uuid, layout: &Layout, mut given: Vec<Option<Datum>>) -> Self {
        let types = layout.types();
        given.resize(types.len(), None);
        let values = given.into_iter().zip(types);
        let values = values.map(|(given, ty)| given.unwrap_or_else(|| ty.default_datum()));
        Self { uuid, names: layout.names().clone(), values: values.collect() }
    }

    /// This row with some columns replaced by what `change` makes of them.
    pub(super) fn with(
        &self,
        columns: &[(usize, Datum)],
        change: impl Fn(usize, &Datum, &Datum) -> Datum,
    ) -> Self {
        let mut row = self.clone();
        for (index, difference) in columns {
            if let Some(value) = row.values.get_mut(*index) {
                *value = change(*index, value, difference);
            }
        }
        row
    }

    /// The row's identifier.
    pub fn uuid(&self) -> Uuid {
        self.uuid
    }

    /// The value of a column, if it is in the replica.
    pub fn get(&self, column: &str) -> Option<&Datum> {
        let index = self.names.binary_search_by(|name| (**name).cmp(column)).ok()?;
        self.values.get(index)
    }

    /// The value of a column as a Rust type, if it is in the replica and has that shape.
    pub fn read<T: FromDatum>(&self, column: &str) -> Option<T> {
        self.get(column).and_then(T::from_datum)
    }

    /// The value of a key in a map of strings, for example in `external_ids`.
    pub fn map_str(&self, column: &str, key: &str) -> Option<&str> {
        self.get(column)?.as_map()?.get_str(key)
    }

    /// The columns, ascending by name.
    pub fn columns(&self) -> impl Iterator<Item = (&str, &Datum)> {
        self.names.iter().map(AsRef::as_ref).zip(&self.values)
    }
}

impl fmt::Debug for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut map = f.debug_map();
        map.entry(&"_uuid", &self.uuid);
        map.entries(self.columns()).finish()
    }
}

/// How one row differs between two states of the replica. At least one of `old` and `new` is
/// there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowChange {
    /// The table of the row.
    pub table: Arc<str>,
    /// The row's identifier.
    pub uuid: Uuid,
    /// The row before; `None` if it was inserted.
    pub old: Option<Arc<Row>>,
    /// The row after; `None` if it was deleted.
    pub new: Option<Arc<Row>>,
}
