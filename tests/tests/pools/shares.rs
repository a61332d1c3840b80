//! What a tenant may have: as much as its quota allows, and what was reserved for it.

use std::collections::BTreeSet;

use anyhow::{Result, ensure};
use kube::api::{DeleteParams, PostParams};
use lab::builders::service;
use lab::{cpo, wait};
use serde_json::json;

use crate::bed::{self, Bed, SOON};
use crate::edits::{refused, says};
use crate::look;

/// How many Services come at once.
const SERVICES: usize = 12;
/// How many of them the quota allows.
const ALLOWED: usize = 5;

pub(crate) async fn quota_holds_for_services_at_once() -> Result<()> {
    let bed = Bed::start(1).await?;
    let lab = &bed.lab;
    let tenant = lab.tenant("a")?;
    let quota = |count: usize| json!({"quota": {"loadBalancers": count}});
    lab.under().apply(&cpo::tenant_cluster(tenant, quota(ALLOWED))).await?;
    let api = bed::services(tenant);
    for number in 0..SERVICES {
        let one = service(&format!("web-{number}")).port(80).build();
        api.create(&PostParams::default(), &one).await?;
    }
    let mut served = BTreeSet::new();
    let mut told = BTreeSet::new();
    for number in 0..SERVICES {
        let name = format!("web-{number}");
        let decided = |service: &k8s_openapi::api::core::v1::Service| {
            let value = serde_json::to_value(service).unwrap_or_default();
            let condition = look::condition(&value, "cloud-provider-ovn.io/AddressAssigned");
            condition.is_some_and(|c| c.reason != "Pending")
        };
        let decided = wait::for_object(&api, &name, "an answer", SOON, decided).await?;
        match bed::published(&decided) {
            Some(address) => ensure!(served.insert(address), "{address} twice"),
            None if look::eips(lab, "a", &format!("default/{name}")).await?.is_empty() => {
                told.insert(refused(tenant, &name).await?);
            }
            None => ensure!(served.insert(bed::address(tenant, &name).await?), "twice"),
        }
    }
    ensure!(served.len() == ALLOWED, "{} of {SERVICES} were served", served.len());
    ensure!(
        told.iter().all(|(reason, text)| reason == "QuotaExceeded" && text.contains("quota of 5")),
        "{told:?}"
    );
    lab.under().apply(&cpo::tenant_cluster(tenant, quota(SERVICES))).await?;
    for number in 0..SERVICES {
        bed::address(tenant, &format!("web-{number}")).await?;
    }
    Ok(())
}

pub(crate) async fn reserved_address_is_for_who_asks_for_it() -> Result<()> {
    const ADDRESS: &str = "198.51.100.77";
    let bed = Bed::start(2).await?;
    let lab = &bed.lab;
    let (a, b) = (lab.tenant("a")?, lab.tenant("b")?);
    let reserved = json!({
        "apiVersion": "cloud-provider-ovn.io/v1alpha1", "kind": "Eip",
        "metadata": {"name": ADDRESS},
        "spec": {"address": ADDRESS, "tenant": {"name": "a"}, "reserved": true},
    });
    lab.under().apply(&reserved).await?;
    says(lab, ("Eip", ADDRESS), "Ready", "Reserved").await?;

    let thief = service("web").port(80).address(ADDRESS).build();
    bed::services(b).create(&PostParams::default(), &thief).await?;
    let (reason, text) = refused(b, "web").await?;
    ensure!(reason == "AddressNotInPool" && !text.contains("reserved"), "{reason}: {text}");

    for _ in 0..2 {
        let got = bed::create(a, &service("web").port(80).address(ADDRESS).build()).await?;
        ensure!(got.to_string() == ADDRESS, "{got}");
        says(lab, ("Eip", ADDRESS), "Assigned", "Assigned").await?;
        bed::services(a).delete("web", &DeleteParams::default()).await?;
        wait::for_absence(&bed::services(a), "web", SOON).await?;
        says(lab, ("Eip", ADDRESS), "Ready", "Reserved").await?;
    }
    let eips = lab.under().api("cloud-provider-ovn.io/v1alpha1", "Eip", "").await?;
    eips.delete(ADDRESS, &DeleteParams::default()).await?;
    // Given back, it goes to the other tenant, which asked for it all the while.
    ensure!(bed::address(b, "web").await?.to_string() == ADDRESS, "b did not get it");
    Ok(())
}
