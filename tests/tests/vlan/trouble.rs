//! What stands in the way of an address, and who is told.

use std::net::Ipv4Addr;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use cpo_api::{AddressPool, Eip, L2Advertisement};
use k8s_openapi::api::core::v1::Node;
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use lab::builders::service;
use lab::wait;
use serde_json::json;

use crate::bed::{SOON, bed, mac_of, published, services};

pub(crate) async fn foreign_host_with_the_address_is_named_and_left_alone() -> Result<()> {
    let bed = bed().await?;
    let tenant = bed.lab.tenant("a")?;
    let lan = tenant.lan()?;
    let address = lan.address(90);
    let stranger = lan.host(bed.lab.space(), "stranger", 90).await?;
    // Speakers ask ahead for what a pool has: it is there before them.
    for (kind, spec) in [
        ("L2Advertisement", json!({"ipAddressPools": ["foreign"]})),
        (
            "AddressPool",
            json!({
                "addresses": [address.to_string()], "autoAssign": false, "quarantineSeconds": 3,
                "tenants": {"names": ["a"]},
            }),
        ),
    ] {
        let object = json!({
            "apiVersion": "cloud-provider-ovn.io/v1alpha1", "kind": kind,
            "metadata": {"name": "foreign"}, "spec": spec,
        });
        bed.lab.under().apply(&object).await?;
    }
    let foreign = service("foreign").port(80).address(&address.to_string()).build();
    services(tenant).create(&PostParams::default(), &foreign).await?;
    let status = bed
        .says(address, "another host has it", |s| {
            s.conditions.iter().any(|c| c.type_ == "Ready" && c.reason == "AddressConflict")
        })
        .await?;
    let mac = mac_of(stranger.netns(), "eth0").await?;
    ensure!(status.conditions.iter().any(|c| c.message.contains(&mac)), "{mac}: {status:?}");
    let service = services(tenant).get("foreign").await?;
    ensure!(published(&service).is_none(), "{service:?}");
    let told = serde_json::to_string(&service.status)?;
    ensure!(!told.contains(&mac) && !told.contains("node"), "{told}");
    lan.bridge().ip("link delete stranger").await?;
    drop(stranger);
    // It is asked for again half a minute after the last answer.
    let api = bed.eips();
    let announced = |eip: &Eip| eip.status.as_ref().is_some_and(|s| s.announced_by.is_some());
    let long = SOON + Duration::from_secs(30);
    wait::for_object(&api, &address.to_string(), "to be announced", long, announced).await?;
    bed.end(tenant, "foreign", address).await
}

pub(crate) async fn interface_that_is_missing_is_told_and_harms_no_other_vlan() -> Result<()> {
    let bed = bed().await?;
    let (a, b) = (bed.lab.tenant("a")?, bed.lab.tenant("b")?);
    let mut vlan = lab::cpo::tenant_cluster(b, json!({}));
    let field = vlan.pointer_mut("/spec/vlan/interfaces").context("no interfaces")?;
    *field = json!([{"name": "bond7"}]);
    bed.lab.under().apply(&vlan).await?;
    bed.pods("a", "missing").await?;
    let missing = |address: String| service("missing").port(80).address(&address).build();
    let of_b = b.lan()?.address(79);
    services(b).create(&PostParams::default(), &missing(of_b.to_string())).await?;
    let of_a = bed.serve(a, &missing(a.lan()?.address(78).to_string())).await?;
    // Which interface, on which nodes, and what to do.
    let told = |node: &str, message: &str| {
        message.contains(&format!(
            "there is no interface bond7 on node {node}: make it there, or name another in \
             spec.vlan.interfaces of TenantCluster b"
        ))
    };
    let status = bed
        .says(of_b, "nobody can announce it, and why", |s| {
            let mut ready = s.conditions.iter().filter(|c| c.type_ == "Ready");
            let nodes = || bed.speakers.iter().map(lab::speaker::Speaker::node);
            ready.any(|c| c.reason == "NoSpeaker" && nodes().all(|node| told(node, &c.message)))
        })
        .await?;
    ensure!(status.announced_by.is_none(), "{status:?}");
    let speaker = bed.speakers.first().context("no speaker")?;
    let told = speaker.status().await?;
    ensure!(told.contains("bond7"), "the interface is not named: {told}");
    bed.lab.under().apply(&lab::cpo::tenant_cluster(b, json!({}))).await?;
    bed.says(of_b, "it is announced", |s| s.announced_by.is_some()).await?;
    bed.end(b, "missing", of_b).await?;
    bed.end(a, "missing", of_a).await
}

