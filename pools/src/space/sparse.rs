//! IPv6: an interval for each run of free addresses.

use std::collections::BTreeMap;

/// Runs of free addresses within runs of addresses that belong to the set.
#[derive(Clone, Debug, Default)]
pub(super) struct Sparse {
    /// First and last address of what belongs to the set.
    set: Vec<(u128, u128)>,
    /// The last free address by the first; runs that touch are one.
    free: BTreeMap<u128, u128>,
    /// How many are free; `u128::MAX` also stands for one more.
    count: u128,
}

impl Sparse {
    /// Adds a range, all of it free, behind those there are.
    pub(super) fn push(&mut self, first: u128, last: u128) {
        self.set.push((first, last));
        self.free.insert(first, last);
        self.count = self.count.saturating_add((last - first).saturating_add(1));
    }

    pub(super) const fn free(&self) -> u128 {
        self.count
    }

    pub(super) fn lowest(&self) -> Option<u128> {
        self.free.first_key_value().map(|(first, _)| *first)
    }

    /// The free addresses, ascending.
    pub(super) fn iter(&self) -> impl Iterator<Item = u128> + '_ {
        self.free.iter().flat_map(|(first, last)| *first..=*last)
    }

    /// Takes an address; whether it was free.
    pub(super) fn take(&mut self, address: u128) -> bool {
        let Some((first, last)) = self.run_up_to(address).filter(|(_, last)| address <= *last)
        else {
            return false;
        };
        if first == address {
            self.free.remove(&first);
        } else {
            self.free.insert(first, address - 1);
        }
        if address < last {
            self.free.insert(address + 1, last);
        }
        self.count -= 1;
        true
    }

    /// Gives an address of the set back; whether it was taken.
    pub(super) fn give_back(&mut self, address: u128) -> bool {
        let after = self.set.partition_point(|(first, _)| *first <= address);
        let range = after.checked_sub(1).and_then(|at| self.set.get(at)).copied();
        let Some((_, end)) = range.filter(|(_, end)| address <= *end) else { return false };
        let before = self.run_up_to(address);
        if before.is_some_and(|(_, last)| address <= last) {
            return false;
        }
        // Ranges of a set do not touch: what touches is of this one.
        let before = before.filter(|(_, last)| last + 1 == address);
        let next = (address < end).then(|| address + 1).and_then(|next| self.free.remove(&next));
        let first = before.map_or(address, |(first, _)| first);
        self.free.insert(first, next.unwrap_or(address));
        self.count = self.count.saturating_add(1);
        true
    }

    /// The last run that begins no later than this address.
    fn run_up_to(&self, address: u128) -> Option<(u128, u128)> {
        self.free.range(..=address).next_back().map(|(first, last)| (*first, *last))
    }
}
