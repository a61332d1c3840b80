//! A link (a bridge) with virtual machines, a client, and nodes with a speaker each.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use ccm_proxy::bfd_socket::BfdSocket;
use ccm_proxy::groups::Groups;
use ccm_proxy::kernel::{self, Kernel};
use ccm_proxy::netlink::{Interface, Netlink, events};
use ccm_proxy::netns::{Namespace, PINS};
use ccm_proxy::packet::PacketSocket;
use ccm_proxy::place::{Ground, Place};
use ccm_proxy::speaker::{Command, Speaker, Stands};
use ccm_proxy::sysctl;
use lab::netns::{Host, Netns};
use lab::traffic::{self, WhoAmI};
use lab::wait;
use pools::{Port, Protocol};
use speaker_core::bfd::{Profile, State};
use speaker_core::fib::{Fib, Wanted};
use speaker_core::gate::{Family, Gate};
use speaker_core::health::Target;
use speaker_core::l2::Standing;
use speaker_core::node::NodeName;
use speaker_core::order::{Delivery, Machine, Order};
use speaker_core::vlan::{Member, Us, Vlan};
use speaker_core::world::{Connection, ConnectionKind, VlanName};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// How long what happens within a second may take on a busy machine.
pub(crate) const SOON: Duration = Duration::from_secs(20);
/// The port of every Service.
pub(crate) const PORT: u16 = 80;
/// The port at which virtual machines take connections by IPv6.
pub(crate) const PORT6: u16 = 86;
const PROFILE: Profile = Profile {
    receive: Duration::from_millis(100),
    transmit: Duration::from_millis(100),
    multiplier: 3,
    passive: false,
};

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

/// A speaker on a node.
pub(crate) struct Node {
    pub(crate) name: NodeName,
    pub(crate) netns: Netns,
    pub(crate) namespace: Namespace,
    /// Name of the pinned namespace.
    pub(crate) pin: String,
    pub(crate) interface: Interface,
    commands: mpsc::Sender<Command>,
    pub(crate) stands: watch::Receiver<Stands>,
    orders: watch::Sender<Option<kernel::Order>>,
    tasks: [JoinHandle<std::io::Result<()>>; 2],
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

    /// A host on the link that is no part of this.
    pub(crate) async fn stranger(&self, address: Ipv4Addr) -> Result<Netns> {
        attach(&self.lan, &format!("{}-stranger", self.name), "stranger", Some(address)).await
    }

