//! Connects a namespace with a VLAN: by a macvlan on an interface of the node, by that interface
//! itself, or by a port of the node's Open vSwitch.
//!
//! ```text
//!                ┌─ Macvlan ─ vlan ── eth1 (stays)
//! the namespace ─┼─ Moved ─── vlan    (is eth1, and says so in its alias)
//!                └─ OvsPort ─ cpo1f.. (internal port of a bridge, tag=205)
//! ```

use std::io;
use std::net::IpAddr;
use std::os::fd::AsFd as _;

use speaker_core::world::{Connection, ConnectionKind, VlanName};

use super::Ground;
use super::origin::Origin;
use crate::netlink::{Interface, Move, Netlink};
use crate::netns::Namespace;
use crate::ovs::Ovs;

/// The interface of a VLAN in its namespace, but for a port of Open vSwitch: that keeps its name.
const INTERFACE: &str = "vlan";

/// What a namespace is connected by.
#[derive(Debug)]
pub(super) enum Found {
    /// By nothing of ours.
    Nothing,
    /// By a macvlan.
    Macvlan(Interface),
    /// By an interface that was moved there.
    Moved(Interface, Origin),
    /// By a port of Open vSwitch.
    OvsPort(Interface),
}

impl Found {
    /// What a namespace of this name is connected by.
    ///
    /// # Errors
    /// The kernel's; or there is an interface that is not ours.
    pub(super) fn within(namespace: &Namespace, pin: &str) -> io::Result<Self> {
        let port = Ovs::port(pin);
        let ours = |interface: &Interface| interface.name == INTERFACE || interface.name == port;
        let all = namespace.run(|| Netlink::open()?.interfaces())?;
        let Some(interface) = all.into_iter().find(ours) else { return Ok(Self::Nothing) };
        if interface.name == port {
            return Ok(Self::OvsPort(interface));
        }
        if interface.macvlan.is_some() {
            return Ok(Self::Macvlan(interface));
        }
        match interface.alias.parse() {
            Ok(origin) => Ok(Self::Moved(interface, origin)),
            Err(_) => Err(io::Error::other(format!(
                "namespace {pin} has an interface {INTERFACE} that is not of this speaker: take it \
                 away"
            ))),
        }
    }
}

impl Ground {
    /// Connects the namespace of a VLAN; gives the name of its interface there. What it was
    /// connected by otherwise goes back or is deleted.
    pub(super) fn connect(
        &self,
        vlan: &VlanName,
        connection: &Connection,
    ) -> io::Result<(Namespace, String)> {
        let (namespace, pin) = (self.namespace(vlan), self.pin(vlan));
        let found = match namespace.is_pinned() {
            true => Found::within(&namespace, &pin)?,
            false => Found::Nothing,
        };
        let name = &connection.interface;
        match connection.kind {
            ConnectionKind::Macvlan => self.macvlan(vlan, &namespace, found, name),
            ConnectionKind::OfNode => {
                let text = "the node's own namespace is connected already";
                Err(io::Error::new(io::ErrorKind::Unsupported, text))
            }
            ConnectionKind::Moved => self.moved(vlan, &namespace, found, name),
            ConnectionKind::OvsPort { tag } => self.port(vlan, &namespace, found, (name, tag)),
        }
    }

    fn macvlan(
        &self,
        vlan: &VlanName,
        namespace: &Namespace,
        found: Found,
        name: &str,
    ) -> io::Result<(Namespace, String)> {
        let found = match found {
            Found::Nothing | Found::Macvlan(_) => found,
            other => {
                self.disconnect(namespace, other)?;
                Found::Nothing
            }
        };
        let host = Namespace::at(self.host.clone());
        let parent = self.there(vlan, name)?;
        match found {
            Found::Macvlan(known) if known.is_macvlan_on(&parent) => {
                // An earlier version made it, or somebody changed it. It serves without, only later.
                let at_once = known.macvlan.is_some_and(|macvlan| macvlan.at_once);
                let set = || namespace.run(|| Netlink::open()?.receive_at_once(known.index));
                if !at_once && let Err(error) = set() {
                    tracing::warn!(%vlan, %error, "broadcasts may reach the macvlan late");
                }
            }
            found => {
                self.disconnect(namespace, found)?;
                let to = self.make(vlan)?.open()?;
                host.run(|| Netlink::open()?.add_macvlan(INTERFACE, parent.index, to.as_fd()))?;
            }
        }
        Ok((namespace.clone(), INTERFACE.to_owned()))
    }

