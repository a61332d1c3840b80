//! A tenant with a MetalLB of its own is told of the pools that are left to it.

use anyhow::{Result, ensure};
use k8s_openapi::api::core::v1::{ConfigMap, ServiceSpec};
use kube::Api;
use kube::api::DeleteParams;
use lab::builders::service;
use lab::metallb::{self, Environment};
use lab::{components, cpo, wait};
use serde_json::json;

use crate::bed::{self, Bed, SOON};

/// The class of the Services that are the tenant's MetalLB's.
const CLASS: &str = "example.org/metallb";

fn pool(addresses: &str) -> serde_json::Value {
    json!({
        "apiVersion": "cloud-provider-ovn.io/v1alpha1", "kind": "AddressPool",
        "metadata": {"name": "theirs"},
        "spec": {
            "addresses": [addresses], "excludes": ["198.51.100.211"],
            "delegated": true, "tenants": {"names": ["m"]},
        },
    })
}

/// The text that their MetalLB's add-on applies.
fn text(map: &ConfigMap) -> &str {
    map.data.iter().flatten().find(|(key, _)| *key == "metallb.yaml").map_or("", |(_, text)| text)
}

/// MetalLB itself takes that text, and gives those addresses and no others.
async fn gives_what_is_left_to_it(bed: &Bed, text: &str) -> Result<()> {
    let tenant = bed.lab.tenant("a")?;
    let (cluster, programs) = (tenant.cluster(), components::metallb()?);
    metallb::define(&programs, cluster).await?;
    cluster.apply_yaml(text).await?;
    let dir = bed.lab.space().dir();
    let environment = Environment { programs: &programs, cluster, dir };
    // The tenant's other Services are ours.
    let _controller = environment.controller(&[&format!("--lb-class={CLASS}")]).await?;
    let class = |spec: &mut ServiceSpec| spec.load_balancer_class = Some(CLASS.into());
    for (name, expected) in [("one", "198.51.100.210"), ("other", "198.51.100.212")] {
        let wanted = service(name).selector("app", "web").port(80).spec(class).build();
        ensure!(bed::create(tenant, &wanted).await?.to_string() == expected, "not {expected}");
    }
    Ok(())
}

pub(crate) async fn tenants_own_metallb_is_told_of_the_pools_that_are_left_to_it() -> Result<()> {
    let bed = Bed::start(1).await?;
    let (lab, namespace) = (&bed.lab, bed.lab.tenant("a")?.namespace());
    cpo::grant_metallb(lab, &namespace).await?;
    let announces = json!({
        "apiVersion": "cloud-provider-ovn.io/v1alpha1", "kind": "L2Advertisement",
        "metadata": {"name": "all"}, "spec": {"nodeSelectors": [{"matchLabels": {"rack": "r1"}}]},
    });
    let tenant = json!({
        "apiVersion": "cloud-provider-ovn.io/v1alpha1", "kind": "TenantCluster",
        "metadata": {"name": "m"},
        "spec": {
            "mode": "Unmanaged", "backends": {"namespace": namespace},
            "kubeconfig": {"secretRef": {"namespace": namespace, "name": "m-kubeconfig"}},
        },
    });
    for object in [announces, pool("198.51.100.210-198.51.100.212"), tenant] {
        lab.under().apply(&object).await?;
    }
    let api: Api<ConfigMap> = Api::namespaced(lab.under().client(), &namespace);
    let has = |range: &'static str| move |map: &ConfigMap| text(map).contains(range);
    let only = has("198.51.100.212-198.51.100.212");
    let map = wait::for_object(&api, "m-metallb", "their addresses", SOON, only).await?;
    for part in ["kind: IPAddressPool", "kind: L2Advertisement", "namespace: metallb-system"] {
        ensure!(text(&map).contains(part), "no {part} in {}", text(&map));
    }
    ensure!(!text(&map).contains("rack"), "nodes of the under cluster are no business of theirs");
    gives_what_is_left_to_it(&bed, text(&map)).await?;
    lab.under().apply(&pool("198.51.100.210-198.51.100.214")).await?;
    let grown = has("198.51.100.212-198.51.100.214");
    wait::for_object(&api, "m-metallb", "the pool as it is now", SOON, grown).await?;
    let pools: Api<cpo_api::AddressPool> = Api::all(lab.under().client());
    pools.delete("theirs", &DeleteParams::default()).await?;
    let empty = |map: &ConfigMap| text(map).is_empty();
    wait::for_object(&api, "m-metallb", "nothing that is left to them", SOON, empty).await?;
    Ok(())
}
