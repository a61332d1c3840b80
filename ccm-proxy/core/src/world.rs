//! What a speaker knows of the under cluster, and what follows for its own node.
//!
//! ```text
//! Eips, L2Advertisements, VLANs, Nodes, Leases ─► World ─► plan(us) ─► for each VLAN: interface,
//!                                                          speakers, orders, routes, gate
//! ```
//! The plan is a function of the world: two speakers that know the same come to the same.

mod healthy;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use pools::{AddressSet, Labels, Port, Selector};

use crate::election;
use crate::fib::Wanted;
use crate::gate::Gate;
use crate::node::NodeName;
use crate::order::{Ahead, Delivery, Machine, Order};
use crate::vlan::Member;

/// How often an address is announced anew where no advertisement says otherwise.
const REFRESH: Duration = Duration::from_secs(60);

/// So many speakers share the addresses of one link; each watches all others.
const MOST_SPEAKERS: usize = 8;

/// The name of a VLAN: that of the tenant whose it is.
pub type VlanName = Arc<str>;

/// What a speaker knows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct World {
    /// The VLANs, by name.
    pub vlans: BTreeMap<VlanName, VlanSpec>,
    /// The addresses that are served on a VLAN.
    pub eips: BTreeMap<IpAddr, Eip>,
    /// The addresses that each pool gives next.
    pub next: BTreeMap<String, BTreeSet<IpAddr>>,
    /// The `L2Advertisement`s, by name.
    pub advertisements: BTreeMap<String, Advertisement>,
    /// The nodes of the under cluster.
    pub nodes: BTreeMap<NodeName, Node>,
    /// The speakers that have a Lease, and where they are.
    pub speakers: BTreeMap<NodeName, BTreeMap<VlanName, Member>>,
}

/// One VLAN.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VlanSpec {
    /// UID of the tenant whose it is.
    pub tenant: Arc<str>,
    /// Its addresses.
    pub addresses: AddressSet,
    /// The addresses that nodes have on it, where an operator gave them any.
    pub sources: BTreeMap<NodeName, BTreeSet<Source>>,
    /// Where nodes are connected to it: the first that selects a node counts.
    pub interfaces: Vec<Connection>,
}

/// How some nodes are connected to a VLAN.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Connection {
    /// The nodes.
    pub nodes: Selector,
    /// The name of the interface there.
    pub interface: String,
    /// What becomes of it.
    pub kind: ConnectionKind,
}

impl Connection {
    /// Whether a node that is connected by either is connected in the same way.
    #[must_use]
    pub fn is_alike(&self, other: &Self) -> bool {
        (&self.interface, self.kind) == (&other.interface, other.kind)
    }
}

/// An address of ours on a VLAN: machines are asked by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Source {
    /// The address.
    pub address: IpAddr,
    /// The length of its prefix.
    pub prefix: u8,
}

/// What becomes of the interface that an operator named.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum ConnectionKind {
    /// It stays where it is; the namespace gets a macvlan on it.
    #[default]
    Macvlan,
    /// It is moved into the namespace.
    Moved,
    /// The speaker works on it where it is, in the node's own namespace, and changes nothing there:
    /// the node itself takes the packets.
    OfNode,
    /// It is a bridge of Open vSwitch, and the namespace gets a port on it.
    OvsPort {
        /// The number of the VLAN.
        tag: u16,
    },
}

impl fmt::Display for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            ConnectionKind::Macvlan => f.write_str(&self.interface),
            ConnectionKind::OfNode => write!(f, "{} (of the node)", self.interface),
            ConnectionKind::Moved => write!(f, "{} (moved)", self.interface),
            ConnectionKind::OvsPort { tag } => {
                write!(f, "port with tag {tag} on {}", self.interface)
            }
        }
    }
}

/// An address that is served on a VLAN, by its `Eip`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Eip {
    /// UID of the object.
    pub uid: Arc<str>,
    /// The VLAN.
    pub vlan: VlanName,
    /// UID of the tenant that owns it.
    pub tenant: Arc<str>,
    /// The names of the `L2Advertisement`s that it is announced by; one set for all that are announced
    /// alike.
    pub advertised: Arc<BTreeSet<String>>,
    /// How its packets come to the Service.
    pub delivery: Delivery,
    /// The ports of its Services.
    pub ports: BTreeSet<Port>,
    /// The port at which its machines are asked whether they take connections, if they are.
    pub probe: Option<u16>,
    /// Whether a speaker says that it announces it.
    pub announced: bool,
}

