//! Interfaces of a namespace.

use std::collections::BTreeSet;
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

/// Broadcasts never wait for a worker (`bc_cutoff`; kernels before 6.4 have no such setting, and pass
/// over it).
const AT_ONCE: InfoMacVlan = InfoMacVlan::BcCutoff(-1);

/// An interface of a namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// Its number in the namespace.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// Its Ethernet address, if it has one.
    pub mac: Option<MacAddress>,
    /// Whether it was set up.
    pub up: bool,
    /// Whether it is up and has a carrier.
    pub running: bool,
    /// What it is as a macvlan.
    pub macvlan: Option<Macvlan>,
    /// The number of the interface of the same namespace that it is on, as a VLAN or a macvlan is.
    pub on: Option<u32>,
    /// The number of the bridge, bond or switch that it is a port of.
    pub port_of: Option<u32>,
    /// What somebody wrote to it (`ifalias`).
    pub alias: String,
}

/// What an interface is that is a macvlan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Macvlan {
    /// The number of the interface that it is on, in the namespace of that.
    pub on: u32,
    /// Broadcasts reach it as other frames do (`bc_cutoff`), and not by a worker of the kernel,
    /// which waits for its turn on a node that is busy: for a tenth of a second and more.
    pub at_once: bool,
}

/// Where an interface is to be, and how.
#[derive(Clone, Copy, Debug)]
pub struct Move<'m> {
    /// The namespace.
    pub to: BorrowedFd<'m>,
    /// Its name there.
    pub name: &'m str,
    /// What is written to it.
    pub alias: &'m str,
    /// Whether it is up.
    pub up: bool,
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

    /// Makes a macvlan on an interface of this namespace, in another namespace. Broadcasts reach it
    /// at once.
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
                LinkInfo::Data(InfoData::MacVlan(vec![
                    InfoMacVlan::Mode(MacVlanMode::Bridge),
                    AT_ONCE,
                ])),
            ]),
        ];
        self.change(RouteNetlinkMessage::NewLink(link), NLM_F_CREATE | NLM_F_EXCL)
    }

    /// Has broadcasts reach a macvlan at once, and all others on the same interface.
    ///
    /// # Errors
    /// The kernel's.
    pub fn receive_at_once(&mut self, macvlan: u32) -> io::Result<()> {
        let mut link = LinkMessage::default();
        link.header.index = macvlan;
        link.attributes = vec![LinkAttribute::LinkInfo(vec![
            LinkInfo::Kind(InfoKind::MacVlan),
            LinkInfo::Data(InfoData::MacVlan(vec![AT_ONCE])),
        ])];
        self.change(RouteNetlinkMessage::NewLink(link), 0)
    }

    /// Moves an interface to another namespace, where it is so.
    ///
    /// # Errors
    /// The kernel's: it is not to be moved. Or there is one of that name: then it is moved all the
    /// same, and keeps the name it has.
    pub fn move_interface(&mut self, index: u32, so: Move<'_>) -> io::Result<()> {
        let mut link = LinkMessage::default();
        link.header.index = index;
        link.header.change_mask = LinkFlags::Up;
        link.header.flags = if so.up { LinkFlags::Up } else { LinkFlags::empty() };
        link.attributes = vec![
            LinkAttribute::NetNsFd(so.to.as_raw_fd()),
            LinkAttribute::IfName(so.name.to_owned()),
            LinkAttribute::IfAlias(so.alias.to_owned()),
        ];
        self.change(RouteNetlinkMessage::SetLink(link), 0)
    }

    /// The addresses of an interface, with the lengths of their prefixes.
    ///
    /// # Errors
    /// The kernel's.
    pub fn addresses(&mut self, index: u32) -> io::Result<Vec<(IpAddr, u8)>> {
        let request = RouteNetlinkMessage::GetAddress(AddressMessage::default());
        let mut found = Vec::new();
        for message in self.dump(request)? {
            let RouteNetlinkMessage::NewAddress(message) = message else { continue };
            if message.header.index == index {
                found.extend(message.attributes.iter().find_map(|attribute| match attribute {
                    AddressAttribute::Address(address) => {
                        Some((*address, message.header.prefix_len))
                    }
                    _ => None,
                }));
            }
        }
        Ok(found)
    }

    /// Gives an interface these addresses, and no others but those of the link alone.
    ///
    /// # Errors
    /// The kernel's.
    pub fn set_addresses(&mut self, index: u32, wanted: &BTreeSet<(IpAddr, u8)>) -> io::Result<()> {
        let there: BTreeSet<_> = self.addresses(index)?.into_iter().collect();
        let of_us = |(address, _): &&(IpAddr, u8)| !is_of_the_link(*address);
        for (address, prefix) in there.difference(wanted).filter(of_us) {
            let message = RouteNetlinkMessage::DelAddress(message(index, *address, *prefix));
            self.change(message, 0)?;
        }
        for (address, prefix) in wanted.difference(&there) {
            let message = RouteNetlinkMessage::NewAddress(message(index, *address, *prefix));
            self.change(message, NLM_F_CREATE | NLM_F_EXCL)?;
        }
        Ok(())
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
        let mut message = message(index, IpAddr::V4(address), 32);
        message.header.scope = AddressScope::Link;
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

/// Whether an address is of the link alone, as those that an interface has by itself.
#[must_use]
pub const fn is_of_the_link(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    }
}