    /// Starts a speaker on a node of its own.
    pub(crate) async fn node(&self, number: u8) -> Result<Node> {
        let netns = self.host(&format!("node{number}")).await?;
        let ground = self.ground(&netns, number)?;
        self.start(number, netns, &ground, &by(ConnectionKind::Macvlan)).await
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

    /// Starts a speaker on a node, connected so to a VLAN that is called as the node is.
    pub(crate) async fn start(
        &self,
        number: u8,
        netns: Netns,
        ground: &Ground,
        connection: &Connection,
    ) -> Result<Node> {
        let name = ground.node.clone();
        let vlan: VlanName = name.as_str().into();
        let pin = ground.pin(&vlan);
        let place = ground.set_up(&vlan, connection)?;
        ensure!(place.hash == sysctl::Hash::Common);
        let Place { namespace, interface, whose, mac, opened, .. } = place;
        let us = Us { node: name.clone(), seed: u64::from(number), profile: PROFILE };
        let vlan = Vlan::new(us, mac);
        let (commands, commanded) = mpsc::channel(64);
        let groups = Groups::new(namespace.clone(), interface.index);
        let sockets = (PacketSocket::new(opened.packets)?, BfdSocket::new(opened.bfd)?, groups);
        let (speaker, stands) = Speaker::new(vlan, sockets, commanded, Instant::now());
        let (orders, ordered) = watch::channel(None);
        let at = (namespace.clone(), interface.clone(), mac);
        let netlink = (opened.netlink, events::Events::new(opened.events)?);
        let kernel = Kernel::new(whose, at, netlink, ground.nft(), ordered, commands.clone());
        let tasks = [tokio::spawn(speaker.run()), tokio::spawn(kernel.run())];
        Ok(Node { name, netns, namespace, pin, interface, commands, stands, orders, tasks })
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

impl Node {
    /// Waits until this node announces an address.
    pub(crate) async fn announces(&self, address: impl Into<IpAddr>) -> Result<()> {
        let announces =
            |standing: Option<&Standing>| matches!(standing, Some(Standing::Announcing(_)));
        self.stands_as(address, announces).await
    }

    /// Waits until an address stands so.
    pub(crate) async fn stands_as(
        &self,
        address: impl Into<IpAddr>,
        so: impl Fn(Option<&Standing>) -> bool,
    ) -> Result<()> {
        let mut stands = self.stands.clone();
        let address = address.into();
        let waits = stands.wait_for(|stands| so(stands.addresses.get(&address)));
        let waited = tokio::time::timeout(SOON, waits).await.map(|waited| waited.map(drop));
        waited
            .with_context(|| format!("{address} on {}: {:?}", self.name, self.stands.borrow()))??;
        Ok(())
    }

    /// How many of the others it knows to be there.
    pub(crate) fn knows(&self) -> usize {
        let stands = self.stands.borrow();
        stands.peers.values().filter(|liveness| liveness.state == State::Up).count()
    }

    pub(crate) fn is_announcing(&self, last: u8) -> bool {
        let stands = self.stands.borrow();
        matches!(stands.addresses.get(&eip(last).into()), Some(Standing::Announcing(_)))
    }

    /// Its address for BFD.
    pub(crate) fn address(&self) -> Result<Ipv6Addr> {
        Ok(self.interface.mac.context("no Ethernet address")?.link_local())
    }

    /// Leads addresses elsewhere, through the same gate.
    pub(crate) fn lead(&self, routes: Wanted) {
        self.orders.send_modify(|order| {
            if let Some(order) = order {
                order.routes = routes;
            }
        });
    }

    /// Gives it an address, and lets answers of these machines in.
    pub(crate) fn asks(&self, by: IpAddr, machines: BTreeSet<Target>) {
        self.orders.send_modify(|order| {
            if let Some(order) = order {
                order.addresses = [(by, 32)].into();
                order.gate.probed = machines;
            }
        });
    }

    /// The address by which it asks for virtual machines.
    pub(crate) async fn sender(&self) -> Result<IpAddr> {
        let shown = self.ip(&format!("address show dev {}", self.interface.name)).await?;
        let mut words = shown.split_whitespace().skip_while(|word| *word != "inet");
        let address = words.nth(1).and_then(|word| word.split('/').next());
        Ok(address.context("no address")?.parse()?)
    }

    /// A task that ends when this node does not announce an address any more.
    pub(crate) fn withdraws(&self, last: u8) -> JoinHandle<()> {
        let (mut stands, address) = (self.stands.clone(), IpAddr::from(eip(last)));
        tokio::spawn(async move {
            let other = |stands: &Stands| {
                !matches!(stands.addresses.get(&address), Some(Standing::Announcing(_)))
            };
            let _ = stands.wait_for(other).await;
        })
    }

    /// Takes its gate away, as somebody else might, and puts that of an earlier version there, which
    /// lets nothing through.
    pub(crate) async fn without_gate(&self) -> Result<()> {
        let nft = lab::exec::Exec::new(lab::exec::Place::NamespaceRoot(self.pin.clone()), "nft");
        let table = speaker_core::gate::TABLE;
        let script = format!(
            "delete table ip {table}
             delete table ip6 {table}
             table inet {table} {{
                 chain forward {{ type filter hook forward priority filter; policy drop; }}
             }}"
        );
        nft.args(["-f", "-"]).output_with_input(&script).await.map(drop)
    }

    /// Runs `ip` commands in its namespace.
    pub(crate) async fn ip(&self, commands: &str) -> Result<String> {
        let ip = lab::exec::Exec::new(lab::exec::Place::Namespace(self.pin.clone()), "ip");
        ip.args(["-batch", "-"]).output_with_input(commands).await
    }

    /// What the kernel of its namespace has of ours.
    pub(crate) fn fib(&self) -> Result<Fib> {
        Ok(self.namespace.run(|| Netlink::open()?.fib())?)
    }

    /// The packets of a family that a counter of its gate has counted.
    pub(crate) async fn counted(&self, family: Family, counter: &str) -> Result<u64> {
        let nft = lab::exec::Exec::new(lab::exec::Place::NamespaceRoot(self.pin.clone()), "nft");
        let table = speaker_core::gate::TABLE;
        let told = nft.args(["list", "counter", &family.to_string(), table, counter]);
        let told = told.output().await?;
        // What it counts is said in words before.
        let figures = told.split("packets ").skip(1);
        let mut figures = figures.filter_map(|rest| rest.split(' ').next()?.parse().ok());
        figures.next().context("no figure")
    }

    /// Ends the speaker as it does when it is told to.
    pub(crate) async fn leave(mut self) -> Result<()> {
        let (nobody, _) = mpsc::channel(1);
        let commands = std::mem::replace(&mut self.commands, nobody);
        let [speaker, kernel] = &mut self.tasks;
        kernel.abort();
        let _ = kernel.await;
        // Nobody can command it any more.
        drop(commands);
        Ok(speaker.await??)
    }

    /// Ends the speaker as a kill would, and waits until its sockets are closed.
    pub(crate) async fn kill(&mut self) {
        self.end();
        for task in &mut self.tasks {
            let _ = task.await;
        }
    }

    /// Ends the speaker as a kill would: nothing is said any more.
    pub(crate) fn end(&self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.end();
        let _ = self.namespace.remove();
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
