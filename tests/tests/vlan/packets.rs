//! What arrives: by delivery, policy, source range and protocol, from outside and from pods; and
//! what does not.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use futures::future::try_join_all;
use k8s_openapi::api::core::v1::Service;
use kube::ResourceExt as _;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use lab::builders::{ServiceBuilder, service};
use lab::netns::Host;
use lab::overlay::{Node, Tenant};
use lab::{traffic, wait};
use serde_json::json;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use crate::bed::{Bed, FAMILIES, Family, SOON, TENANTS, bed, direct, mac_of, services, url};
use crate::capture::Capture;

/// How long one waits for a connection that nobody is to answer.
const NOBODY: Duration = Duration::from_millis(700);
/// Of so many connections to two pods, drawn by lot, all come to one in one of half a million cases.
const CONNECTIONS: usize = 20;
/// A connection's first packet is sent again later than that.
const FIRST: Duration = Duration::from_millis(900);

/// A way in which a Service is served.
#[derive(Clone, Copy, Debug)]
enum Delivery {
    Routed,
    Direct,
}

#[derive(Clone, Copy, Debug)]
enum Policy {
    Cluster,
    Local,
}

pub(crate) async fn every_kind_of_service_is_served_as_the_tenants_kube_proxy_would() -> Result<()>
{
    let bed = bed().await?;
    let mut all = Vec::new();
    // By nftables, and by iptables.
    for name in ["a", "b"] {
        bed.pods(name, "kind").await?;
        // On a machine without a pod of the Service there is one, too.
        let tenant = bed.lab.tenant(name)?;
        tenant.add_pod("other", "vm2", &[]).await?;
        for delivery in [Delivery::Routed, Delivery::Direct] {
            for policy in [Policy::Cluster, Policy::Local] {
                for family in FAMILIES {
                    all.push(serves(bed, tenant, (delivery, policy, family)));
                }
            }
        }
    }
    try_join_all(all).await.map(drop)
}

/// A Service of one kind without nodePorts, over TCP and UDP.
async fn serves(bed: &Bed, tenant: &Tenant, kind: (Delivery, Policy, Family)) -> Result<()> {
    let (delivery, policy, family) = kind;
    let what = || format!("tenant {}, {kind:?}", tenant.name());
    let name = format!("kind-{delivery:?}-{policy:?}-{family:?}").to_lowercase();
    let kind = service(&name).selector("app", "kind").port(80).udp(80).spec(|spec| {
        spec.allocate_load_balancer_node_ports = Some(false);
        spec.ip_families = Some(vec![family.name().to_owned()]);
    });
    let kind = match policy {
        Policy::Cluster => kind,
        Policy::Local => kind.local(),
    };
    let kind = match delivery {
        Delivery::Routed => kind,
        Delivery::Direct => direct(kind, tenant.name()),
    };
    let address = bed.serve(tenant, &kind.build()).await.with_context(what)?;
    ensure!(Family::of(address) == family, "{}: {address}", what());
    let client = bed.client()?;
    let tcp = bed.answers(address).await.with_context(what)?;
    let udp = wait::until("an answer by UDP", SOON, || traffic::udp(client, address, 80));
    for answer in [tcp, udp.await.with_context(what)?] {
        let seen = client.addresses().contains(&answer.client_address.ip());
        match policy {
            // It may have come from the other machine.
            Policy::Cluster => {}
            Policy::Local => ensure!(seen, "{}: the pod saw {answer:?}", what()),
        }
    }
    // A pod comes to the address by its own kube-proxy, on either machine.
    let url = url(address);
    for pod in ["kind-vm1", "kind-vm2", "other"] {
        let pod = tenant.pod(pod).await?;
        let asked = wait::until("an answer to a pod", SOON, || traffic::get(pod.host(), &url));
        asked.await.with_context(|| format!("{}: {}", what(), pod.name()))?;
    }
    let (other, own) = match family {
        Family::V4 => ("198.51.100.0/24", "203.0.113.0/25"),
        Family::V6 => ("2001:db8:0:eeee::/64", "2001:db8:0:ffff::/64"),
    };
    for (ranges, let_in) in [(other, false), (own, true)] {
        let patch = json!({"spec": {"loadBalancerSourceRanges": [ranges]}});
        let (params, patch) = (PatchParams::default(), Patch::Merge(&patch));
        services(tenant).patch(&name, &params, &patch).await?;
        wait::until(&format!("source ranges {ranges:?}"), SOON, || async {
            let asked = traffic::get_within(client, &url, NOBODY).await;
            ensure!(asked.is_ok() == let_in, "{asked:?}");
            Ok(())
        })
        .await
        .with_context(what)?;
    }
    bed.end(tenant, &name, address).await.with_context(what)
}

