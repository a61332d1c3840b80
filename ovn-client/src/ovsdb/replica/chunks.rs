//! A sorted list that is cheap to change while an older state of it is held.

use std::sync::Arc;

/// The most items of one chunk.
const CHUNK: usize = 256;

/// What has its place in a sorted list.
pub(super) trait Keyed: Clone {
    /// By what it is sorted.
    fn key(&self) -> u128;
}

/// Items, ascending by their keys, each key once, in chunks that are shared until they change: a
/// change to n of them costs about one chunk and n / [`CHUNK`] pointers, not n.
#[derive(Clone, Debug)]
pub(super) struct Chunks<T> {
    /// None of them is empty.
    chunks: Vec<Arc<Vec<T>>>,
}

impl<T> Default for Chunks<T> {
    fn default() -> Self {
        Self { chunks: Vec::new() }
    }
}

impl<T: Keyed> Chunks<T> {
    /// Of items that are in order, each key once.
    pub(super) fn ascending(items: impl Iterator<Item = T>) -> Self {
        let mut items = items.peekable();
        let mut chunks = Vec::new();
        while items.peek().is_some() {
            let mut chunk: Vec<T> = items.by_ref().take(CHUNK).collect();
            chunk.shrink_to_fit();
            chunks.push(Arc::new(chunk));
        }
        Self { chunks }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.chunks.iter().map(|chunk| chunk.len()).sum()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        self.chunks.iter().flat_map(|chunk| chunk.iter())
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.chunks.iter_mut().flat_map(|chunk| Arc::make_mut(chunk).iter_mut())
    }

    pub(super) fn get(&self, key: u128) -> Option<&T> {
        let chunk = self.chunks.get(self.chunk_of(key))?;
        chunk.get(place(chunk, key).ok()?)
    }

    /// Stores an item and gives back the one of the same key.
    pub(super) fn insert(&mut self, item: T) -> Option<T> {
        let key = item.key();
        // What is behind the last of all belongs to the last chunk.
        let at = self.chunk_of(key).min(self.chunks.len().saturating_sub(1));
        let Some(chunk) = self.chunks.get_mut(at).map(Arc::make_mut) else {
            self.chunks.push(Arc::new(vec![item]));
            return None;
        };
        match place(chunk, key) {
            Ok(place) => chunk.get_mut(place).map(|before| std::mem::replace(before, item)),
            Err(place) => {
                chunk.insert(place, item);
                if chunk.len() > CHUNK {
                    let behind = chunk.split_off(CHUNK / 2);
                    self.chunks.insert(at + 1, Arc::new(behind));
                }
                None
            }
        }
    }

    /// Removes the item of a key and gives it back.
    pub(super) fn remove(&mut self, key: u128) -> Option<T> {
        let at = self.chunk_of(key);
        let chunk = self.chunks.get_mut(at)?;
        let place = place(chunk, key).ok()?;
        let chunk = Arc::make_mut(chunk);
        let item = chunk.remove(place);
        if chunk.is_empty() {
            self.chunks.remove(at);
        }
        Some(item)
    }

    /// The first chunk that does not end before this key.
    fn chunk_of(&self, key: u128) -> usize {
        self.chunks.partition_point(|chunk| chunk.last().is_some_and(|last| last.key() < key))
    }
}

fn place<T: Keyed>(chunk: &[T], key: u128) -> Result<usize, usize> {
    chunk.binary_search_by_key(&key, Keyed::key)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    impl Keyed for (u128, u8) {
        fn key(&self) -> u128 {
            self.0
        }
    }

    fn chunks(numbers: impl IntoIterator<Item = u128>) -> Chunks<(u128, u8)> {
        Chunks::ascending(numbers.into_iter().map(|number| (number, 0)))
    }

    #[test]
    fn a_change_leaves_other_chunks_shared_with_the_older_state() {
        let older = chunks(0..10_000);
        let mut newer = older.clone();
        newer.insert((20_000, 0));
        let shared = |chunk: &&Arc<Vec<_>>| older.chunks.iter().any(|o| Arc::ptr_eq(o, chunk));
        assert_eq!(newer.chunks.iter().filter(shared).count(), older.chunks.len() - 1);
        assert_eq!((older.len(), newer.len()), (10_000, 10_001));
    }

    proptest! {
        #[test]
        fn it_holds_what_a_map_would(
            steps in prop::collection::vec((any::<bool>(), 0_u128..600, any::<u8>()), 0..2_000),
        ) {
            let mut chunks = chunks(0..400);
            let mut map: BTreeMap<u128, u8> = (0..400).map(|number| (number, 0)).collect();
            for (add, number, value) in steps {
                let (was, expected) = match add {
                    true => (chunks.insert((number, value)), map.insert(number, value)),
                    false => (chunks.remove(number), map.remove(&number)),
                };
                prop_assert_eq!(was, expected.map(|value| (number, value)));
                prop_assert_eq!(chunks.get(number).map(|(_, v)| v), map.get(&number));
            }
            prop_assert!(chunks.iter().copied().eq(map.iter().map(|(k, v)| (*k, *v))));
            prop_assert!(chunks.chunks.iter().all(|c| !c.is_empty() && c.len() <= CHUNK));
            prop_assert_eq!((chunks.is_empty(), chunks.len()), (map.is_empty(), map.len()));
        }
    }
}
