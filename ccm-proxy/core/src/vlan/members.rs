//! The speakers on a link: who is there by their Leases, and who is live by BFD.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::net::Ipv6Addr;
use std::num::NonZeroU32;
use std::time::Duration;

use super::Us;
use crate::bfd::{Diagnostic, Packet, Profile, Session, State};
use crate::drop_reason::DropReason;
use crate::mac::MacAddress;
use crate::node::NodeName;

/// A speaker that begins waits this long for the first of the others, so that it takes nothing from
/// those who are there.
const SETTLE: Duration = Duration::from_millis(1_500);
/// Once one of them is there, the rest is waited for so long: one whose Lease alone is left does
/// not hold up what others have given up already.
const SETTLE_REST: Duration = Duration::from_millis(100);

/// What is not forwarded arrives with this (RFC 5881, 5).
const ON_LINK: u8 = 255;

/// A speaker on a link, by its Lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its interface on the link.
    pub mac: MacAddress,
    /// Its address on the link, for BFD: the one that its interface has by itself.
    pub address: Ipv6Addr,
}

/// How another speaker stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Liveness {
    /// The session with it.
    pub state: State,
    /// Why it went down last.
    pub diagnostic: Diagnostic,
    /// Since when it stands so (monotonic).
    pub since: Duration,
}

#[derive(Clone, Debug)]
pub(super) struct Members {
    node: NodeName,
    seed: u64,
    profile: Profile,
    /// Until when others are waited for; nobody was named, or nobody can be heard, before.
    settles: Option<Duration>,
    /// Whether that is over.
    settled: bool,
    /// Whether we can be heard, and announce.
    up: bool,
    /// Whether we are one of those who take part.
    chosen: bool,
    peers: BTreeMap<NodeName, Peer>,
    /// What is said for the last time, to those whom we take part with no more.
    farewells: Vec<(Ipv6Addr, Vec<u8>)>,
    /// Sessions that were begun.
    begun: u32,
    /// Somebody came or went; those who came.
    changed: Option<BTreeSet<NodeName>>,
}

#[derive(Clone, Debug)]
struct Peer {
    member: Member,
    session: Session,
}

impl Peer {
    /// Ends the session: what tells the other one not to count on us.
    fn leave(mut self, now: Duration) -> Option<(Ipv6Addr, Vec<u8>)> {
        self.session.hold_down(true, now);
        let packet = self.session.poll(now, u8::MAX)?;
        Some((self.member.address, packet.write().to_vec()))
    }
}

impl Members {
    pub(super) fn new(us: &Us) -> Self {
        Self {
            node: us.node.clone(),
            seed: us.seed,
            profile: us.profile,
            settles: None,
            settled: false,
            up: false,
            chosen: false,
            peers: BTreeMap::new(),
            farewells: Vec::new(),
            begun: 0,
            changed: None,
        }
    }

    /// Takes the speakers there are. A session goes on with a member that stays where it is. Where we
    /// are left out, the others may not have read so yet: they are told, and take over.
    pub(super) fn set(&mut self, members: BTreeMap<NodeName, Member>, now: Duration) {
        self.chosen = members.contains_key(&self.node);
        let mut before = std::mem::take(&mut self.peers);
        if !self.chosen {
            // Who comes back begins anew.
            (self.settled, self.settles) = (false, None);
            self.farewells.extend(before.into_values().filter_map(|peer| peer.leave(now)));
            return;
        }
        for (node, member) in &members {
            if *node == self.node {
                continue;
            }
            let known = before.remove(node).filter(|peer| peer.member == *member);
            let peer = known.unwrap_or_else(|| {
                self.begun += 1;
                let mut session = Session::new(self.number(node), self.profile, now);
                session.hold_down(!self.up, now);
                Peer { member: *member, session }
            });
            self.peers.insert(node.clone(), peer);
        }
        self.settle(now);
    }

    /// Whether we can be heard and announce. While not, the others are told not to count on us.
    pub(super) fn set_up(&mut self, up: bool, now: Duration) {
        if self.up == up {
            return;
        }
        (self.up, self.settled, self.settles) = (up, false, None);
        self.peers.values_mut().for_each(|peer| peer.session.hold_down(!up, now));
        self.changed.get_or_insert_default();
        self.settle(now);
    }