pub(crate) async fn client_stays_with_one_pod_where_the_service_asks_for_that() -> Result<()> {
    let bed = bed().await?;
    // By nftables, and by iptables.
    for name in ["a", "b"] {
        bed.pods(name, "sticky").await?;
        let tenant = bed.lab.tenant(name)?;
        for family in FAMILIES {
            let kind = |name: &str| {
                let name = format!("{name}-{family:?}").to_lowercase();
                service(&name).selector("app", "sticky").port(80).spec(|spec| {
                    spec.ip_families = Some(vec![family.name().to_owned()]);
                })
            };
            let (loose, sticky) = (kind("loose"), kind("sticky").affinity(600));
            let pods = pods_of_a_client(bed, tenant, &loose.build()).await?;
            ensure!(pods.len() > 1, "tenant {name}, {family:?}: without affinity {pods:?}");
            let pods = pods_of_a_client(bed, tenant, &sticky.build()).await?;
            ensure!(pods.len() == 1, "tenant {name}, {family:?}: with affinity {pods:?}");
        }
    }
    Ok(())
}

/// The pods that answer a client which connects again and again.
async fn pods_of_a_client(
    bed: &Bed,
    tenant: &Tenant,
    service: &Service,
) -> Result<BTreeSet<String>> {
    let address = bed.serve(tenant, service).await?;
    let mut pods = BTreeSet::new();
    for _ in 0..CONNECTIONS {
        pods.insert(bed.ask(address).await?.pod);
    }
    bed.end(tenant, &service.name_any(), address).await?;
    Ok(pods)
}

pub(crate) async fn direct_delivery_leads_past_the_speaker_to_one_machine() -> Result<()> {
    let bed = bed().await?;
    let tenant = bed.lab.tenant("a")?;
    tenant.add_pod("past-1", "vm1", &[("app", "past")]).await?;
    let past: ServiceBuilder = direct(service("past").port(80).local(), "a");
    let address = bed.serve(tenant, &past.build()).await?;
    let (answer, client) = (bed.answers(address).await?, bed.client()?.address());
    ensure!(answer.client_address.ip() == client, "the pod saw {answer:?}, not {client}");
    let machine = tenant.vm("vm1").await?;
    let own = mac_of(machine.host().netns(), "eth0").await?;
    let entry = bed.lab.lans()?.router().ip(&format!("neigh show {address}")).await?;
    ensure!(entry.contains(&own), "{entry}, not that of the machine: {own}");
    // Its pod moves to the other machine, and the address with it.
    tenant.remove_pod("past-1").await?;
    tenant.add_pod("past-2", "vm2", &[("app", "past")]).await?;
    wait::until("the pod on the other machine to answer", SOON, || async {
        let answer = bed.ask(address).await?;
        ensure!(answer.pod == "past-2", "{answer:?}");
        Ok(())
    })
    .await?;
    bed.end(tenant, "past", address).await
}

/// Whether a TCP connection is made, refused, or neither.
async fn dial(host: &Host, to: impl Into<IpAddr>, port: u16) -> bool {
    host.netns().dial(SocketAddr::new(to.into(), port), NOBODY).await.is_ok()
}

pub(crate) async fn a_speaker_is_no_way_for_anything_else() -> Result<()> {
    let bed = bed().await?;
    let (a, b) = (bed.lab.tenant("a")?, bed.lab.tenant("b")?);
    bed.pods("b", "gate").await?;
    let of_b = bed.serve(b, &service("gate").port(80).local().build()).await?;
    // kube-proxy's own health server listens on every address of the machine.
    ensure!(!dial(bed.client()?, bed.web()?, 10_256).await, "an unused port is let through");
    // Every address of tenant b is sent to a speaker: none takes it across. Nor is there a way into
    // the node.
    let machine = a.vm("vm1").await?;
    let netns = machine.host().netns();
    for node in bed.lab.lans()?.nodes() {
        let neighbour = neighbour_of(bed, node).await?;
        let host = node.address();
        for to in [of_b, b.vm("vm1").await?.address().into(), host.into()] {
            netns.ip(&format!("route replace {to}/32 via {neighbour} dev eth0 onlink")).await?;
            ensure!(!dial(machine.host(), to, 80).await, "{to} is reached through {}", node.name());
            ensure!(!dial(machine.host(), to, 10_256).await, "{to} is reached");
            netns.ip(&format!("route delete {to}/32")).await?;
        }
    }
    bed.end(b, "gate", of_b).await
}

