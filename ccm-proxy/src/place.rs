//! Sets up a speaker's place on a VLAN: its namespace, its interface, its sockets.
//!
//! What an earlier run left is taken over where it fits, and made anew where it does not.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io;
use std::net::Ipv6Addr;
use std::os::fd::AsFd as _;
use std::path::PathBuf;

use ccm_proxy::kernel::Whose;
use ccm_proxy::netlink::{Interface, Netlink, events};
use ccm_proxy::netns::Namespace;
use ccm_proxy::nft::Nft;
use ccm_proxy::{bfd_socket, packet, sysctl};
use nix::ifaddrs::getifaddrs;
use speaker_core::mac::MacAddress;
use speaker_core::world::{Connection, ConnectionKind, VlanName};

/// The interface of a VLAN in its namespace.
const INTERFACE: &str = "vlan";

/// Where this node's places are.
#[derive(Clone, Debug)]
pub(crate) struct Ground {
    /// The namespace with the node's interfaces.
    pub(crate) host: PathBuf,
    /// What the names of pinned namespaces begin with.
    pub(crate) prefix: String,
    /// The words that start `nft`.
    pub(crate) nft: Vec<OsString>,
}

/// A place on a VLAN, with everything open that is needed there.
#[derive(Debug)]
pub(crate) struct Place {
    /// Its namespace.
    pub(crate) namespace: Namespace,
    /// Its interface there.
    pub(crate) interface: Interface,
    /// Whose the namespace is.
    pub(crate) whose: Whose,
    /// The Ethernet address of the interface.
    pub(crate) mac: MacAddress,
    /// Its link-local address, by which speakers watch each other.
    pub(crate) address: Ipv6Addr,
    /// Whether speakers send a connection to the same machine.
    pub(crate) hash: sysctl::Hash,
    /// What was opened in the namespace.
    pub(crate) opened: Opened,
}

/// What was opened in a namespace.
#[derive(Debug)]
pub(crate) struct Opened {
    /// For changes of the kernel.
    pub(crate) netlink: Netlink,
    /// For word of changes.
    pub(crate) events: events::Opened,
    /// For ARP and neighbor discovery.
    pub(crate) packets: packet::Opened,
    /// For BFD.
    pub(crate) bfd: bfd_socket::Opened,
}

impl Ground {
    /// The program that loads packet filters.
    pub(crate) fn nft(&self) -> Nft {
        Nft::new(self.nft.clone())
    }

    /// Sets up a place on a VLAN.
    ///
    /// # Errors
    /// The operator's interface is missing, or the kernel's.
    pub(crate) fn set_up(&self, vlan: &VlanName, connection: &Connection) -> io::Result<Place> {
        match connection.kind {
            ConnectionKind::Macvlan => {}
            ConnectionKind::OfNode => return self.on_node(&connection.interface),
            ConnectionKind::Moved => {
                let text = "an interface cannot be moved into a namespace yet";
                return Err(io::Error::new(io::ErrorKind::Unsupported, text));
            }
        }
        let host = Namespace::at(self.host.clone());
        let parent = host.run(|| parent(&connection.interface))?;
        let (namespace, _) = Namespace::open_or_make(&self.pin(vlan))?;
        connect(&host, &namespace, &parent)?;
        let hash = sysctl::apply(&namespace, INTERFACE)?;
        let (interface, opened) = namespace.run(|| {
            let mut netlink = Netlink::open()?;
            let found = netlink.interface(INTERFACE)?.ok_or(io::ErrorKind::NotFound)?;
            netlink.set_up(found.index, true)?;
            open(netlink, found)
        })?;
        let mac = ethernet(&interface)?;
        let (whose, address) = (Whose::Ours, mac.link_local());
        Ok(Place { namespace, interface, whose, mac, address, hash, opened })
    }

    /// Works on an interface of the node where it is.
    fn on_node(&self, name: &str) -> io::Result<Place> {
        let namespace = Namespace::at(self.host.clone());
        let (interface, opened, address) = namespace.run(|| {
            let found = parent(name)?;
            let (found, opened) = open(Netlink::open()?, found)?;
            Ok((found, opened, link_local(name)?))
        })?;
        let mac = ethernet(&interface)?;
        let (whose, hash) = (Whose::OfNode, sysctl::Hash::Common);
        Ok(Place { namespace, interface, whose, mac, address, hash, opened })
    }

    /// Removes a place; its interface, routes and filter end with it.
    ///
    /// # Errors
    /// The kernel's.
    pub(crate) fn remove(&self, vlan: &VlanName) -> io::Result<()> {
        let pin = PathBuf::from(ccm_proxy::netns::PINS).join(self.pin(vlan));
        Namespace::at(pin).remove()
    }

    /// The VLANs whose namespaces an earlier run left. What else has such a name, and has not our
    /// interface, is not ours.
    pub(crate) fn left(&self) -> BTreeSet<VlanName> {
        let pins = PathBuf::from(ccm_proxy::netns::PINS);
        let found = std::fs::read_dir(&pins).into_iter().flatten().flatten();
        let named = found.filter_map(|pin| pin.file_name().into_string().ok());
        let named = named.filter(|pin| pin.starts_with(&self.prefix));
        let ours = named.filter(|pin| {
            let found = Namespace::at(pins.join(pin)).run(|| Netlink::open()?.interface(INTERFACE));
            matches!(found, Ok(Some(interface)) if interface.macvlan_on.is_some())
        });
        ours.filter_map(|pin| Some(pin.strip_prefix(&self.prefix)?.into())).collect()
    }

    /// The name of a VLAN's namespace.
    pub(crate) fn pin(&self, vlan: &VlanName) -> String {
        format!("{}{vlan}", self.prefix)
    }
}

/// The operator's interface, in the namespace that the thread is in.
fn parent(name: &str) -> io::Result<Interface> {
    let found = Netlink::open()?.interface(name)?;
    let missing = || {
        let text = format!("there is no interface {name} on this node");
        io::Error::new(io::ErrorKind::NotFound, text)
    };
    found.ok_or_else(missing)
}

/// Connects a namespace with an interface of the node.
fn connect(host: &Namespace, namespace: &Namespace, parent: &Interface) -> io::Result<()> {
    let connected = namespace.run(|| {
        let mut netlink = Netlink::open()?;
        let Some(found) = netlink.interface(INTERFACE)? else { return Ok(false) };
        if found.macvlan_on == Some(parent.index) {
            return Ok(true);
        }
        netlink.delete_interface(found.index)?;
        Ok(false)
    })?;
    if !connected {
        let to = namespace.open()?;
        host.run(|| Netlink::open()?.add_macvlan(INTERFACE, parent.index, to.as_fd()))?;
    }
    Ok(())
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
