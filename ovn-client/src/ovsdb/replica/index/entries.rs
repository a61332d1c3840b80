//! A part of an index, in one piece of memory.

use std::sync::Arc;

use crate::ovsdb::replica::chunks::{Chunks, Keyed};
use crate::ovsdb::value::{Atom, Uuid};

/// Values and the rows that hold them, ascending by the hash of the value. Values are compared only
/// where their hashes are equal: they lie elsewhere.
#[derive(Clone, Debug, Default)]
pub(super) struct Entries(Vec<Entry>);

#[derive(Clone, Debug)]
struct Entry {
    hash: u64,
    value: Atom,
    holders: Holders,
}

/// The rows that hold a value: one where it is a name, all of them where it is an owner.
#[derive(Clone, Debug)]
pub(super) enum Holders {
    One(Uuid),
    Many(Arc<Chunks<Uuid>>),
}

impl Keyed for Uuid {
    fn key(&self) -> u128 {
        self.as_u128()
    }
}

impl Entries {
    pub(super) fn get(&self, hash: u64, value: &Atom) -> Option<&Holders> {
        let place = self.place(hash, value).ok()?;
        self.0.get(place).map(|entry| &entry.holders)
    }

    pub(super) fn add(&mut self, hash: u64, value: &Atom, uuid: Uuid) {
        match self.place(hash, value) {
            Ok(place) => {
                if let Some(entry) = self.0.get_mut(place) {
                    entry.holders.add(uuid);
                }
            }
            Err(place) => {
                let entry = Entry { hash, value: value.clone(), holders: Holders::One(uuid) };
                self.0.insert(place, entry);
            }
        }
    }

    pub(super) fn remove(&mut self, hash: u64, value: &Atom, uuid: Uuid) {
        let Ok(place) = self.place(hash, value) else { return };
        if self.0.get_mut(place).is_some_and(|entry| entry.holders.remove(uuid)) {
            self.0.remove(place);
        }
    }

    /// Where the value is, or where it belongs.
    fn place(&self, hash: u64, value: &Atom) -> Result<usize, usize> {
        let first = self.0.partition_point(|entry| entry.hash < hash);
        let equal = self.0.iter().skip(first).take_while(|entry| entry.hash == hash);
        let found = equal.into_iter().position(|entry| entry.value == *value);
        found.map_or(Err(first), |place| Ok(first + place))
    }
}

impl Holders {
    fn add(&mut self, uuid: Uuid) {
        match self {
            Self::Many(uuids) => {
                Arc::make_mut(uuids).insert(uuid);
            }
            Self::One(only) if *only == uuid => {}
            Self::One(first) => {
                let both = [uuid.min(*first), uuid.max(*first)];
                *self = Self::Many(Arc::new(Chunks::ascending(both.into_iter())));
            }
        }
    }

    /// Whether none is left.
    fn remove(&mut self, uuid: Uuid) -> bool {
        match self {
            Self::One(only) => *only == uuid,
            Self::Many(uuids) => {
                let uuids = Arc::make_mut(uuids);
                uuids.remove(uuid.as_u128());
                uuids.is_empty()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_one_hash_are_told_apart() {
        let mut entries = Entries::default();
        let uuid = Uuid::from_u128;
        for (value, number) in [(1, 1), (2, 2), (1, 3)] {
            entries.add(7, &Atom::Integer(value), uuid(number));
        }
        let found = |entries: &Entries, value| match entries.get(7, &Atom::Integer(value)) {
            None => vec![],
            Some(Holders::One(one)) => vec![*one],
            Some(Holders::Many(many)) => many.iter().copied().collect(),
        };
        assert_eq!(found(&entries, 1), [uuid(1), uuid(3)]);
        assert_eq!((found(&entries, 2), found(&entries, 3)), (vec![uuid(2)], vec![]));
        entries.remove(7, &Atom::Integer(2), uuid(2));
        entries.remove(7, &Atom::Integer(1), uuid(1));
        assert_eq!((found(&entries, 1), found(&entries, 2)), (vec![uuid(3)], vec![]));
    }
}
