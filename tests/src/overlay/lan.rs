//! VLANs: a link for each tenant in VLAN mode, a router on all of them with a client behind it, and
//! the nodes of the under cluster that speakers run on.
//!
//! ```text
//!  client ── router ── VLAN of a (10.205.0.0/24) ── vm1, vm2 ── node1, node2, node3
//!                  └── VLAN of b (10.206.0.0/24) ── vm1, vm2 ──┘
//! ```
//!
//! Every host has IPv6 addresses besides. The last VLAN may have the prefixes of the first: it has a
//! router and a client of its own then.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use anyhow::{Context as _, Result};
use futures::future::try_join_all;
use serde_json::{Value, json};

use super::node::Node;
use crate::cluster::Cluster;
use crate::netns::{Host, Netns};
use crate::space::Space;

/// What a link is called in the namespace of a node, in front of its number.
const VLAN: &str = "vlan";
/// The number of the first tenant's VLAN.
const FIRST: u8 = 205;
const ROUTER_INSIDE: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 254);
const CLIENT: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 10);
/// The prefix of the client's own link, IPv6.
const OUTSIDE: [u16; 4] = [0x2001, 0xdb8, 0, 0xffff];

/// Whether VLANs have prefixes of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Prefixes {
    /// Each has its own.
    Own,
    /// The last has those of the first.
    LastLikeFirst,
}

/// The link of one tenant.
#[derive(Debug)]
pub struct Lan {
    number: u8,
    /// The third octet of its addresses.
    prefix: u8,
    /// Length of its prefix: 24, or 16.
    length: u8,
    bridge: Netns,
}

/// All links, the router on them, the client behind it and the nodes.
#[derive(Debug)]
pub struct Lans {
    outside: Outside,
    /// Of the last VLAN, where that has the prefixes of the first.
    other: Option<Outside>,
    nodes: Vec<Node>,
    lans: Vec<Arc<Lan>>,
}

/// A router with a client behind it.
#[derive(Debug)]
struct Outside {
    router: Netns,
    client: Arc<Host>,
}

impl Lan {
    async fn new(space: &Space, number: u8, (prefix, length): (u8, u8)) -> Result<Self> {
        let bridge = Netns::new(space.namespace(&format!("vlan{number}"))).await?;
        // The querier's absence must not make the bridge forget groups, which neighbour discovery
        // is sent to.
        bridge.ip("link add br0 type bridge mcast_snooping 0\nlink set br0 up").await?;
        Ok(Self { number, prefix, length, bridge })
    }

    /// The number of the VLAN.
    pub fn number(&self) -> u8 {
        self.number
    }

    /// The IPv4 prefix of the link.
    pub fn cidr(&self) -> String {
        format!("{}/{}", self.address(0), self.length)
    }

    /// The length of that prefix.
    pub fn length(&self) -> u8 {
        self.length
    }

    /// The last IPv4 address that can be a host's.
    fn last(&self) -> Ipv4Addr {
        let third = if self.length == 24 { 0 } else { u8::MAX };
        Ipv4Addr::new(10, self.prefix, third, 254)
    }

    /// The IPv6 prefix of the link.
    pub fn cidr6(&self) -> String {
        format!("{}/64", self.address6(0))
    }

    /// An IPv4 address of the link.
    pub fn address(&self, last: u8) -> Ipv4Addr {
        Ipv4Addr::new(10, self.prefix, 0, last)
    }

    /// An IPv6 address of the link.
    pub fn address6(&self, last: u16) -> Ipv6Addr {
        Ipv6Addr::new(0x2001, 0xdb8, 0, self.prefix.into(), 0, 0, 0, last)
    }

    /// The router's IPv4 address on the link.
    pub fn gateway(&self) -> Ipv4Addr {
        self.address(1)
    }

    /// The router's IPv6 address on the link.
    pub fn gateway6(&self) -> Ipv6Addr {
        self.address6(1)
    }

    /// The name of the interface on nodes that is on the link.
    pub fn interface(&self) -> String {
        format!("{VLAN}{}", self.number)
    }

    /// The namespace of the link itself: a bridge, on which everything can be seen.
    pub fn bridge(&self) -> &Netns {
        &self.bridge
    }

    /// Connects an interface of a namespace.
    ///
    /// # Errors
    /// A name is taken, or the tools fail.
    pub async fn plug(&self, netns: &Netns, interface: &str, port: &str) -> Result<()> {
        netns.connect(interface, &self.bridge, port).await?;
        self.bridge.ip(&format!("link set {port} master br0")).await.map(|_| ())
    }

    /// A further host on the link that is no part of the lab, with the addresses that end so.
    ///
    /// # Errors
    /// There is one of that name, or the tools fail.
    pub async fn host(&self, space: &Space, name: &str, last: u8) -> Result<Host> {
        let netns = Netns::new(space.namespace(&format!("{name}-{}", self.number))).await?;
        self.plug(&netns, "eth0", name).await?;
        let (v4, v6) = (self.address(last), self.address6(last.into()));
        let length = self.length;
        let both =
            format!("address add {v4}/{length} dev eth0\naddress add {v6}/64 dev eth0 nodad");
        netns.ip(&both).await?;
        Ok(Host::new(netns, v4).with_v6(v6))
    }

