//! What stands in the way of an address, and who is told.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use cpo_api::{Eip, L2Advertisement};
use k8s_openapi::api::core::v1::Node;
use kube::Api;
use kube::api::{DeleteParams, PostParams};
use lab::builders::service;
use lab::wait;
use serde_json::json;

use crate::bed::{Bed, SOON, published, services};

pub(crate) async fn foreign_host_with_the_address_is_named_and_left_alone() -> Result<()> {
    let bed = Bed::start(1).await?;
    let tenant = bed.lab.tenant("a")?;
    let lan = tenant.lan()?;
    let address = lan.address(50);
    let stranger = lan.host(bed.lab.space(), "stranger", 50).await?;
    let web = service("web").port(80).build();
    services(tenant).create(&PostParams::default(), &web).await?;
    let status = bed
        .says(address, "another host has it", |s| {
            s.conditions.iter().any(|c| c.type_ == "Ready" && c.reason == "AddressConflict")
        })
        .await?;
    let shown = stranger.netns().ip("link show eth0").await?;
    let mac = shown.split_whitespace().skip_while(|word| *word != "link/ether").nth(1);
    let mac = mac.with_context(|| shown.clone())?;
    ensure!(status.conditions.iter().any(|c| c.message.contains(mac)), "{mac}: {status:?}");
    let service = services(tenant).get("web").await?;
    ensure!(published(&service).is_none(), "{service:?}");
    let told = serde_json::to_string(&service.status)?;
    ensure!(!told.contains(mac) && !told.contains("node"), "{told}");
    lan.bridge().ip("link delete stranger").await?;
    drop(stranger);
    // It is asked for again half a minute after the last answer.
    let api = bed.eips();
    let announced = |eip: &Eip| eip.status.as_ref().is_some_and(|s| s.announced_by.is_some());
    let long = SOON + Duration::from_secs(30);
    wait::for_object(&api, &address.to_string(), "to be announced", long, announced).await?;
    Ok(())
}

pub(crate) async fn interface_that_is_missing_is_told_and_harms_no_other_vlan() -> Result<()> {
    let bed = Bed::start(2).await?;
    let (a, b) = (bed.lab.tenant("a")?, bed.lab.tenant("b")?);
    let mut vlan = lab::cpo::tenant_cluster(b, json!({}));
    let field = vlan.pointer_mut("/spec/vlan/interfaces").context("no interfaces")?;
    *field = json!([{"name": "bond7"}]);
    bed.lab.under().apply(&vlan).await?;
    a.add_pod("web-1", "vm1", &[("app", "web")]).await?;
    let web = service("web").port(80).build();
    services(b).create(&PostParams::default(), &web).await?;
    bed.serve(a, &web).await?;
    let status = bed
        .says(b.lan()?.address(50), "nobody announces it", |s| {
            s.conditions.iter().any(|c| c.type_ == "Ready" && c.reason == "NoSpeaker")
        })
        .await?;
    ensure!(status.announced_by.is_none(), "{status:?}");
    // Which interface, on which node, and what to do.
    let told = |node: &str| {
        let text = format!(
            "there is no interface bond7 on node {node}: make it there, or name another in \
             spec.vlan.interfaces of TenantCluster b"
        );
        status.conditions.iter().any(|c| c.type_ == "Ready" && c.message.contains(&text))
    };
    ensure!(bed.speakers.iter().any(|speaker| told(speaker.node())), "{status:?}");
    let speaker = bed.speakers.first().context("no speaker")?;
    let told = speaker.status().await?;
    ensure!(told.contains("bond7"), "the interface is not named: {told}");
    bed.lab.under().apply(&lab::cpo::tenant_cluster(b, json!({}))).await?;
    bed.says(b.lan()?.address(50), "it is announced", |s| s.announced_by.is_some()).await?;
    Ok(())
}

pub(crate) async fn address_of_a_speaker_that_is_cut_off_is_given_to_nobody() -> Result<()> {
    let bed = Bed::start(1).await?;
    let tenant = bed.lab.tenant("a")?;
    tenant.add_pod("web-1", "vm1", &[("app", "web")]).await?;
    let address = bed.serve(tenant, &service("web").port(80).build()).await?;
    let owner = bed.owner(address).await?;
    // It hears of nothing any more, and goes on announcing.
    owner.process().pause()?;
    services(tenant).delete("web", &DeleteParams::default()).await?;
    let reason = |s: &cpo_api::EipStatus, word: &str| {
        s.conditions.iter().any(|c| c.type_ == "Ready" && c.reason == word)
    };
    let status = bed.says(address, "it is being released", |s| reason(s, "Releasing")).await?;
    ensure!(
        status.conditions.iter().any(|c| c.message.contains(owner.node())),
        "who is waited for is not named: {status:?}"
    );
    ensure!(services(tenant).get_opt("web").await?.is_some(), "it ends before its address does");
    let nodes: Api<Node> = Api::all(bed.lab.under().client());
    nodes.delete(owner.node(), &DeleteParams::default()).await?;
    wait::for_absence(&services(tenant), "web", SOON).await?;
    bed.gone(address).await
}

pub(crate) async fn advertisement_that_cannot_be_followed_says_why_and_harms_no_other() -> Result<()>
{
    let bed = Bed::start(1).await?;
    let tenant = bed.lab.tenant("a")?;
    tenant.add_pod("web-1", "vm1", &[("app", "web")]).await?;
    let advertisement = |name: &str, spec: serde_json::Value| {
        json!({
            "apiVersion": "cloud-provider-ovn.io/v1alpha1", "kind": "L2Advertisement",
            "metadata": {"name": name}, "spec": spec,
        })
    };
    let wrong = [
        ("z-other-delivery", json!({"delivery": "Direct"}), "Contradicted", "L2Advertisement all"),
        ("b-no-pool", json!({"ipAddressPools": ["none"]}), "PoolNotFound", "AddressPool none"),
        ("c-no-interface", json!({"interfaces": ["bond7"]}), "InterfaceNotFound", "bond7"),
        (
            "d-selector",
            json!({"nodeSelectors": [{"matchExpressions": [{"key": "rack", "operator": "In"}]}]}),
            "SelectorInvalid",
            "spec.nodeSelectors[0].matchExpressions[0]",
        ),
    ];
    for (name, spec, ..) in &wrong {
        bed.lab.under().apply(&advertisement(name, spec.clone())).await?;
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
    wait::for_object(&api, "all", "to be ready", SOON, |of: &L2Advertisement| {
        says(of, "Ready", "")
    })
    .await?;
    let address = bed.serve(tenant, &service("web").port(80).build()).await?;
    let orders = bed.eips().get(&address.to_string()).await?.spec.vlan.context("no orders")?;
    ensure!(orders.announce.l2.contains(&"all".to_owned()), "{orders:?}");
    ensure!(!orders.announce.l2.contains(&"z-other-delivery".to_owned()), "{orders:?}");
    ensure!(orders.delivery == cpo_api::Delivery::Routed, "{orders:?}");
    Ok(())
}