    /// The others were waited for long enough, or are all there.
    fn settle(&mut self, now: Duration) {
        if self.settled || !self.up || !self.chosen {
            return;
        }
        let live = |peer: &Peer| peer.session.state() == State::Up;
        let settles = *self.settles.get_or_insert(now + SETTLE);
        if self.peers.values().any(live) {
            self.settles = Some(settles.min(now + SETTLE_REST));
        }
        if now >= settles || self.peers.values().all(live) {
            self.settled = true;
            self.changed.get_or_insert_default();
        }
    }

    /// A number for a session, which none of ours has had.
    fn number(&self, node: &NodeName) -> NonZeroU32 {
        let mut hasher = DefaultHasher::new();
        (self.seed, node, self.begun).hash(&mut hasher);
        let [a, b, c, d, ..] = hasher.finish().to_le_bytes();
        NonZeroU32::new(u32::from_le_bytes([a, b, c, d])).unwrap_or(NonZeroU32::MIN)
    }

    /// The interfaces of the others.
    pub(super) fn interfaces(&self) -> BTreeSet<MacAddress> {
        self.peers.values().map(|peer| peer.member.mac).collect()
    }

    /// Whether a node takes part in elections.
    pub(super) fn is_live(&self, node: &NodeName) -> bool {
        if *node == self.node {
            return self.chosen;
        }
        self.peers.get(node).is_some_and(|peer| peer.session.state() == State::Up)
    }

    /// Whether the others were waited for long enough, or are all there.
    pub(super) const fn settled(&self) -> bool {
        self.settled
    }

    /// Whether a node is one of the others, live or not.
    pub(super) fn is_known(&self, node: &NodeName) -> bool {
        self.peers.contains_key(node)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&NodeName, Liveness)> {
        self.peers.iter().map(|(node, Peer { session, .. })| {
            let (state, diagnostic) = (session.state(), session.diagnostic());
            (node, Liveness { state, diagnostic, since: session.since() })
        })
    }

    pub(super) fn hear(
        &mut self,
        from: Ipv6Addr,
        ttl: u8,
        payload: &[u8],
        now: Duration,
    ) -> Result<Option<Vec<u8>>, DropReason> {
        if ttl != ON_LINK {
            return Err(DropReason::BfdTtl);
        }
        let mut peers = self.peers.iter_mut();
        let (node, peer) =
            peers.find(|(_, peer)| peer.member.address == from).ok_or(DropReason::BfdStranger)?;
        let packet = Packet::read(payload)?;
        let before = peer.session.state();
        let answer = peer.session.receive(&packet, now)?;
        let after = peer.session.state();
        let node = node.clone();
        self.note(&node, before, after);
        self.settle(now);
        Ok(answer.map(|answer| answer.write().to_vec()))
    }

    pub(super) fn poll(&mut self, now: Duration, random: u8) -> Vec<(Ipv6Addr, Vec<u8>)> {
        let mut packets = std::mem::take(&mut self.farewells);
        let mut moved = Vec::new();
        for (node, peer) in &mut self.peers {
            let before = peer.session.state();
            let packet = peer.session.poll(now, random);
            packets.extend(packet.map(|packet| (peer.member.address, packet.write().to_vec())));
            if peer.session.state() != before {
                moved.push((node.clone(), before, peer.session.state()));
            }
        }
        for (node, before, after) in moved {
            self.note(&node, before, after);
        }
        self.settle(now);
        packets
    }

    pub(super) fn deadline(&self) -> Option<Duration> {
        let sessions = self.peers.values().filter_map(|peer| peer.session.deadline());
        let settles = self.settles.filter(|_| !self.settled);
        let farewell = (!self.farewells.is_empty()).then_some(Duration::ZERO);
        sessions.chain(settles).chain(farewell).min()
    }

    /// Those who came since the last call, if anybody came or went.
    pub(super) const fn take_changed(&mut self) -> Option<BTreeSet<NodeName>> {
        self.changed.take()
    }

    fn note(&mut self, node: &NodeName, before: State, after: State) {
        if (before == State::Up) != (after == State::Up) {
            let came = self.changed.get_or_insert_default();
            if after == State::Up {
                came.insert(node.clone());
            }
        }
    }
}
