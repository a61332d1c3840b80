//! VLANs: a link for each tenant in VLAN mode, a router on all of them with a client behind it, and
//! the nodes of the under cluster that speakers run on.
//!
//! ```text
//!  client ── router ── VLAN of a (10.205.0.0/24) ── vm1, vm2 ── node1, node2, node3
//!                  └── VLAN of b (10.206.0.0/24) ── vm1, vm2 ──┘
//! ```

use std::net::Ipv4Addr;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use futures::future::try_join_all;
use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::netns::{Host, Netns};
use crate::space::{self, Space};

/// What a link is called in the namespace of a node, in front of its number.
const VLAN: &str = "vlan";
/// The number of the first tenant's VLAN.
const FIRST: u8 = 205;
const ROUTER_INSIDE: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 254);
const CLIENT: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 10);

/// The link of one tenant.
#[derive(Debug)]
pub struct Lan {
    number: u8,
    bridge: Netns,
}

/// All links, the router on them, the client behind it and the nodes.
#[derive(Debug)]
pub struct Lans {
    router: Netns,
    client: Arc<Host>,
    nodes: Vec<Node>,
    lans: Vec<Arc<Lan>>,
}

/// A node of the under cluster that is on every link.
#[derive(Debug)]
pub struct Node {
    name: String,
    netns: Netns,
}

impl Lan {
    async fn new(space: &Space, number: u8) -> Result<Self> {
        let bridge = Netns::new(space.namespace(&format!("vlan{number}"))).await?;
        bridge.ip("link add br0 type bridge\nlink set br0 up").await?;
        Ok(Self { number, bridge })
    }

    /// The number of the VLAN.
    pub fn number(&self) -> u8 {
        self.number
    }

    /// The prefix of the link.
    pub fn cidr(&self) -> String {
        format!("10.{}.0.0/24", self.number)
    }

    /// An address of the link.
    pub fn address(&self, last: u8) -> Ipv4Addr {
        Ipv4Addr::new(10, self.number, 0, last)
    }

    /// The router's address on the link.
    pub fn gateway(&self) -> Ipv4Addr {
        self.address(1)
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

    /// Kube-OVN's objects for the link, and the namespace of the tenant's machines. The Subnet does
    /// not name the namespace: at times Kube-OVN does not know its own default VPC for that, and
    /// refuses it for ever.
    pub(super) fn objects(&self, tenant: &str) -> [Value; 3] {
        let namespace = format!("tenant-{tenant}");
        let excludes =
            [self.gateway().to_string(), format!("{}..{}", self.address(50), self.address(254))];
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
                    "protocol": "IPv4", "cidrBlock": self.cidr(), "gateway": self.gateway(),
                    "vlan": self.interface(), "excludeIps": excludes, "disableGatewayCheck": true,
                },
            }),
        ]
    }
}

impl Lans {
    /// Links for so many tenants, and so many nodes.
    pub(super) async fn start(space: &Space, tenants: usize, nodes: usize) -> Result<Self> {
        let numbers = (FIRST..=u8::MAX).take(tenants);
        let lans = try_join_all(numbers.map(|number| Lan::new(space, number))).await?;
        let (router, client) = tokio::try_join!(
            Netns::new(space.namespace("vlan-router")),
            Netns::new(space.namespace("vlan-client"))
        )?;
        router.sysctl("net.ipv4.ip_forward", "1")?;
        client.connect("eth0", &router, "eth0").await?;
        client
            .ip(&format!("address add {CLIENT}/24 dev eth0\nroute add default via {ROUTER_INSIDE}"))
            .await?;
        router.ip(&format!("address add {ROUTER_INSIDE}/24 dev eth0")).await?;
        for lan in &lans {
            lan.plug(&router, &lan.interface(), "router").await?;
            let (address, interface) = (lan.gateway(), lan.interface());
            router.ip(&format!("address add {address}/24 dev {interface}")).await?;
        }
        let nodes = (1..=nodes).map(|number| Node::start(space, &lans, number));
        let nodes = try_join_all(nodes).await?;
        let lans = lans.into_iter().map(Arc::new).collect();
        Ok(Self { router, client: Arc::new(Host::new(client, CLIENT)), nodes, lans })
    }

    /// Writes the nodes' objects.
    pub(super) async fn register(&self, under: &Cluster) -> Result<()> {
        for node in &self.nodes {
            under.apply(&node.object()).await?;
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

    /// The client behind the router.
    pub fn client(&self) -> &Arc<Host> {
        &self.client
    }

    /// A further host on the link of a tenant, that is no part of the lab.
    ///
    /// # Errors
    /// There is one, or the tools fail.
    pub async fn stranger(&self, space: &Space, lan: &Lan, address: Ipv4Addr) -> Result<Netns> {
        let stranger = Netns::new(space.namespace("stranger")).await?;
        lan.plug(&stranger, "eth0", "stranger").await?;
        stranger.ip(&format!("address add {address}/24 dev eth0")).await?;
        Ok(stranger)
    }

    /// The router.
    pub fn router(&self) -> &Netns {
        &self.router
    }

    /// The nodes that speakers run on.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }
}

impl Node {
    async fn start(space: &Space, lans: &[Lan], number: usize) -> Result<Self> {
        let name = format!("node{number}");
        let netns = Netns::new(space.namespace(&name)).await?;
        // As on a real one: the host itself is strict.
        netns.sysctl("net.ipv4.conf.all.rp_filter", "1")?;
        netns.connect_management(space::management_address()).await?;
        for lan in lans {
            lan.plug(&netns, &lan.interface(), &name).await?;
        }
        Ok(Self { name, netns })
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its own namespace.
    pub fn netns(&self) -> &Netns {
        &self.netns
    }

    fn object(&self) -> Value {
        json!({
            "apiVersion": "v1", "kind": "Node",
            "metadata": {"name": self.name, "labels": {"kubernetes.io/hostname": self.name}},
        })
    }
}