    fn moved(
        &self,
        vlan: &VlanName,
        namespace: &Namespace,
        found: Found,
        name: &str,
    ) -> io::Result<(Namespace, String)> {
        if !matches!(&found, Found::Moved(_, origin) if origin.name == name) {
            self.disconnect(namespace, found)?;
            let interface = self.there(vlan, name)?;
            let busy = |why: &dyn std::fmt::Display| {
                io::Error::new(
                    io::ErrorKind::ResourceBusy,
                    format!(
                        "interface {name} of node {} is not moved, since it is in use: {why}. Take \
                         it out of use, or name another, or kind Macvlan, in spec.vlan.interfaces of \
                         TenantCluster {vlan}",
                        self.node
                    ),
                )
            };
            if let Some(why) = self.use_of(&interface)? {
                return Err(busy(&why));
            }
            let alias = interface.alias.clone();
            let origin = Origin { name: name.to_owned(), up: interface.up, alias };
            let alias = origin.written().ok_or_else(|| busy(&"its alias is too long to keep"))?;
            self.take(vlan, interface.index, (INTERFACE, &alias))?;
            tracing::info!(%vlan, interface = name, "moved into the VLAN's namespace");
        }
        Ok((namespace.clone(), INTERFACE.to_owned()))
    }

    fn port(
        &self,
        vlan: &VlanName,
        namespace: &Namespace,
        found: Found,
        (bridge, tag): (&str, u16),
    ) -> io::Result<(Namespace, String)> {
        let (found, pin) = match found {
            Found::OvsPort(_) => (true, self.pin(vlan)),
            other => {
                self.disconnect(namespace, other)?;
                (false, self.pin(vlan))
            }
        };
        let port = Ovs::port(&pin);
        let wrap = |error: io::Error| {
            let text = format!(
                "no port on bridge {bridge} of node {}: {error}. See spec.vlan.interfaces of \
                 TenantCluster {vlan}, and that Open vSwitch runs there",
                self.node
            );
            io::Error::new(error.kind(), text)
        };
        self.ovs().add(bridge, tag, &pin).map_err(wrap)?;
        // One that was on another bridge was made anew, on the node.
        if !found || !matches!(Found::within(namespace, &pin)?, Found::OvsPort(_)) {
            let host = Namespace::at(self.host.clone());
            let made = host.run(|| Netlink::open()?.interface(&port))?;
            let missing = || wrap(io::Error::other(format!("Open vSwitch makes no {port}")));
            self.take(vlan, made.ok_or_else(missing)?.index, (&port, ""))?;
        }
        Ok((namespace.clone(), port))
    }

    /// Takes an interface of the node into the namespace of a VLAN.
    fn take(&self, vlan: &VlanName, index: u32, (name, alias): (&str, &str)) -> io::Result<()> {
        let (host, to) = (Namespace::at(self.host.clone()), self.make(vlan)?.open()?);
        let so = Move { to: to.as_fd(), name, alias, up: true };
        host.run(|| Netlink::open()?.move_interface(index, so))
    }

    fn make(&self, vlan: &VlanName) -> io::Result<Namespace> {
        Ok(Namespace::open_or_make(&self.pin(vlan))?.0)
    }

    /// Takes away what connects a namespace: nothing of ours is left of it.
    ///
    /// # Errors
    /// An interface cannot go back: it stays.
    pub(super) fn disconnect(&self, namespace: &Namespace, found: Found) -> io::Result<()> {
        match found {
            Found::Nothing => Ok(()),
            Found::Macvlan(interface) => {
                namespace.run(|| Netlink::open()?.delete_interface(interface.index))
            }
            Found::Moved(interface, origin) => {
                let name = &origin.name;
                let given = self.give_back(namespace, &interface, &origin);
                given.map_err(|error| {
                    let text = format!(
                        "interface {name} cannot go back to node {}: {error}; it is {INTERFACE} in \
                         its namespace",
                        self.node
                    );
                    io::Error::new(error.kind(), text)
                })?;
                tracing::info!(interface = name, "given back to the node");
                Ok(())
            }
            Found::OvsPort(interface) => self.ovs().delete(&interface.name),
        }
    }

