//! What a namespace is connected by, and what becomes of it.

use anyhow::{Context as _, Result, ensure};
use ccm_proxy::netlink::{Interface, Netlink};
use ccm_proxy::netns::Namespace;
use ccm_proxy::ovs::Ovs;
use ccm_proxy::place::Ground;
use lab::netns::Netns;
use lab::space::Space;
use lab::switch::Switch;
use speaker_core::world::{Connection, ConnectionKind, VlanName};

use crate::bed::{Bed, becomes, by, eip};
use crate::node::Node;

/// An interface of a namespace.
fn interface(at: &Namespace, name: &str) -> Result<Option<Interface>> {
    Ok(at.run(|| Netlink::open()?.interface(name))?)
}

/// Waits until a node announces an address, and a client gets an answer by it.
async fn serves(bed: &Bed, node: &Node) -> Result<()> {
    bed.let_through(std::slice::from_ref(node), &[50])?;
    bed.announce(std::slice::from_ref(node), eip(50)).await?;
    Bed::introduce(std::slice::from_ref(node)).await?;
    node.announces(eip(50)).await?;
    becomes("an answer", || bed.ask(50)).await?;
    let mac = node.interface.mac.context("no Ethernet address")?.to_string();
    ensure!(bed.resolved(50).await? == Some(mac), "it is not its interface that answers");
    Ok(())
}

/// What somebody is told who sets up a place and cannot.
fn refused(ground: &Ground, vlan: &str, connection: &Connection) -> Result<String> {
    let vlan: VlanName = vlan.into();
    let error = ground.set_up(&vlan, connection).err().context("it is set up")?;
    Ok(error.to_string())
}

pub(crate) async fn moved_interface_serves_is_adopted_and_goes_back_as_it_was() -> Result<()> {
    let bed = Bed::new("moved", 1, &[50]).await?;
    let netns = bed.host("node1").await?;
    netns.ip("link set eth0 alias uplink").await?;
    let (host, ground) =
        (Namespace::at(format!("/run/netns/{}", netns.name()).into()), bed.ground(&netns, 1)?);
    let before = interface(&host, "eth0")?.context("no eth0")?;
    let (moved, vlan) = (by(ConnectionKind::Moved), VlanName::from("node1"));
    let mut node = Node::start(1, netns, &ground, &moved)?;
    ensure!(interface(&host, "eth0")?.is_none(), "it is on the node still");
    ensure!(node.interface.mac == before.mac, "another interface: {:?}", node.interface);
    serves(&bed, &node).await?;
    // As after a kill, and then as when the VLAN is gone from the node.
    node.kill().await;
    ensure!(ground.left() == [vlan.clone()].into(), "a later run does not know it");
    let adopted = ground.set_up(&vlan, &moved)?;
    ensure!(adopted.interface.index == node.interface.index, "{:?}", adopted.interface);
    drop(adopted);
    ground.remove(&vlan)?;
    let after = interface(&host, "eth0")?.context("it is not given back")?;
    ensure!((&*after.alias, after.up) == ("uplink", true), "{after:?}");
    let left = node.netns.ip("address show dev eth0").await?;
    ensure!(!left.contains("inet "), "an address of ours is left: {left}");
    ensure!(!node.namespace.is_pinned() && ground.left().is_empty());
    Ok(())
}

pub(crate) async fn interface_that_was_down_goes_back_down_and_only_under_its_name() -> Result<()> {
    let bed = Bed::new("back", 0, &[]).await?;
    let netns = bed.host("node1").await?;
    netns.ip("link set eth0 down").await?;
    let (host, ground) =
        (Namespace::at(format!("/run/netns/{}", netns.name()).into()), bed.ground(&netns, 1)?);
    let vlan = VlanName::from("a");
    drop(ground.set_up(&vlan, &by(ConnectionKind::Moved))?);
    netns.ip("link add eth0 type veth peer name eth9").await?;
    let told = ground.remove(&vlan).err().context("it has no name to go back to")?.to_string();
    ensure!(told.contains("interface eth0 cannot go back to node node1"), "{told}");
    ensure!(ground.left() == [vlan.clone()].into(), "it is lost: {:?}", ground.left());
    netns.ip("link delete eth0").await?;
    // Another kind of connection is reason enough to give it back.
    let place = ground.set_up(&vlan, &by(ConnectionKind::Macvlan))?;
    ensure!(place.interface.macvlan.is_some(), "{:?}", place.interface);
    let after = interface(&host, "eth0")?.context("it is not given back")?;
    ensure!((&*after.alias, after.up) == ("", false), "{after:?}");
    ground.remove(&vlan)?;
    Ok(())
}

