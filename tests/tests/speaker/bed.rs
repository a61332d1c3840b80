//! A link (a bridge) with virtual machines, a client, and nodes with a speaker each.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use ccm_proxy::kernel;
use ccm_proxy::netns::PINS;
use ccm_proxy::place::Ground;
use lab::netns::{Host, Netns};
use lab::traffic::{self, WhoAmI};
use lab::wait;
use pools::{Port, Protocol};
use speaker_core::fib::Wanted;
use speaker_core::gate::Gate;
use speaker_core::mac::MacAddress;
use speaker_core::node::NodeName;
use speaker_core::order::{Delivery, Machine, Order};
use speaker_core::vlan::{Command, Member};
use speaker_core::world::{Connection, ConnectionKind};
use tokio::net::TcpListener;

use crate::node::Node;

/// How long what happens within a second may take on a busy machine.
pub(crate) const SOON: Duration = Duration::from_secs(20);
/// The port of every Service.
pub(crate) const PORT: u16 = 80;
/// The port at which virtual machines take connections by IPv6.
pub(crate) const PORT6: u16 = 86;

/// The link and the hosts on it.
pub(crate) struct Bed {
    name: &'static str,
    lan: Netns,
    pub(crate) client: Host,
    pub(crate) machines: Vec<Vm>,
}

/// A virtual machine that takes addresses of Services as they come, as one with kube-proxy does.
pub(crate) struct Vm {
    pub(crate) host: Host,
    _server: WhoAmI,
    /// Where connections by IPv6 are made, and nothing is said.
    _listener: TcpListener,
}

pub(crate) fn eip(last: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 205, 0, last)
}

pub(crate) fn eip6(last: u8) -> Ipv6Addr {
    Ipv6Addr::new(0x2001, 0xdb8, 0x205, 0, 0, 0, 0, last.into())
}

impl Bed {
    /// A link with so many virtual machines, that know these addresses.
    pub(crate) async fn new(name: &'static str, machines: u8, eips: &[u8]) -> Result<Self> {
        let lan = Netns::new(format!("{name}-lan")).await?;
        lan.ip("link add br0 type bridge\nlink set br0 up").await?;
        let client = attach(&lan, &format!("{name}-client"), "client", Some(eip(100))).await?;
        let client = Host::new(client, eip(100));
        let mut all = Vec::new();
        for number in 1..=machines {
            let address = eip(number);
            let vm = format!("vm{number}");
            let netns = attach(&lan, &format!("{name}-{vm}"), &vm, Some(address)).await?;
            // It has the addresses, and says nothing of them on the link.
            netns.sysctl("net.ipv4.conf.all.arp_ignore", "1")?;
            netns.sysctl("net.ipv4.conf.all.arp_announce", "2")?;
            for last in eips {
                let both = format!(
                    "address add {}/32 dev lo\naddress add {}/128 dev lo nodad",
                    eip(*last),
                    eip6(*last)
                );
                netns.ip(&both).await?;
            }
            let server = WhoAmI::start(&netns, PORT, &vm, &vm)?;
            let listener = netns.listen(SocketAddr::from((Ipv6Addr::UNSPECIFIED, PORT6)))?;
            all.push(Vm { host: Host::new(netns, address), _server: server, _listener: listener });
        }
        Ok(Self { name, lan, client, machines: all })
    }

    /// A link with so many virtual machines, a node, and an address that this is told to announce.
    pub(crate) async fn with_one(
        name: &'static str,
        machines: u8,
        address: impl Into<IpAddr>,
    ) -> Result<(Self, [Node; 1])> {
        let bed = Self::new(name, machines, &[50]).await?;
        let nodes = [bed.node(1).await?];
        bed.let_through(&nodes, &[50])?;
        bed.announce(&nodes, address).await?;
        Ok((bed, nodes))
    }

    /// The same, once it announces the address.
    pub(crate) async fn announcing(
        name: &'static str,
        machines: u8,
        address: impl Into<IpAddr>,
    ) -> Result<(Self, [Node; 1])> {
        let address = address.into();
        let (bed, nodes) = Self::with_one(name, machines, address).await?;
        Self::introduce(&nodes).await?;
        let [node] = &nodes;
        node.announces(address).await?;
        Ok((bed, nodes))
    }

    /// Runs a script for `nft` in the first machine.
    pub(crate) async fn let_machine(&self, script: &str) -> Result<()> {
        let vm = self.machines.first().context("no machine")?.host.netns();
        let nft = vm.exec_root("nft").args(["-f", "-"]);
        nft.output_with_input(script).await.map(drop)
    }

    /// A host on the link that is no part of this.
    pub(crate) async fn stranger(&self, address: Ipv4Addr) -> Result<Netns> {
        attach(&self.lan, &format!("{}-stranger", self.name), "stranger", Some(address)).await
    }

    /// Starts a speaker on a node of its own.
    pub(crate) async fn node(&self, number: u8) -> Result<Node> {
        let netns = self.host(&format!("node{number}")).await?;
        let ground = self.ground(&netns, number)?;
        Node::start(number, netns, &ground, &by(ConnectionKind::Macvlan))
    }

    /// A node on the link by `eth0`, without a speaker.
    pub(crate) async fn host(&self, name: &str) -> Result<Netns> {
        attach(&self.lan, &format!("{}-{name}", self.name), name, None).await
    }

    /// Where the places of a node are.
    pub(crate) fn ground(&self, netns: &Netns, number: u8) -> Result<Ground> {
        let root = lab::sandbox::current()?.root.clone();
        Ok(Ground {
            node: format!("node{number}").parse()?,
            host: format!("{PINS}/{}", netns.name()).into(),
            prefix: format!("cpo-{}-", self.name),
            nft: vec!["chroot".into(), root.into(), "nft".into()],
            ovs: Vec::new(),
        })
    }