/// An address by which a machine sends to the speaker of a node on a VLAN: that of its interface's
/// Ethernet address, entered by hand.
async fn neighbour_of(bed: &Bed, node: &Node) -> Result<Ipv4Addr> {
    let (a, netns) = (bed.lab.tenant("a")?, node.netns());
    let via = a.lan()?.address(239);
    let place = lab::exec::Place::Namespace(format!("{}-a", netns.name()));
    let shown = lab::exec::Exec::new(place, "ip").args(["-o", "link", "show", "type", "macvlan"]);
    let shown = shown.output().await?;
    let mac = shown.split_whitespace().skip_while(|word| *word != "link/ether").nth(1);
    let mac = mac.with_context(|| shown.clone())?;
    let machine = a.vm("vm1").await?;
    machine.host().netns().ip(&format!("neigh replace {via} lladdr {mac} dev eth0")).await?;
    Ok(via)
}

pub(crate) async fn packet_to_a_closed_port_is_seen_once() -> Result<()> {
    let bed = bed().await?;
    let bridge = bed.lab.tenant("a")?.lan()?.bridge();
    for web in [IpAddr::from(bed.web()?), bed.web6()?.into()] {
        let owner = bed.owner(web).await?;
        let filter = format!("tcp dst port 81 and dst host {web}");
        let at = (bridge.name(), owner.node());
        let (to_speaker, to_machines) = (
            Capture::start(&bed.lab, at, &filter).await?,
            Capture::start(&bed.lab, (bridge.name(), "a-vm1"), &filter).await?,
        );
        // The first packet, and no second one of the same connection.
        let dialled = bed.client()?.netns().dial(SocketAddr::new(web, 81), FIRST);
        ensure!(dialled.await.is_err(), "a closed port is open");
        let (seen, through) = (to_speaker.stop().await?, to_machines.stop().await?);
        ensure!(seen.len() == 1, "{web}: {seen:#?}");
        ensure!(through.is_empty(), "{web}: {through:#?}");
    }
    Ok(())
}

pub(crate) async fn connection_begun_before_kube_proxy_knows_the_address_goes_on() -> Result<()> {
    let bed = bed().await?;
    // By nftables, and by iptables.
    for name in ["a", "b"] {
        bed.pods(name, "early").await?;
        for family in FAMILIES {
            let begun = begun_early(bed, bed.lab.tenant(name)?, family).await;
            begun.with_context(|| format!("tenant {name}, {family:?}"))?;
        }
    }
    Ok(())
}

async fn begun_early(bed: &Bed, tenant: &Tenant, family: Family) -> Result<()> {
    let vms = tenant.vms().await;
    vms.iter().try_for_each(|vm| vm.proxy().pause())?;
    let begun = begun_while_paused(bed, tenant, family).await;
    // Others need them as well.
    vms.iter().try_for_each(|vm| vm.proxy().resume())?;
    let (address, connecting, capture) = begun?;
    connecting.await??;
    let once = |seen: &[String]| {
        let count = |flags: &str| seen.iter().filter(|line| line.contains(flags)).count();
        2 * count("Flags [S]") == 3 * count("Flags [R]") + 4
    };
    let what = "each attempt but the last to come back once as itself, and once as a reset";
    capture.sees(what, once).await?;
    capture.stop().await?;
    bed.end(tenant, "early", address).await
}

type Begun = (IpAddr, JoinHandle<Result<TcpStream>>, Capture);

