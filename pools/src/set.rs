//! A set of addresses kept as disjoint ranges.

use std::net::IpAddr;

use crate::AddressRange;
use crate::range::successor;

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

    proptest! {
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
