//! One speaker on one link: it hears, is elected, announces, and knows who else is there.
//!
//! ```text
//! Members ─► BFD sessions ─► who is live ─┐
//! Orders ─────────────────────────────────┴─► election ─► l2::Link ─► frames
//! ```
//! Whatever happens is an [`Input`] to [`Vlan::handle`], which gives what is to be sent. Nothing is
//! withdrawn for lost contact: a speaker that hears nobody announces what it had, and what the
//! others had as well. Two that answer lead to the same virtual machines.

mod input;
mod members;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

pub use input::{Command, Input};
pub use members::{Liveness, Member};

use crate::bfd::Profile;
use crate::drop_reason::Drops;
use crate::election;
use crate::l2::{self, Link, Role, Standing, solicited_node};
use crate::mac::MacAddress;
use crate::node::NodeName;
use crate::order::{Ahead, Delivery, Order};
use members::Members;

/// About so many frames are sent before anything else is heard.
const MOST_FRAMES: usize = 256;

/// Who we are on a link.
#[derive(Clone, Debug)]
pub struct Us {
    /// The node we run on.
    pub node: NodeName,
    /// Differs from one start to the next; BFD numbers its sessions by it.
    pub seed: u64,
    /// How fast the speakers miss each other.
    pub profile: Profile,
}

/// What is to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Send {
    /// A whole Ethernet frame.
    Frame(Vec<u8>),
    /// The payload of a UDP packet to a speaker, by BFD's port.
    Bfd(Ipv6Addr, Vec<u8>),
}

/// One speaker on one link.
#[derive(Clone, Debug)]
pub struct Vlan {
    us: Us,
    /// Our interface.
    mac: MacAddress,
    /// Whether it is up.
    up: bool,
    members: Members,
    orders: BTreeMap<IpAddr, Order>,
    ahead: Ahead,
    link: Link,
}

impl Vlan {
    /// A speaker that knows nothing yet, with an interface that is down.
    #[must_use]
    pub fn new(us: Us, mac: MacAddress) -> Self {
        let (members, link) = (Members::new(&us), Link::new(mac));
        let (orders, ahead) = Default::default();
        Self { us, mac, up: false, members, orders, ahead, link }
    }

    /// Takes something in; gives what is to be sent for it, in this order. What came in is handed over
    /// before a poll: one that was kept from running hears first what the others said meanwhile.
    #[must_use = "what is not sent was said to nobody"]
    pub fn handle(&mut self, input: Input, now: Duration) -> Vec<Send> {
        match input {
            Input::Command(command) => {
                self.obey(command, now);
                Vec::new()
            }
            Input::Frame(frame) => self.hear(&frame, now),
            Input::Bfd { from, ttl, payload } => self.hear_bfd(from, ttl, &payload, now),
            Input::Poll { random, room } => self.poll(now, random, room),
            Input::Leave => self.leave(now),
        }
    }

    fn obey(&mut self, command: Command, now: Duration) {
        match command {
            Command::Members(members) => self.set_members(members, now),
            Command::Order(address, order) => self.set_order(address, order, now),
            Command::Ahead(ahead) => self.set_ahead(ahead, now),
            Command::Interface(mac, up) => self.set_interface(mac, up, now),
        }
    }

    fn set_interface(&mut self, mac: MacAddress, up: bool, now: Duration) {
        if (self.mac, self.up) == (mac, up) {
            return;
        }
        (self.mac, self.up) = (mac, up);
        self.members.set_up(up, now);
        self.link.came_up(mac, now);
        self.elect_all(now);
    }

    fn leave(&mut self, now: Duration) -> Vec<Send> {
        self.set_interface(self.mac, false, now);
        let packets = self.members.poll(now, u8::MAX);
        packets.into_iter().map(|(to, packet)| Send::Bfd(to, packet)).collect()
    }

    fn set_members(&mut self, members: BTreeMap<NodeName, Member>, now: Duration) {
        self.members.set(members, now);
        self.link.set_peers(self.members.interfaces());
        self.elect_all(now);
    }

    fn set_order(&mut self, address: IpAddr, order: Option<Order>, now: Duration) {
        let uid = |order: &Order| order.uid.clone();
        let known = self.orders.get(&address).map(uid);
        if known.is_some() && known != order.as_ref().map(uid) {
            // It is another's now, or nobody's: nothing of it goes on.
            self.link.forget(address);
        }
        match order {
            Some(order) => {
                self.orders.insert(address, order);
                self.elect(address, now);
            }
            None => drop(self.orders.remove(&address)),
        }
    }

    fn set_ahead(&mut self, ahead: Ahead, now: Duration) {
        self.ahead = ahead;
        self.ask_ahead(now);
    }

    fn hear(&mut self, frame: &[u8], now: Duration) -> Vec<Send> {
        let said = if self.up { self.link.hear(frame, now) } else { Vec::new() };
        said.into_iter().map(Send::Frame).collect()
    }

    fn hear_bfd(&mut self, from: Ipv6Addr, ttl: u8, payload: &[u8], now: Duration) -> Vec<Send> {
        let said = match self.members.hear(from, ttl, payload, now) {
            Ok(said) => said.map(|packet| Send::Bfd(from, packet)).into_iter().collect(),
            Err(reason) => {
                self.link.count(reason);
                Vec::new()
            }
        };
        self.follow(now);
        said
    }

