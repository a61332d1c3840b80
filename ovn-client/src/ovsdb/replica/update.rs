//! `<table-updates2>` (ovsdb-server(7), "update2 notification"), read by the layout.

use std::fmt;
use std::sync::Arc;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, Visitor};

use crate::ovsdb::schema::{Layout, Resolved};
use crate::ovsdb::value::decode::{DatumSeed, Text, UuidText};
use crate::ovsdb::value::{Datum, Uuid};

/// What one message changes, by table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Updates(pub Vec<TableUpdate>);

impl Updates {
    /// How many rows change.
    pub fn rows(&self) -> usize {
        self.0.iter().map(|table| table.rows.len()).sum()
    }
}

/// What one message changes in a table, by row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableUpdate {
    pub(super) layout: Arc<Layout>,
    /// Ascending by UUID, each once.
    pub(super) rows: Vec<(Uuid, RowUpdate)>,
}

impl TableUpdate {
    /// What changes in the table of this layout; of rows that are there twice, the last counts.
    pub fn new(layout: Arc<Layout>, mut rows: Vec<(Uuid, RowUpdate)>) -> Self {
        if !rows.is_sorted_by(|(one, _), (next, _)| one < next) {
            rows.reverse();
            rows.sort_by_key(|(uuid, _)| uuid.as_u128());
            rows.dedup_by_key(|(uuid, _)| *uuid);
        }
        Self { layout, rows }
    }

    /// The table and its columns.
    pub fn layout(&self) -> &Arc<Layout> {
        &self.layout
    }

    /// The rows, ascending by UUID, each once.
    pub fn rows(&self) -> &[(Uuid, RowUpdate)] {
        &self.rows
    }
}

/// What happened to a row. Columns are given by their index in the layout.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RowUpdate {
    /// The row exists (`initial`) or was inserted: its value per column, `None` for the default.
    Insert(Vec<Option<Datum>>),
    /// Columns changed, each by this difference.
    Modify(Vec<(usize, Datum)>),
    /// The row is gone.
    Delete,
}

/// Reads updates; tables and columns that are not monitored are passed over.
#[derive(Clone, Copy)]
pub(crate) struct UpdatesSeed<'r>(pub(crate) &'r Resolved);

impl<'de> DeserializeSeed<'de> for UpdatesSeed<'_> {
    type Value = Updates;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Updates, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for UpdatesSeed<'_> {
    type Value = Updates;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("updates by table")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Updates, A::Error> {
        let mut tables: Vec<TableUpdate> = Vec::new();
        while let Some(Text(name)) = map.next_key()? {
            let Some(layout) = self.0.layout(&name) else {
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            let rows = map.next_value_seed(TableSeed(layout))?;
            tables.retain(|table| table.layout.table() != layout.table());
            tables.push(TableUpdate::new(layout.clone(), rows));
        }
        Ok(Updates(tables))
    }
}

struct TableSeed<'r>(&'r Layout);

impl<'de> DeserializeSeed<'de> for TableSeed<'_> {
    type Value = Vec<(Uuid, RowUpdate)>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for TableSeed<'_> {
    type Value = Vec<(Uuid, RowUpdate)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("updates by row")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut rows = Vec::new();
        while let Some(UuidText(uuid)) = map.next_key()? {
            rows.push((uuid, map.next_value_seed(RowSeed(self.0))?));
        }
        Ok(rows)
    }
}

struct RowSeed<'r>(&'r Layout);

#[derive(serde::Deserialize)]
#[serde(rename_all = "lowercase")]
enum Change {
    Initial,
    Insert,
    Modify,
    Delete,
}

impl<'de> DeserializeSeed<'de> for RowSeed<'_> {
    type Value = RowUpdate;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<RowUpdate, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for RowSeed<'_> {
    type Value = RowUpdate;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("one of initial, insert, modify, delete")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<RowUpdate, A::Error> {
        let mut update = None;
        while let Some(change) = map.next_key()? {
            update = Some(match change {
                Change::Initial | Change::Insert => {
                    let mut row = vec![None; self.0.types().len()];
                    let set = |index, datum| row.get_mut(index).map_or((), |c| *c = Some(datum));
                    map.next_value_seed(ColumnsSeed(self.0, set))?;
                    RowUpdate::Insert(row)
                }
                Change::Modify => {
                    let mut columns: Vec<(usize, Datum)> = Vec::new();
                    let set = |index, datum| match columns.iter_mut().find(|(i, _)| *i == index) {
                        Some(column) => column.1 = datum,
                        None => columns.push((index, datum)),
                    };
                    map.next_value_seed(ColumnsSeed(self.0, set))?;
                    RowUpdate::Modify(columns)
                }
                Change::Delete => {
                    map.next_value::<IgnoredAny>()?;
                    RowUpdate::Delete
                }
            });
        }
        update.ok_or_else(|| A::Error::invalid_length(0, &self))
    }
}

/// Hands each column, by its index in the layout, to where it belongs.
struct ColumnsSeed<'r, F>(&'r Layout, F);

impl<'de, F: FnMut(usize, Datum)> DeserializeSeed<'de> for ColumnsSeed<'_, F> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de, F: FnMut(usize, Datum)> Visitor<'de> for ColumnsSeed<'_, F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("values by column")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        while let Some(Text(name)) = map.next_key()? {
            let Some((index, ty)) = self.0.column(&name) else {
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            (self.1)(index, map.next_value_seed(DatumSeed(ty))?);
        }
        Ok(())
    }
}
