//! The shipped roles: enough, and nothing besides.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::Event;
use kube::Api;
use kube::ResourceExt as _;
use kube::api::{DeleteParams, DynamicObject, ListParams, Patch, PatchParams};
use lab::builders::service;
use lab::cluster::AuditEntry;
use lab::overlay::Tenant;
use lab::rights::{all_used, none_missing};
use lab::writes::{TENANT_USER, UNDER_USER};
use lab::{Lab, cpo, wait};
use serde_json::json;

use crate::bed::{self, SOON, serve};
use crate::look;
use crate::stage::{bed, delete};

/// Deletions by others are told once a minute.
const TOLD: Duration = Duration::from_secs(90);

pub(crate) async fn rbac_is_sufficient_and_minimal() -> Result<()> {
    let bed = bed().await?;
    let lab = &bed.lab;
    let tenant = lab.tenant("b")?;
    // Long before it is used: a role counts when the API server has seen it.
    cpo::grant_namespaces(tenant).await?;
    bed.cpo.process().stop().await?;
    let marks = (lab.under().audit_mark()?, tenant.cluster().audit_mark()?);
    // As at the first start ever.
    let leases = lab.under().api("coordination.k8s.io/v1", "Lease", cpo::NAME).await?;
    leases.delete(cpo::NAME, &DeleteParams::default()).await?;
    bed.cpo.process().start_again()?;
    bed.cpo.ready().await?;
    exercise_a_service(lab, tenant).await?;
    exercise_namespaces(lab).await?;
    exercise_the_operators_objects(lab).await?;
    // A watch is in the audit log when it has ended.
    bed.cpo.process().stop().await?;
    let (under, tenants) =
        (lab.under().audit_since(marks.0)?, tenant.cluster().audit_since(marks.1)?);
    bed.cpo.process().start_again()?;
    bed.cpo.ready().await?;
    let under: Vec<_> = under.into_iter().filter(|entry| entry.user == UNDER_USER).collect();
    let tenants: Vec<_> = tenants.into_iter().filter(|entry| entry.user == TENANT_USER).collect();
    none_missing(under.iter().chain(&tenants))?;
    of_one_lease(&under)?;
    all_used("rbac.yaml", &under)?;
    all_used("tenant-rbac.yaml", &tenants)?;
    all_used("tenant-rbac-namespaces.yaml", &tenants)
}

/// The rights on Leases are used on that of the product alone.
fn of_one_lease(seen: &[AuditEntry]) -> Result<()> {
    let leases = seen.iter().filter(|entry| entry.resource == "leases");
    let others: Vec<_> = leases
        .filter(|entry| entry.namespace != cpo::NAME || !["", cpo::NAME].contains(&&*entry.name))
        .collect();
    ensure!(others.is_empty(), "{others:#?}");
    Ok(())
}

/// Created, changed, turned off and on, deleted, returned, deleted for good.
async fn exercise_a_service(lab: &Lab, tenant: &Tenant) -> Result<()> {
    let web = service("rights").selector("app", "web").port(80).udp(53).build();
    let eip = serve(lab, tenant, &web).await?;
    let owner = format!("{}/default/rights", tenant.name());
    let marked = look::ovn_eips(lab, &owner).await?;
    let name = marked.first().context("no OvnEip")?.name_any();
    lose_a_row(lab, tenant, &owner).await?;
    let ovn_eips = lab.under().api("kubeovn.io/v1", "OvnEip", "").await?;
    let bare = json!({"metadata": {"labels": {
        "cloud-provider-ovn.io/install": null, "cloud-provider-ovn.io/tenant": null,
    }}});
    ovn_eips.patch(&name, &PatchParams::default(), &Patch::Merge(bare)).await?;
    wait::for_object(&ovn_eips, &name, "its labels", SOON, |eip| {
        eip.labels().contains_key("cloud-provider-ovn.io/tenant")
    })
    .await?;
    for kind in ["ClusterIP", "LoadBalancer"] {
        let patch = Patch::Merge(json!({"spec": {"type": kind}}));
        bed::services(tenant).patch("rights", &PatchParams::default(), &patch).await?;
        let let_go = |s: &k8s_openapi::api::core::v1::Service| {
            s.finalizers().is_empty() == (kind == "ClusterIP")
        };
        wait::for_object(&bed::services(tenant), "rights", kind, SOON, let_go).await?;
    }
    ensure!(bed::address(tenant, "rights").await? == eip, "moved");
    delete(tenant, "rights").await?;
    ensure!(serve(lab, tenant, &web).await? == eip, "a returning Service got another address");
    delete(tenant, "rights").await?;
    let eips = lab.under().api("cloud-provider-ovn.io/v1alpha1", "Eip", "").await?;
    wait::for_absence(&eips, &eip.to_string(), SOON).await
}

