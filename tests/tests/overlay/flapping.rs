//! Rows that come and go by the thousand do not bring ovn-northd down.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use k8s_openapi::api::core::v1::Service;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use lab::builders::service;
use lab::overlay::Tenant;
use lab::{Lab, cpo, traffic, wait};
use serde_json::{Value, json};

use crate::bed::{self, Bed, SOON};
use crate::seen;

/// Services whose rows a foreign hand deletes.
const MANY: usize = 500;
/// How often it does.
const DELETIONS: usize = 10;
/// Services that flap, half by type and half by creation and deletion.
const FLAPPING: usize = 20;
/// Rounds of each; a round changes its Service twice.
const ROUNDS: usize = 25;
/// How long it may take until all of the many are as they should be.
const ALL: Duration = Duration::from_secs(120);

pub(crate) async fn overlay_flapping_service_leaves_northd_alive() -> Result<()> {
    // Sweeps at short intervals make more rows go for good than the default.
    let args = ["--sweep-period", "2s"].map(str::to_owned);
    let options = cpo::Options { args: args.into(), ..cpo::Options::default() };
    let lab = Lab::overlay().tenants(1).vms(2).many_addresses().start().await?;
    let bed = Bed::on(lab, options).await?;
    let (lab, tenant) = (&bed.lab, bed.lab.tenant("a")?);
    // Long enough for no flapping Service to lose its address.
    lab.under().apply(&bed::pool(600)).await?;
    tenant.add_pod("web-1", "vm1", &[("app", "web")]).await?;
    let northd = lab.ovn().northd()?;
    let pid = northd.pid().context("northd does not run")?;

    let begin = Instant::now();
    tokio::try_join!(create_many(tenant), flap(tenant))?;
    let flips = FLAPPING * ROUNDS * 2;
    eprintln!("{flips} flips beside {MANY} new Services: {:?}", begin.elapsed());
    every_service_has_its_row(lab).await?;
    for round in 0..DELETIONS {
        let rows = seen::all_rows(lab).await?;
        ensure!(rows.len() >= MANY, "{} rows", rows.len());
        northd.pause()?;
        let begin = Instant::now();
        delete_rows(lab, &rows).await?;
        // Northd sees deletion and return at once, or one after the other.
        if round % 2 == 0 {
            every_service_has_its_row(lab).await?;
            northd.resume()?;
        } else {
            northd.resume()?;
            every_service_has_its_row(lab).await?;
        }
        eprintln!("{} rows deleted by others are back after {:?}", rows.len(), begin.elapsed());
        lab.nb(["--wait=sb", "sync"]).await?;
        ensure!(northd.pid() == Some(pid), "northd died: {}", northd.last_lines(20));
    }
    no_uuid_was_used_twice(lab)?;
    addresses_answer(lab, tenant).await?;
    ensure!(northd.pid() == Some(pid), "northd died: {}", northd.last_lines(20));
    let deletes = bed.cpo.metric("cpo_ovn_foreign_deletes_total").await?;
    ensure!(deletes > 0, "rows that others deleted are not counted");
    Ok(())
}

/// Services of tenant `a` that are to have an address and a row at the end.
fn expected() -> BTreeSet<String> {
    let many = (0..MANY).map(|number| format!("many-{number}"));
    many.chain((0..FLAPPING).map(|number| format!("flap-{number}"))).collect()
}

fn web(name: &str) -> Service {
    service(name).selector("app", "web").port(80).build()
}

async fn create_many(tenant: &Tenant) -> Result<()> {
    let api = bed::services(tenant);
    let creating = stream::iter((0..MANY).map(|number| web(&format!("many-{number}"))));
    let create = async |service: Service| api.create(&PostParams::default(), &service).await;
    creating.map(create).buffer_unordered(8).try_collect::<Vec<_>>().await?;
    wait::until("all of the many to have an address", ALL, || async {
        let services = api.list(&ListParams::default()).await?.items;
        let many = services.iter().filter(|s| named(s).starts_with("many-"));
        let without = many.filter(|s| bed::published(s).is_none()).count();
        ensure!(without == 0, "{without} of {MANY} have none");
        Ok(())
    })
    .await
}

fn named(service: &Service) -> &str {
    service.metadata.name.as_deref().unwrap_or_default()
}

