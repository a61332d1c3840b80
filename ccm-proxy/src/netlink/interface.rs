//! Interfaces of a namespace.

use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::{AsRawFd as _, BorrowedFd};

use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_route::address::{AddressAttribute, AddressMessage, AddressScope};
use netlink_packet_route::link::{
    InfoData, InfoKind, InfoMacVlan, LinkAttribute, LinkFlags, LinkInfo, LinkMessage, MacVlanMode,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use speaker_core::mac::MacAddress;

use super::{Netlink, gone};

/// An interface of a namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// Its number in the namespace.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// Its Ethernet address, if it has one.
    pub mac: Option<MacAddress>,
    /// Whether it is up and has a carrier.
    pub running: bool,
    /// The number of the interface that it is a macvlan on, in the namespace of that.
    pub macvlan_on: Option<u32>,
}

impl Netlink {
    /// All interfaces.
    ///
    /// # Errors
    /// The kernel's.
    pub fn interfaces(&mut self) -> io::Result<Vec<Interface>> {
        let request = RouteNetlinkMessage::GetLink(LinkMessage::default());
        let found = self.dump(request)?.into_iter().filter_map(|message| match message {
            RouteNetlinkMessage::NewLink(link) => Interface::read(&link),
            _ => None,
        });
        Ok(found.collect())
    }

    /// The interface of this name.
    ///
    /// # Errors
    /// The kernel's.
    pub fn interface(&mut self, name: &str) -> io::Result<Option<Interface>> {
        Ok(self.interfaces()?.into_iter().find(|interface| interface.name == name))
    }

    /// Makes a macvlan on an interface of this namespace, in another namespace.
    ///
    /// # Errors
    /// The kernel's.
    pub fn add_macvlan(&mut self, name: &str, parent: u32, to: BorrowedFd<'_>) -> io::Result<()> {
        let mut link = LinkMessage::default();
        link.attributes = vec![
            LinkAttribute::IfName(name.to_owned()),
            LinkAttribute::Link(parent),
            LinkAttribute::NetNsFd(to.as_raw_fd()),
            LinkAttribute::LinkInfo(vec![
                LinkInfo::Kind(InfoKind::MacVlan),
                LinkInfo::Data(InfoData::MacVlan(vec![InfoMacVlan::Mode(MacVlanMode::Bridge)])),
            ]),
        ];
        self.change(RouteNetlinkMessage::NewLink(link), NLM_F_CREATE | NLM_F_EXCL)
    }

    /// Gives an interface an address that the kernel asks for virtual machines by. Without one it
    /// asks as somebody does who wants the address for himself (RFC 5227, 2.1.1), and a machine
    /// that starts meanwhile takes its own address for taken. The address is of the link alone
    /// (RFC 3927), and of the interface's Ethernet address: the kernel alone speaks by it.
    ///
    /// # Errors
    /// The kernel's.
    pub fn set_sender(&mut self, index: u32, mac: MacAddress) -> io::Result<()> {
        let [.., c, d] = mac.octets();
        // The first and the last 256 are reserved.
        let address = Ipv4Addr::new(169, 254, c.clamp(1, 254), d);
        let mut message = AddressMessage::default();
        message.header.family = AddressFamily::Inet;
        message.header.prefix_len = 32;
        message.header.scope = AddressScope::Link;
        message.header.index = index;
        message.attributes = vec![
            AddressAttribute::Local(IpAddr::V4(address)),
            AddressAttribute::Address(IpAddr::V4(address)),
        ];
        let flags = NLM_F_CREATE | NLM_F_EXCL;
        match self.change(RouteNetlinkMessage::NewAddress(message), flags) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            other => other,
        }
    }

    /// Deletes an interface; that there is none is success.
    ///
    /// # Errors
    /// The kernel's.
    pub fn delete_interface(&mut self, index: u32) -> io::Result<()> {
        let mut link = LinkMessage::default();
        link.header.index = index;
        gone(self.change(RouteNetlinkMessage::DelLink(link), 0))
    }

    /// Takes an interface up or down.
    ///
    /// # Errors
    /// The kernel's.
    pub fn set_up(&mut self, index: u32, up: bool) -> io::Result<()> {
        let mut link = LinkMessage::default();
        link.header.index = index;
        link.header.change_mask = LinkFlags::Up;
        link.header.flags = if up { LinkFlags::Up } else { LinkFlags::empty() };
        self.change(RouteNetlinkMessage::SetLink(link), 0)
    }
}

impl Interface {
    fn read(link: &LinkMessage) -> Option<Self> {
        let mut interface = Self {
            index: link.header.index,
            name: String::new(),
            mac: None,
            running: link.header.flags.contains(LinkFlags::Up | LinkFlags::LowerUp),
            macvlan_on: None,
        };
        // The kernel leaves the number away where it is that of the interface itself.
        let (mut on, mut macvlan) = (link.header.index, false);
        for attribute in &link.attributes {
            match attribute {
                LinkAttribute::IfName(name) => interface.name.clone_from(name),
                LinkAttribute::Address(octets) => {
                    let octets = <[u8; 6]>::try_from(&**octets).ok();
                    interface.mac = octets.and_then(|octets| MacAddress::new(octets).ok());
                }
                LinkAttribute::Link(parent) => on = *parent,
                LinkAttribute::LinkInfo(told) => {
                    macvlan = told.contains(&LinkInfo::Kind(InfoKind::MacVlan));
                }
                _ => {}
            }
        }
        interface.macvlan_on = macvlan.then_some(on);
        Some(interface).filter(|interface| !interface.name.is_empty())
    }
}