/// Begins a connection, which is sent back once.
async fn begun_while_paused(bed: &Bed, tenant: &Tenant, family: Family) -> Result<Begun> {
    let early = service("early").port(80).spec(|spec| {
        spec.ip_families = Some(vec![family.name().to_owned()]);
    });
    let address = bed.create(tenant, &early.build()).await?;
    let owner = bed.owner(address).await?;
    // What opens a connection, or resets one.
    let flags = match family {
        Family::V4 => "tcp[tcpflags]",
        Family::V6 => "ip6[53]",
    };
    let filter = format!("dst host {address} and tcp and {flags} & (tcp-syn|tcp-rst) != 0");
    let at = (tenant.lan()?.bridge().name(), owner.node());
    let capture = Capture::start(&bed.lab, at, &filter).await?;
    let client = Arc::clone(bed.client()?);
    let to = SocketAddr::new(address, 80);
    let connecting = tokio::spawn(async move { client.netns().dial(to, SOON).await });
    let what = "an attempt to the speaker, to a machine and back, and its reset there and back";
    capture.sees(what, |seen| seen.len() >= 5).await?;
    Ok((address, connecting, capture))
}

pub(crate) async fn machines_pods_and_the_client_reach_each_other_by_ipv6() -> Result<()> {
    let bed = bed().await?;
    let client = bed.client()?;
    for name in ["a", "b"] {
        let tenant = bed.lab.tenant(name)?;
        bed.pods(name, "six").await?;
        let six = service("six").kind("NodePort").port(80).spec(|spec| {
            spec.ip_families = Some(vec!["IPv6".to_owned()]);
        });
        let made = services(tenant).create(&PostParams::default(), &six.build()).await?;
        let spec = made.spec.context("no spec")?;
        let port = spec.ports.and_then(|ports| ports.first()?.node_port).context("no nodePort")?;
        let inside = format!("http://[{}]/", spec.cluster_ip.context("no address")?);
        for vm in tenant.vms().await {
            let url = format!("http://[{}]:{port}/", vm.host().v6().context("no IPv6 address")?);
            let what = format!("an answer from {url}");
            wait::until(&what, SOON, || traffic::get(client, &url)).await?;
            let pod = tenant.pod(&format!("six-{}", vm.name())).await?;
            let what = format!("an answer from {inside}");
            let answer = wait::until(&what, SOON, || traffic::get(pod.host(), &inside)).await?;
            ensure!(answer.client_address.is_ipv6(), "{answer:?}");
        }
        services(tenant).delete("six", &DeleteParams::default()).await?;
    }
    Ok(())
}

pub(crate) async fn tenants_with_the_same_addresses_are_kept_apart() -> Result<()> {
    let bed = bed().await?;
    let (a, c) = (bed.lab.tenant("a")?, bed.lab.tenant("c")?);
    ensure!(a.lan()?.cidr() == c.lan()?.cidr() && a.lan()?.number() != c.lan()?.number());
    let addresses = async |tenant: &Tenant| {
        let vms = tenant.vms().await;
        vms.iter().map(|vm| vm.address()).collect::<BTreeSet<_>>()
    };
    let (of_a, of_c) = (addresses(a).await, addresses(c).await);
    ensure!(of_a == of_c, "machines of both have the same addresses: {of_a:?}, {of_c:?}");
    let machines = [a.vm("vm1").await?, c.vm("vm1").await?];
    bed.pods("c", "alike").await?;
    let (near, far): (&Host, &Host) = (bed.client()?, bed.lab.lans()?.other_client()?);
    let alike = service("alike").port(80).local().build();
    let (web, address) = (bed.web()?, bed.create(c, &alike).await?);
    let (ours, theirs) = (url(web), url(address));
    let answer = wait::until("an answer", SOON, || traffic::get(far, &theirs)).await?;
    ensure!(answer.pod.starts_with("alike-"), "{answer:?}");
    let answer = bed.answers(web).await?;
    ensure!(answer.pod.starts_with("web-"), "{answer:?}");
    // What is one tenant's is not there for the other, from outside and from its machines.
    let [of_a, of_c] = machines.each_ref().map(|vm| vm.host());
    for (host, url) in [(far, &ours), (near, &theirs), (of_c, &ours), (of_a, &theirs)] {
        let asked = traffic::get_within(host, url, NOBODY).await;
        ensure!(asked.is_err(), "{url} on another's VLAN: {asked:?}");
    }
    // One process serves all VLANs of its node.
    for speaker in &bed.speakers {
        let told = speaker.json().await?;
        for vlan in TENANTS {
            let state = told.pointer(&format!("/vlans/{vlan}/state"));
            ensure!(state.and_then(|state| state.as_str()) == Some("Running"), "{told}");
        }
    }
    bed.end(c, "alike", address).await
}
