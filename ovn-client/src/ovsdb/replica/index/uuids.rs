//! A set of identifiers that is cheap to change while an older state of it is held.

use std::sync::Arc;

use crate::ovsdb::value::Uuid;

/// The most identifiers of one chunk.
const CHUNK: usize = 256;

/// Identifiers, ascending, in chunks that are shared until they change: a change to n of them
/// costs about one chunk and n / [`CHUNK`] pointers, not n.
#[derive(Clone, Debug)]
pub(super) struct Uuids {
    /// None of them is empty.
    chunks: Vec<Arc<Vec<Uuid>>>,
}

impl Uuids {
    pub(super) fn pair(one: Uuid, other: Uuid) -> Self {
        let mut uuids = Self { chunks: vec![Arc::new(vec![one])] };
        uuids.insert(other);
        uuids
    }

    pub(super) fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }

    /// Ascending.
    pub(super) fn iter(&self) -> impl Iterator<Item = Uuid> + '_ {
        self.chunks.iter().flat_map(|chunk| chunk.iter().copied())
    }

    pub(super) fn insert(&mut self, uuid: Uuid) {
        // What is behind the last of all belongs to the last chunk.
        let at = self.chunk_of(uuid).min(self.chunks.len().saturating_sub(1));
        let Some(chunk) = self.chunks.get_mut(at) else {
            self.chunks.push(Arc::new(vec![uuid]));
            return;
        };
        let Err(place) = chunk.binary_search(&uuid) else { return };
        let chunk = Arc::make_mut(chunk);
        chunk.insert(place, uuid);
        if chunk.len() > CHUNK {
            let behind = chunk.split_off(CHUNK / 2);
            self.chunks.insert(at + 1, Arc::new(behind));
        }
    }

    pub(super) fn remove(&mut self, uuid: Uuid) {
        let at = self.chunk_of(uuid);
        let Some(chunk) = self.chunks.get_mut(at) else { return };
        let Ok(place) = chunk.binary_search(&uuid) else { return };
        let chunk = Arc::make_mut(chunk);
        chunk.remove(place);
        if chunk.is_empty() {
            self.chunks.remove(at);
        }
    }

    /// The first chunk that does not end before this identifier.
    fn chunk_of(&self, uuid: Uuid) -> usize {
        self.chunks.partition_point(|chunk| chunk.last().is_some_and(|last| *last < uuid))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn uuids(numbers: impl IntoIterator<Item = u128>) -> Uuids {
        let mut uuids = Uuids { chunks: Vec::new() };
        numbers.into_iter().for_each(|number| uuids.insert(Uuid::from_u128(number)));
        uuids
    }

    #[test]
    fn a_change_leaves_other_chunks_shared_with_the_older_state() {
        let older = uuids(0..10_000);
        let mut newer = older.clone();
        newer.insert(Uuid::from_u128(20_000));
        let shared = |chunk: &&Arc<Vec<Uuid>>| older.chunks.iter().any(|o| Arc::ptr_eq(o, chunk));
        assert_eq!(newer.chunks.iter().filter(shared).count(), older.chunks.len() - 1);
        assert_eq!((older.iter().count(), newer.iter().count()), (10_000, 10_001));
    }

    proptest! {
        #[test]
        fn it_holds_what_a_set_would(
            steps in prop::collection::vec((any::<bool>(), 0_u128..600), 0..2_000),
        ) {
            let (mut uuids, mut set) = (uuids(0..400), (0..400).collect::<BTreeSet<u128>>());
            for (add, number) in steps {
                match add {
                    true => { uuids.insert(Uuid::from_u128(number)); set.insert(number); }
                    false => { uuids.remove(Uuid::from_u128(number)); set.remove(&number); }
                }
            }
            prop_assert!(uuids.iter().map(|uuid| uuid.as_u128()).eq(set.iter().copied()));
            prop_assert!(uuids.chunks.iter().all(|c| !c.is_empty() && c.len() <= CHUNK));
            prop_assert_eq!(uuids.is_empty(), set.is_empty());
        }
    }
}
