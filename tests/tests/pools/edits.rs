//! A pool of ranges is shrunk, drained, bound to another tenant and deleted while it is in use.

use std::net::Ipv4Addr;

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::Node;
use k8s_openapi::api::networking::v1::ServiceCIDR;
use kube::Api;
use kube::api::{DeleteParams, DynamicObject, Patch, PatchParams, PostParams};
use lab::builders::service;
use lab::chassis::GATEWAY;
use lab::overlay::Tenant;
use lab::{Lab, traffic, wait};
use serde_json::{Value, json};

use crate::bed::{self, Bed, SOON};
use crate::look;

/// A pool of addresses that Kube-OVN hands out to nobody by itself (`excludeIps` of the Subnet).
fn gold(spec: Value) -> Value {
    let mut whole = json!({"addresses": ["198.51.100.210-198.51.100.212"], "quarantineSeconds": 3});
    if let (Some(whole), Value::Object(spec)) = (whole.as_object_mut(), spec) {
        whole.extend(spec);
    }
    json!({
        "apiVersion": "cloud-provider-ovn.io/v1alpha1", "kind": "AddressPool",
        "metadata": {"name": "gold"}, "spec": whole,
    })
}

/// Waits until an object of ours says this in a condition.
pub(crate) async fn says(
    lab: &Lab,
    (kind, name): (&str, &str),
    condition: &str,
    reason: &str,
) -> Result<()> {
    let api = lab.under().api("cloud-provider-ovn.io/v1alpha1", kind, "").await?;
    let what = format!("{condition} {reason}");
    let told = |object: &DynamicObject| {
        look::condition(&object.data, condition).is_some_and(|c| c.reason == reason)
    };
    wait::for_object(&api, name, &what, SOON, told).await?;
    Ok(())
}

/// Waits for the reason a Service is refused with, and returns what its tenant reads.
pub(crate) async fn refused(tenant: &Tenant, name: &str) -> Result<(String, String)> {
    let api = bed::services(tenant);
    let why = |service: &k8s_openapi::api::core::v1::Service| {
        let value = serde_json::to_value(service).ok()?;
        let told = look::condition(&value, "cloud-provider-ovn.io/AddressAssigned")?;
        (!told.holds && told.reason != "Pending").then_some((told.reason, told.message))
    };
    let told = |service: &k8s_openapi::api::core::v1::Service| why(service).is_some();
    let service = wait::for_object(&api, name, "a reason", SOON, told).await?;
    why(&service).context("no reason")
}

fn asking(name: &str) -> k8s_openapi::api::core::v1::Service {
    let pool = "cloud-provider-ovn.io/address-pool";
    service(name).selector("app", "web").port(80).annotation(pool, "gold").build()
}

async fn create(tenant: &Tenant, name: &str) -> Result<()> {
    bed::services(tenant).create(&PostParams::default(), &asking(name)).await?;
    Ok(())
}

/// A pool that holds the gateway, a node or the Service range of the under cluster is refused as a
/// whole, with the range and what it is.
async fn holds_what_is_used(lab: &Lab) -> Result<()> {
    const NODE: &str = "198.51.100.213";
    let nodes: Api<Node> = Api::all(lab.under().client());
    let addresses = json!({"status": {"addresses": [{"type": "InternalIP", "address": NODE}]}});
    nodes.patch_status(GATEWAY, &PatchParams::default(), &Patch::Merge(addresses)).await?;
    let pools = lab.under().api("cloud-provider-ovn.io/v1alpha1", "AddressPool", "").await?;
    for (used, what) in [
        ("198.51.100.254".to_owned(), "the gateway of Subnet external"),
        (NODE.to_owned(), "the address of Node gw1"),
        (service_range(lab).await?, "ServiceCIDR kubernetes"),
    ] {
        let wrong = json!({"addresses": ["198.51.100.210-198.51.100.212", used]});
        lab.under().apply(&gold(wrong)).await?;
        let told = |pool: &DynamicObject| {
            look::condition(&pool.data, "Ready")
                .is_some_and(|c| c.reason == "RangeForbidden" && c.message.contains(what))
        };
        wait::for_object(&pools, "gold", &format!("{used}: {what}"), SOON, told).await?;
    }
    let none = json!({"status": {"addresses": null}});
    nodes.patch_status(GATEWAY, &PatchParams::default(), &Patch::Merge(none)).await?;
    Ok(())
}

