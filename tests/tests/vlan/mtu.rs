//! Transfers to clients behind a link that takes no packet as long as the VLAN does: what its router
//! says of that comes to the machine that sends.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use futures::future::try_join_all;
use lab::builders::service;
use lab::netns::{Host, Netns};
use lab::traffic::Session;

use crate::bed::{Bed, FAMILIES, Family, bed, both, direct};

/// The longest packet that the way to the clients takes.
const MTU: u16 = 1_450;
/// As much is sent each way.
const MEBIBYTE: usize = 1 << 20;
/// As many clients are behind that link.
const CLIENTS: u8 = 16;
/// How long a transfer may take. One whose packets are all too long takes for ever.
const TRANSFER: Duration = Duration::from_secs(5);

/// Clients that are one host with several addresses, a router of theirs, and the narrow link to
/// the router of the VLANs.
struct Behind {
    host: Host,
    _hop: Netns,
}

/// An address of the clients' link, or of their router's.
fn v6(link: u16, last: u16) -> Ipv6Addr {
    Ipv6Addr::new(0x2001, 0xdb8, 0, link, 0, 0, 0, last)
}

/// The address of a client, of a family.
fn client(family: Family, number: u8) -> IpAddr {
    match family {
        Family::V4 => Ipv4Addr::new(198, 51, 100, 10 + number).into(),
        Family::V6 => v6(0xbbbb, 10 + u16::from(number)).into(),
    }
}

impl Behind {
    async fn start(bed: &Bed) -> Result<Self> {
        let (space, router) = (bed.lab.space(), bed.lab.lans()?.router());
        let (hop, far) = (
            Netns::new(space.namespace("narrow-hop")).await?,
            Netns::new(space.namespace("narrow-client")).await?,
        );
        for forwards in ["net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding"] {
            hop.sysctl(forwards, "1")?;
        }
        hop.connect("eth0", router, "narrow").await?;
        far.connect("eth0", &hop, "eth1").await?;
        router
            .ip(&format!(
                "link set narrow mtu {MTU}
                 address add 10.99.0.1/24 dev narrow
                 route add 198.51.100.0/24 via 10.99.0.2
                 address add {}/64 dev narrow nodad
                 route add {}/64 via {}",
                v6(0xaaaa, 1),
                v6(0xbbbb, 0),
                v6(0xaaaa, 2),
            ))
            .await?;
        hop.ip(&format!(
            "link set eth0 mtu {MTU}
             address add 10.99.0.2/24 dev eth0
             address add 198.51.100.1/24 dev eth1
             route add default via 10.99.0.1
             address add {}/64 dev eth0 nodad
             address add {}/64 dev eth1 nodad
             route add default via {}",
            v6(0xaaaa, 2),
            v6(0xbbbb, 1),
            v6(0xaaaa, 1),
        ))
        .await?;
        let addresses = (0..CLIENTS).map(|number| {
            let [four, six] = FAMILIES.map(|family| client(family, number));
            format!("address add {four}/24 dev eth0\naddress add {six}/64 dev eth0 nodad")
        });
        far.ip(&addresses.collect::<Vec<_>>().join("\n")).await?;
        far.ip(&format!(
            "route add default via 198.51.100.1\nroute add default via {}",
            v6(0xbbbb, 1)
        ))
        .await?;
        Ok(Self { host: Host::new(far, Ipv4Addr::new(198, 51, 100, 10)), _hop: hop })
    }

    /// A transfer each way over one connection, and the pod that it was with.
    async fn transfers(&self, from: IpAddr, to: IpAddr) -> Result<String> {
        let to = SocketAddr::new(to, 80);
        let mut session = Session::open_from(&self.host, Some(from), to, TRANSFER).await?;
        let pod = session.ask().await?.pod;
        session.fetch(MEBIBYTE).await.with_context(|| format!("to {from}"))?;
        let answer = session.send(MEBIBYTE).await.with_context(|| format!("from {from}"))?;
        ensure!(answer.pod == pod, "{answer:?} after {pod}");
        Ok(pod)
    }
}

/// Transfers of all clients, and that those pods alone know of the narrow link that had to.
async fn all_pass(bed: &Bed, behind: &Behind, app: &str, to: IpAddr) -> Result<usize> {
    let clients: Vec<IpAddr> = (0..CLIENTS).map(|n| client(Family::of(to), n)).collect();
    let transfers = clients.iter().map(|from| behind.transfers(*from, to));
    let served = try_join_all(transfers).await.with_context(|| format!("{app}, {to}"))?;
    let tenant = bed.lab.tenant("a")?;
    let mut busy = 0;
    for vm in ["vm1", "vm2"] {
        let pod = tenant.pod(&format!("{app}-{vm}")).await?;
        for (client, by) in clients.iter().zip(&served) {
            let exec = pod.host().netns().exec("ip");
            let route = exec.args(["route", "get", &client.to_string()]);
            let route = route.output().await?;
            let told = route.contains(&format!("mtu {MTU}"));
            ensure!(
                told == (by == pod.name()),
                "{} of {client}, served by {by}: {route}",
                pod.name()
            );
        }
        busy += usize::from(served.iter().any(|by| by == pod.name()));
    }
    Ok(busy)
}

pub(crate) async fn a_narrow_link_on_the_way_is_told_to_the_machine_that_sends() -> Result<()> {
    let bed = bed().await?;
    let tenant = bed.lab.tenant("a")?;
    let behind = Behind::start(bed).await?;
    for app in ["narrow", "straight"] {
        bed.pods("a", app).await?;
    }
    let routed = both(service("narrow").port(80).local());
    let straight = direct(both(service("straight").port(80).local()), "a");
    // An address that is delivered directly is with one machine.
    for (app, service, machines) in [("narrow", routed, 2), ("straight", straight, 1)] {
        bed.serve(tenant, &service.build()).await?;
        let addresses = bed.addresses(tenant, app).await?;
        ensure!(addresses.len() == 2, "{addresses:?}");
        for address in &addresses {
            bed.answers(*address).await?;
            let busy = all_pass(bed, &behind, app, *address).await?;
            ensure!(busy == machines, "{address}: clients are with {busy} machines");
        }
        for address in addresses {
            bed.end(tenant, app, address).await?;
        }
    }
    Ok(())
}
