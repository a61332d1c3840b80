//! Objects of the under cluster into the core's types. Pure.
//!
//! What cannot be read of an object is named and passed over: the rest of it goes on.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use cpo_api::{AnnouncementState, EipMode, InterfaceKind, TenantMode, VlanInterface, names};
use k8s_openapi::api::core::v1;
use kube::ResourceExt as _;
use pools::{AddressRange, Port, Protocol};
use speaker_core::node::NodeName;
use speaker_core::order::{Delivery, Machine};
use speaker_core::world::{Advertisement, Connection, ConnectionKind, Eip, Node, Source, VlanSpec};

use crate::input::{Object, SeenEip, Tenant};
use crate::watch::Parsed;

/// Linux' `IFNAMSIZ`, without the end.
const LONGEST_INTERFACE: usize = 15;

/// A tenant in VLAN mode.
pub(crate) fn tenant(object: cpo_api::TenantCluster) -> Parsed {
    let name = object.name_any();
    let (uid, deleting) =
        (object.metadata.uid.unwrap_or_default(), object.metadata.deletion_timestamp.is_some());
    let vlan = match object.spec.mode {
        TenantMode::Vlan => object.spec.vlan,
        TenantMode::Overlay | TenantMode::Unmanaged => None,
    };
    let Some(vlan) = vlan else { return (None, Vec::new()) };
    let of_node = object.spec.in_cluster;
    let mut complaints = Vec::new();
    let mut interfaces = Vec::new();
    for interface in vlan.interfaces {
        match connection(interface, vlan.id, of_node) {
            Ok(connection) => interfaces.push(connection),
            Err(complaint) => complaints.push(complaint),
        }
    }
    let mut addresses = Vec::new();
    for cidr in &vlan.cidrs {
        match cidr.parse::<AddressRange>() {
            Ok(range) => addresses.push(range),
            Err(error) => complaints.push(format!("{cidr:?}: {error}")),
        }
    }
    let addresses = addresses.into_iter().collect();
    let mut sources: BTreeMap<NodeName, BTreeSet<Source>> = BTreeMap::new();
    for of in &vlan.speaker_addresses {
        for address in &of.addresses {
            match (of.node.parse(), source(address, &vlan.cidrs)) {
                (Ok(node), Some(source)) => drop(sources.entry(node).or_default().insert(source)),
                _ => complaints.push(format!("{address:?} of {:?} is no address", of.node)),
            }
        }
    }
    let vlan = VlanSpec { tenant: uid.into(), addresses, sources, interfaces };
    (Some(Object::Tenant(name.into(), Some(Tenant { vlan, deleting }))), complaints)
}

/// How nodes are connected to the VLAN of this number.
fn connection(by: VlanInterface, id: Option<u16>, of_node: bool) -> Result<Connection, String> {
    if !is_interface(&by.name) {
        return Err(format!("{:?} is not the name of an interface", by.name));
    }
    let tag = || id.ok_or_else(|| format!("a port on {} needs spec.vlan.id", by.name));
    let kind = match by.kind {
        _ if of_node => ConnectionKind::OfNode,
        InterfaceKind::Macvlan => ConnectionKind::Macvlan,
        InterfaceKind::Moved => ConnectionKind::Moved,
        InterfaceKind::OvsPort => ConnectionKind::OvsPort { tag: tag()? },
    };
    Ok(Connection { nodes: by.node_selector.into(), interface: by.name, kind })
}

/// An address of a speaker. By IPv6 it is asked over the link what shares its prefix; by IPv4 all is.
fn source(text: &str, cidrs: &[String]) -> Option<Source> {
    let address: IpAddr = text.parse().ok()?;
    let on =
        |cidr: &&String| cidr.parse::<AddressRange>().is_ok_and(|range| range.contains(address));
    let length = |cidr: &String| cidr.split_once('/').and_then(|(_, length)| length.parse().ok());
    let prefix = match address {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => cidrs.iter().find(on).and_then(length).unwrap_or(128),
    };
    is_of_a_host(address).then_some(Source { address, prefix })
}

/// As Linux takes it (`dev_valid_name`).
fn is_interface(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_graphic() && c != '/' && c != ':';
    let length = (1..=LONGEST_INTERFACE).contains(&name.len());
    length && name.chars().all(plain) && name != "." && name != ".."
}

