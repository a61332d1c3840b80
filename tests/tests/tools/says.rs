//! What `cpo pools`, `cpo eips` and `cpo explain` say.

use std::net::Ipv4Addr;
use std::time::Duration;

use anyhow::{Result, ensure};
use k8s_openapi::api::core::v1::Service;
use kube::api::{DeleteParams, PostParams};
use lab::builders::service;
use lab::overlay::Tenant;
use lab::{Lab, wait};
use serde_json::{Value, json};

use crate::bed::{self, Bed, SOON};
use crate::command::{Ended, at, cpo, cpo_as, explain};

/// The longest time until a tenant's silence is noticed and told.
const NOTICED: Duration = Duration::from_secs(60);
const POOL: &str = "cloud-provider-ovn.io/address-pool";

pub(crate) async fn tools_say_what_is_the_matter() -> Result<()> {
    let bed = Bed::start(1).await?;
    let lab = &bed.lab;
    let tenant = lab.tenant("a")?;
    let address = bed::create(tenant, &service("web").port(80).build()).await?;

    served_is_served(lab, address).await?;
    the_products_own_rights_suffice(lab).await?;
    tables_show_pools_and_addresses(lab, address).await?;
    refusals_are_explained(lab, tenant).await?;
    a_quota_that_is_used_up_is_explained(lab, tenant).await?;
    what_is_not_there_is_said(lab).await?;
    a_tenant_out_of_reach_is_explained(lab, tenant).await
}

async fn served_is_served(lab: &Lab, address: Ipv4Addr) -> Result<()> {
    let northbound = lab.ovn().northbound().tcp();
    for more in [&[][..], &["--ovn-nb", &northbound]] {
        // The Eip is told a moment after the tenant.
        let told = explained(lab, "a/default/web", more, "none: the Service is served").await?;
        ensure!(told.code == 0 && told.line("do")? == "nothing", "{told:?}");
        let steps: Vec<_> = told.text.lines().filter(|line| line.starts_with("ok: ")).collect();
        ensure!(steps.len() == 9, "{told:?}");
        let wanted = format!("ok: status: {address} is published");
        ensure!(steps.contains(&wanted.as_str()), "{told:?}");
    }
    let told = explain(lab, "a/default/web", &["--ovn-nb", &northbound]).await?;
    ensure!(told.text.contains(&format!("ok: rows: tcp {address}:80 to ")), "{told:?}");
    Ok(())
}

/// In a Pod the tools run as the product does.
async fn the_products_own_rights_suffice(lab: &Lab) -> Result<()> {
    let kubeconfig = lab.space().dir().join("cpo.kubeconfig");
    for args in [&["pools"][..], &["eips"], &["explain", "a/default/web"]] {
        let ended = cpo_as(&kubeconfig, args).await?;
        ensure!(ended.code == 0 && !ended.text.contains("unknown: "), "{ended:?}");
    }
    Ok(())
}

async fn tables_show_pools_and_addresses(lab: &Lab, address: Ipv4Addr) -> Result<()> {
    let broken =
        pool("broken", json!({"addresses": ["192.0.2.0/28"], "tenants": {"names": ["b"]}}));
    lab.under().apply(&broken).await?;
    let pools = wait::until("the broken pool to be told", SOON, || async {
        let pools = cpo(lab, &["pools"]).await?;
        ensure!(
            pools.text.contains("\nbroken: SubnetNotFound: 192.0.2.0-192.0.2.15 "),
            "{pools:?}"
        );
        Ok(pools)
    })
    .await?;
    let cells = pools.cells("public")?;
    ensure!(cells.starts_with(&["public", "Subnet external", "all", "yes", "1", "0", "0"]));
    ensure!(cells.last() == Some(&"Ready"), "{pools:?}");
    let cells = pools.cells("broken")?;
    ensure!(cells.starts_with(&["broken", "192.0.2.0/28", "b"]), "{pools:?}");
    ensure!(cells.last() == Some(&"SubnetNotFound"), "{pools:?}");
    let json = cpo(lab, &["pools", "-o", "json"]).await?.json()?;
    let public = json.as_array().into_iter().flatten().find(|pool| at(pool, "name") == "public");
    let good = |pool: &Value| at(pool, "assigned") == 1 && at(pool, "ready") == true;
    ensure!(public.is_some_and(good), "{json}");

    let name = address.to_string();
    let eips = cpo(lab, &["eips", "--tenant", "a"]).await?;
    let cells = eips.cells(&name)?;
    ensure!(cells.starts_with(&[&name, "a", "default/web", "public", "Ready"]), "{eips:?}");
    ensure!(cells.last() == Some(&"2/2"), "{eips:?}");
    let json = cpo(lab, &["eips", "-o", "json"]).await?.json()?;
    ensure!(at(&json, "service") == "default/web" && at(&json, "state") == "Ready", "{json}");
    for filter in [&["--tenant", "b"][..], &["--pool", "broken"], &["--not-ready"]] {
        let none = cpo(lab, &[&["eips", "-o", "json"], filter].concat()).await?.json()?;
        ensure!(none == json!([]), "{filter:?}: {none}");
    }
    Ok(())
}

