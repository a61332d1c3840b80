//! A node with a speaker: what it is told, how it stands, and what its kernel has.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use ccm_proxy::bfd_socket::BfdSocket;
use ccm_proxy::groups::Groups;
use ccm_proxy::kernel::{self, Kernel};
use ccm_proxy::netlink::{Interface, Netlink, events};
use ccm_proxy::netns::Namespace;
use ccm_proxy::packet::PacketSocket;
use ccm_proxy::place::{Ground, Place};
use ccm_proxy::speaker::{Speaker, Stands};
use ccm_proxy::sysctl;
use lab::netns::Netns;
use speaker_core::bfd::{Profile, State};
use speaker_core::fib::{Fib, Wanted};
use speaker_core::gate::Family;
use speaker_core::health::Target;
use speaker_core::l2::Standing;
use speaker_core::node::NodeName;
use speaker_core::vlan::{Command, Us, Vlan};
use speaker_core::world::{Connection, VlanName};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::bed::{SOON, eip};

const PROFILE: Profile = Profile {
    receive: Duration::from_millis(100),
    transmit: Duration::from_millis(100),
    multiplier: 3,
    passive: false,
};

/// A speaker on a node.
pub(crate) struct Node {
    pub(crate) name: NodeName,
    pub(crate) netns: Netns,
    pub(crate) namespace: Namespace,
    /// Name of the pinned namespace.
    pub(crate) pin: String,
    pub(crate) interface: Interface,
    pub(crate) commands: mpsc::Sender<Command>,
    pub(crate) stands: watch::Receiver<Stands>,
    pub(crate) orders: watch::Sender<Option<kernel::Order>>,
    tasks: [JoinHandle<std::io::Result<()>>; 2],
}

impl Node {
    /// Starts a speaker on a node, whose number is its seed, connected so to a VLAN that is called as
    /// the node is.
    pub(crate) fn start(
        number: u8,
        netns: Netns,
        ground: &Ground,
        connection: &Connection,
    ) -> Result<Self> {
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
        Ok(Self { name, netns, namespace, pin, interface, commands, stands, orders, tasks })
    }

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
        first_count(&self.listed(family, "counter", counter).await?)
    }

    /// The packets of a family that its gate has let through to Services.
    pub(crate) async fn passed(&self, family: Family) -> Result<u64> {
        let chain = self.listed(family, "chain", "forward").await?;
        let rule = chain.lines().find(|line| line.contains("th dport @services"));
        first_count(rule.context("no rule")?)
    }

    async fn listed(&self, family: Family, kind: &str, name: &str) -> Result<String> {
        let nft = lab::exec::Exec::new(lab::exec::Place::NamespaceRoot(self.pin.clone()), "nft");
        let table = speaker_core::gate::TABLE;
        nft.args(["list", kind, &family.to_string(), table, name]).output().await
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

/// The first figure of what `nft` lists.
fn first_count(listed: &str) -> Result<u64> {
    // What is counted is said in words, too.
    let figures = listed.split("packets ").skip(1);
    let mut figures = figures.filter_map(|rest| rest.split(' ').next()?.parse().ok());
    figures.next().with_context(|| format!("no figure: {listed}"))
}
