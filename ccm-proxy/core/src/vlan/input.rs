//! All that a speaker decides by: what it is told, what it hears, and that time passes.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};

use super::Member;
use crate::mac::MacAddress;
use crate::node::NodeName;
use crate::order::{Ahead, Order};

/// Something that a speaker takes in. Whoever keeps these, each with its time, can have a speaker
/// that is made alike (the same [`Us`](super::Us) and Ethernet address) do the same once more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// Its node tells it something.
    Command(Command),
    /// A whole Ethernet frame of ARP or neighbor discovery came.
    Frame(Vec<u8>),
    /// A UDP packet came to BFD's port.
    Bfd {
        /// Who sent it.
        from: Ipv6Addr,
        /// How far it came: 255 is not at all.
        ttl: u8,
        /// What it says.
        payload: Vec<u8>,
    },
    /// All that came is handed in: what is due is to be sent.
    Poll {
        /// Spreads the packets of many speakers.
        random: u8,
        /// Whether there is room for frames.
        room: bool,
    },
    /// The speaker leaves the link: the others take over at once.
    Leave,
}

/// What a speaker is told by its node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// The speakers on this link, us among them or not. While nobody can tell who there are, this
    /// is not told, and those who were there go on.
    Members(BTreeMap<NodeName, Member>),
    /// What is to be done for an address, or that nothing is.
    Order(IpAddr, Option<Order>),
    /// Of which addresses it is asked ahead whether another host has them.
    Ahead(Ahead),
    /// The Ethernet address of our interface, and whether it is up.
    Interface(MacAddress, bool),
}
