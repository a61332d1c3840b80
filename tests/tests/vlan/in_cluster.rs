//! The under cluster as a tenant: its own Services, announced by its nodes on their own interfaces.

use std::net::IpAddr;

use anyhow::{Context as _, Result, ensure};
use cpo_api::EipStatus;
use k8s_openapi::api::core::v1::Service;
use kube::Api;
use kube::api::{DeleteParams, PostParams};
use lab::builders::service;
use lab::overlay::Node;
use lab::traffic::WhoAmI;
use lab::{cpo, wait};
use serde_json::{Value, json};

use crate::bed::{Bed, SOON, bed, mac_of, published};

/// The port of the pods, which use their nodes' network.
const PORT: u16 = 8_080;

/// Gives each node an address on the VLAN, and a way to the client; or takes them away again.
async fn connect(bed: &Bed, connected: bool) -> Result<Vec<(&Node, IpAddr)>> {
    let lan = bed.lab.tenant("a")?.lan()?;
    let (gateway, interface) = (lan.gateway(), lan.interface());
    let verb = if connected { "add" } else { "delete" };
    let mut nodes = Vec::new();
    for (last, node) in (201..).zip(bed.lab.lans()?.nodes()) {
        let address = lan.address(last);
        let mut commands = format!("address {verb} {address}/24 dev {interface}\n");
        if connected {
            // It goes with the address.
            commands.push_str(&format!("route add 203.0.113.0/24 via {gateway}\n"));
        }
        node.netns().ip(&commands).await?;
        nodes.push((node, IpAddr::from(address)));
    }
    Ok(nodes)
}

/// The endpoints of the Service `own`: a pod on each of these nodes.
fn endpoints(nodes: &[(&Node, IpAddr)]) -> Value {
    let endpoint = |(node, address): &(&Node, IpAddr)| json!({"addresses": [address], "conditions": {"ready": true}, "nodeName": node.name()});
    json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
        "metadata": {
            "name": "own-1", "namespace": "default",
            "labels": {"kubernetes.io/service-name": "own"},
        },
        "addressType": "IPv4",
        "endpoints": nodes.iter().map(endpoint).collect::<Vec<_>>(),
        "ports": [{"name": "tcp-80", "protocol": "TCP", "port": PORT}],
    })
}

/// The under cluster, as an operator registers it.
fn objects(bed: &Bed) -> Result<[Value; 3]> {
    let lan = bed.lab.tenant("a")?.lan()?;
    let of = |kind: &str, spec: Value| {
        json!({
            "apiVersion": "cloud-provider-ovn.io/v1alpha1", "kind": kind,
            "metadata": {"name": "under"}, "spec": spec,
        })
    };
    Ok([
        of(
            "AddressPool",
            json!({
                "addresses": [format!("{}-{}", lan.address(140), lan.address(149))],
                "quarantineSeconds": 3, "tenants": {"names": ["under"]},
            }),
        ),
        of("L2Advertisement", json!({"ipAddressPools": ["under"]})),
        of(
            "TenantCluster",
            json!({
                "inCluster": true, "mode": "Vlan",
                "vlan": {
                    "cidrs": [lan.cidr()], "gateway": lan.gateway(),
                    "interfaces": [{"name": lan.interface()}],
                },
            }),
        ),
    ])
}

pub(crate) async fn the_under_clusters_own_services_are_announced_and_taken_by_its_nodes()
-> Result<()> {
    let bed = bed().await?;
    let (lab, lan) = (&bed.lab, bed.lab.tenant("a")?.lan()?);
    cpo::grant_in_cluster(lab).await?;
    let nodes = connect(bed, true).await?;
    let [first, second, ..] = nodes[..] else { anyhow::bail!("two nodes are needed") };
    let mut pods = Vec::new();
    for (node, _) in [first, second] {
        pods.push(WhoAmI::start(node.netns(), PORT, &format!("own-{}", node.name()), node.name())?);
    }
    for object in objects(bed)? {
        lab.under().apply(&object).await?;
    }
    let own = service("own").port(80).local().spec(|spec| spec.selector = None).build();
    let api: Api<Service> = Api::namespaced(lab.under().client(), "default");
    api.create(&PostParams::default(), &own).await?;
    lab.under().apply(&endpoints(&[first, second])).await?;
    let has = |service: &Service| published(service).is_some();
    let shown = wait::for_object(&api, "own", "an address in its status", SOON, has).await?;
    let address = published(&shown).context("no address")?;
    let answer = bed.answers(address).await?;
    ensure!(answer.client_address.ip() == bed.client()?.address(), "the pod saw {answer:?}");

    // By the interface of the node itself, which has a pod.
    let owner = bed.owner(address).await?.node().to_owned();
    ensure!(answer.node == owner, "{owner} announces it, and {answer:?}");
    let (node, _) = nodes.iter().find(|(node, _)| node.name() == owner).context("no such node")?;
    let mac = mac_of(node.netns(), &lan.interface()).await?;
    let entry = lab.lans()?.router().ip(&format!("neigh show {address}")).await?;
    ensure!(entry.contains(&mac), "{entry}, not {mac} of {owner}");

    // Its pod goes, and the address with it.
    let other = if owner == first.0.name() { second } else { first };
    lab.under().apply(&endpoints(&[other])).await?;
    let moved = |s: &EipStatus| s.announcements.iter().all(|by| by.node == other.0.name());
    bed.says(address, "the node with the other pod announces it", moved).await?;
    wait::until("an answer from the other pod", SOON, || async {
        let answer = bed.ask(address).await?;
        ensure!(answer.node == other.0.name(), "{answer:?}");
        Ok(())
    })
    .await?;

    api.delete("own", &DeleteParams::default()).await?;
    bed.gone(address).await?;
    let tenants: Api<cpo_api::TenantCluster> = Api::all(lab.under().client());
    tenants.delete("under", &DeleteParams::default()).await?;
    connect(bed, false).await.map(drop)
}