pub(crate) async fn address_of_a_speaker_that_is_cut_off_is_given_to_nobody() -> Result<()> {
    let bed = bed().await?;
    let tenant = bed.lab.tenant("a")?;
    bed.pods("a", "fenced").await?;
    let address = bed.serve(tenant, &service("fenced").port(80).build()).await?;
    let owner = bed.owner(address).await?;
    // It hears of nothing any more, and goes on announcing.
    owner.process().pause()?;
    services(tenant).delete("fenced", &DeleteParams::default()).await?;
    let reason = |s: &cpo_api::EipStatus, word: &str| {
        s.conditions.iter().any(|c| c.type_ == "Ready" && c.reason == word)
    };
    let status = bed.says(address, "it is being released", |s| reason(s, "Releasing")).await?;
    ensure!(
        status.conditions.iter().any(|c| c.message.contains(owner.node())),
        "who is waited for is not named: {status:?}"
    );
    ensure!(services(tenant).get_opt("fenced").await?.is_some(), "it ends before its address does");
    let nodes: Api<Node> = Api::all(bed.lab.under().client());
    nodes.delete(owner.node(), &DeleteParams::default()).await?;
    wait::for_absence(&services(tenant), "fenced", SOON).await?;
    bed.gone(address).await
}

pub(crate) async fn advertisement_that_cannot_be_followed_says_why_and_harms_no_other() -> Result<()>
{
    let bed = bed().await?;
    let tenant = bed.lab.tenant("a")?;
    bed.pods("a", "advertised").await?;
    let advertisement = |name: &str, spec: &serde_json::Value| {
        json!({
            "apiVersion": "cloud-provider-ovn.io/v1alpha1", "kind": "L2Advertisement",
            "metadata": {"name": name}, "spec": spec,
        })
    };
    let pools = ["pool-a"];
    let wrong = [
        (
            "z-other-delivery",
            json!({"ipAddressPools": pools, "delivery": "Direct"}),
            "Contradicted",
            "L2Advertisement c-no-interface",
        ),
        ("b-no-pool", json!({"ipAddressPools": ["none"]}), "PoolNotFound", "AddressPool none"),
        (
            "c-no-interface",
            json!({"ipAddressPools": pools, "interfaces": ["bond7"]}),
            "InterfaceNotFound",
            "bond7",
        ),
        (
            "d-selector",
            json!({
                "ipAddressPools": pools,
                "nodeSelectors": [{"matchExpressions": [{"key": "rack", "operator": "In"}]}],
            }),
            "SelectorInvalid",
            "spec.nodeSelectors[0].matchExpressions[0]",
        ),
    ];
    for (name, spec, ..) in &wrong {
        bed.lab.under().apply(&advertisement(name, spec)).await?;
    }
    let api: Api<L2Advertisement> = Api::all(bed.lab.under().client());
    let says = |of: &L2Advertisement, reason: &str, text: &str| {
        let conditions = of.status.iter().flat_map(|status| &status.conditions);
        let mut ready = conditions.filter(|condition| condition.type_ == "Ready");
        ready.any(|ready| ready.reason == reason && ready.message.contains(text))
    };
    for (name, _, reason, text) in &wrong {
        wait::for_object(&api, name, reason, SOON, |of: &L2Advertisement| says(of, reason, text))
            .await?;
    }
    let ready = |of: &L2Advertisement| says(of, "Ready", "");
    wait::for_object(&api, "routed", "to be ready", SOON, ready).await?;
    let address = bed.serve(tenant, &service("advertised").port(80).build()).await?;
    let orders = bed.eips().get(&address.to_string()).await?.spec.vlan.context("no orders")?;
    ensure!(orders.announce.l2.contains(&"routed".to_owned()), "{orders:?}");
    ensure!(!orders.announce.l2.contains(&"z-other-delivery".to_owned()), "{orders:?}");
    ensure!(orders.delivery == cpo_api::Delivery::Routed, "{orders:?}");
    for (name, ..) in &wrong {
        api.delete(name, &DeleteParams::default()).await?;
    }
    bed.end(tenant, "advertised", address).await
}

