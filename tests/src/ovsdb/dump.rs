//! What a database holds according to the reference client, to be compared with a replica.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use ovn_client::{Replica, Uuid};
use serde::Deserialize;
use serde_json::Value;

/// The rows of every table, by UUID; columns by name.
#[derive(Debug, Clone, PartialEq)]
pub struct Dump(BTreeMap<String, BTreeMap<Uuid, BTreeMap<String, Value>>>);

#[derive(Deserialize)]
struct Table {
    caption: String,
    headings: Vec<String>,
    data: Vec<Vec<Value>>,
}

impl Dump {
    /// Reads what `ovsdb-client --format=json dump` prints.
    pub(super) fn parse(text: &str) -> Result<Self> {
        let mut tables = BTreeMap::new();
        for table in serde_json::Deserializer::from_str(text).into_iter::<Table>() {
            let Table { caption, headings, data } = table?;
            let name = caption.strip_suffix(" table").context("a table without a name")?;
            let mut rows = BTreeMap::new();
            for cells in data {
                let mut row: BTreeMap<_, _> = headings.iter().cloned().zip(cells).collect();
                let uuid = row.remove("_uuid").context("a row without _uuid")?;
                let uuid = uuid.get(1).and_then(Value::as_str).context("no UUID")?;
                rows.insert(uuid.parse()?, row.into_iter().map(|(k, v)| (k, ordered(v))).collect());
            }
            tables.insert(name.to_owned(), rows);
        }
        Ok(Self(tables))
    }

    /// The rows of a table, by UUID.
    pub fn rows(&self, table: &str) -> impl Iterator<Item = Uuid> {
        self.0.get(table).into_iter().flatten().map(|(uuid, _)| *uuid)
    }

    /// A row of a table: its columns in OVSDB's JSON, sets and maps in the order of their text.
    pub fn row(&self, table: &str, uuid: Uuid) -> Option<&BTreeMap<String, Value>> {
        self.0.get(table)?.get(&uuid)
    }

    /// Holds that a replica has every row of its tables, and every column of it, and nothing more.
    ///
    /// # Errors
    /// At the first difference, with both values.
    pub fn equals(&self, replica: &Replica) -> Result<()> {
        ensure!(replica.connected(), "the replica does not follow");
        ensure!(replica.tables().next().is_some(), "the replica has no table");
        for table in replica.tables() {
            let name = &**table.name();
            let expected = self.0.get(name).with_context(|| format!("no table {name}"))?;
            for uuid in expected.keys() {
                ensure!(table.get(*uuid).is_some(), "{name} {uuid} is not in the replica");
            }
            for row in table.iter() {
                let uuid = row.uuid();
                let expected =
                    expected.get(&uuid).with_context(|| format!("{name} {uuid} is no more"))?;
                for (column, datum) in row.columns() {
                    let ours = ordered(serde_json::to_value(datum)?);
                    let theirs = expected.get(column);
                    ensure!(
                        theirs == Some(&ours),
                        "{name} {uuid} {column}: the replica has {ours}, the server {theirs:?}"
                    );
                }
            }
        }
        Ok(())
    }
}

/// The same value in the one form: one element bare, several in the order of their text.
fn ordered(value: Value) -> Value {
    match value {
        Value::Array(parts) => match (parts.first().and_then(Value::as_str), parts.get(1)) {
            (Some("set"), Some(Value::Array(elements))) if elements.len() == 1 => {
                elements.first().cloned().unwrap_or_default()
            }
            (Some(tag @ ("set" | "map")), Some(Value::Array(elements))) => {
                let mut elements = elements.clone();
                elements.sort_by_key(Value::to_string);
                serde_json::json!([tag, elements])
            }
            _ => Value::Array(parts),
        },
        other => other,
    }
}
