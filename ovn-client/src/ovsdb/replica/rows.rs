//! The rows of a table, shared between states of the replica.

use std::sync::Arc;

use super::Row;
use super::index::Index;
use super::shard::Shard;
use super::tree::Tree;
use crate::ovsdb::schema::{IndexSpec, Layout};
use crate::ovsdb::value::{ToDatum, Uuid};

/// The rows of one table, ascending by UUID.
///
/// Rows live in shards by the first twelve bits of their UUIDs. What changes while an older state
/// is held is copied shard by shard: a change to a table of n rows costs about n / 4,096 + 128
/// pointers, not n, and nothing where no older state is held. Where UUIDs are not random, it costs
/// about n / 256.
#[derive(Clone, Debug)]
pub struct Table {
    layout: Arc<Layout>,
    shards: Tree<Shard>,
    indexes: Vec<Index>,
    len: usize,
}

impl Table {
    pub(crate) fn new(layout: Arc<Layout>) -> Self {
        Self { layout, shards: Tree::default(), indexes: Vec::new(), len: 0 }
    }

    /// A table of these rows, ascending by UUID, with the indexes that are of it.
    pub(super) fn filled(
        layout: Arc<Layout>,
        specs: &[IndexSpec],
        rows: impl Iterator<Item = Arc<Row>>,
    ) -> Self {
        let mut table = Self::new(layout);
        let of_us = specs.iter().filter(|spec| *spec.table == **table.name());
        table.indexes = of_us.cloned().map(Index::new).collect();
        let mut rows = rows.peekable();
        while let Some(first) = rows.peek().map(|row| leaf_of(row.uuid())) {
            // Ascending, so that a shard is built at once instead of row by row.
            let shard = std::iter::from_fn(|| rows.next_if(|row| leaf_of(row.uuid()) == first));
            let shard = Shard::ascending(shard);
            for index in &mut table.indexes {
                shard.iter().for_each(|row| index.follow(None, Some(row)));
            }
            table.len += shard.len();
            if let Some(empty) = table.shards.get_mut(first) {
                *empty = shard;
            }
        }
        table
    }

    /// Lets each row be replaced by an equal one.
    pub(super) fn each(&mut self, mut replace: impl FnMut(&mut Arc<Row>)) {
        self.shards.iter_mut().for_each(|shard| shard.iter_mut().for_each(&mut replace));
    }

    /// The name of the table.
    pub fn name(&self) -> &Arc<str> {
        self.layout.table()
    }

    /// The columns in the replica.
    pub fn layout(&self) -> &Arc<Layout> {
        &self.layout
    }

    /// How many rows.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// A row, if it exists.
    pub fn get(&self, uuid: Uuid) -> Option<&Arc<Row>> {
        self.shards.get(leaf_of(uuid))?.get(uuid)
    }

    /// The rows, ascending by UUID.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Row>> {
        self.shards.iter().flat_map(|shard| shard.iter())
    }

    /// The rows that hold this value, ascending by UUID. An index that was not asked for in the
    /// [`DatabaseSpec`](crate::DatabaseSpec) finds nothing.
    pub fn find<'t, V: ToDatum + ?Sized>(
        &'t self,
        index: &IndexSpec,
        value: &V,
    ) -> impl Iterator<Item = &'t Arc<Row>> + use<'t, V> {
        let index = self.indexes.iter().find(|other| other.spec() == index);
        let value = value.to_datum();
        let found = index.zip(value.as_scalar()).map(|(index, value)| index.find(value));
        // Collected, for the value is not kept.
        let uuids: Vec<Uuid> = found.into_iter().flatten().collect();
        uuids.into_iter().filter_map(|uuid| self.get(uuid))
    }

    /// Stores a row and gives back the one it replaces.
    pub(super) fn insert(&mut self, row: Arc<Row>) -> Option<Arc<Row>> {
        let old = self.shards.get_mut(leaf_of(row.uuid()))?.insert(row.clone());
        self.indexes.iter_mut().for_each(|index| index.follow(old.as_deref(), Some(&row)));
        self.len += usize::from(old.is_none());
        old
    }

    /// Removes a row and gives it back.
    pub(super) fn remove(&mut self, uuid: Uuid) -> Option<Arc<Row>> {
        self.get(uuid)?;
        let old = self.shards.get_mut(leaf_of(uuid))?.remove(uuid);
        self.indexes.iter_mut().for_each(|index| index.follow(old.as_deref(), None));
        self.len -= usize::from(old.is_some());
        old
    }
}

/// The first twelve bits: the order of shards is the order of rows.
fn leaf_of(uuid: Uuid) -> u16 {
    let [first, second, ..] = uuid.into_bytes();
    u16::from_be_bytes([first, second]) >> 4
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(uuid: u128) -> Arc<Row> {
        Arc::new(Row::new::<&str>(Uuid::from_u128(uuid), []))
    }

    #[test]
    fn an_older_state_keeps_its_rows() {
        let mut table = Table::new(Arc::new(Layout::new("T", [])));
        table.insert(row(1));
        let older = table.clone();
        table.insert(row(2));
        table.remove(Uuid::from_u128(1));
        assert_eq!((older.len(), table.len()), (1, 1));
        assert!(older.get(Uuid::from_u128(1)).is_some());
        assert!(table.get(Uuid::from_u128(1)).is_none());
    }

    #[test]
    fn rows_whose_uuids_begin_alike_are_kept_as_others_are() {
        let mut table = Table::new(Arc::new(Layout::new("T", [])));
        for number in 0..2_000 {
            assert!(table.insert(row(number * 7 % 2_000)).is_none());
        }
        let older = table.clone();
        for number in 0..1_990 {
            assert!(table.remove(Uuid::from_u128(number)).is_some());
        }
        assert!(table.remove(Uuid::from_u128(7)).is_none());
        assert!(table.insert(row(1_995)).is_some());
        let left: Vec<_> = table.iter().map(|row| row.uuid().as_u128()).collect();
        assert_eq!(left, (1_990..2_000).collect::<Vec<_>>());
        assert_eq!((older.len(), table.len()), (2_000, 10));
        assert!(older.iter().map(|row| row.uuid().as_u128()).eq(0..2_000));
        let rows = (0..2_000).map(row);
        let filled = Table::filled(Arc::new(Layout::new("T", [])), &[], rows);
        assert!(filled.iter().eq(older.iter()));
        assert_eq!(filled.get(Uuid::from_u128(1_234)), older.get(Uuid::from_u128(1_234)));
    }

    #[test]
    fn rows_come_in_the_order_of_their_uuids() {
        let mut table = Table::new(Arc::new(Layout::new("T", [])));
        let uuids = [u128::MAX, 0, 1 << 120, 7, 3 << 121];
        for uuid in uuids {
            table.insert(row(uuid));
        }
        let order: Vec<u128> = table.iter().map(|row| row.uuid().as_u128()).collect();
        let mut sorted = uuids.to_vec();
        sorted.sort_unstable();
        assert_eq!(order, sorted);
    }
}
