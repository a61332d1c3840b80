//! Rows by a value of theirs.

mod entries;

use std::hash::{BuildHasher, RandomState};

use entries::{Entries, Holders};

use super::Row;
use super::tree::Tree;
use crate::ovsdb::schema::IndexSpec;
use crate::ovsdb::value::{Atom, Datum, Uuid};

/// The identifiers of the rows of a table, by a value.
#[derive(Clone, Debug)]
pub(super) struct Index {
    spec: IndexSpec,
    /// Of its own, so that nobody can choose values that meet.
    hasher: RandomState,
    entries: Tree<Entries>,
}

impl Index {
    pub(super) fn new(spec: IndexSpec) -> Self {
        Self { spec, hasher: RandomState::new(), entries: Tree::default() }
    }

    pub(super) fn spec(&self) -> &IndexSpec {
        &self.spec
    }

    /// The rows that hold this value, ascending.
    pub(super) fn find(&self, value: &Atom) -> impl Iterator<Item = Uuid> + '_ {
        let hash = self.hasher.hash_one(value);
        let holders = self.entries.get(leaf_of(hash)).and_then(|leaf| leaf.get(hash, value));
        let (one, many) = match holders {
            None => (None, None),
            Some(Holders::One(uuid)) => (Some(*uuid), None),
            Some(Holders::Many(uuids)) => (None, Some(uuids)),
        };
        one.into_iter().chain(many.into_iter().flat_map(|uuids| uuids.iter().copied()))
    }

    /// Follows a row from one version to the next.
    pub(super) fn follow(&mut self, old: Option<&Row>, new: Option<&Row>) {
        let (before, after) = (Values::of(&self.spec, old), Values::of(&self.spec, new));
        for value in before.iter().filter(|value| !after.contains(value)) {
            old.inspect(|old| self.remove(value, old.uuid()));
        }
        for value in after.iter().filter(|value| !before.contains(value)) {
            new.inspect(|new| self.add(value, new.uuid()));
        }
    }

    fn add(&mut self, value: &Atom, uuid: Uuid) {
        let hash = self.hasher.hash_one(value);
        if let Some(entries) = self.entries.get_mut(leaf_of(hash)) {
            entries.add(hash, value, uuid);
        }
    }

    fn remove(&mut self, value: &Atom, uuid: Uuid) {
        let hash = self.hasher.hash_one(value);
        if let Some(entries) = self.entries.get_mut(leaf_of(hash)) {
            entries.remove(hash, value, uuid);
        }
    }
}

/// The values of a row by which it is found, ascending.
enum Values<'r> {
    Set(&'r [Atom]),
    Keys(&'r [(Atom, Atom)]),
}

impl<'r> Values<'r> {
    fn of(spec: &IndexSpec, row: Option<&'r Row>) -> Self {
        let datum = row.and_then(|row| row.get(&spec.column));
        match (datum, &spec.key) {
            (None, _) | (Some(Datum::Set(_)), Some(_)) => Self::Set(&[]),
            (Some(Datum::Set(set)), None) => Self::Set(set.iter().as_slice()),
            (Some(Datum::Map(map)), None) => Self::Keys(map.iter().as_slice()),
            (Some(Datum::Map(map)), Some(key)) => {
                Self::Set(map.get(key).map_or(&[], std::slice::from_ref))
            }
        }
    }

    fn iter(&self) -> impl Iterator<Item = &'r Atom> + use<'r> {
        let (atoms, pairs) = match *self {
            Self::Set(atoms) => (atoms, [].as_slice()),
            Self::Keys(pairs) => ([].as_slice(), pairs),
        };
        atoms.iter().chain(pairs.iter().map(|(key, _)| key))
    }

    fn contains(&self, value: &Atom) -> bool {
        match *self {
            Self::Set(atoms) => atoms.binary_search(value).is_ok(),
            Self::Keys(pairs) => pairs.binary_search_by(|(key, _)| key.cmp(value)).is_ok(),
        }
    }
}

/// The first twelve bits.
fn leaf_of(hash: u64) -> u16 {
    u16::try_from(hash >> 52).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::ovsdb::value::ToDatum;

    fn index() -> Index {
        Index::new(IndexSpec::map_key("T", "external_ids", "owner"))
    }

    fn row(uuid: u128, owner: &str) -> Row {
        let ids = BTreeMap::from([("owner".to_owned(), owner.to_owned())]);
        Row::new(Uuid::from_u128(uuid), [("external_ids", ids.to_datum())])
    }

    fn found(index: &Index, owner: &str) -> Vec<u128> {
        index.find(&Atom::String(owner.into())).map(|uuid| uuid.as_u128()).collect()
    }

    #[test]
    fn several_rows_may_hold_a_value_and_a_row_may_change_its_own() {
        let mut index = index();
        index.follow(None, Some(&row(2, "a")));
        index.follow(None, Some(&row(1, "a")));
        index.follow(None, Some(&row(3, "b")));
        assert_eq!((found(&index, "a"), found(&index, "b")), (vec![1, 2], vec![3]));
        index.follow(Some(&row(2, "a")), Some(&row(2, "b")));
        index.follow(Some(&row(3, "b")), None);
        assert_eq!((found(&index, "a"), found(&index, "b")), (vec![1], vec![2]));
    }

    #[test]
    fn a_set_is_indexed_by_each_element_and_a_map_by_each_key() {
        let mut sets = Index::new(IndexSpec::column("T", "ports"));
        let ports = ["a", "b"].map(str::to_owned).to_datum();
        sets.follow(None, Some(&Row::new(Uuid::from_u128(1), [("ports", ports)])));
        assert_eq!((found(&sets, "a"), found(&sets, "b")), (vec![1], vec![1]));
        let mut keys = Index::new(IndexSpec::column("T", "external_ids"));
        keys.follow(None, Some(&row(1, "x")));
        assert_eq!((found(&keys, "owner"), found(&keys, "x")), (vec![1], vec![]));
    }

    #[test]
    fn an_older_state_finds_what_it_held() {
        let mut index = index();
        index.follow(None, Some(&row(1, "a")));
        let older = index.clone();
        index.follow(Some(&row(1, "a")), None);
        assert_eq!((found(&older, "a"), found(&index, "a")), (vec![1], vec![]));
    }

    proptest! {
        #[test]
        fn whatever_happens_it_finds_what_a_search_would(
            steps in prop::collection::vec((0_u128..6, prop::option::of("[ab]")), 0..60),
        ) {
            let (mut index, mut rows) = (index(), BTreeMap::new());
            for (uuid, owner) in steps {
                let new = owner.map(|owner| row(uuid, &owner));
                index.follow(rows.get(&uuid), new.as_ref());
                match new {
                    Some(new) => rows.insert(uuid, new),
                    None => rows.remove(&uuid),
                };
            }
            for owner in ["a", "b", "c"] {
                let holds = |row: &&Row| row.map_str("external_ids", "owner") == Some(owner);
                let expected: Vec<_> = rows.values().filter(holds).map(|r| r.uuid().as_u128()).collect();
                prop_assert_eq!(found(&index, owner), expected);
            }
        }
    }
}