    /// Gives an interface back to the node, as it was.
    fn give_back(
        &self,
        namespace: &Namespace,
        interface: &Interface,
        origin: &Origin,
    ) -> io::Result<()> {
        let host = Namespace::at(self.host.clone());
        // Of an interface that it has moved already the kernel refuses the name.
        if host.run(|| Netlink::open()?.interface(&origin.name))?.is_some() {
            let text = "there is another of that name";
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, text));
        }
        let to = host.open()?;
        let so = Move { to: to.as_fd(), name: &origin.name, alias: &origin.alias, up: origin.up };
        namespace.run(|| Netlink::open()?.move_interface(interface.index, so))
    }

    /// The operator's interface, on the node.
    pub(super) fn there(&self, vlan: &VlanName, name: &str) -> io::Result<Interface> {
        let host = Namespace::at(self.host.clone());
        if let Some(found) = host.run(|| Netlink::open()?.interface(name))? {
            return Ok(found);
        }
        let node = &self.node;
        let what =
            match self.elsewhere(|found| matches!(found, Found::Moved(_, o) if o.name == name)) {
                Some(other) => format!("interface {name} of node {node} is moved to VLAN {other}"),
                None => format!("there is no interface {name} on node {node}"),
            };
        let text = format!(
            "{what}: make it there, or name another in spec.vlan.interfaces of TenantCluster {vlan}"
        );
        Err(io::Error::new(io::ErrorKind::NotFound, text))
    }

    /// What else an interface of the node is used for.
    fn use_of(&self, interface: &Interface) -> io::Result<Option<String>> {
        let host = Namespace::at(self.host.clone());
        let (all, addresses) = host.run(|| {
            let mut netlink = Netlink::open()?;
            Ok((netlink.interfaces()?, netlink.addresses(interface.index)?))
        })?;
        let on_it = |found: &Found| matches!(found, Found::Macvlan(known) if known.is_macvlan_on(interface));
        let addresses: Vec<_> = addresses.into_iter().map(|(address, _)| address).collect();
        Ok(used(interface, &all, &addresses).or_else(|| {
            Some(format!("VLAN {} is connected by a macvlan on it", self.elsewhere(on_it)?))
        }))
    }

    /// The VLAN of this node that is connected so.
    fn elsewhere(&self, so: impl Fn(&Found) -> bool) -> Option<VlanName> {
        self.pinned().find_map(|pin| {
            let vlan: VlanName = pin.strip_prefix(&self.prefix)?.into();
            let found = Found::within(&self.namespace(&vlan), &pin).ok()?;
            so(&found).then_some(vlan)
        })
    }
}

/// What an interface of a node is used for there, beside lying there.
fn used(interface: &Interface, all: &[Interface], addresses: &[IpAddr]) -> Option<String> {
    if interface.name == "lo" {
        return Some("it is the loopback".to_owned());
    }
    if let Some(of) = interface.port_of {
        let of = all.iter().find(|other| other.index == of).map_or("another", |of| &*of.name);
        return Some(format!("it is a port of {of}"));
    }
    let on_it = |other: &&Interface| other.on == Some(interface.index);
    if let Some(other) = all.iter().find(on_it) {
        return Some(format!("{} is on it", other.name));
    }
    // Every interface that is up has one of these.
    let by_itself =
        |address: &IpAddr| matches!(address, IpAddr::V6(v6) if v6.is_unicast_link_local());
    let address = addresses.iter().find(|address| !by_itself(address))?;
    Some(format!("the node has address {address} on it"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interface(index: u32, name: &str) -> Interface {
        Interface {
            index,
            name: name.to_owned(),
            mac: None,
            up: true,
            running: true,
            macvlan: None,
            on: None,
            port_of: None,
            alias: String::new(),
        }
    }

    #[test]
    fn an_interface_that_the_node_uses_is_not_taken_from_it() {
        let all = [
            interface(1, "lo"),
            interface(2, "eth0"),
            interface(3, "bond0"),
            Interface { port_of: Some(3), ..interface(4, "eth1") },
            Interface { on: Some(3), ..interface(5, "bond0.205") },
            interface(6, "eth2"),
        ];
        let used = |index: usize, addresses: &[&str]| {
            let addresses: Vec<IpAddr> = addresses.iter().map(|a| a.parse().unwrap()).collect();
            used(&all[index], &all, &addresses).unwrap_or_default()
        };
        assert_eq!(used(0, &[]), "it is the loopback");
        assert_eq!(used(1, &["fe80::1", "10.0.0.5"]), "the node has address 10.0.0.5 on it");
        assert_eq!(used(2, &[]), "bond0.205 is on it");
        assert_eq!(used(3, &[]), "it is a port of bond0");
        assert_eq!(used(4, &["2001:db8::5"]), "the node has address 2001:db8::5 on it");
        assert_eq!(used(5, &["fe80::1"]), "");
    }
}
