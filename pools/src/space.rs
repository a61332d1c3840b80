//! The free addresses of a pool.

mod dense;
mod sparse;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use dense::Dense;
use sparse::Sparse;

use crate::{AddressSet, Family};

/// Which addresses of a set are free. IPv4 takes about one bit an address, IPv6 and very much IPv4
/// an interval for each run of free ones; neither is gone through to find one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Space {
    v4: Four,
    v6: Sparse,
}

#[derive(Clone, Debug)]
enum Four {
    Bits(Dense),
    Runs(Sparse),
}

impl Default for Four {
    fn default() -> Self {
        Self::Bits(Dense::default())
    }
}

/// From how many IPv4 addresses on a pool is held as intervals: bits for a /8 take 2 MiB.
const MANY: u128 = 1 << 24;

impl Space {
    /// All addresses of `set`, but for IPv4 addresses that end in 0 or 255 if `avoid_buggy`.
    pub(crate) fn new(set: &AddressSet, avoid_buggy: bool) -> Self {
        let (mut dense, mut runs, mut v6) =
            (Dense::default(), Sparse::default(), Sparse::default());
        let many = set.count(Family::V4) > MANY;
        for range in set.ranges() {
            match (range.first(), range.last()) {
                (IpAddr::V4(first), IpAddr::V4(last)) if many => {
                    for (first, last) in unbroken(first.to_bits(), last.to_bits(), avoid_buggy) {
                        runs.push(first.into(), last.into());
                    }
                }
                (IpAddr::V4(first), IpAddr::V4(last)) => {
                    dense.push(first.to_bits(), last.to_bits())
                }
                (IpAddr::V6(first), IpAddr::V6(last)) => v6.push(first.to_bits(), last.to_bits()),
                _ => {}
            }
        }
        dense.fill(avoid_buggy);
        Self { v4: if many { Four::Runs(runs) } else { Four::Bits(dense) }, v6 }
    }

    /// How many are free.
    pub(crate) fn free(&self, family: Family) -> u128 {
        match family {
            Family::V4 => match &self.v4 {
                Four::Bits(bits) => u128::from(bits.free()),
                Four::Runs(runs) => runs.free(),
            },
            Family::V6 => self.v6.free(),
        }
    }

    /// Whether none is free.
    pub(crate) fn is_empty(&self, family: Family) -> bool {
        match (family, &self.v4) {
            (Family::V4, Four::Bits(bits)) => bits.free() == 0,
            (Family::V4, Four::Runs(_)) | (Family::V6, _) => self.free(family) == 0,
        }
    }

    /// The lowest free address.
    pub(crate) fn lowest(&self, family: Family) -> Option<IpAddr> {
        match family {
            Family::V4 => {
                let bits = match &self.v4 {
                    Four::Bits(bits) => bits.lowest(),
                    Four::Runs(runs) => runs.lowest().and_then(|bits| bits.try_into().ok()),
                };
                bits.map(|bits| Ipv4Addr::from_bits(bits).into())
            }
            Family::V6 => self.v6.lowest().map(|bits| Ipv6Addr::from_bits(bits).into()),
        }
    }

    /// The lowest free addresses, so many at most, ascending.
    pub(crate) fn next(&self, family: Family, most: usize) -> Vec<IpAddr> {
        let four = |bits: u32| IpAddr::from(Ipv4Addr::from_bits(bits));
        match (family, &self.v4) {
            (Family::V4, Four::Bits(bits)) => bits.iter().take(most).map(four).collect(),
            (Family::V4, Four::Runs(runs)) => {
                let bits = runs.iter().take(most).filter_map(|bits| bits.try_into().ok());
                bits.map(four).collect()
            }
            (Family::V6, _) => {
                let bits = self.v6.iter().take(most);
                bits.map(|bits| Ipv6Addr::from_bits(bits).into()).collect()
            }
        }
    }

    /// Takes an address; whether it was free.
    pub(crate) fn take(&mut self, address: IpAddr) -> bool {
        match address {
            IpAddr::V4(v4) => match &mut self.v4 {
                Four::Bits(bits) => bits.set(v4.to_bits(), false),
                Four::Runs(runs) => runs.take(v4.to_bits().into()),
            },
            IpAddr::V6(v6) => self.v6.take(v6.to_bits()),
        }
    }

    /// Gives an address of the set back; whether it was taken.
    pub(crate) fn give_back(&mut self, address: IpAddr) -> bool {
        match address {
            IpAddr::V4(v4) => match &mut self.v4 {
                Four::Bits(bits) => bits.set(v4.to_bits(), true),
                Four::Runs(runs) => runs.give_back(v4.to_bits().into()),
            },
            IpAddr::V6(v6) => self.v6.give_back(v6.to_bits()),
        }
    }
}

/// A range, or what is between the addresses of it that end in 0 or 255.
fn unbroken(first: u32, last: u32, avoid_buggy: bool) -> impl Iterator<Item = (u32, u32)> {
    let whole = (!avoid_buggy).then_some((first, last));
    let blocks = (first >> 8..=last >> 8).filter(move |_| avoid_buggy);
    let within = blocks.map(move |block| (first.max(block << 8 | 1), last.min(block << 8 | 0xfe)));
    whole.into_iter().chain(within.filter(|(first, last)| first <= last))
}

