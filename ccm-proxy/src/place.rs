//! Sets up a speaker's place on a VLAN: its namespace, its interface, its sockets.
//!
//! What an earlier run left is taken over where it fits, and made anew where it does not.

mod connect;
mod origin;

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io;
use std::net::Ipv6Addr;
use std::path::{Path, PathBuf};

use nix::ifaddrs::getifaddrs;
use speaker_core::mac::MacAddress;
use speaker_core::node::NodeName;
use speaker_core::world::{Connection, ConnectionKind, VlanName};

use crate::kernel::Whose;
use crate::netlink::{Interface, Netlink, events};
use crate::netns::{Namespace, PINS};
use crate::nft::Nft;
use crate::ovs::Ovs;
use crate::{bfd_socket, packet, sysctl};
use connect::Found;

/// Where this node's places are.
#[derive(Clone, Debug)]
pub struct Ground {
    /// The node.
    pub node: NodeName,
    /// The namespace with the node's interfaces.
    pub host: PathBuf,
    /// What the names of pinned namespaces begin with.
    pub prefix: String,
    /// The words that start `nft`.
    pub nft: Vec<OsString>,
    /// The words that start `ovs-vsctl`.
    pub ovs: Vec<OsString>,
}

/// A place on a VLAN, with everything open that is needed there.
#[derive(Debug)]
pub struct Place {
    /// Its namespace.
    pub namespace: Namespace,
    /// Its interface there.
    pub interface: Interface,
    /// Whose the namespace is.
    pub whose: Whose,
    /// The Ethernet address of the interface.
    pub mac: MacAddress,
    /// Its link-local address, by which speakers watch each other.
    pub address: Ipv6Addr,
    /// Whether speakers send a connection to the same machine.
    pub hash: sysctl::Hash,
    /// What was opened in the namespace.
    pub opened: Opened,
}

/// What was opened in a namespace.
#[derive(Debug)]
pub struct Opened {
    /// For changes of the kernel.
    pub netlink: Netlink,
    /// For word of changes.
    pub events: events::Opened,
    /// For ARP and neighbor discovery.
    pub packets: packet::Opened,
    /// For BFD.
    pub bfd: bfd_socket::Opened,
}

impl Ground {
    /// The program that loads packet filters.
    #[must_use]
    pub fn nft(&self) -> Nft {
        Nft::new(self.nft.clone())
    }

    /// The program that changes the node's Open vSwitch.
    fn ovs(&self) -> Ovs {
        Ovs::new(self.ovs.clone())
    }

    /// Sets up a place on a VLAN.
    ///
    /// # Errors
    /// The operator's interface is missing or in use, or the kernel's.
    pub fn set_up(&self, vlan: &VlanName, connection: &Connection) -> io::Result<Place> {
        match connection.kind {
            ConnectionKind::OfNode => return self.on_node(vlan, &connection.interface),
            ConnectionKind::Macvlan | ConnectionKind::Moved | ConnectionKind::OvsPort { .. } => {}
        }
        let (namespace, name) = self.connect(vlan, connection)?;
        let hash = sysctl::apply(&namespace, &name)?;
        let (interface, opened) = namespace.run(|| {
            let mut netlink = Netlink::open()?;
            let found = netlink.interface(&name)?.ok_or(io::ErrorKind::NotFound)?;
            netlink.set_up(found.index, true)?;
            open(netlink, found)
        })?;
        let mac = ethernet(&interface)?;
        let (whose, address) = (Whose::Ours, mac.link_local());
        Ok(Place { namespace, interface, whose, mac, address, hash, opened })
    }

    /// Works on an interface of the node where it is.
    fn on_node(&self, vlan: &VlanName, name: &str) -> io::Result<Place> {
        let namespace = Namespace::at(self.host.clone());
        let found = self.there(vlan, name)?;
        let (interface, opened, address) = namespace.run(|| {
            let (found, opened) = open(Netlink::open()?, found)?;
            Ok((found, opened, link_local(name)?))
        })?;
        let mac = ethernet(&interface)?;
        let (whose, hash) = (Whose::OfNode, sysctl::Hash::Common);
        Ok(Place { namespace, interface, whose, mac, address, hash, opened })
    }

    /// Removes a place; its routes and filter end with it. An interface that was moved there goes
    /// back first.
    ///
    /// # Errors
    /// The kernel's: an interface that cannot go back stays, and its namespace with it.
    pub fn remove(&self, vlan: &VlanName) -> io::Result<()> {
        let pin = self.pin(vlan);
        let namespace = self.namespace(vlan);
        if namespace.is_pinned() {
            self.disconnect(&namespace, Found::within(&namespace, &pin)?)?;
        }
        let ours = Ovs::port(&pin);
        // Also one whose namespace is gone, as after a start of the node.
        if self.ovs().ports().is_ok_and(|ports| ports.contains_key(&ours)) {
            self.ovs().delete(&ours)?;
        }
        namespace.remove()
    }

    /// The VLANs of which an earlier run left a namespace, or a port of the node's Open vSwitch.
    /// What else has such a name, and has not our interface, is not ours.
    #[must_use]
    pub fn left(&self) -> BTreeSet<VlanName> {
        let pinned = self.pinned().filter(|pin| {
            let found = Found::within(&Namespace::at(Path::new(PINS).join(pin)), pin);
            found.is_ok_and(|found| !matches!(found, Found::Nothing))
        });
        // Most nodes have no such switch.
        let ports = self.ovs().ports().unwrap_or_default().into_values();
        pinned.chain(ports).filter_map(|pin| Some(pin.strip_prefix(&self.prefix)?.into())).collect()
    }

    /// The name of a VLAN's namespace.
    #[must_use]
    pub fn pin(&self, vlan: &VlanName) -> String {
        format!("{}{vlan}", self.prefix)
    }

    fn namespace(&self, vlan: &VlanName) -> Namespace {
        Namespace::at(Path::new(PINS).join(self.pin(vlan)))
    }

    /// The names of namespaces that may be ours.
    fn pinned(&self) -> impl Iterator<Item = String> {
        let found = std::fs::read_dir(PINS).into_iter().flatten().flatten();
        let named = found.filter_map(|pin| pin.file_name().into_string().ok());
        named.filter(|pin| pin.starts_with(&self.prefix))
    }
}

/// Opens everything in the namespace that the thread is in.
fn open(netlink: Netlink, interface: Interface) -> io::Result<(Interface, Opened)> {
    let packets = packet::Opened::open(&interface.name)?;
    let bfd = bfd_socket::Opened::open(&interface.name, interface.index)?;
    Ok((interface, Opened { netlink, events: events::Opened::open()?, packets, bfd }))
}

fn ethernet(interface: &Interface) -> io::Result<MacAddress> {
    interface.mac.ok_or_else(|| io::Error::other("the interface has no Ethernet address"))
}

/// The link-local address of an interface in the namespace that the thread is in.
fn link_local(name: &str) -> io::Result<Ipv6Addr> {
    let found = getifaddrs()?.filter(|found| found.interface_name == name);
    let addresses = found.filter_map(|found| Some(found.address?.as_sockaddr_in6()?.ip()));
    let mut link_local = addresses.filter(Ipv6Addr::is_unicast_link_local);
    link_local.next().ok_or_else(|| {
        let text = format!(
            "interface {name} has no IPv6 link-local address, by which speakers watch each other: \
             set net.ipv6.conf.{name}.disable_ipv6 to 0"
        );
        io::Error::new(io::ErrorKind::AddrNotAvailable, text)
    })
}
