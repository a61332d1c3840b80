//! From one state of the replica to the next.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Replica, Row, RowChange, RowUpdate, Table, TableUpdate, Updates};
use crate::ovsdb::schema::{ColumnType, Resolved};
use crate::ovsdb::value::{Datum, Uuid};

/// Why an update does not fit the replica, which is then worth nothing until it is replaced.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReplicaError {
    /// A row that is not there was modified.
    #[error("row {uuid} of table {table} was modified but is unknown")]
    UnknownRow {
        /// The table.
        table: Arc<str>,
        /// The row.
        uuid: Uuid,
    },
    /// A table that is not there was updated.
    #[error("table {0} was updated but is not monitored")]
    UnknownTable(Arc<str>),
}

impl Replica {
    /// Applies what changed since the last update, and tells what really did.
    ///
    /// # Errors
    /// The update does not fit: nothing of it is applied, and the replica must be replaced.
    pub fn apply(
        &mut self,
        updates: Updates,
        last_transaction: Option<Uuid>,
    ) -> Result<Vec<RowChange>, ReplicaError> {
        let mut changes = Vec::new();
        self.last_transaction = last_transaction;
        if let Err(error) = self.apply_tables(updates, &mut changes) {
            // Back the way it came: a copy to fall back on would have to be made each time.
            for change in changes.into_iter().rev() {
                self.set(&change.table, change.uuid, change.old);
            }
            self.last_transaction = None;
            return Err(error);
        }
        Ok(changes)
    }

    /// Takes these contents instead of the present ones, and tells what really differs.
    pub fn replace(
        &mut self,
        resolved: &Arc<Resolved>,
        contents: Updates,
        last_transaction: Option<Uuid>,
    ) -> Vec<RowChange> {
        self.supersede(Self::complete(resolved, contents, last_transaction))
    }

    /// A replica of these contents, which follows nobody yet. Most of the work of [`Replica::replace`]; it needs no replica
    /// to begin with, and may be done elsewhere.
    pub fn complete(
        resolved: &Arc<Resolved>,
        contents: Updates,
        last_transaction: Option<Uuid>,
    ) -> Self {
        let mut given: BTreeMap<Arc<str>, TableUpdate> =
            contents.0.into_iter().map(|update| (update.layout.table().clone(), update)).collect();
        let tables = resolved.layouts.iter().map(|layout| {
            let update = given.remove(layout.table());
            let rows = update.into_iter().flat_map(|TableUpdate { layout, rows }| {
                rows.into_iter().filter_map(move |(uuid, row)| match row {
                    RowUpdate::Insert(given) => Some(Row::complete(uuid, &layout, given)),
                    RowUpdate::Modify(_) | RowUpdate::Delete => None,
                })
            });
            Arc::new(Table::filled(layout.clone(), &resolved.indexes, rows.map(Arc::new)))
        });
        let tables = tables.collect();
        Self { tables, resolved: resolved.clone(), last_transaction, connected: false }
    }

    /// Becomes that one, and tells what really differs. Rows that are equal stay the same.
    pub fn supersede(&mut self, newest: Self) -> Vec<RowChange> {
        let before = std::mem::replace(self, Self { connected: self.connected, ..newest });
        let mut changes = Vec::new();
        for table in &mut self.tables {
            let (name, old) = (table.name().clone(), before.table(table.name()));
            Arc::make_mut(table).each(|row| match old.get(row.uuid()) {
                Some(old) if **old == **row => *row = old.clone(),
                old => changes.push(change(&name, row.uuid(), old.cloned(), Some(row.clone()))),
            });
        }
        for old in &before.tables {
            let table = self.table(old.name());
            let gone = old.iter().filter(|row| table.get(row.uuid()).is_none());
            changes.extend(gone.map(|row| change(old.name(), row.uuid(), Some(row.clone()), None)));
        }
        changes
    }

    fn set(&mut self, table: &str, uuid: Uuid, row: Option<Arc<Row>>) {
        let table = match self.find(table) {
            Ok(index) => self.tables.get_mut(index),
            Err(_) => None,
        };
        if let Some(table) = table.map(Arc::make_mut) {
            match row {
                Some(row) => drop(table.insert(row)),
                None => drop(table.remove(uuid)),
            }
        }
    }

    fn apply_tables(
        &mut self,
        updates: Updates,
        changes: &mut Vec<RowChange>,
    ) -> Result<(), ReplicaError> {
        for update in updates.0 {
            let name = update.layout.table();
            let table = match self.find(name) {
                Ok(index) => self.tables.get_mut(index),
                Err(_) => None,
            };
            let table = table.ok_or_else(|| ReplicaError::UnknownTable(name.clone()))?;
            let table = Arc::make_mut(table);
            for (uuid, row) in update.rows {
                let (old, new) = apply_row(table, uuid, row)?;
                if old != new {
                    changes.push(change(name, uuid, old, new));
                }
            }
        }
        Ok(())
    }
}

type Versions = (Option<Arc<Row>>, Option<Arc<Row>>);

/// Applies one row update and gives the row before and after it.
fn apply_row(table: &mut Table, uuid: Uuid, update: RowUpdate) -> Result<Versions, ReplicaError> {
    let new = match update {
        RowUpdate::Delete => return Ok((table.remove(uuid), None)),
        RowUpdate::Insert(given) => Row::complete(uuid, table.layout(), given),
        RowUpdate::Modify(columns) => {
            let Some(old) = table.get(uuid) else {
                return Err(ReplicaError::UnknownRow { table: table.name().clone(), uuid });
            };
            let types = table.layout().types();
            old.with(&columns, |index, old, difference| match types.get(index) {
                Some(ty) => apply_difference(ty, old, difference),
                None => difference.clone(),
            })
        }
    };
    let new = Arc::new(new);
    Ok((table.insert(new.clone()), Some(new)))
}

/// Applies a `modify` to one column.
fn apply_difference(ty: &ColumnType, old: &Datum, difference: &Datum) -> Datum {
    match (old, difference) {
        _ if ty.replaced_whole() => difference.clone(),
        (Datum::Set(old), Datum::Set(set)) => Datum::Set(old.symmetric_difference(set)),
        (Datum::Map(old), Datum::Map(map)) => Datum::Map(old.apply_difference(map)),
        // Values are read by the type of their column, so that the shapes agree.
        (Datum::Set(_), Datum::Map(_)) | (Datum::Map(_), Datum::Set(_)) => difference.clone(),
    }
}

fn change(table: &Arc<str>, uuid: Uuid, old: Option<Arc<Row>>, new: Option<Arc<Row>>) -> RowChange {
    RowChange { table: table.clone(), uuid, old, new }
}

#[cfg(test)]
mod tests;
