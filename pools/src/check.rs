//! What no pool may hold.

use std::sync::LazyLock;

use crate::{AddressRange, AddressSet, PoolSpec};

/// Why a range cannot be in a pool. The text names the range, what is wrong and what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{range} holds {part}, which is {what}; take it out, or exclude it")]
pub struct Forbidden {
    /// The range of the pool.
    pub range: AddressRange,
    /// The part of it that cannot be.
    pub part: AddressRange,
    /// What that part is.
    pub what: String,
}

/// Addresses that are no unicast address of a host, by what they are (IANA's special-purpose
/// registries).
const SPECIAL: [(&str, &str); 11] = [
    ("0.0.0.0/8", "the addresses of this network"),
    ("127.0.0.0/8", "loopback"),
    ("169.254.0.0/16", "link-local"),
    ("224.0.0.0/4", "multicast"),
    ("240.0.0.0/4", "reserved, with the broadcast address"),
    ("::/128", "the unspecified address"),
    ("::1/128", "loopback"),
    ("::ffff:0:0/96", "IPv4 written as IPv6"),
    ("fe80::/10", "link-local"),
    ("fec0::/10", "site-local, which is deprecated"),
    ("ff00::/8", "multicast"),
];

static BLOCKS: LazyLock<Vec<(AddressSet, &'static str)>> = LazyLock::new(|| {
    let block = |(range, what): &(&str, &'static str)| {
        let range: AddressRange = range.parse().ok()?;
        Some((AddressSet::from_iter([range]), *what))
    };
    SPECIAL.iter().filter_map(block).collect()
});

impl PoolSpec {
    /// What of it no pool may hold, in the order of its ranges: addresses that belong to no host,
    /// and those of `others`, given with what they are, such as the gateway of a network or the
    /// pods of the under cluster. What is excluded is not looked at.
    #[must_use]
    pub fn forbidden(&self, others: &[(AddressSet, String)]) -> Vec<Forbidden> {
        let excludes: AddressSet = self.excludes.iter().copied().collect();
        let special = BLOCKS.iter().map(|(set, what)| (set, *what));
        let blocks: Vec<(&AddressSet, &str)> =
            special.chain(others.iter().map(|(set, what)| (set, what.as_str()))).collect();
        let mut forbidden = Vec::new();
        for range in &self.addresses {
            let left = AddressSet::from_iter([*range]).minus(&excludes);
            for (block, what) in &blocks {
                let part = left.overlap(block);
                let found =
                    part.map(|part| Forbidden { range: *range, part, what: (*what).to_owned() });
                forbidden.extend(found);
            }
        }
        forbidden
    }
}

/// Whether a pool of these addresses holds what no pool may hold.
pub(crate) fn is_forbidden(contents: &AddressSet) -> bool {
    BLOCKS.iter().any(|(block, _)| contents.overlap(block).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(ranges: &[&str], excludes: &[&str]) -> Vec<String> {
        let read = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect();
        let spec =
            PoolSpec { addresses: read(ranges), excludes: read(excludes), ..PoolSpec::default() };
        let gateway = AddressSet::from_iter(["192.0.2.1".parse::<AddressRange>().unwrap()]);
        let others = [(gateway, "the gateway of Subnet external".to_owned())];
        spec.forbidden(&others).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn each_block_is_known() {
        assert_eq!(BLOCKS.len(), SPECIAL.len());
    }

    #[test]
    fn what_no_host_can_have_is_refused_with_its_range() {
        assert_eq!(
            faults(&["192.0.2.0/24", "127.0.0.1-127.0.0.9"], &["192.0.2.1"]),
            ["127.0.0.1-127.0.0.9 holds 127.0.0.1-127.0.0.9, which is loopback; take it out, \
                 or exclude it"]
        );
        assert_eq!(faults(&["0.0.0.0/0"], &[]).len(), 6, "five blocks and the gateway");
        assert_eq!(faults(&["::/0"], &[]).len(), 6);
        for range in ["224.0.0.1", "169.254.1.0/24", "255.255.255.255", "fe80::1", "ff02::/16"] {
            assert_eq!(faults(&[range], &[]).len(), 1, "{range}");
        }
        assert!(faults(&["198.51.100.0/24", "2001:db8::/32"], &[]).is_empty());
    }

    #[test]
    fn what_belongs_to_others_is_refused_unless_it_is_excluded() {
        let gateway = "192.0.2.0-192.0.2.255 holds 192.0.2.1, which is the gateway of Subnet \
                       external; take it out, or exclude it";
        assert_eq!(faults(&["192.0.2.0/24"], &[]), [gateway]);
        assert!(faults(&["192.0.2.0/24"], &["192.0.2.1"]).is_empty());
    }
}