/// A row is deleted by others, which the operator is told.
async fn lose_a_row(lab: &Lab, tenant: &Tenant, owner: &str) -> Result<()> {
    for row in look::live_rows(lab, owner).await? {
        lab.nb(["lb-del", row.uuid.as_str()]).await?;
    }
    let events: Api<Event> = Api::namespaced(lab.under().client(), "default");
    let only = format!("reason=ForeignDeletion,involvedObject.name={}", tenant.name());
    wait::until("an Event that tells of it", TOLD, || async {
        let told = events.list(&ListParams::default().fields(&only)).await?.items;
        ensure!(!told.is_empty(), "none");
        Ok(())
    })
    .await
}

/// A pool for the tenant selects by the labels of namespaces for a while.
async fn exercise_namespaces(lab: &Lab) -> Result<()> {
    let pool = json!({
        "apiVersion": "cloud-provider-ovn.io/v1alpha1", "kind": "AddressPool",
        "metadata": {"name": "office"},
        "spec": {
            "addresses": ["198.51.100.213"],
            "autoAssign": false,
            "tenants": {"names": ["b"]},
            "serviceAllocation": {
                "namespaceSelectors": [{"matchLabels": {"exposure": "office"}}],
            },
        },
    });
    lab.under().apply(&pool).await?;
    let tenants = lab.under().api("cloud-provider-ovn.io/v1alpha1", "TenantCluster", "").await?;
    let read = |tenant: &DynamicObject| {
        let condition = look::condition(&tenant.data, "NamespacesRead");
        condition.map(|condition| condition.reason)
    };
    let is_read = |tenant: &DynamicObject| read(tenant).as_deref() == Some("Read");
    wait::for_object(&tenants, "b", "its namespaces to be read", SOON, is_read).await?;
    let pools = lab.under().api("cloud-provider-ovn.io/v1alpha1", "AddressPool", "").await?;
    pools.delete("office", &DeleteParams::default()).await?;
    let unread = |tenant: &DynamicObject| read(tenant).is_none();
    wait::for_object(&tenants, "b", "its namespaces not to be read", SOON, unread).await?;
    Ok(())
}

/// The shield is lost; a tenant is to be cleaned up after, and then not; an advertisement of a pool
/// that is not there is told so.
async fn exercise_the_operators_objects(lab: &Lab) -> Result<()> {
    let advertisement = json!({
        "apiVersion": "cloud-provider-ovn.io/v1alpha1", "kind": "L2Advertisement",
        "metadata": {"name": "office"}, "spec": {"ipAddressPools": ["none"]},
    });
    lab.under().apply(&advertisement).await?;
    let advertisements =
        lab.under().api("cloud-provider-ovn.io/v1alpha1", "L2Advertisement", "").await?;
    wait::for_object(&advertisements, "office", "not to be ready", SOON, |of| {
        look::condition(&of.data, "Ready").is_some_and(|ready| ready.reason == "PoolNotFound")
    })
    .await?;
    advertisements.delete("office", &DeleteParams::default()).await?;
    let shields = lab.under().api("kubeovn.io/v1", "OvnDnatRule", "").await?;
    shields.delete("cloud-provider-ovn", &DeleteParams::default()).await?;
    wait::for_object(&shields, "cloud-provider-ovn", "to be ready", SOON, |rule| {
        rule.data.pointer("/status/ready") == Some(&true.into())
    })
    .await?;
    let tenants = lab.under().api("cloud-provider-ovn.io/v1alpha1", "TenantCluster", "").await?;
    for policy in ["Delete", "Retain"] {
        let patch = Patch::Merge(json!({"spec": {"cleanupPolicy": policy}}));
        tenants.patch("b", &PatchParams::default(), &patch).await?;
        wait::for_object(&tenants, "b", policy, SOON, |tenant| {
            tenant.finalizers().is_empty() == (policy == "Retain")
        })
        .await?;
    }
    Ok(())
}