async fn flap(tenant: &Tenant) -> Result<()> {
    let flapping = (0..FLAPPING).map(async |number| {
        let name = format!("flap-{number}");
        bed::services(tenant).create(&PostParams::default(), &web(&name)).await?;
        for round in 0..ROUNDS {
            // Every other round the product is overtaken by the next change.
            if round % 2 == 0 {
                bed::address(tenant, &name).await.with_context(|| format!("round {round}"))?;
            }
            if number % 2 == 0 {
                change_type(tenant, &name).await?;
            } else {
                delete_and_create(tenant, &name).await?;
            }
        }
        anyhow::Ok(())
    });
    futures::future::try_join_all(flapping).await.map(|_| ())
}

async fn change_type(tenant: &Tenant, name: &str) -> Result<()> {
    let api = bed::services(tenant);
    for kind in ["ClusterIP", "LoadBalancer"] {
        let patch = Patch::Merge(json!({"spec": {"type": kind}}));
        api.patch(name, &PatchParams::default(), &patch).await?;
    }
    Ok(())
}

async fn delete_and_create(tenant: &Tenant, name: &str) -> Result<()> {
    let api = bed::services(tenant);
    api.delete(name, &DeleteParams::default()).await?;
    wait::for_absence(&api, name, SOON).await?;
    api.create(&PostParams::default(), &web(name)).await?;
    Ok(())
}

/// One row each, that serves something and is attached.
async fn every_service_has_its_row(lab: &Lab) -> Result<()> {
    let expected: BTreeSet<_> = expected().iter().map(|name| format!("a/default/{name}")).collect();
    wait::until("a row for every Service", ALL, || async {
        let rows = seen::all_rows(lab).await?;
        let attached = seen::attached(lab, "vpc-a").await?;
        let live = rows.iter().filter(|r| !r.vips.is_empty() && attached.contains(&r.uuid));
        let live: Vec<_> = live.map(|row| row.service.clone()).collect();
        let services: BTreeSet<_> = live.iter().cloned().collect();
        ensure!(live.len() == services.len(), "{} rows of {} Services", live.len(), services.len());
        let missing: Vec<_> = expected.symmetric_difference(&services).collect();
        ensure!(missing.is_empty(), "{} differ, such as {:?}", missing.len(), missing.first());
        Ok(())
    })
    .await
}

/// All in one transaction, as kube-ovn-controller's collector or an operator would.
async fn delete_rows(lab: &Lab, rows: &[seen::Row]) -> Result<()> {
    let words = ["destroy", "Load_Balancer"].map(str::to_owned).into_iter();
    lab.nb(words.chain(rows.iter().map(|row| row.uuid.clone()))).await.map(|_| ())
}

/// Reads the database's own log (ovsdb(5), "Standalone Database Files"): records of a header line
/// and a line of JSON, in which a row is named with its new columns, or `null` when it is deleted.
fn no_uuid_was_used_twice(lab: &Lab) -> Result<()> {
    let file = std::fs::read_to_string(lab.space().data().join("ovn/nb.db"))?;
    let records = file.lines().filter(|line| line.starts_with('{'));
    let (mut live, mut dead) = (BTreeSet::new(), BTreeSet::new());
    for record in records {
        let record: BTreeMap<String, Value> = serde_json::from_str(record)?;
        let rows = record.get("Load_Balancer").and_then(Value::as_object);
        for (uuid, columns) in rows.into_iter().flatten() {
            if columns.is_null() {
                live.remove(uuid);
                dead.insert(uuid.clone());
            } else if dead.contains(uuid) {
                bail!("row {uuid} was deleted and inserted again");
            } else {
                live.insert(uuid.clone());
            }
        }
    }
    eprintln!("{} rows were inserted, {} deleted", live.len() + dead.len(), dead.len());
    ensure!(dead.len() >= MANY * DELETIONS, "the log is not whole: {} deletions", dead.len());
    Ok(())
}

/// Every flapping Service answers, and every 25th of the many.
async fn addresses_answer(lab: &Lab, tenant: &Tenant) -> Result<()> {
    for name in expected().iter().filter(|n| n.starts_with("flap") || n.ends_with("25")) {
        let url = format!("http://{}/", bed::address(tenant, name).await?);
        let what = format!("{name} to answer");
        wait::until(&what, SOON, || traffic::get(lab.far(), &url)).await?;
    }
    Ok(())
}
