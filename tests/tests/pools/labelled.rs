//! A pool for Services in namespaces of certain labels.

use anyhow::{Result, ensure};
use k8s_openapi::api::core::v1::Service;
use kube::Api;
use kube::api::PostParams;
use lab::builders::service;
use lab::overlay::Tenant;
use lab::{cpo, wait};
use serde_json::json;

use crate::bed::{self, Bed, SOON};
use crate::edits::says;

/// A Service in namespace `office`, which is labelled so; gives back its address.
async fn in_office(tenant: &Tenant) -> Result<std::net::Ipv4Addr> {
    let namespace = json!({
        "apiVersion": "v1", "kind": "Namespace",
        "metadata": {"name": "office", "labels": {"exposure": "office"}},
    });
    tenant.cluster().apply(&namespace).await?;
    let api: Api<Service> = Api::namespaced(tenant.cluster().client(), "office");
    let mut web = service("web").port(80).build();
    web.metadata.namespace = Some("office".to_owned());
    api.create(&PostParams::default(), &web).await?;
    let has = |service: &Service| bed::published(service).is_some();
    let service = wait::for_object(&api, "web", "an address in its status", SOON, has).await?;
    bed::published(&service).ok_or_else(|| anyhow::anyhow!("no address"))
}

pub(crate) async fn labels_of_namespaces_choose_the_pool() -> Result<()> {
    let bed = Bed::start(2).await?;
    let lab = &bed.lab;
    let (a, b) = (lab.tenant("a")?, lab.tenant("b")?);
    cpo::grant_namespaces(a).await?;
    let before = bed::create(a, &service("before").port(80).build()).await?;
    let office = json!({
        "apiVersion": "cloud-provider-ovn.io/v1alpha1", "kind": "AddressPool",
        "metadata": {"name": "office"},
        "spec": {
            "addresses": ["198.51.100.210-198.51.100.212"],
            "serviceAllocation": {
                "priority": 1,
                "namespaceSelectors": [{"matchLabels": {"exposure": "office"}}],
            },
        },
    });
    lab.under().apply(&office).await?;
    says(lab, ("TenantCluster", "a"), "NamespacesRead", "Read").await?;
    says(lab, ("TenantCluster", "b"), "NamespacesRead", "Forbidden").await?;
    let first = in_office(a).await?;
    ensure!(first.octets() == [198, 51, 100, 210], "the pool of its namespace: {first}");
    let other = bed::create(a, &service("other").port(80).build()).await?;
    ensure!(other.octets()[3] < 210, "another namespace, another pool: {other}");
    let refused = in_office(b).await?;
    ensure!(refused.octets()[3] < 210, "b does not show its namespaces: {refused}");
    ensure!(bed::address(a, "before").await? == before, "an address was moved");
    Ok(())
}