    /// Kube-OVN's objects for the link, and the namespace of the tenant's machines. The Subnet does
    /// not name the namespace: at times Kube-OVN does not know its own default VPC for that, and
    /// refuses it for ever.
    pub(super) fn objects(&self, tenant: &str) -> [Value; 3] {
        let namespace = format!("tenant-{tenant}");
        let excludes = [
            self.gateway().to_string(),
            format!("{}..{}", self.address(50), self.last()),
            self.gateway6().to_string(),
            format!("{}..{}", self.address6(50), self.address6(0xfffe)),
        ];
        [
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}),
            json!({
                "apiVersion": "kubeovn.io/v1", "kind": "Vlan",
                "metadata": {"name": self.interface()},
                "spec": {"id": self.number, "provider": "external"},
            }),
            json!({
                "apiVersion": "kubeovn.io/v1", "kind": "Subnet",
                "metadata": {"name": namespace},
                "spec": {
                    "protocol": "Dual", "vlan": self.interface(),
                    "cidrBlock": format!("{},{}", self.cidr(), self.cidr6()),
                    "gateway": format!("{},{}", self.gateway(), self.gateway6()),
                    "excludeIps": excludes, "disableGatewayCheck": true,
                },
            }),
        ]
    }
}

impl Outside {
    async fn start(space: &Space, name: &str, lans: &[Lan]) -> Result<Self> {
        let (router, client) = tokio::try_join!(
            Netns::new(space.namespace(&format!("vlan-router{name}"))),
            Netns::new(space.namespace(&format!("vlan-client{name}")))
        )?;
        router.sysctl("net.ipv4.ip_forward", "1")?;
        router.sysctl("net.ipv6.conf.all.forwarding", "1")?;
        client.connect("eth0", &router, "eth0").await?;
        let (inside, client6) = (outside(1), outside(0x10));
        client
            .ip(&format!(
                "address add {CLIENT}/24 dev eth0
                 route add default via {ROUTER_INSIDE}
                 address add {client6}/64 dev eth0 nodad
                 route add default via {inside} dev eth0"
            ))
            .await?;
        router
            .ip(&format!(
                "address add {ROUTER_INSIDE}/24 dev eth0\naddress add {inside}/64 dev eth0 nodad"
            ))
            .await?;
        for lan in lans {
            lan.plug(&router, &lan.interface(), "router").await?;
            let (v4, v6, interface) = (lan.gateway(), lan.gateway6(), lan.interface());
            let length = lan.length;
            router
                .ip(&format!(
                    "address add {v4}/{length} dev {interface}
                     address add {v6}/64 dev {interface} nodad"
                ))
                .await?;
        }
        let client = Arc::new(Host::new(client, CLIENT).with_v6(client6));
        Ok(Self { router, client })
    }
}

/// An address of the client's own link.
fn outside(last: u16) -> Ipv6Addr {
    let [a, b, c, d] = OUTSIDE;
    Ipv6Addr::new(a, b, c, d, 0, 0, 0, last)
}

impl Lans {
    /// Links for so many tenants, with prefixes of this length, and so many nodes.
    pub(super) async fn start(
        space: &Space,
        tenants: usize,
        nodes: usize,
        (prefixes, length): (Prefixes, u8),
    ) -> Result<Self> {
        let own = match prefixes {
            Prefixes::Own => tenants,
            Prefixes::LastLikeFirst => tenants.saturating_sub(1),
        };
        let numbers = (FIRST..=u8::MAX).take(tenants).enumerate();
        let prefix = |place, number| if place < own { number } else { FIRST };
        let lans =
            numbers.map(|(place, number)| Lan::new(space, number, (prefix(place, number), length)));
        let lans = try_join_all(lans).await?;
        let (near, last) = lans.split_at(own.min(lans.len()));
        let outside = Outside::start(space, "", near).await?;
        let other = match last {
            [] => None,
            last => Some(Outside::start(space, "-last", last).await?),
        };
        let nodes = (1..=nodes).map(|number| Node::start(space, &lans, number));
        let nodes = try_join_all(nodes).await?;
        let lans = lans.into_iter().map(Arc::new).collect();
        Ok(Self { outside, other, nodes, lans })
    }

    /// Writes the nodes' objects.
    ///
    /// # Errors
    /// The API server refuses one.
    pub async fn register(&self, under: &Cluster) -> Result<()> {
        for node in &self.nodes {
            node.register(under).await?;
        }
        Ok(())
    }

    pub(super) fn lan(&self, tenant: usize) -> Option<Arc<Lan>> {
        self.lans.get(tenant).cloned()
    }

    /// The link of a tenant, by its place among them.
    ///
    /// # Errors
    /// There is none.
    pub fn of(&self, tenant: usize) -> Result<&Arc<Lan>> {
        self.lans.get(tenant).context("no such link")
    }

    /// All links.
    pub fn all(&self) -> &[Arc<Lan>] {
        &self.lans
    }

    /// The client behind the router.
    pub fn client(&self) -> &Arc<Host> {
        &self.outside.client
    }

    /// The client behind the router of the last VLAN, where that has the prefixes of the first.
    ///
    /// # Errors
    /// It has its own.
    pub fn other_client(&self) -> Result<&Arc<Host>> {
        Ok(&self.other.as_ref().context("no VLAN has another's prefixes")?.client)
    }

    /// The router.
    pub fn router(&self) -> &Netns {
        &self.outside.router
    }

    /// The nodes that speakers run on.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }
}
