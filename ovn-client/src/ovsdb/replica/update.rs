//! `<table-updates2>` (ovsdb-server(7), "update2 notification"), read by the layout.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, Visitor};

use crate::ovsdb::schema::{Layout, Resolved};
use crate::ovsdb::value::decode::{DatumSeed, Text, UuidText};
use crate::ovsdb::value::{Datum, Uuid};

/// What one message changes, by table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Updates(pub Vec<TableUpdate>);

/// What one message changes in a table, by row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableUpdate {
    /// The table and its columns.
    pub layout: Arc<Layout>,
    /// The rows.
    pub rows: BTreeMap<Uuid, RowUpdate>,
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
            tables.push(TableUpdate { layout: layout.clone(), rows });
        }
        Ok(Updates(tables))
    }
}

struct TableSeed<'r>(&'r Layout);

impl<'de> DeserializeSeed<'de> for TableSeed<'_> {
    type Value = BTreeMap<Uuid, RowUpdate>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for TableSeed<'_> {
    type Value = BTreeMap<Uuid, RowUpdate>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("updates by row")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut rows = BTreeMap::new();
        while let Some(UuidText(uuid)) = map.next_key()? {
            rows.insert(uuid, map.next_value_seed(RowSeed(self.0))?);
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
                    for (index, datum) in map.next_value_seed(ColumnsSeed(self.0))? {
                        if let Some(column) = row.get_mut(index) {
                            *column = Some(datum);
                        }
                    }
                    RowUpdate::Insert(row)
                }
                Change::Modify => RowUpdate::Modify(map.next_value_seed(ColumnsSeed(self.0))?),
                Change::Delete => {
                    map.next_value::<IgnoredAny>()?;
                    RowUpdate::Delete
                }
            });
        }
        update.ok_or_else(|| A::Error::invalid_length(0, &self))
    }
}

struct ColumnsSeed<'r>(&'r Layout);

impl<'de> DeserializeSeed<'de> for ColumnsSeed<'_> {
    type Value = Vec<(usize, Datum)>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for ColumnsSeed<'_> {
    type Value = Vec<(usize, Datum)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("values by column")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut columns: Vec<(usize, Datum)> = Vec::new();
        while let Some(Text(name)) = map.next_key()? {
            let Some((index, ty)) = self.0.column(&name) else {
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            let datum = map.next_value_seed(DatumSeed(ty))?;
            match columns.iter_mut().find(|(other, _)| *other == index) {
                Some(column) => column.1 = datum,
                None => columns.push((index, datum)),
            }
        }
        Ok(columns)
    }
}
