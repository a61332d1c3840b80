//! A tenant with a MetalLB of its own is told of the pools that are left to it.

use anyhow::{Result, ensure};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use kube::api::DeleteParams;
use lab::{cpo, wait};
use serde_json::json;

use crate::bed::{Bed, SOON};

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
    lab.under().apply(&pool("198.51.100.210-198.51.100.214")).await?;
    let grown = has("198.51.100.212-198.51.100.214");
    wait::for_object(&api, "m-metallb", "the pool as it is now", SOON, grown).await?;
    let pools: Api<cpo_api::AddressPool> = Api::all(lab.under().client());
    pools.delete("theirs", &DeleteParams::default()).await?;
    let empty = |map: &ConfigMap| text(map).is_empty();
    wait::for_object(&api, "m-metallb", "nothing that is left to them", SOON, empty).await?;
    Ok(())
}
