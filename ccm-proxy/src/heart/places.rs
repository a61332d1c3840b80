//! Where we are on each VLAN: what our Lease is to say of it, and where we count. Pure.
//!
//! A speaker is a member when the others can know of it. One that counted itself a member before
//! its Lease says so would announce what others announce as well.

use std::collections::{BTreeMap, BTreeSet};

use speaker_core::vlan::Member;
use speaker_core::world::VlanName;

/// Where we are on each VLAN.
#[derive(Debug, Default)]
pub(super) struct Places {
    /// VLANs whose place is not known yet; until it is, our Lease says what an earlier run's did.
    unknown: BTreeSet<VlanName>,
    members: BTreeMap<VlanName, Member>,
    /// What an earlier run's Lease says of VLANs whose place was not known yet.
    before: BTreeMap<VlanName, Member>,
    /// What was written last; nothing before the first time.
    written: Option<BTreeMap<VlanName, Member>>,
    /// The place of a VLAN was known once.
    known: bool,
}

impl Places {
    /// A VLAN's place will be known.
    pub(super) fn begin(&mut self, name: VlanName) {
        self.unknown.insert(name);
    }

    /// The place of a VLAN is this, or there is none for now.
    pub(super) fn set(&mut self, name: &VlanName, member: Option<Member>) {
        self.known = true;
        self.unknown.remove(name);
        self.before.remove(name);
        match member {
            Some(member) => drop(self.members.insert(name.clone(), member)),
            None => drop(self.members.remove(name)),
        }
    }

    /// Our Lease says this.
    pub(super) fn read(&mut self, says: &BTreeMap<VlanName, Member>) {
        if self.written.is_none() && !self.known {
            self.before.clone_from(says);
        }
    }

    /// Our Lease was written so.
    pub(super) fn written(&mut self, says: BTreeMap<VlanName, Member>) {
        self.written = Some(says);
    }

    /// What our Lease is to say; nothing while it is to be left as it is.
    pub(super) fn lease(&self) -> Option<BTreeMap<VlanName, Member>> {
        if !self.known && !self.unknown.is_empty() {
            return None;
        }
        let before = self.before.iter().filter(|(name, _)| self.unknown.contains(*name));
        let all = before.chain(&self.members);
        Some(all.map(|(name, member)| (name.clone(), *member)).collect())
    }

    /// Where we count ourselves a member.
    pub(super) fn counted(&self) -> BTreeMap<VlanName, Member> {
        let written = |name: &VlanName| self.written.as_ref().and_then(|written| written.get(name));
        let counted = self.members.iter().filter(|(name, member)| written(name) == Some(member));
        counted.map(|(name, member)| (name.clone(), *member)).collect()
    }
}

#[cfg(test)]
mod tests {
    use speaker_core::mac::MacAddress;

    use super::*;

    fn member(last: u8) -> Member {
        let mac = MacAddress::new([2, 0, 0, 0, 0, last]).unwrap();
        Member { mac, address: mac.link_local() }
    }

    fn vlans(all: &[(&str, u8)]) -> BTreeMap<VlanName, Member> {
        all.iter().map(|(name, last)| ((*name).into(), member(*last))).collect()
    }

    #[test]
    fn we_count_where_our_lease_says_that_we_are() {
        let mut places = Places::default();
        places.begin("a".into());
        places.set(&"a".into(), Some(member(1)));
        assert_eq!(places.counted(), vlans(&[]), "nobody can know of us yet");
        let lease = places.lease().unwrap();
        assert_eq!(lease, vlans(&[("a", 1)]));
        places.written(lease);
        assert_eq!(places.counted(), vlans(&[("a", 1)]));
        places.set(&"a".into(), Some(member(2)));
        assert_eq!(places.counted(), vlans(&[]), "the others know of another interface");
        places.set(&"a".into(), None);
        assert_eq!((places.counted(), places.lease()), (vlans(&[]), Some(vlans(&[]))));
    }

    #[test]
    fn a_vlan_does_not_wait_for_the_place_of_another() {
        let mut places = Places::default();
        ["a", "b", "c"].into_iter().for_each(|name| places.begin(name.into()));
        places.read(&vlans(&[("b", 7), ("gone", 9)]));
        assert_eq!(places.lease(), None, "an earlier run's is left while nothing is known");
        places.set(&"a".into(), Some(member(1)));
        let lease = places.lease().unwrap();
        assert_eq!(lease, vlans(&[("a", 1), ("b", 7)]));
        places.written(lease);
        assert_eq!(places.counted(), vlans(&[("a", 1)]), "we are not on the other yet");
        places.set(&"b".into(), Some(member(2)));
        places.set(&"c".into(), None);
        assert_eq!(places.lease(), Some(vlans(&[("a", 1), ("b", 2)])));
    }

    #[test]
    fn one_that_is_on_no_vlan_says_so() {
        assert_eq!(Places::default().lease(), Some(vlans(&[])));
    }
}