    fn poll(&mut self, now: Duration, random: u8, room: bool) -> Vec<Send> {
        let packets = self.members.poll(now, random);
        self.follow(now);
        let most = if self.up && room { MOST_FRAMES } else { 0 };
        let frames = self.link.poll(now, most);
        let frames = frames.into_iter().map(Send::Frame);
        packets.into_iter().map(|(to, packet)| Send::Bfd(to, packet)).chain(frames).collect()
    }

    /// When a poll has something to give (monotonic).
    #[must_use]
    pub fn deadline(&self, room: bool) -> Option<Duration> {
        let link = self.link.deadline().filter(|_| self.up && room);
        [self.members.deadline(), link].into_iter().flatten().min()
    }

    /// How an address stands with us.
    #[must_use]
    pub fn standing(&self, address: IpAddr) -> Option<Standing> {
        self.link.standing(address)
    }

    /// UID of the `Eip` that an address is announced for.
    #[must_use]
    pub fn uid(&self, address: IpAddr) -> Option<&Arc<str>> {
        self.orders.get(&address).map(|order| &order.uid)
    }

    /// Whether it is known who else is there: what is not announced now is another's to announce.
    #[must_use]
    pub const fn settled(&self) -> bool {
        self.members.settled()
    }

    /// The other speakers, and how they stand.
    pub fn peers(&self) -> impl Iterator<Item = (&NodeName, Liveness)> {
        self.members.iter()
    }

    /// The groups in which questions about our addresses are asked.
    #[must_use]
    pub fn groups(&self) -> BTreeSet<Ipv6Addr> {
        let all = self.orders.keys().chain(&self.ahead.addresses);
        let v6 = all.filter_map(|address| match address {
            IpAddr::V6(v6) => Some(solicited_node(*v6)),
            IpAddr::V4(_) => None,
        });
        v6.collect()
    }

    /// The addresses that stand otherwise than at the last call, or are not ours any more.
    pub fn take_changed(&mut self) -> BTreeSet<IpAddr> {
        self.link.take_changed()
    }

    /// What had no effect, by reason.
    #[must_use]
    pub const fn drops(&self) -> &Drops {
        self.link.drops()
    }

    /// Takes note of who came and who is gone.
    fn follow(&mut self, now: Duration) {
        if let Some(came) = self.members.take_changed() {
            self.elect_all(now);
            if !came.is_empty() {
                self.assert_over(&came, now);
            }
        }
    }

    /// Somebody is there again, who may have announced what is ours: whoever heard him hears us.
    fn assert_over(&mut self, came: &BTreeSet<NodeName>, now: Duration) {
        for (address, order) in &self.orders {
            if order.nodes.iter().any(|node| came.contains(node)) {
                self.link.announce_again(*address, now);
            }
        }
    }

    fn elect_all(&mut self, now: Duration) {
        for address in self.orders.keys().copied().collect::<Vec<_>>() {
            self.elect(address, now);
        }
        self.ask_ahead(now);
    }

    /// Asks ahead for what will be ours to announce, by whatever it is announced.
    fn ask_ahead(&mut self, now: Duration) {
        let ours = |address: &IpAddr| {
            let mut groups = self.ahead.nodes.iter();
            groups.any(|nodes| {
                let eligible = nodes.iter().filter(|node| self.members.is_live(node));
                election::owner(*address, eligible) == Some(&self.us.node)
            })
        };
        let unordered = |address: &&IpAddr| !self.orders.contains_key(*address);
        let addresses = self.ahead.addresses.iter().filter(unordered).copied();
        let addresses = if self.up { addresses.filter(ours).collect() } else { BTreeSet::new() };
        self.link.ask_ahead(&addresses, now);
    }

    /// Whether an address is ours to announce.
    fn elect(&mut self, address: IpAddr, now: Duration) {
        let Some(order) = self.orders.get(&address) else { return };
        let eligible = order.nodes.iter().filter(|node| self.members.is_live(node));
        let ours = election::owner(address, eligible) == Some(&self.us.node);
        // While our interface is down neither is so: nobody counts on us, nor we on anybody.
        let ours = ours && (self.members.settled() || self.is_given_up(address, order));
        let mac = ours.then(|| answer(address, order, self.mac)).flatten();
        let fresh = !order.announced;
        let role = mac.map_or(Role::Silent, |mac| Role::Announce { mac, fresh });
        self.link.order(address, l2::Order { role, refresh: order.refresh }, now);
    }

    /// Whether the one that would announce an address if we were not there knows that we are: it
    /// has given it up then.
    fn is_given_up(&self, address: IpAddr, order: &Order) -> bool {
        let others = order.nodes.iter().filter(|node| self.members.is_known(node));
        election::owner(address, others).is_some_and(|before| self.members.is_live(before))
    }
}

/// The interface that is the answer to questions about an address.
fn answer(address: IpAddr, order: &Order, ours: MacAddress) -> Option<MacAddress> {
    match &order.delivery {
        Delivery::Routed { .. } | Delivery::Local { .. } => Some(ours),
        Delivery::Direct { machines } => {
            // One machine for an address, the same whoever announces it.
            let known = machines.iter().filter_map(|machine| Some((machine.address, machine.mac?)));
            let known: BTreeMap<IpAddr, MacAddress> = known.collect();
            let machine = election::machine(address, known.keys().copied())?;
            known.get(&machine).copied()
        }
    }
}

#[cfg(test)]
#[path = "vlan_tests.rs"]
mod tests;