pub(crate) async fn address_that_is_a_nodes_a_machines_or_the_gateways_is_refused() -> Result<()> {
    let bed = bed().await?;
    let tenant = bed.lab.tenant("a")?;
    let (lan, machine) = (tenant.lan()?, tenant.vm("vm1").await?.address());
    let [node, ..] = bed.lab.lans()?.nodes() else { anyhow::bail!("a node is needed") };
    let nodes: Api<Node> = Api::all(bed.lab.under().client());
    let addresses = async |addresses: &[Ipv4Addr]| {
        let address = |address| json!({"type": "InternalIP", "address": address});
        let addresses: Vec<_> = addresses.iter().map(address).collect();
        let patch = Patch::Merge(json!({"status": {"addresses": addresses}}));
        nodes.patch_status(node.name(), &PatchParams::default(), &patch).await
    };
    let of_node = lan.address(139);
    addresses(&[node.address(), of_node]).await?;
    let text = format!("which is the address of Node {}", node.name());
    // The gateway and nodes spoil a pool; a machine's address is one of it that is taken. A tenant
    // is told the same of all.
    let all = [
        ("of-gateway", lan.gateway(), "RangeForbidden", "which is the gateway"),
        ("of-machine", machine, "Ready", ""),
        ("of-node", of_node, "RangeForbidden", text.as_str()),
    ];
    let pools: Api<AddressPool> = Api::all(bed.lab.under().client());
    for (name, address, ready, text) in all {
        let pool = json!({
            "apiVersion": "cloud-provider-ovn.io/v1alpha1", "kind": "AddressPool",
            "metadata": {"name": name},
            "spec": {
                "addresses": [address.to_string()], "autoAssign": false, "quarantineSeconds": 3,
                "tenants": {"names": ["a"]},
            },
        });
        bed.lab.under().apply(&pool).await?;
        let says = |of: &AddressPool| {
            let conditions = of.status.iter().flat_map(|status| &status.conditions);
            let mut all = conditions.filter(|condition| condition.type_ == "Ready");
            all.any(|found| found.reason == ready && found.message.contains(text))
        };
        wait::for_object(&pools, name, &format!("{ready} {text}"), SOON, says).await?;
        let asks = service(name).port(80).address(&address.to_string()).build();
        services(tenant).create(&PostParams::default(), &asks).await?;
        let api = services(tenant);
        let refused = |s: &k8s_openapi::api::core::v1::Service| {
            let conditions = s.status.iter().flat_map(|status| status.conditions.iter().flatten());
            let mut assigned =
                conditions.filter(|c| c.type_ == "cloud-provider-ovn.io/AddressAssigned");
            assigned.any(|c| c.status == "False" && c.reason == "AddressNotInPool")
        };
        let service = wait::for_object(&api, name, "to be refused", SOON, refused).await?;
        ensure!(published(&service).is_none(), "{service:?}");
        ensure!(bed.eips().get_opt(&address.to_string()).await?.is_none(), "{address} is given");
        api.delete(name, &DeleteParams::default()).await?;
        wait::for_absence(&api, name, SOON).await?;
        pools.delete(name, &DeleteParams::default()).await?;
    }
    addresses(&[node.address()]).await?;
    Ok(())
}
