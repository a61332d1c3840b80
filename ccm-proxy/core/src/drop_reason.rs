//! Why a frame or a packet has no effect.

use std::collections::BTreeMap;

/// Why a frame or a packet has no effect. Each is counted; none is an error of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DropReason {
    /// Shorter than its headers say.
    Truncated,
    /// Neither ARP nor IPv6.
    OtherProtocol,
    /// To another host's Ethernet address.
    OtherDestination,
    /// From our own Ethernet address: an echo, or a loop in the network.
    FromOurselves,
    /// From, or about, an Ethernet address that no interface has.
    BadSender,
    /// ARP that is not about IPv4 over Ethernet (RFC 826).
    MalformedArp,
    /// Neither a request nor a reply.
    ArpOperation,
    /// IPv6 that is neither a neighbor solicitation nor a neighbor advertisement.
    NotNeighborDiscovery,
    /// Neighbor discovery that was forwarded: its hop limit is not 255 (RFC 4861, 7.1).
    HopLimit,
    /// Its checksum is wrong.
    Checksum,
    /// Neighbor discovery that breaks RFC 4861, 7.1.
    MalformedNdp,
    /// About an address that is none of ours.
    NotOurs,
    /// About an address that another speaker announces.
    NotElected,
    /// About an address that is probed and may be somebody else's.
    Probing,
    /// About an address that somebody else uses.
    Conflict,
    /// Asked by the very interface that would be the answer.
    AskerIsAnswer,
    /// BFD that breaks RFC 5880, 6.8.6.
    MalformedBfd,
    /// BFD that was forwarded: its TTL or hop limit is too low (RFC 5881, 5).
    BfdTtl,
    /// BFD from nobody we have a session with.
    BfdStranger,
    /// BFD that names another session than its sender's.
    BfdDiscriminator,
}

/// How often each reason was met.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Drops(BTreeMap<DropReason, u64>);

impl Drops {
    /// Counts one.
    pub fn count(&mut self, reason: DropReason) {
        *self.0.entry(reason).or_default() += 1;
    }

    /// How often this reason was met.
    #[must_use]
    pub fn of(&self, reason: DropReason) -> u64 {
        self.0.get(&reason).copied().unwrap_or_default()
    }

    /// The reasons that were met, and how often.
    pub fn iter(&self) -> impl Iterator<Item = (DropReason, u64)> + '_ {
        self.0.iter().map(|(reason, count)| (*reason, *count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_counted_each_by_itself() {
        let mut drops = Drops::default();
        drops.count(DropReason::HopLimit);
        drops.count(DropReason::HopLimit);
        drops.count(DropReason::Checksum);
        assert_eq!((drops.of(DropReason::HopLimit), drops.of(DropReason::NotOurs)), (2, 0));
        let all: Vec<_> = drops.iter().collect();
        assert_eq!(all, [(DropReason::HopLimit, 2), (DropReason::Checksum, 1)]);
    }
}
