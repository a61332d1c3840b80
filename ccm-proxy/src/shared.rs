//! What many `Eip`s have alike, kept once.

use std::collections::BTreeSet;
use std::sync::Arc;

use speaker_core::order::{Delivery, Machine};
use speaker_core::world::Eip;

/// What many `Eip`s have alike.
#[derive(Debug, Default)]
pub(crate) struct Alike {
    names: Shared<str>,
    advertised: Shared<BTreeSet<String>>,
    machines: Shared<BTreeSet<Machine>>,
}

impl Alike {
    /// Has an `Eip` share with the others what they have alike.
    pub(crate) fn share(&mut self, eip: &mut Eip) {
        self.names.share(&mut eip.vlan);
        self.names.share(&mut eip.tenant);
        self.advertised.share(&mut eip.advertised);
        match &mut eip.delivery {
            Delivery::Routed { machines } | Delivery::Direct { machines } => {
                self.machines.share(machines);
            }
            Delivery::Local { .. } => {}
        }
    }
}

/// Kept values. What nobody else has any more is forgotten when there are twice as many as were in
/// use before.
#[derive(Debug)]
struct Shared<T: ?Sized> {
    kept: BTreeSet<Arc<T>>,
    most: usize,
}

impl<T: ?Sized> Default for Shared<T> {
    fn default() -> Self {
        Self { kept: BTreeSet::new(), most: 64 }
    }
}

impl<T: Ord + ?Sized> Shared<T> {
    /// Puts the kept value in the place of one that is equal to it.
    fn share(&mut self, value: &mut Arc<T>) {
        if let Some(kept) = self.kept.get(&*value) {
            *value = kept.clone();
            return;
        }
        if self.kept.len() >= self.most {
            self.kept.retain(|kept| Arc::strong_count(kept) > 1);
            self.most = (self.kept.len() * 2).max(64);
        }
        self.kept.insert(value.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_values_become_one_and_what_nobody_has_is_forgotten() {
        let mut shared = Shared::<str>::default();
        let (mut one, mut other): (Arc<str>, Arc<str>) = ("a".into(), "a".into());
        shared.share(&mut one);
        shared.share(&mut other);
        assert!(Arc::ptr_eq(&one, &other));
        for number in 0..1_000 {
            shared.share(&mut number.to_string().into());
        }
        assert!(shared.kept.len() <= 64, "{}", shared.kept.len());
        assert!(shared.kept.contains("a"), "it is in use");
    }
}