fn message(index: u32, address: IpAddr, prefix: u8) -> AddressMessage {
    let mut message = AddressMessage::default();
    message.header.family = match address {
        IpAddr::V4(_) => AddressFamily::Inet,
        IpAddr::V6(_) => AddressFamily::Inet6,
    };
    message.header.prefix_len = prefix;
    message.header.index = index;
    message.attributes = vec![AddressAttribute::Local(address), AddressAttribute::Address(address)];
    message
}

impl Interface {
    /// Whether it is a macvlan on another one, which is of the namespace that it was made in.
    pub(crate) fn is_macvlan_on(&self, other: &Self) -> bool {
        self.macvlan.is_some_and(|macvlan| macvlan.on == other.index)
    }

    fn read(link: &LinkMessage) -> Option<Self> {
        let flags = link.header.flags;
        let mut interface = Self {
            index: link.header.index,
            name: String::new(),
            mac: None,
            up: flags.contains(LinkFlags::Up),
            running: flags.contains(LinkFlags::Up | LinkFlags::LowerUp),
            macvlan: None,
            on: None,
            port_of: None,
            alias: String::new(),
        };
        // The kernel leaves the number away where it is that of the interface itself.
        let (mut on, mut elsewhere, mut kind) = (link.header.index, false, InfoKind::Dummy);
        let mut at_once = false;
        for attribute in &link.attributes {
            match attribute {
                LinkAttribute::IfName(name) => interface.name.clone_from(name),
                LinkAttribute::IfAlias(alias) => interface.alias.clone_from(alias),
                LinkAttribute::Address(octets) => {
                    let octets = <[u8; 6]>::try_from(&**octets).ok();
                    interface.mac = octets.and_then(|octets| MacAddress::new(octets).ok());
                }
                LinkAttribute::Link(parent) => on = *parent,
                LinkAttribute::LinkNetNsId(_) => elsewhere = true,
                LinkAttribute::Controller(of) => {
                    interface.port_of = Some(*of).filter(|of| *of != 0)
                }
                LinkAttribute::LinkInfo(told) => {
                    kind = told.iter().find_map(kind_of).unwrap_or(kind);
                    at_once = told.iter().any(is_at_once);
                }
                _ => {}
            }
        }
        interface.macvlan = (kind == InfoKind::MacVlan).then_some(Macvlan { on, at_once });
        interface.on = Some(on).filter(|_| !elsewhere && is_on_another(&kind));
        Some(interface).filter(|interface| !interface.name.is_empty())
    }
}

fn kind_of(told: &LinkInfo) -> Option<InfoKind> {
    match told {
        LinkInfo::Kind(kind) => Some(kind.clone()),
        _ => None,
    }
}

fn is_at_once(told: &LinkInfo) -> bool {
    matches!(told, LinkInfo::Data(InfoData::MacVlan(told)) if told.contains(&AT_ONCE))
}

/// Whether interfaces of a kind are on another one, whose frames they take.
const fn is_on_another(kind: &InfoKind) -> bool {
    matches!(
        kind,
        InfoKind::Vlan
            | InfoKind::MacVlan
            | InfoKind::MacVtap
            | InfoKind::IpVlan
            | InfoKind::IpVtap
    )
}
