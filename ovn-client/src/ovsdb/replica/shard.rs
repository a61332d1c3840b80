//! A part of a table.

use std::sync::Arc;

use super::Row;
use super::chunks::{Chunks, Keyed};
use crate::ovsdb::value::Uuid;

/// Rows in ascending order of their UUIDs. It is copied as a whole when it changes while an older
/// state is held: in one piece it is copied, and searched, fastest. With more rows than that is
/// good for, as there are only where UUIDs are not random, it is in chunks.
#[derive(Clone, Debug)]
pub(super) enum Shard {
    Few(Vec<Entry>),
    Many(Chunks<Entry>),
}

/// A row, and its UUID where the search for it needs it.
#[derive(Clone, Debug)]
pub(super) struct Entry(Uuid, Arc<Row>);

/// So many rows are in one piece.
const FEW: usize = 512;

impl Keyed for Entry {
    fn key(&self) -> u128 {
        self.0.as_u128()
    }
}

impl Default for Shard {
    fn default() -> Self {
        Self::Few(Vec::new())
    }
}

impl Shard {
    /// Of rows that are in order, each once.
    pub(super) fn ascending(rows: impl Iterator<Item = Arc<Row>>) -> Self {
        let mut rows: Vec<_> = rows.map(|row| Entry(row.uuid(), row)).collect();
        rows.shrink_to_fit();
        let mut shard = Self::Few(rows);
        shard.settle();
        shard
    }

    pub(super) fn len(&self) -> usize {
        match self {
            Self::Few(rows) => rows.len(),
            Self::Many(rows) => rows.len(),
        }
    }

    pub(super) fn get(&self, uuid: Uuid) -> Option<&Arc<Row>> {
        let entry = match self {
            Self::Few(rows) => rows.get(place(rows, uuid).ok()?),
            Self::Many(rows) => rows.get(uuid.as_u128()),
        };
        entry.map(|Entry(_, row)| row)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Arc<Row>> {
        let (few, many) = match self {
            Self::Few(rows) => (Some(rows.iter()), None),
            Self::Many(rows) => (None, Some(rows.iter())),
        };
        let entries = few.into_iter().flatten().chain(many.into_iter().flatten());
        entries.map(|Entry(_, row)| row)
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Arc<Row>> {
        let (few, many) = match self {
            Self::Few(rows) => (Some(rows.iter_mut()), None),
            Self::Many(rows) => (None, Some(rows.iter_mut())),
        };
        let entries = few.into_iter().flatten().chain(many.into_iter().flatten());
        entries.map(|Entry(_, row)| row)
    }

    /// Stores a row and gives back the one it replaces.
    pub(super) fn insert(&mut self, row: Arc<Row>) -> Option<Arc<Row>> {
        let entry = Entry(row.uuid(), row);
        let before = match self {
            Self::Few(rows) => match place(rows, entry.0) {
                Ok(place) => rows.get_mut(place).map(|before| std::mem::replace(before, entry)),
                Err(place) => {
                    rows.insert(place, entry);
                    None
                }
            },
            Self::Many(rows) => rows.insert(entry),
        };
        self.settle();
        before.map(|Entry(_, row)| row)
    }

    /// Removes a row and gives it back.
    pub(super) fn remove(&mut self, uuid: Uuid) -> Option<Arc<Row>> {
        let Entry(_, row) = match self {
            Self::Few(rows) => rows.remove(place(rows, uuid).ok()?),
            Self::Many(rows) => rows.remove(uuid.as_u128())?,
        };
        Some(row)
    }

    /// Goes on in chunks, if there are too many for one piece.
    fn settle(&mut self) {
        if let Self::Few(rows) = self
            && rows.len() > FEW
        {
            *self = Self::Many(Chunks::ascending(std::mem::take(rows).into_iter()));
        }
    }
}

fn place(rows: &[Entry], uuid: Uuid) -> Result<usize, usize> {
    rows.binary_search_by_key(&uuid.as_u128(), Keyed::key)
}
