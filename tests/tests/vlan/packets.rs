//! What arrives: by policy, source range and protocol, from outside and from pods; and what does
//! not.

use std::net::Ipv4Addr;
use std::time::Duration;

use anyhow::{Result, ensure};
use kube::api::{Patch, PatchParams};
use lab::builders::service;
use lab::{traffic, wait};
use serde_json::json;

use crate::bed::{Bed, SOON, services};

pub(crate) async fn every_kind_of_service_is_served_as_the_tenants_kube_proxy_would() -> Result<()>
{
    let bed = Bed::start(1).await?;
    let (tenant, client) = (bed.lab.tenant("a")?, bed.lab.lans()?.client());
    tenant.add_pod("web-1", "vm1", &[("app", "web")]).await?;
    let without_node_ports = service("web")
        .port(80)
        .udp(80)
        .spec(|spec| spec.allocate_load_balancer_node_ports = Some(false))
        .build();
    let address = bed.serve(tenant, &without_node_ports).await?;
    let answer = traffic::udp(client, address, 80).await?;
    ensure!(answer.pod == "web-1", "{answer:?}");

    // A pod comes to the address by its own kube-proxy, on either machine.
    tenant.add_pod("other", "vm2", &[]).await?;
    let url = format!("http://{address}/");
    for pod in ["web-1", "other"] {
        let pod = tenant.pod(pod).await?;
        let what = format!("an answer to pod {}", pod.name());
        wait::until(&what, SOON, || traffic::get(pod.host(), &url)).await?;
    }

    for (ranges, let_in) in [(["203.0.113.0/25"], true), (["198.51.100.0/24"], false)] {
        let patch = json!({"spec": {"loadBalancerSourceRanges": ranges}});
        let (params, patch) = (PatchParams::default(), Patch::Merge(&patch));
        services(tenant).patch("web", &params, &patch).await?;
        wait::until(&format!("source ranges {ranges:?}"), SOON, || async {
            let asked = traffic::get_within(client, &url, Duration::from_millis(500)).await;
            ensure!(asked.is_ok() == let_in, "{asked:?}");
            Ok(())
        })
        .await?;
    }
    Ok(())
}

pub(crate) async fn direct_delivery_leads_past_the_speaker_to_one_machine() -> Result<()> {
    let bed = Bed::start(1).await?;
    let tenant = bed.lab.tenant("a")?;
    let direct = json!({
        "apiVersion": "cloud-provider-ovn.io/v1alpha1", "kind": "L2Advertisement",
        "metadata": {"name": "all"}, "spec": {"delivery": "Direct"},
    });
    bed.lab.under().apply(&direct).await?;
    tenant.add_pod("web-1", "vm1", &[("app", "web")]).await?;
    let address = bed.serve(tenant, &service("web").port(80).local().build()).await?;
    let (answer, client) = (bed.answers(address).await?, bed.lab.lans()?.client().address());
    ensure!(answer.client_address.ip() == client, "the pod saw {answer:?}, not {client}");
    let mac_of = |text: &str| {
        let mut words = text.split_whitespace().skip_while(|word| !word.starts_with("ll"));
        words.nth(1).map(str::to_owned)
    };
    let machine = tenant.vm("vm1").await?;
    let shown = machine.host().netns().ip("link show eth0").await?;
    let own = shown.split_whitespace().skip_while(|word| *word != "link/ether").nth(1);
    let entry = bed.lab.lans()?.router().ip(&format!("neigh show {address}")).await?;
    ensure!(mac_of(&entry).as_deref() == own, "{entry}, not that of the machine: {shown}");
    // Its pod moves to the other machine, and the address with it.
    tenant.remove_pod("web-1").await?;
    tenant.add_pod("web-2", "vm2", &[("app", "web")]).await?;
    wait::until("the pod on the other machine to answer", SOON, || async {
        let answer = bed.ask(address).await?;
        ensure!(answer.pod == "web-2", "{answer:?}");
        Ok(())
    })
    .await
}

/// Whether a TCP connection is made, refused, or neither.
async fn dial(host: &lab::netns::Host, to: Ipv4Addr, port: u16) -> bool {
    let to = std::net::SocketAddr::from((to, port));
    host.netns().dial(to, Duration::from_millis(700)).await.is_ok()
}

pub(crate) async fn a_speaker_is_no_way_for_anything_else() -> Result<()> {
    let bed = Bed::start(2).await?;
    for name in ["a", "b"] {
        let tenant = bed.lab.tenant(name)?;
        tenant.add_pod("web-1", "vm1", &[("app", "web")]).await?;
        tenant.add_pod("web-2", "vm2", &[("app", "web")]).await?;
    }
    let (a, b) = (bed.lab.tenant("a")?, bed.lab.tenant("b")?);
    let web = service("web").port(80).local().build();
    let (of_a, of_b) = (bed.serve(a, &web).await?, bed.serve(b, &web).await?);
    // kube-proxy's own health server listens on every address of the machine.
    ensure!(!dial(bed.lab.lans()?.client(), of_a, 10_256).await, "an unused port is let through");
    // Every address of tenant b is sent to a speaker: none takes it across.
    let machine = a.vm("vm1").await?;
    let lan = a.lan()?;
    for node in bed.lab.lans()?.nodes() {
        let neighbour = neighbour_of(&bed, lan.number(), node.name()).await?;
        for to in [of_b, b.vm("vm1").await?.address()] {
            let netns = machine.host().netns();
            netns.ip(&format!("route replace {to}/32 via {neighbour} dev eth0 onlink")).await?;
            ensure!(!dial(machine.host(), to, 80).await, "{to} is reached through {}", node.name());
            ensure!(!dial(machine.host(), to, 10_256).await, "{to} is reached");
            netns.ip(&format!("route delete {to}/32")).await?;
        }
    }
    Ok(())
}

/// An address by which a machine sends to the speaker of a node on a VLAN: that of its interface's
/// Ethernet address, entered by hand.
async fn neighbour_of(bed: &Bed, vlan: u8, node: &str) -> Result<Ipv4Addr> {
    let (a, via) = (bed.lab.tenant("a")?, Ipv4Addr::new(10, vlan, 0, 240));
    let nodes = bed.lab.lans()?.nodes();
    let found = nodes.iter().find(|other| other.name() == node);
    let netns = anyhow::Context::context(found, "no such node")?.netns();
    let pinned = format!("{}-a", netns.name());
    let shown = lab::exec::Exec::new(lab::exec::Place::Namespace(pinned), "ip");
    let shown = shown.args(["-o", "link", "show", "type", "macvlan"]).output().await?;
    let mac = shown.split_whitespace().skip_while(|word| *word != "link/ether").nth(1);
    let mac = anyhow::Context::with_context(mac, || shown.clone())?;
    let machine = a.vm("vm1").await?;
    let entry = format!("neigh replace {via} lladdr {mac} dev eth0");
    machine.host().netns().ip(&entry).await?;
    Ok(via)
}