    /// The virtual machines by their addresses of a family.
    pub(crate) fn machines(&self, v4: bool) -> BTreeSet<IpAddr> {
        let address = |vm: &Vm| match vm.host.address().octets() {
            _ if v4 => IpAddr::V4(vm.host.address()),
            [.., last] => IpAddr::V6(eip6(last)),
        };
        self.machines.iter().map(address).collect()
    }

    /// The names of the first nodes.
    pub(crate) fn names(&self, nodes: u8) -> Result<BTreeSet<NodeName>> {
        (1..=nodes).map(|number| Ok(format!("node{number}").parse()?)).collect()
    }

    /// Lets an address lead to all virtual machines, by any of these nodes.
    pub(crate) async fn announce(&self, nodes: &[Node], address: impl Into<IpAddr>) -> Result<()> {
        let names = nodes.iter().map(|node| node.name.clone()).collect();
        self.announce_by(nodes, address, &names, false).await
    }

    /// Tells nodes that any of these may announce an address, and whether one did before.
    pub(crate) async fn announce_by(
        &self,
        nodes: &[Node],
        address: impl Into<IpAddr>,
        names: &BTreeSet<NodeName>,
        announced: bool,
    ) -> Result<()> {
        let address = address.into();
        let machines = self.machines(address.is_ipv4()).into_iter();
        let machine = |address| Machine { address, mac: None };
        let order = Order {
            uid: address.to_string().into(),
            delivery: Delivery::Routed { machines: Arc::new(machines.map(machine).collect()) },
            nodes: Arc::new(names.clone()),
            refresh: Duration::from_secs(60),
            announced,
        };
        for node in nodes {
            node.commands.send(Command::Order(address, Some(order.clone()))).await?;
        }
        Ok(())
    }

    /// Opens the way through the nodes for these addresses.
    pub(crate) fn let_through(&self, nodes: &[Node], eips: &[u8]) -> Result<()> {
        let both = |last: &u8| [IpAddr::from(eip(*last)), IpAddr::from(eip6(*last))];
        let addresses: BTreeSet<IpAddr> = eips.iter().flat_map(both).collect();
        let machines = |address: &IpAddr| (*address, Arc::new(self.machines(address.is_ipv4())));
        let wanted: Wanted = addresses.iter().map(machines).collect();
        let port = |address: &IpAddr| (*address, tcp(if address.is_ipv4() { PORT } else { PORT6 }));
        let peers: BTreeSet<Ipv6Addr> = nodes.iter().map(Node::address).collect::<Result<_>>()?;
        for node in nodes {
            let gate = Gate {
                services: addresses.iter().map(port).collect(),
                peers: peers.clone(),
                ..Gate::default()
            };
            let order = kernel::Order { routes: wanted.clone(), gate, ..kernel::Order::default() };
            node.orders.send_replace(Some(order));
        }
        Ok(())
    }

    /// Tells all speakers of each other.
    pub(crate) async fn introduce(nodes: &[Node]) -> Result<()> {
        let mut members = BTreeMap::new();
        for node in nodes {
            let mac = node.interface.mac.context("no Ethernet address")?;
            members.insert(node.name.clone(), Member { mac, address: node.address()? });
        }
        for node in nodes {
            node.commands.send(Command::Members(members.clone())).await?;
        }
        Ok(())
    }

    /// Asks a Service by its address.
    pub(crate) async fn ask(&self, last: u8) -> Result<traffic::Answer> {
        traffic::get(&self.client, &format!("http://{}:{PORT}/", eip(last))).await
    }

    /// Whose Ethernet address the client has for an address.
    pub(crate) async fn resolved(&self, last: u8) -> Result<Option<String>> {
        let neighbours = self.client.netns().ip(&format!("neigh show {}", eip(last))).await?;
        let mut words = neighbours.split_whitespace().skip_while(|word| *word != "lladdr");
        Ok(words.nth(1).map(str::to_owned))
    }
}

/// Connected by `eth0`.
pub(crate) fn by(kind: ConnectionKind) -> Connection {
    Connection { interface: "eth0".to_owned(), kind, ..Connection::default() }
}

const fn tcp(number: u16) -> Port {
    Port { protocol: Protocol::Tcp, number }
}

/// A namespace on the link.
async fn attach(lan: &Netns, name: &str, port: &str, address: Option<Ipv4Addr>) -> Result<Netns> {
    let netns = Netns::new(name).await?;
    netns.connect("eth0", lan, port).await?;
    lan.ip(&format!("link set {port} master br0")).await?;
    if let Some(address) = address {
        let [.., last] = address.octets();
        let both = format!(
            "address add {address}/24 dev eth0\naddress add {}/64 dev eth0 nodad",
            eip6(last)
        );
        netns.ip(&both).await?;
    }
    Ok(netns)
}

/// The Ethernet address of a host on the link.
pub(crate) async fn mac_of(netns: &Netns) -> Result<MacAddress> {
    let shown = netns.ip("link show eth0").await?;
    let mut words = shown.split_whitespace().skip_while(|word| *word != "link/ether");
    Ok(words.nth(1).context("no Ethernet address")?.parse()?)
}

/// Whether a TCP connection is made.
pub(crate) async fn connects(from: &Host, to: SocketAddr) -> bool {
    from.netns().dial(to, Duration::from_secs(1)).await.is_ok()
}

/// Waits until something is so.
pub(crate) async fn becomes<T, F, Fut>(what: &str, condition: F) -> Result<T>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<T>>,
{
    wait::until(what, SOON, condition).await
}