/// Whether old firmware takes the address for a network's or a broadcast's.
pub(crate) const fn is_buggy(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => matches!(v4.to_bits() & 0xff, 0 | 0xff),
        IpAddr::V6(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;
    use crate::AddressRange;

    fn space(ranges: &[&str], avoid_buggy: bool) -> Space {
        let set: AddressSet = ranges.iter().map(|r| r.parse::<AddressRange>().unwrap()).collect();
        Space::new(&set, avoid_buggy)
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn v4(number: u32) -> IpAddr {
        Ipv4Addr::from_bits(0x0a00_0000 + number).into()
    }

    fn v6(number: u32) -> IpAddr {
        Ipv6Addr::from_bits((0x2001 << 112) + u128::from(number)).into()
    }

    #[test]
    fn a_pool_of_2_to_the_96_addresses_is_an_interval() {
        let mut space = space(&["2001:db8::/32"], false);
        assert_eq!(space.free(Family::V6), 1 << 96);
        assert_eq!(space.lowest(Family::V6), Some(ip("2001:db8::")));
        assert!(space.take(ip("2001:db8::")) && space.take(ip("2001:db8:ffff::7")));
        assert_eq!(space.lowest(Family::V6), Some(ip("2001:db8::1")));
        assert_eq!(space.free(Family::V6), (1 << 96) - 2);
    }

    #[test]
    fn ends_of_a_slash_24_are_left_out_if_that_is_asked_for() {
        let mut buggy = space(&["10.0.0.254-10.0.1.1"], true);
        assert_eq!((buggy.free(Family::V4), buggy.lowest(Family::V4)), (2, Some(ip("10.0.0.254"))));
        assert!(!buggy.take(ip("10.0.0.255")), "it is not in the pool");
        assert_eq!(space(&["10.0.0.254-10.0.1.1"], false).free(Family::V4), 4);
        assert_eq!(space(&["2001:db8::-2001:db8::ff"], true).free(Family::V6), 256);
    }

    #[test]
    fn very_much_ipv4_is_held_as_intervals() {
        for (avoid, count, lowest) in [(false, 1 << 25, "10.0.0.0"), (true, 254 << 17, "10.0.0.1")]
        {
            let mut space = space(&["10.0.0.0/7"], avoid);
            assert!(matches!(space.v4, Four::Runs(_)));
            assert_eq!(space.free(Family::V4), count);
            assert_eq!(space.lowest(Family::V4), Some(ip(lowest)));
            assert_eq!(space.next(Family::V4, 1), [ip(lowest)]);
            assert!(space.take(ip(lowest)) && !space.take(ip(lowest)));
            assert_eq!(space.take(ip("11.0.0.255")), !avoid);
            assert_eq!(space.give_back(ip("11.0.0.255")), !avoid);
            assert!(space.give_back(ip(lowest)));
            assert_eq!(space.free(Family::V4), count);
        }
        assert!(matches!(space(&["10.0.0.0/8"], false).v4, Four::Bits(_)));
    }

    #[test]
    fn the_whole_of_both_families_can_be_counted() {
        let all = space(&["::/0"], false);
        assert_eq!(all.free(Family::V6), u128::MAX, "one more than can be told");
    }

    proptest! {
        #[test]
        fn it_is_what_a_set_would_be(
            ranges in prop::collection::vec((0_u32..3_000, 0_u32..200), 1..8),
            steps in prop::collection::vec((any::<bool>(), any::<bool>(), 0_u32..3_400), 0..400),
        ) {
            let both = |(first, len): &(u32, u32)| {
                [v4, v6].map(|ip| AddressRange::new(ip(*first), ip(first + len)).unwrap())
            };
            let set: AddressSet = ranges.iter().flat_map(both).collect();
            let mut space = Space::new(&set, false);
            let mut free: BTreeSet<IpAddr> =
                (0..3_400).flat_map(|n| [v4(n), v6(n)]).filter(|a| set.contains(*a)).collect();
            for (take, six, n) in steps {
                let address = if six { v6(n) } else { v4(n) };
                let expected = set.contains(address)
                    && if take { free.remove(&address) } else { free.insert(address) };
                let done = if take { space.take(address) } else { space.give_back(address) };
                // Giving back what is not of the set is the caller's mistake, and no change.
                prop_assert!(done == expected || !set.contains(address));
            }
            for family in [Family::V4, Family::V6] {
                let of = || free.iter().copied().filter(|a| Family::of(*a) == family);
                prop_assert_eq!(space.free(family), of().count() as u128);
                prop_assert_eq!(space.lowest(family), of().next());
                for most in [0, 1, 7, 10_000] {
                    let next: Vec<_> = of().take(most).collect();
                    prop_assert_eq!(space.next(family, most), next);
                }
            }
        }
    }
}