async fn refusals_are_explained(lab: &Lab, tenant: &Tenant) -> Result<()> {
    let one = json!({"addresses": ["198.51.100.210"], "autoAssign": false});
    lab.under().apply(&pool("one", one)).await?;
    let asks = |name: &str, pool: &str| service(name).port(80).annotation(POOL, pool).build();
    bed::create(tenant, &asks("first", "one")).await?;

    refused(tenant, &asks("second", "one")).await?;
    let told = explained(lab, "a/default/second", &[], "PoolExhausted: ").await?;
    ensure!(told.code == 1 && told.line("cause")?.contains("one"), "{told:?}");
    ensure!(told.line("do")?.contains("add addresses"), "{told:?}");

    refused(tenant, &asks("astray", "gold")).await?;
    let told = explained(lab, "a/default/astray", &[], "PoolNotFound: ").await?;
    ensure!(told.code == 1 && told.line("cause")?.contains("\"gold\""), "{told:?}");
    ensure!(told.line("no")?.starts_with("pool: "), "{told:?}");

    refused(tenant, &service("other").port(80).class("example.org/other").build()).await?;
    let told = explained(lab, "a/default/other", &[], "its loadBalancerClass").await?;
    ensure!(told.code == 1, "{told:?}");
    for name in ["second", "astray", "other"] {
        bed::services(tenant).delete(name, &DeleteParams::default()).await?;
    }
    Ok(())
}

async fn a_quota_that_is_used_up_is_explained(lab: &Lab, tenant: &Tenant) -> Result<()> {
    let quota = json!({"quota": {"loadBalancers": 2}});
    lab.under().apply(&lab::cpo::tenant_cluster(tenant, quota)).await?;
    refused(tenant, &service("third").port(80).build()).await?;
    let told = explained(lab, "a/default/third", &[], "QuotaExceeded: ").await?;
    ensure!(told.code == 1 && told.line("cause")?.contains("allows 2 load balancers"), "{told:?}");
    ensure!(told.line("do")?.contains("spec.quota"), "{told:?}");
    Ok(())
}

async fn what_is_not_there_is_said(lab: &Lab) -> Result<()> {
    let told = explain(lab, "nobody/default/web", &[]).await?;
    ensure!(told.code == 1 && told.line("cause")?.contains("no TenantCluster nobody"), "{told:?}");
    let told = explain(lab, "a/default/nothing", &[]).await?;
    ensure!(told.code == 1 && told.line("cause")?.contains("no Service default/nothing"));
    let failed = cpo(lab, &["explain", "a/default/web", "--ovn-nb", "tcp:127.0.0.1:1"]).await?;
    ensure!(failed.code == 2 && failed.errors.contains("does not answer"), "{failed:?}");
    let failed = cpo(lab, &["explain", "web"]).await?;
    ensure!(failed.code == 2, "{failed:?}");
    Ok(())
}

async fn a_tenant_out_of_reach_is_explained(lab: &Lab, tenant: &Tenant) -> Result<()> {
    tenant.cluster().api_server().kill().await?;
    wait::until("the tenant's silence to be told", NOTICED, || async {
        let told = explain(lab, "a/default/third", &[]).await?;
        ensure!(told.line("cause")?.starts_with("TenantUnreachable: "), "{told:?}");
        ensure!(told.code == 1 && told.line("do")?.contains("reachable"), "{told:?}");
        ensure!(told.line("unknown")?.contains("cannot be read"), "{told:?}");
        Ok(())
    })
    .await?;
    let told = explain(lab, "a/default/web", &[]).await?;
    let cause = told.line("cause")?;
    ensure!(cause.starts_with("the Service is served, but: TenantUnreachable: "), "{told:?}");
    ensure!(told.code == 0, "{told:?}");
    Ok(())
}

fn pool(name: &str, spec: Value) -> Value {
    json!({
        "apiVersion": "cloud-provider-ovn.io/v1alpha1", "kind": "AddressPool",
        "metadata": {"name": name}, "spec": spec,
    })
}

/// Creates a Service that will not be served.
async fn refused(tenant: &Tenant, service: &Service) -> Result<()> {
    bed::services(tenant).create(&PostParams::default(), service).await?;
    Ok(())
}

/// Waits until the cause of a Service begins so.
async fn explained(lab: &Lab, service: &str, more: &[&str], cause: &str) -> Result<Ended> {
    wait::until(&format!("{service}: {cause}"), SOON, || async {
        let told = explain(lab, service, more).await?;
        ensure!(told.line("cause")?.starts_with(cause), "{told:?}");
        Ok(told)
    })
    .await
}
