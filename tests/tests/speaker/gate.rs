//! What the gate of a speaker lets through, and what becomes of the rest.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use lab::netns::Host;
use socket2::{Domain, Protocol, Socket, Type};
use speaker_core::gate::Family;

use crate::bed::{Bed, PORT, PORT6, becomes, connects, eip, eip6};

/// The first packet of a connection is sent three times within that.
const THREE_TIMES: Duration = Duration::from_secs(6);

pub(crate) async fn gate_lets_nothing_else_through() -> Result<()> {
    let (bed, nodes) = Bed::announcing("gate", 1, eip(50)).await?;
    becomes("an answer", || bed.ask(50)).await?;
    ensure!(!connects(&bed.client, SocketAddr::from((eip(50), 81))).await, "no port of a Service");
    ensure!(nodes[0].counted(Family::V4, "refused").await? > 0);
    // What is no address of a Service does not pass, though there is a way and somebody sends it.
    let mac = nodes[0].interface.mac.context("no Ethernet address")?;
    let vm = bed.machines.first().context("no machine")?.host.address();
    let client = bed.client.netns();
    client.ip(&format!("neigh replace {vm} lladdr {mac} dev eth0 nud permanent")).await?;
    nodes[0].ip(&format!("route add {vm}/32 dev vlan")).await?;
    let before = nodes[0].counted(Family::V4, "refused").await?;
    ensure!(!connects(&bed.client, SocketAddr::from((vm, PORT))).await, "it is no router");
    ensure!(nodes[0].counted(Family::V4, "refused").await? > before);
    // Nor by another interface, where somebody puts one.
    let elsewhere = Ipv4Addr::new(198, 51, 100, 1);
    nodes[0]
        .ip(&format!(
            "link add elsewhere type veth peer name other\nlink set elsewhere up\n\
             route add {elsewhere}/32 dev elsewhere"
        ))
        .await?;
    client.ip(&format!("route add {elsewhere}/32 dev eth0")).await?;
    client.ip(&format!("neigh replace {elsewhere} lladdr {mac} dev eth0 nud permanent")).await?;
    ensure!(!connects(&bed.client, SocketAddr::from((elsewhere, PORT))).await, "it strays");
    ensure!(nodes[0].counted(Family::V4, "strayed").await? > 0);
    Ok(())
}

pub(crate) async fn errors_are_led_by_what_they_quote_and_no_farther() -> Result<()> {
    let (bed, nodes) = Bed::announcing("errors", 1, eip6(50)).await?;
    let to = SocketAddr::from((eip6(50), PORT6));
    becomes("a connection", || async {
        ensure!(connects(&bed.client, to).await);
        Ok(())
    })
    .await?;
    let elsewhere = nodes[0].address()?;
    let to_link = (eip6(50), "fe80::1".parse()?);
    for (quoted, counter) in [
        ((eip6(50), eip6(100)), "errors"),
        // It would come to the speaker itself, or seem to come from a host on the link.
        ((elsewhere, eip6(100)), "refused"),
        (to_link, "refused"),
    ] {
        let before = nodes[0].counted(Family::V6, counter).await?;
        say_unreachable(&bed.client, eip6(50), quoted)?;
        becomes(&format!("an error about {quoted:?}: {counter}"), || async {
            ensure!(nodes[0].counted(Family::V6, counter).await? > before);
            Ok(())
        })
        .await?;
    }
    Ok(())
}

pub(crate) async fn packet_that_the_link_doubles_is_no_packet_sent_back() -> Result<()> {
    let (bed, nodes) = Bed::announcing("double", 1, eip(50)).await?;
    becomes("an answer", || bed.ask(50)).await?;
    let before = nodes[0].passed(Family::V4).await?;
    open_twice(&bed.client, eip(50))?;
    becomes("both pass", || async {
        let passed = nodes[0].passed(Family::V4).await?;
        ensure!(passed >= before + 2, "{passed} after {before}");
        Ok(())
    })
    .await?;
    ensure!(nodes[0].counted(Family::V4, "returned").await? == 0);
    Ok(())
}

/// Sends the first packet of a connection, and sends it again (RFC 9293, 3.1). Its checksum is none:
/// nobody answers it.
fn open_twice(from: &Host, to: Ipv4Addr) -> Result<()> {
    let mut opens = [0; 20];
    opens[..2].copy_from_slice(&7_000_u16.to_be_bytes());
    opens[2..4].copy_from_slice(&PORT.to_be_bytes());
    // Five words, and SYN.
    opens[12..14].copy_from_slice(&[5 << 4, 2]);
    from.netns().inside(|| {
        let socket = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::TCP))?;
        for _ in 0..2 {
            socket.send_to(&opens, &SocketAddr::from((to, 0)).into())?;
        }
        Ok(())
    })
}

/// Says to an address that a packet did not arrive, with these addresses (RFC 4443, 3.1).
fn say_unreachable(
    from: &Host,
    to: Ipv6Addr,
    (source, destination): (Ipv6Addr, Ipv6Addr),
) -> Result<()> {
    let mut error = vec![1, 0, 0, 0, 0, 0, 0, 0, 0x60, 0, 0, 0, 0, 8, 17, 64];
    error.extend(source.octets());
    error.extend(destination.octets());
    error.extend([0; 8]);
    from.netns().inside(|| {
        let socket = Socket::new(Domain::IPV6, Type::RAW, Some(Protocol::ICMPV6))?;
        socket.send_to(&error, &SocketAddr::from((to, 0)).into())?;
        Ok(())
    })
}

pub(crate) async fn connection_goes_on_when_a_machine_that_sent_it_back_knows_the_address()
-> Result<()> {
    let bed = Bed::new("back", 1, &[]).await?;
    let vm = bed.machines.first().context("no machine")?.host.netns();
    for family in ["ipv4", "ipv6"] {
        vm.sysctl(&format!("net.{family}.conf.all.forwarding"), "1")?;
    }
    let nodes = [bed.node(1).await?];
    bed.let_through(&nodes, &[50])?;
    // It keeps track of connections, as kube-proxy has it do.
    bed.let_machine("table inet proxy { chain to { type nat hook prerouting priority dstnat; }; }")
        .await?;
    let all =
        [(IpAddr::from(eip(50)), Family::V4, PORT), (IpAddr::from(eip6(50)), Family::V6, PORT6)];
    for (address, _, _) in all {
        bed.announce(&nodes, address).await?;
    }
    Bed::introduce(&nodes).await?;
    for (address, family, port) in all {
        nodes[0].announces(address).await?;
        let begins = bed.client.netns().dial((address, port).into(), THREE_TIMES);
        let learns = async {
            becomes("it is sent back", || async {
                ensure!(nodes[0].counted(family, "ended").await? > 0);
                Ok(())
            })
            .await?;
            // Each attempt passes, and so does the reset that it becomes; one may be under way.
            let returned = nodes[0].counted(family, "returned").await?;
            let passed = nodes[0].passed(family).await?;
            ensure!(passed <= 2 * returned + 2, "{passed} passed, {returned} were sent back");
            let knows = format!("add rule inet proxy to {family} daddr {address} redirect");
            bed.let_machine(&knows).await
        };
        let (connected, learned) = tokio::join!(begins, learns);
        learned?;
        connected?;
    }
    Ok(())
}
