//! A set of addresses kept as disjoint ranges.

use std::net::IpAddr;

use crate::range::{predecessor, successor};
use crate::{AddressRange, Family};

/// A set of addresses of both families: disjoint, merged ranges in ascending order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AddressSet {
    ranges: Vec<AddressRange>,
}

impl AddressSet {
    /// Whether `address` is in the set. O(log ranges).
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let after = self.ranges.partition_point(|r| r.first() <= address);
        after
            .checked_sub(1)
            .and_then(|i| self.ranges.get(i))
            .is_some_and(|range| range.contains(address))
    }

    /// Whether the set holds no address.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// How many addresses of a family; `u128::MAX` also stands for one more.
    #[must_use]
    pub fn count(&self, family: Family) -> u128 {
        let of = self.ranges.iter().filter(|range| Family::of(range.first()) == family);
        of.fold(0, |sum, range| sum.saturating_add(range.count()))
    }

    /// What is in this set and not in the other.
    #[must_use]
    pub fn minus(&self, other: &Self) -> Self {
        let mut rest = Vec::new();
        let mut holes = other.ranges.iter().peekable();
        for range in &self.ranges {
            let mut first = Some(range.first());
            while holes.next_if(|hole| hole.last() < range.first()).is_some() {}
            for hole in holes.clone().take_while(|hole| hole.first() <= range.last()) {
                let Some(start) = first else { break };
                let before = predecessor(hole.first()).filter(|end| start <= *end);
                rest.extend(before.and_then(|end| AddressRange::new(start, end).ok()));
                first = successor(hole.last()).filter(|next| *next <= range.last());
                first = first.map(|next| next.max(start));
            }
            rest.extend(first.and_then(|start| AddressRange::new(start, range.last()).ok()));
        }
        Self { ranges: rest }
    }

    /// The first of these addresses that is also in the other set, if any.
    #[must_use]
    pub fn overlap(&self, other: &Self) -> Option<AddressRange> {
        self.ranges.iter().find_map(|range| {
            let after = other.ranges.partition_point(|o| o.last() < range.first());
            let met = other.ranges.get(after).filter(|o| o.first() <= range.last())?;
            AddressRange::new(range.first().max(met.first()), range.last().min(met.last())).ok()
        })
    }

    /// The disjoint ranges, ascending, IPv4 before IPv6.
    pub fn ranges(&self) -> impl Iterator<Item = &AddressRange> {
        self.ranges.iter()
    }
}

impl FromIterator<AddressRange> for AddressSet {
    fn from_iter<I: IntoIterator<Item = AddressRange>>(ranges: I) -> Self {
        let mut sorted: Vec<_> = ranges.into_iter().collect();
        sorted.sort_unstable();
        let mut merged: Vec<AddressRange> = Vec::with_capacity(sorted.len());
        for range in sorted {
            match merged.last_mut() {
                Some(last) if touches(last, &range) => {
                    let end = last.last().max(range.last());
                    *last = AddressRange::new(last.first(), end).unwrap_or(*last);
                }
                _ => merged.push(range),
            }
        }
        Self { ranges: merged }
    }
}

/// Whether `next`, which starts no earlier, overlaps `range` or follows it without a gap.
fn touches(range: &AddressRange, next: &AddressRange) -> bool {
    range.contains(next.first()) || successor(range.last()) == Some(next.first())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn set(texts: &[&str]) -> AddressSet {
        texts.iter().map(|t| t.parse::<AddressRange>().unwrap()).collect()
    }

    #[test]
    fn overlapping_and_adjacent_ranges_become_one() {
        let merged = set(&["10.0.0.8/29", "10.0.0.0-10.0.0.7", "10.0.0.4", "2001:db8::1"]);
        let texts: Vec<_> = merged.ranges().map(ToString::to_string).collect();
        assert_eq!(texts, ["10.0.0.0-10.0.0.15", "2001:db8::1"]);
    }

    #[test]
    fn the_last_address_of_a_family_is_no_neighbour_of_the_next_family() {
        let merged = set(&["255.255.255.255", "::", "::1"]);
        assert_eq!(merged.ranges().count(), 2);
    }

    #[test]
    fn what_two_sets_have_in_common_is_told() {
        let overlap = |a: &[&str], b: &[&str]| set(a).overlap(&set(b)).map(|r| r.to_string());
        let met = overlap(&["10.0.0.0/24", "10.0.2.0/24"], &["10.0.1.0/24", "10.0.2.9-10.0.3.1"]);
        assert_eq!(met.as_deref(), Some("10.0.2.9-10.0.2.255"));
        assert_eq!(overlap(&["10.0.0.0/24"], &["10.0.1.0/24", "::/0"]), None);
    }

    proptest! {
        #[test]
        fn a_difference_holds_what_one_set_has_and_the_other_has_not(
            a in proptest::collection::vec((0u32..400, 0u32..40), 0..12),
            b in proptest::collection::vec((0u32..400, 0u32..40), 0..12),
        ) {
            let at = |n: u32| IpAddr::from(std::net::Ipv4Addr::from_bits(n));
            let set = |ends: Vec<(u32, u32)>| -> AddressSet {
                ends.iter().map(|(f, len)| AddressRange::new(at(*f), at(f + len)).unwrap()).collect()
            };
            let (a, b) = (set(a), set(b));
            let rest = a.minus(&b);
            for n in 0..450 {
                prop_assert_eq!(rest.contains(at(n)), a.contains(at(n)) && !b.contains(at(n)));
            }
            let counted = (0..450).filter(|n| rest.contains(at(*n))).count();
            prop_assert_eq!(rest.count(Family::V4), counted as u128);
            let common = (0..450).map(at).find(|n| a.contains(*n) && b.contains(*n));
            prop_assert_eq!(a.overlap(&b).map(|range| range.first()), common);
        }

        #[test]
        fn a_set_contains_exactly_what_its_ranges_contain(
            ends in proptest::collection::vec((0u32..400, 0u32..40), 0..12), probe in 0u32..450
        ) {
            let ranges: Vec<_> = ends
                .iter()
                .map(|(first, len)| {
                    let at = |n: u32| IpAddr::from(std::net::Ipv4Addr::from_bits(n));
                    AddressRange::new(at(*first), at(first + len)).unwrap()
                })
                .collect();
            let address = IpAddr::from(std::net::Ipv4Addr::from_bits(probe));
            let expected = ranges.iter().any(|r| r.contains(address));
            let merged: AddressSet = ranges.into_iter().collect();
            prop_assert_eq!(merged.contains(address), expected);
        }
    }
}
