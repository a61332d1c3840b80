//! The under cluster as a tenant: its own Services, announced by its nodes on their own interfaces.

use std::net::IpAddr;

use anyhow::{Context as _, Result, ensure};
use cpo_api::{Eip, EipStatus, TenantCluster};
use k8s_openapi::api::core::v1::Service;
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use lab::builders::service;
use lab::exec::{Exec, Place};
use lab::metallb::{self, Environment};
use lab::overlay::Node;
use lab::traffic::WhoAmI;
use lab::{components, cpo, wait};
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

/// The range of the under cluster's own pool.
fn range(bed: &Bed) -> Result<String> {
    let lan = bed.lab.tenant("a")?.lan()?;
    Ok(format!("{}-{}", lan.address(140), lan.address(149)))
}

/// The under cluster, as an operator registers it.
fn objects(bed: &Bed, suspended: bool) -> Result<[Value; 3]> {
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
                "addresses": [range(bed)?],
                "quarantineSeconds": 3, "tenants": {"names": ["under"]},
            }),
        ),
        of("L2Advertisement", json!({"ipAddressPools": ["under"]})),
        of(
            "TenantCluster",
            json!({
                "inCluster": true, "mode": "Vlan", "suspend": suspended,
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
    for object in objects(bed, false)? {
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
    let tenants: Api<TenantCluster> = Api::all(lab.under().client());
    tenants.delete("under", &DeleteParams::default()).await?;
    connect(bed, false).await.map(drop)
}

/// Replaces MetalLB as docs/vlan.md says it.
pub(crate) async fn addresses_that_metallb_gave_are_kept_when_it_is_replaced() -> Result<()> {
    let bed = bed().await?;
    let lab = &bed.lab;
    let nodes = connect(bed, true).await?;
    let [first, ..] = nodes[..] else { anyhow::bail!("a node is needed") };
    let node = first.0;
    let _pod = WhoAmI::start(node.netns(), PORT, "own", node.name())?;
    let programs = components::metallb()?;
    metallb::define(&programs, lab.under()).await?;
    metallb::add_pool(lab.under(), &range(bed)?).await?;
    let environment =
        Environment { programs: &programs, cluster: lab.under(), dir: lab.space().dir() };
    let controller = environment.controller(&[]).await?;
    let api: Api<Service> = Api::namespaced(lab.under().client(), "default");
    // The second one's address is not what would be given first.
    for name in ["before", "own"] {
        let wanted = service(name).port(80).local().spec(|spec| spec.selector = None).build();
        api.create(&PostParams::default(), &wanted).await?;
        let has = |service: &Service| published(service).is_some();
        wait::for_object(&api, name, "an address of MetalLB's", SOON, has).await?;
    }
    api.delete("before", &DeleteParams::default()).await?;
    lab.under().apply(&endpoints(&[first])).await?;
    let given = published(&api.get("own").await?).context("no address")?;
    ensure!(given == IpAddr::from(lab.tenant("a")?.lan()?.address(141)), "MetalLB gave {given}");

    cpo::grant_in_cluster(lab).await?;
    for object in objects(bed, true)? {
        lab.under().apply(&object).await?;
    }
    let adopt = || {
        let exec = Exec::new(Place::Sandbox, cpo::binary()?);
        let exec = exec.args(["adopt", "--from-metallb", "--kubeconfig"]);
        anyhow::Ok(exec.arg(lab.under().admin_kubeconfig().display().to_string()))
    };
    let dry = adopt()?.arg("--dry-run").output().await?;
    ensure!(dry.contains(&format!("address: \"{given}\"")), "{dry}");
    ensure!(bed.eips().get_opt(&Eip::name_of(given)).await?.is_none(), "a dry run wrote");
    let adopted = adopt()?.output().await?;
    ensure!(adopted.trim() == format!("Eip {given} for default/own created"), "{adopted}");
    ensure!(adopt()?.output().await?.is_empty(), "what is recorded is recorded again");
    controller.stop().await?;

    let tenants: Api<TenantCluster> = Api::all(lab.under().client());
    let go_on = Patch::Merge(json!({"spec": {"suspend": false}}));
    tenants.patch("under", &PatchParams::default(), &go_on).await?;
    let owner = bed.owner(given).await?;
    ensure!(owner.node() == node.name(), "{} announces it", owner.node());
    bed.answers(given).await?;
    ensure!(published(&api.get("own").await?) == Some(given), "it moved");

    // What was recorded so stays set aside until the operator thinks otherwise.
    api.delete("own", &DeleteParams::default()).await?;
    wait::for_object(&bed.eips(), &Eip::name_of(given), "no Service", SOON, |eip: &Eip| {
        eip.spec.reserved && eip.spec.services.is_empty()
    })
    .await?;
    bed.eips().delete(&Eip::name_of(given), &DeleteParams::default()).await?;
    bed.gone(given).await?;
    tenants.delete("under", &DeleteParams::default()).await?;
    connect(bed, false).await.map(drop)
}