/// An `L2Advertisement`, as far as speakers look at it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Advertisement {
    /// The nodes that may announce: any of these; none is all.
    pub nodes: Vec<Selector>,
    /// The interfaces that may announce, by the names they have on their nodes; none is all.
    pub interfaces: BTreeSet<String>,
    /// How often an address is announced anew.
    pub refresh: Option<Duration>,
}

/// A node of the under cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Node {
    /// Its labels.
    pub labels: Labels,
    /// It is kept out of external load balancers.
    pub excluded: bool,
}

/// What follows for one VLAN on our node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Our connection to it.
    pub connection: Connection,
    /// The speakers on it.
    pub members: BTreeMap<NodeName, Member>,
    /// What is to be announced, by whoever is elected.
    pub orders: BTreeMap<IpAddr, Order>,
    /// What may be announced next.
    pub ahead: Ahead,
    /// The ways of addresses through the namespace.
    pub routes: Wanted,
    /// What may pass.
    pub gate: Gate,
    /// The port at which the machines of an address are asked, where they are.
    pub probes: BTreeMap<IpAddr, u16>,
    /// The addresses that we ask by.
    pub sources: BTreeSet<Source>,
}

impl World {
    /// What follows for each VLAN that a node is connected to.
    #[must_use]
    pub fn plan(&self, us: &NodeName) -> BTreeMap<VlanName, Part> {
        let ours = self.vlans.iter().filter_map(|(name, vlan)| {
            let connection = self.connection(vlan, us)?;
            let mut part = Part::new(connection.clone());
            part.sources = vlan.sources.get(us).cloned().unwrap_or_default();
            Some((name.clone(), self.part(name, vlan, part)))
        });
        ours.collect()
    }

    fn part(&self, name: &VlanName, vlan: &VlanSpec, mut part: Part) -> Part {
        // Of a tenant that is another one by now nothing is served.
        let ours = |eip: &Eip| eip.vlan == *name && eip.tenant == vlan.tenant;
        let eips = self.eips.iter().filter(|(_, eip)| ours(eip));
        let mut same = Same::default();
        for (address, eip) in eips {
            if let Delivery::Routed { machines } = &eip.delivery {
                let (of_v4, machines) = (address.is_ipv4(), machines.as_ref());
                let ways = same.ways.entry((of_v4, machines)).or_insert_with(|| {
                    let alike = |machine: &&Machine| machine.address.is_ipv4() == of_v4;
                    let alike = machines.iter().filter(alike);
                    Arc::new(alike.map(|machine| machine.address).collect())
                });
                part.routes.insert(*address, ways.clone());
                part.gate.services.extend(eip.ports.iter().map(|port| (*address, *port)));
            }
            part.orders.extend(self.order(vlan, eip, &mut same).map(|order| (*address, order)));
            part.probes.extend(eip.probe.map(|port| (*address, port)));
        }
        part.ahead = self.ahead(vlan);
        part.gate.probed = part.targets();
        part.members = self.members(name, vlan);
        let chosen = chosen(name, &part);
        part.members.retain(|node, _| chosen.contains(node));
        part.gate.peers = part.members.values().map(|member| member.address).collect();
        part
    }

    /// The speakers that take part on a VLAN.
    fn members(&self, name: &VlanName, vlan: &VlanSpec) -> BTreeMap<NodeName, Member> {
        let speakers = self.speakers.iter().filter_map(|(node, at)| {
            // Nothing is planned before the nodes are known: the Lease of one that is none is left
            // of what is gone.
            self.nodes.get(node).filter(|known| !known.excluded)?;
            self.connection(vlan, node)?;
            at.get(name).map(|member| (node.clone(), *member))
        });
        speakers.collect()
    }

