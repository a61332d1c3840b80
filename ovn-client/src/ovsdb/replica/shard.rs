//! A part of a table, in one piece of memory.

use std::sync::Arc;

use super::Row;
use crate::ovsdb::value::Uuid;

/// Rows in ascending order of their UUIDs. It is copied as a whole when it changes while an older
/// state is held, and small enough for that: in one piece it is copied, and searched, fastest.
#[derive(Clone, Debug, Default)]
pub(super) struct Shard(Vec<(Uuid, Arc<Row>)>);

impl Shard {
    /// Of rows that are in order, each once.
    pub(super) fn ascending(rows: impl Iterator<Item = Arc<Row>>) -> Self {
        let mut rows: Vec<_> = rows.map(|row| (row.uuid(), row)).collect();
        rows.shrink_to_fit();
        Self(rows)
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn get(&self, uuid: Uuid) -> Option<&Arc<Row>> {
        let place = self.place(uuid).ok()?;
        self.0.get(place).map(|(_, row)| row)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Arc<Row>> {
        self.0.iter().map(|(_, row)| row)
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Arc<Row>> {
        self.0.iter_mut().map(|(_, row)| row)
    }

    /// Stores a row and gives back the one it replaces.
    pub(super) fn insert(&mut self, row: Arc<Row>) -> Option<Arc<Row>> {
        match self.place(row.uuid()) {
            Ok(place) => {
                let (_, before) = self.0.get_mut(place)?;
                Some(std::mem::replace(before, row))
            }
            Err(place) => {
                self.0.insert(place, (row.uuid(), row));
                None
            }
        }
    }

    /// Removes a row and gives it back.
    pub(super) fn remove(&mut self, uuid: Uuid) -> Option<Arc<Row>> {
        let place = self.place(uuid).ok()?;
        Some(self.0.remove(place).1)
    }

    fn place(&self, uuid: Uuid) -> Result<usize, usize> {
        self.0.binary_search_by_key(&uuid.as_u128(), |(uuid, _)| uuid.as_u128())
    }
}