/// An address that is served on a VLAN.
pub(crate) fn eip(object: cpo_api::Eip, us: &NodeName) -> Parsed {
    let name = object.name_any();
    let mut complaints = Vec::new();
    let (spec, status) = (object.spec, object.status.unwrap_or_default());
    let Some(address) = address_of(&name) else { return (None, complaints) };
    let uid = object.metadata.uid.unwrap_or_default();
    let announced = status.announcements.iter().any(|announcement| {
        announcement.uid == uid
            && match announcement.state {
                AnnouncementState::Announced | AnnouncementState::Contested => true,
                AnnouncementState::Conflict | AnnouncementState::Unable => false,
            }
    });
    let ours = status.announcements.into_iter().find(|entry| entry.node == us.as_str());
    let vlan = spec.vlan.filter(|_| spec.mode == EipMode::Vlan);
    if vlan.is_none() && ours.is_none() {
        return (None, complaints);
    }
    // Of what is served elsewhere by now our entry is left, and to be removed.
    let nowhere = Delivery::Local { nodes: BTreeSet::new() };
    let (mut advertised, mut ports, mut delivery, mut probe) =
        (Arc::default(), BTreeSet::new(), nowhere, None);
    if let Some(vlan) = vlan {
        let hops = vlan.next_hops.iter();
        let mut machines = || {
            let machines = hops.clone().filter_map(|hop| machine(hop, &mut complaints));
            Arc::new(machines.collect())
        };
        delivery = match vlan.delivery {
            cpo_api::Delivery::Routed => Delivery::Routed { machines: machines() },
            cpo_api::Delivery::Direct => Delivery::Direct { machines: machines() },
            cpo_api::Delivery::Local => {
                Delivery::Local { nodes: hops.filter_map(|hop| hop.vm.parse().ok()).collect() }
            }
        };
        let all = spec.services.iter().flat_map(|service| &service.ports);
        ports = all.filter_map(|p| port(p, &mut complaints)).collect();
        advertised = Arc::new(vlan.announce.l2.into_iter().collect());
        probe = vlan.probe.map(|probe| probe.port).filter(|port| *port != 0);
    }
    let (vlan, tenant) = (spec.tenant.name.into(), spec.tenant.uid.into());
    let uid = uid.into();
    let eip = Eip { uid, vlan, tenant, advertised, delivery, ports, probe, announced };
    let version = object.metadata.resource_version.and_then(|version| version.parse().ok());
    let seen = Box::new(SeenEip { eip, version, ours });
    (Some(Object::Eip(address, Some(seen))), complaints)
}

/// The address that an `Eip` is named by.
pub(crate) fn address_of(name: &str) -> Option<IpAddr> {
    name.replace('-', ":").parse().ok()
}

fn machine(hop: &cpo_api::NextHop, complaints: &mut Vec<String>) -> Option<Machine> {
    let Ok(address) = hop.address.parse() else {
        complaints.push(format!("next hop {:?} is not an IP address", hop.address));
        return None;
    };
    if !is_of_a_host(address) {
        complaints.push(format!("next hop {address} is no address of one machine"));
        return None;
    }
    let mac = match hop.mac.as_deref().map(str::parse).transpose() {
        Ok(mac) => mac,
        Err(error) => {
            complaints.push(format!("next hop {address}: {error}"));
            None
        }
    };
    Some(Machine { address, mac })
}

/// Whether one machine on a link can have an address; the kernel takes no other as a gateway.
const fn is_of_a_host(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            let several = v4.is_multicast() || v4.is_broadcast();
            !several && !v4.is_loopback() && !v4.is_unspecified() && !v4.is_link_local()
        }
        IpAddr::V6(v6) => {
            let elsewhere = v6.is_loopback() || v6.to_ipv4_mapped().is_some();
            !elsewhere && !v6.is_multicast() && !v6.is_unspecified()
        }
    }
}

fn port(port: &cpo_api::EipPort, complaints: &mut Vec<String>) -> Option<Port> {
    let protocol = match port.protocol.as_str() {
        "TCP" => Some(Protocol::Tcp),
        "UDP" => Some(Protocol::Udp),
        "SCTP" => Some(Protocol::Sctp),
        _ => None,
    };
    let read = protocol.filter(|_| port.port != 0);
    if read.is_none() {
        complaints.push(format!("{:?} {} is not a port", port.protocol, port.port));
    }
    read.map(|protocol| Port { protocol, number: port.port })
}

/// What a pool gives next.
pub(crate) fn pool(object: cpo_api::AddressPool) -> Parsed {
    let name = object.name_any();
    let next = object.status.map(|status| status.next).unwrap_or_default();
    let next: BTreeSet<IpAddr> = next.iter().filter_map(|address| address.parse().ok()).collect();
    (Some(Object::Pool(name, Some(next).filter(|next| !next.is_empty()))), Vec::new())
}

/// An `L2Advertisement`.
pub(crate) fn advertisement(object: cpo_api::L2Advertisement) -> Parsed {
    let name = object.name_any();
    let spec = object.spec;
    let advertisement = Advertisement {
        nodes: spec.node_selectors.into_iter().map(Into::into).collect(),
        interfaces: spec.interfaces.into_iter().collect(),
        refresh: Some(Duration::from_secs(spec.refresh_seconds.into())),
    };
    (Some(Object::Advertisement(name, Some(advertisement))), Vec::new())
}

/// A node; `ignore` the label by which nodes are kept out of external load balancers, or not.
pub(crate) fn node(object: &v1::Node, ignore: bool) -> Parsed {
    let Ok(name) = object.name_any().parse() else { return (None, Vec::new()) };
    let labels = object.labels().clone();
    let excluded = names::excludes_node(&labels) && !ignore;
    (Some(Object::Node(name, Some(Node { labels, excluded }))), Vec::new())
}

#[cfg(test)]
#[path = "parse_tests.rs"]
mod tests;
