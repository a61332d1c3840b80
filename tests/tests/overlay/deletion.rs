//! A deleted Service leaves nothing, and nobody else notices.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::Service;
use kube::api::{DeleteParams, DynamicObject, ListParams};
use lab::builders::service;
use lab::overlay::Tenant;
use lab::{Lab, cpo, traffic, wait};
use serde_json::Value;

use crate::bed::{self, Bed, SOON};
use crate::seen;

/// How long the address may answer after the Service was deleted.
const AT_ONCE: Duration = Duration::from_secs(1);
/// `quarantineSeconds` of the pool.
const QUARANTINE: Duration = Duration::from_secs(4);
/// `--sweep-period` of the product.
const SWEEP: Duration = Duration::from_secs(8);

pub(crate) async fn overlay_delete_leaves_nothing() -> Result<()> {
    let args = ["--sweep-period".to_owned(), format!("{}s", SWEEP.as_secs())];
    let options = cpo::Options { args: args.into(), ..cpo::Options::default() };
    let bed = Bed::on(Lab::overlay().tenants(2).vms(2).start().await?, options).await?;
    let lab = &bed.lab;
    lab.under().apply(&bed::pool(u32::try_from(QUARANTINE.as_secs())?)).await?;
    let mut streams = Vec::new();
    for tenant in lab.tenants() {
        tenant.add_pod("web-1", "vm1", &[("app", "web")]).await?;
        let other = service("other").selector("app", "web").port(80).build();
        let url = format!("http://{}/", bed::serve(lab, tenant, &other).await?);
        streams.push(traffic::Stream::start(lab.far(), &url, 50, 300));
    }
    let tenant = lab.tenant("a")?;
    let left = made(lab).await?;
    let rows = seen::all_rows(lab).await?;
    let eip = bed::create(tenant, &service("web").port(80).udp(53).build()).await?;
    let url = format!("http://{eip}/");
    wait::until(&url, SOON, || traffic::get(lab.far(), &url)).await?;

    is_withdrawn_before_it_is_gone(lab, tenant, eip).await?;
    rests(lab, tenant, eip).await?;
    let what = "what was made for the Service to be gone";
    wait::until(what, QUARANTINE + SWEEP + SOON, || async {
        let (made, seen) = (made(lab).await?, seen::all_rows(lab).await?);
        ensure!(made == left && seen == rows, "{made:?} {seen:?}");
        Ok(())
    })
    .await?;
    let attached = seen::attached(lab, &tenant.vpc()).await?;
    ensure!(rows.iter().any(|row| attached.contains(&row.uuid)), "{attached:?} {rows:?}");

    for stream in streams {
        let report = stream.stop().await?;
        ensure!(report.asked > 100 && report.failures.is_empty(), "{report:?}");
    }
    let deletes = bed.cpo.metric("cpo_ovn_foreign_deletes_total").await?;
    ensure!(deletes == 0, "{deletes} rows were deleted by others");
    Ok(())
}

/// The finalizer goes last: when the Service is gone, its address no longer answers.
async fn is_withdrawn_before_it_is_gone(lab: &Lab, tenant: &Tenant, eip: Ipv4Addr) -> Result<()> {
    let key = "a/default/web";
    let before = seen::rows_of(lab, key).await?;
    ensure!(before.len() == 2 && before.iter().all(|row| !row.vips.is_empty()), "{before:?}");
    let api = bed::services(tenant);
    let begin = Instant::now();
    let deleted = api.delete("web", &DeleteParams::default()).await?;
    let waits = |service: &Service| service.metadata.finalizers.iter().flatten().count() == 1;
    ensure!(deleted.left().as_ref().is_some_and(waits), "no finalizer held the Service");
    let what = "both rows to be empty";
    let rows = wait::until(what, AT_ONCE, || async {
        let rows = seen::rows_of(lab, key).await?;
        ensure!(rows.iter().all(|row| row.vips.is_empty()), "{rows:?}");
        Ok(rows)
    })
    .await?;
    let withdrawn = begin.elapsed();
    wait::for_absence(&api, "web", SOON).await?;
    eprintln!("deleted Service: rows empty after {withdrawn:?}, gone after {:?}", begin.elapsed());
    // Emptied, not deleted: deleting a row of a router stalls northd.
    let same = |(a, b): (&seen::Row, &seen::Row)| a.uuid == b.uuid;
    ensure!(rows.len() == 2 && before.iter().zip(&rows).all(same), "{rows:?}");
    seen::closed(lab.near(), eip, 80).await?;
    seen::closed(lab.far(), eip, 80).await?;
    seen::events_come(tenant, "web", &["DeletingLoadBalancer", "DeletedLoadBalancer"]).await
}

/// For as long as the pool says, the address is nobody's.
async fn rests(lab: &Lab, tenant: &Tenant, eip: Ipv4Addr) -> Result<()> {
    let api = seen::eips(lab).await?;
    let name = eip.to_string();
    let object = api.get(&name).await.context("the Eip did not outlive its Service")?;
    let released = object.data.pointer("/status/releasedAt").and_then(Value::as_str);
    let released: jiff::Timestamp = released.context("an Eip that is not released")?.parse()?;
    let ovn_eip = seen::ovn_eip_of(lab, eip).await?;
    let ovn_eips = seen::ovn_eips(lab).await?;
    ensure!(ovn_eips.get_opt(&ovn_eip).await?.is_some(), "the OvnEip went before its time");
    let next = bed::create(tenant, &service("next").port(80).build()).await?;
    ensure!(next != eip, "{eip} was given away while it rested");
    bed::services(tenant).delete("next", &DeleteParams::default()).await?;

    wait::for_absence(&ovn_eips, &ovn_eip, QUARANTINE + SOON).await?;
    let rested: Duration = jiff::Timestamp::now().duration_since(released).try_into()?;
    ensure!(rested >= QUARANTINE, "the OvnEip went after {rested:?}");
    wait::for_absence(&api, &name, SOON).await
}

/// Names of the objects made on the under cluster for addresses.
async fn made(lab: &Lab) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for api in [seen::eips(lab).await?, seen::ovn_eips(lab).await?] {
        let list = api.list(&ListParams::default()).await?;
        names.extend(list.items.into_iter().filter_map(|o: DynamicObject| o.metadata.name));
    }
    names.sort();
    Ok(names)
}
