//! Which speaker announces an address: all who see the same members come to the same answer,
//! without a word between them.
//!
//! Rendezvous hashing: each member draws a lot for each address, and the highest wins. A member
//! that leaves gives up what it had and nothing else moves; one that joins takes what it wins and
//! no more.

use std::net::IpAddr;

use sha2::{Digest as _, Sha256};

use crate::node::NodeName;

/// The member that announces an address; `None` where there is none.
pub fn owner<'m>(
    address: IpAddr,
    members: impl IntoIterator<Item = &'m NodeName>,
) -> Option<&'m NodeName> {
    // Lots are told apart by the name, should two ever be the same.
    members
        .into_iter()
        .max_by_key(|member| (lot(&[&octets(address), member.as_str().as_bytes()]), *member))
}

/// The members of a group of whom only so many may take part, the same for everybody.
#[must_use]
pub fn chosen<'m>(
    group: &str,
    members: impl IntoIterator<Item = &'m NodeName>,
    most: usize,
) -> Vec<&'m NodeName> {
    let mut members: Vec<_> = members.into_iter().collect();
    members.sort_by_cached_key(|member| {
        let lot = lot(&[group.as_bytes(), member.as_str().as_bytes()]);
        std::cmp::Reverse((lot, *member))
    });
    members.truncate(most);
    members.sort_unstable();
    members
}

/// The virtual machine that gets the packets of an address, where one alone can.
pub fn machine(address: IpAddr, machines: impl IntoIterator<Item = IpAddr>) -> Option<IpAddr> {
    let machines = machines.into_iter();
    machines.max_by_key(|machine| (lot(&[&octets(address), &octets(*machine)]), *machine))
}

/// The sixteen octets of an address; IPv4 as mapped into IPv6.
const fn octets(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
        IpAddr::V6(v6) => v6.octets(),
    }
}

/// A number that every version of every speaker draws alike: part of what speakers agree upon.
fn lot(parts: &[&[u8]]) -> u64 {
    let mut digest = Sha256::new();
    for part in parts {
        digest.update([u8::try_from(part.len()).unwrap_or(u8::MAX)]);
        digest.update(part);
    }
    let [a, b, c, d, e, f, g, h, ..] = <[u8; 32]>::from(digest.finalize());
    u64::from_be_bytes([a, b, c, d, e, f, g, h])
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use proptest::prelude::*;

    use super::*;

    fn nodes(numbers: impl IntoIterator<Item = u32>) -> BTreeSet<NodeName> {
        numbers.into_iter().map(|number| format!("node{number}").parse().unwrap()).collect()
    }

    fn address(number: u32) -> IpAddr {
        std::net::Ipv4Addr::from_bits(0xc633_6400 + number).into()
    }

    fn owners(members: &BTreeSet<NodeName>) -> Vec<&NodeName> {
        (0..1_000).map(|number| owner(address(number), members).unwrap()).collect()
    }

    #[test]
    fn speakers_of_all_versions_agree() {
        let members = nodes(1..=5);
        let of = |text: &str| owner(text.parse().unwrap(), &members).unwrap().to_string();
        assert_eq!(
            ["198.51.100.9", "203.0.113.10", "2001:db8::9", "::ffff:198.51.100.9"].map(of),
            ["node4", "node3", "node1", "node4"],
        );
    }

    #[test]
    fn nobody_is_chosen_from_nobody() {
        assert_eq!(owner(address(1), &BTreeSet::new()), None);
        assert_eq!(chosen("vlan", &BTreeSet::new(), 8), [] as [&NodeName; 0]);
    }

    #[test]
    fn members_have_about_as_much_each() {
        let members = nodes(1..=8);
        let mut shares: BTreeMap<&NodeName, u32> = BTreeMap::new();
        owners(&members).into_iter().for_each(|owner| *shares.entry(owner).or_default() += 1);
        assert_eq!(shares.len(), 8);
        assert!(shares.values().all(|share| (90..=160).contains(share)), "{shares:?}");
    }

    proptest! {
        #[test]
        fn who_leaves_gives_up_what_it_had_and_nothing_else_moves(
            numbers in prop::collection::btree_set(0_u32..50, 2..10),
            leaves: prop::sample::Index,
        ) {
            let all = nodes(numbers);
            let gone = leaves.get(&all.iter().collect::<Vec<_>>()).to_owned().clone();
            let left: BTreeSet<_> = all.iter().filter(|node| **node != gone).cloned().collect();
            for number in 0..50 {
                let (before, after) = (owner(address(number), &all), owner(address(number), &left));
                prop_assert!(before == after || before == Some(&gone));
            }
        }

        #[test]
        fn of_many_the_same_few_are_chosen(
            numbers in prop::collection::btree_set(0_u32..50, 0..20),
            joins in 50_u32..60,
        ) {
            let all = nodes(numbers.iter().copied());
            let few = chosen("vlan", &all, 8);
            prop_assert_eq!(few.len(), all.len().min(8));
            prop_assert!(few.is_sorted());
            let more = nodes(numbers.into_iter().chain([joins]));
            let changed = chosen("vlan", &more, 8);
            let lost = few.iter().filter(|node| !changed.contains(node)).count();
            prop_assert!(lost <= 1, "who joins takes one place at most");
        }
    }
}
