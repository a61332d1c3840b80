//! Numbers by name.

use std::collections::BTreeMap;
use std::hash::BuildHasher as _;

use hashbrown::{DefaultHashBuilder, HashTable};
use smol_str::SmolStr;

/// Numbers by name, found at once, and gone through in the order of the names.
#[derive(Clone, Debug, Default)]
pub(super) struct Names {
    ordered: BTreeMap<SmolStr, u32>,
    /// The same; never gone through: its order is of no consequence.
    hashed: HashTable<(SmolStr, u32)>,
    hasher: DefaultHashBuilder,
}

impl Names {
    pub(super) fn get(&self, name: &str) -> Option<u32> {
        let hash = self.hasher.hash_one(name);
        self.hashed.find(hash, |(other, _)| **other == *name).map(|(_, number)| *number)
    }

    pub(super) fn numbers(&self) -> impl Iterator<Item = u32> {
        self.ordered.values().copied()
    }

    /// Adds a name that is not there.
    pub(super) fn insert(&mut self, name: SmolStr, number: u32) {
        self.ordered.insert(name.clone(), number);
        let (hash, hasher) = (self.hasher.hash_one(&*name), &self.hasher);
        self.hashed.insert_unique(hash, (name, number), |(name, _)| hasher.hash_one(&**name));
    }

    pub(super) fn remove(&mut self, name: &str) {
        self.ordered.remove(name);
        let hash = self.hasher.hash_one(name);
        if let Ok(entry) = self.hashed.find_entry(hash, |(other, _)| **other == *name) {
            entry.remove();
        }
    }
}