async fn service_range(lab: &Lab) -> Result<String> {
    let ranges: Api<ServiceCIDR> = Api::all(lab.under().client());
    let range = ranges.get("kubernetes").await?.spec.and_then(|spec| spec.cidrs);
    range.unwrap_or_default().into_iter().next().context("no Service range")
}

pub(crate) async fn pool_edited_under_use_keeps_what_is_assigned() -> Result<()> {
    let bed = Bed::start(2).await?;
    let lab = &bed.lab;
    let (a, b) = (lab.tenant("a")?, lab.tenant("b")?);
    a.add_pod("web-1", "vm1", &[("app", "web")]).await?;
    lab.under().apply(&gold(json!({}))).await?;
    let first = bed::serve(lab, a, &asking("first")).await?;
    let second = bed::serve(lab, a, &asking("second")).await?;
    let lowest = |last| Ipv4Addr::new(198, 51, 100, last);
    ensure!((first, second) == (lowest(210), lowest(211)), "given {first} and {second}");
    let streams = [first, second]
        .map(|eip| traffic::Stream::start(lab.far(), &format!("http://{eip}/"), 20, 120));

    // Shrunk: the second is outside now.
    lab.under().apply(&gold(json!({"addresses": ["198.51.100.210"]}))).await?;
    says(lab, ("Eip", "198.51.100.211"), "Assigned", "OutsidePool").await?;
    create(a, "third").await?;
    ensure!(refused(a, "third").await?.0 == "PoolExhausted", "a shrunk pool gives");

    // Drained, then overlapping nothing and open again: the third gets what is free.
    lab.under().apply(&gold(json!({"drain": true}))).await?;
    says(lab, ("AddressPool", "gold"), "Ready", "Drained").await?;
    says(lab, ("Eip", "198.51.100.211"), "Assigned", "Assigned").await?;
    let drained = refused(a, "third").await?;
    ensure!(drained.0 == "PoolNotAllowed", "a drained pool: {drained:?}");
    lab.under().apply(&gold(json!({"drain": false}))).await?;
    ensure!(bed::address(a, "third").await? == lowest(212), "the third");

    holds_what_is_used(lab).await?;
    // Split: a younger pool that overlaps says so, and gives nothing.
    lab.under().apply(&gold(json!({"addresses": ["198.51.100.210-198.51.100.214"]}))).await?;
    let mut split = gold(json!({"addresses": ["198.51.100.214-198.51.100.216"]}));
    *split.pointer_mut("/metadata/name").context("no name")? = json!("silver");
    lab.under().apply(&split).await?;
    says(lab, ("AddressPool", "silver"), "Conflicting", "Overlap").await?;
    lab.under().apply(&gold(json!({}))).await?;
    says(lab, ("AddressPool", "silver"), "Ready", "Ready").await?;

    // Bound to another tenant.
    lab.under()
        .apply(&gold(
            json!({"tenants": {"names": ["b"]}, "addresses": ["198.51.100.210-198.51.100.213"]}),
        ))
        .await?;
    create(a, "fourth").await?;
    ensure!(refused(a, "fourth").await?.0 == "PoolNotAllowed", "another tenant's pool gives");
    ensure!(bed::create(b, &asking("own")).await? == lowest(213), "the pool's tenant");

    // Deleted.
    let pools = lab.under().api("cloud-provider-ovn.io/v1alpha1", "AddressPool", "").await?;
    pools.delete("gold", &DeleteParams::default()).await?;
    says(lab, ("Eip", "198.51.100.210"), "Assigned", "OutsidePool").await?;

    for (name, eip) in [("first", first), ("second", second)] {
        ensure!(bed::address(a, name).await? == eip, "{name} was moved");
    }
    for stream in streams {
        let report = stream.stop().await?;
        ensure!(report.failures.is_empty(), "{report:?}");
    }
    // What is released now rests, and is gone after that, though its pool is.
    bed::services(a).delete("second", &DeleteParams::default()).await?;
    let eips = lab.under().api("cloud-provider-ovn.io/v1alpha1", "Eip", "").await?;
    wait::for_absence(&eips, "198.51.100.211", 4 * SOON).await
}
