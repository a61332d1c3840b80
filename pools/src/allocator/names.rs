//! Numbers by name.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use hashbrown::HashTable;

/// Numbers by name, found at once, and gone through in the order of the names.
#[derive(Clone, Debug, Default)]
pub(super) struct Names {
    ordered: BTreeMap<Arc<str>, u32>,
    /// The same; never gone through: its order is of no consequence.
    hashed: HashTable<(Arc<str>, u32)>,
}

impl Names {
    pub(super) fn get(&self, name: &str) -> Option<u32> {
        self.hashed.find(hash_of(name), |(other, _)| **other == *name).map(|(_, number)| *number)
    }

    pub(super) fn numbers(&self) -> impl Iterator<Item = u32> {
        self.ordered.values().copied()
    }

    /// Adds a name that is not there.
    pub(super) fn insert(&mut self, name: Arc<str>, number: u32) {
        self.ordered.insert(name.clone(), number);
        let hash = hash_of(&name);
        self.hashed.insert_unique(hash, (name, number), |(name, _)| hash_of(name));
    }

    pub(super) fn remove(&mut self, name: &str) {
        self.ordered.remove(name);
        if let Ok(entry) = self.hashed.find_entry(hash_of(name), |(other, _)| **other == *name) {
            entry.remove();
        }
    }
}

fn hash_of(name: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    name.hash(&mut hasher);
    hasher.finish()
}