/// By a worker of the kernel they come when that has its turn, which on a busy node is late.
pub(crate) async fn broadcasts_reach_a_macvlan_at_once_also_one_of_an_earlier_version() -> Result<()>
{
    let bed = Bed::new("once", 0, &[]).await?;
    let netns = bed.host("node1").await?;
    let ground = bed.ground(&netns, 1)?;
    let (vlan, macvlan) = (VlanName::from("a"), by(ConnectionKind::Macvlan));
    let at_once = |interface: &Interface| interface.macvlan.is_some_and(|macvlan| macvlan.at_once);
    let place = ground.set_up(&vlan, &macvlan)?;
    ensure!(at_once(&place.interface), "one that was made: {:?}", place.interface);
    let name = place.interface.name.clone();
    place.namespace.run(|| Netlink::open()?.delete_interface(place.interface.index))?;
    let pin = ground.pin(&vlan);
    netns.ip(&format!("link add {name} link eth0 netns {pin} type macvlan mode bridge")).await?;
    let before = interface(&place.namespace, &name)?.context("it is not made")?;
    ensure!(!at_once(&before), "the kernel's default: {before:?}");
    drop(place);
    let adopted = ground.set_up(&vlan, &macvlan)?;
    ensure!(adopted.interface.index == before.index, "another one: {:?}", adopted.interface);
    ensure!(at_once(&adopted.interface), "one that was adopted: {:?}", adopted.interface);
    drop(adopted);
    ground.remove(&vlan)?;
    Ok(())
}

pub(crate) async fn interface_in_use_or_missing_is_named_with_the_remedy_and_left_alone()
-> Result<()> {
    let bed = Bed::new("busy", 0, &[]).await?;
    let netns = bed.host("node1").await?;
    let ground = bed.ground(&netns, 1)?;
    let (moved, macvlan) = (by(ConnectionKind::Moved), by(ConnectionKind::Macvlan));
    netns.ip("address add 10.205.0.9/24 dev eth0").await?;
    let told = refused(&ground, "a", &moved)?;
    for word in ["eth0", "node1", "address 10.205.0.9", "spec.vlan.interfaces of TenantCluster a"] {
        ensure!(told.contains(word), "{word}: {told}");
    }
    ensure!(
        ground.left().is_empty() && netns.ip("address show dev eth0").await?.contains("10.205.0.9")
    );
    netns.ip("address flush dev eth0").await?;
    let other = Connection { interface: "eth7".to_owned(), ..moved.clone() };
    let told = refused(&ground, "a", &other)?;
    ensure!(told.contains("there is no interface eth7 on node node1"), "{told}");
    let vlan = VlanName::from("a");
    drop(ground.set_up(&vlan, &macvlan)?);
    let told = refused(&ground, "b", &moved)?;
    ensure!(told.contains("VLAN a is connected by a macvlan on it"), "{told}");
    drop(ground.set_up(&vlan, &moved)?);
    for kind in [&moved, &macvlan] {
        let told = refused(&ground, "b", kind)?;
        ensure!(told.contains("interface eth0 of node node1 is moved to VLAN a"), "{told}");
    }
    ensure!(ground.left() == [vlan.clone()].into(), "{:?}", ground.left());
    ground.remove(&vlan)?;
    Ok(())
}

/// A node whose `eth0` is a port of a bridge of Open vSwitch, on VLAN 205.
async fn switched(netns: &Netns, ground: &mut Ground) -> Result<(Switch, Space)> {
    let space = Space::new()?;
    let switch =
        Switch::start(netns, space.data().join("switch"), space.dir().join("switch")).await?;
    switch.vsctl("add-br br-vlan -- set bridge br-vlan datapath_type=netdev").await?;
    switch.vsctl("add-port br-vlan eth0 tag=205").await?;
    ground.ovs = switch.vsctl_words()?;
    Ok((switch, space))
}

pub(crate) async fn port_of_open_vswitch_serves_on_its_vlan_and_is_deleted_at_the_end() -> Result<()>
{
    let bed = Bed::new("ovs", 1, &[50]).await?;
    let netns = bed.host("node1").await?;
    let mut ground = bed.ground(&netns, 1)?;
    let (switch, _space) = switched(&netns, &mut ground).await?;
    let port =
        |tag| Connection { interface: "br-vlan".to_owned(), ..by(ConnectionKind::OvsPort { tag }) };
    let vlan = VlanName::from("node1");
    let name = Ovs::port(&ground.pin(&vlan));
    let mut node = Node::start(1, netns, &ground, &port(205))?;
    ensure!(node.interface.name == name, "{:?}", node.interface);
    serves(&bed, &node).await?;
    node.kill().await;
    let adopted = ground.set_up(&vlan, &port(206))?;
    ensure!(adopted.interface.index == node.interface.index, "{:?}", adopted.interface);
    ensure!(switch.vsctl(&format!("get port {name} tag")).await?.trim() == "206");
    drop(adopted);
    let told = refused(&ground, "b", &Connection { interface: "br-none".to_owned(), ..port(205) })?;
    for word in ["br-none", "node1", "no bridge named", "spec.vlan.interfaces of TenantCluster b"] {
        ensure!(told.contains(word), "{word}: {told}");
    }
    // As after a start of the node: the switch has the port, and its namespace is gone.
    node.namespace.remove()?;
    ensure!(ground.left() == [vlan.clone()].into(), "a later run does not know it");
    ground.remove(&vlan)?;
    let ports = switch.vsctl("list-ports br-vlan").await?;
    ensure!(ports.trim() == "eth0", "left: {ports}");
    Ok(())
}