    /// What is to be announced of an address; nothing where no advertisement is for it.
    fn order<'w>(&'w self, vlan: &VlanSpec, eip: &'w Eip, same: &mut Same<'w>) -> Option<Order> {
        let announced = same.announced.entry(&eip.advertised);
        let (nodes, refresh) = announced.or_insert_with(|| self.announced(vlan, eip)).clone()?;
        let nodes = match &eip.delivery {
            Delivery::Routed { .. } | Delivery::Direct { .. } => nodes,
            // Who announces an address gets its packets.
            Delivery::Local { nodes: takes } => {
                Arc::new(nodes.intersection(takes).cloned().collect())
            }
        };
        let (uid, delivery) = (eip.uid.clone(), eip.delivery.clone());
        Some(Order { uid, delivery, nodes, refresh, announced: eip.announced })
    }

    /// The nodes that the advertisements of an address let announce it, and how often; nothing where
    /// there is no advertisement.
    fn announced(&self, vlan: &VlanSpec, eip: &Eip) -> Option<Announced> {
        let advertised = eip.advertised.iter().filter_map(|name| self.advertisements.get(name));
        let advertised: Vec<&Advertisement> = advertised.collect();
        if advertised.is_empty() {
            return None;
        }
        let may = |node: &&NodeName| advertised.iter().any(|a| self.may_announce(vlan, a, node));
        let refresh = advertised.iter().filter_map(|a| a.refresh).min().unwrap_or(REFRESH);
        Some((Arc::new(self.speakers.keys().filter(may).cloned().collect()), refresh))
    }

    /// What may be given next on a VLAN. Which advertisements it will be announced by is not known
    /// before: who would announce it by all of them is one of those who would by one. What was given
    /// a moment ago stays among them until the pool names others: its order waits for its way, and
    /// then what was found free counts.
    fn ahead(&self, vlan: &VlanSpec) -> Ahead {
        let next = self.next.values().flatten();
        let addresses: BTreeSet<IpAddr> =
            next.filter(|address| vlan.addresses.contains(**address)).copied().collect();
        if addresses.is_empty() {
            return Ahead::default();
        }
        let may = |by: &Advertisement| {
            let nodes = self.speakers.keys().filter(|node| self.may_announce(vlan, by, node));
            Arc::new(nodes.cloned().collect())
        };
        Ahead { addresses, nodes: self.advertisements.values().map(may).collect() }
    }

    fn may_announce(&self, vlan: &VlanSpec, by: &Advertisement, node: &NodeName) -> bool {
        let Some(Node { labels, .. }) = self.nodes.get(node) else { return false };
        let chosen = by.nodes.is_empty() || by.nodes.iter().any(|nodes| nodes.matches(labels));
        let interface = || self.connection(vlan, node).map(|connection| &connection.interface);
        let over = |interface: &String| by.interfaces.contains(interface);
        chosen && (by.interfaces.is_empty() || interface().is_some_and(over))
    }

    /// How a node is connected to a VLAN.
    fn connection<'w>(&self, vlan: &'w VlanSpec, node: &NodeName) -> Option<&'w Connection> {
        let labels = &self.nodes.get(node)?.labels;
        vlan.interfaces.iter().find(|connection| connection.nodes.matches(labels))
    }
}

/// What was found for one address, and is the same for others.
#[derive(Default)]
struct Same<'w> {
    /// The ways to machines, by the family of the address.
    ways: BTreeMap<(bool, &'w BTreeSet<Machine>), Arc<BTreeSet<IpAddr>>>,
    /// Who may announce, and how often, by the names of the advertisements.
    announced: BTreeMap<&'w BTreeSet<String>, Option<Announced>>,
}

/// The nodes that may announce an address, and how often they do.
type Announced = (Arc<BTreeSet<NodeName>>, Duration);

/// The speakers that take part: of those that may announce something so many, and of those that may
/// announce an address one at least.
fn chosen(vlan: &VlanName, part: &Part) -> BTreeSet<NodeName> {
    let groups: BTreeSet<&BTreeSet<NodeName>> = part.orders.values().map(|o| &*o.nodes).collect();
    let may = |node: &&NodeName| groups.is_empty() || groups.iter().any(|g| g.contains(*node));
    let members = || part.members.keys();
    let firsts = groups.iter().flat_map(|group| {
        election::chosen(vlan, members().filter(|node| group.contains(*node)), 1)
    });
    let mut chosen: BTreeSet<NodeName> = firsts.cloned().collect();
    let rest = members().filter(may).filter(|node| !chosen.contains(*node));
    let more = election::chosen(vlan, rest, MOST_SPEAKERS.saturating_sub(chosen.len()));
    let more: Vec<NodeName> = more.into_iter().cloned().collect();
    chosen.extend(more);
    chosen
}

#[cfg(test)]
#[path = "world_tests.rs"]
mod tests;
