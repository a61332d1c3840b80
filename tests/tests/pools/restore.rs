//! The under cluster's etcd is set back to a snapshot while OVN is not.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};
use kube::api::DeleteParams;
use lab::builders::service;
use lab::{Lab, traffic, wait};

use crate::bed::{self, Bed, SOON};
use crate::look;

/// Time for watches of an API server that was away, and for a rest to end.
const AGAIN: std::time::Duration = std::time::Duration::from_secs(90);

/// The rows that serve something: Service and Vips.
async fn served(lab: &Lab) -> Result<BTreeMap<String, Vec<String>>> {
    let rows = look::rows(lab).await?.into_iter().filter(|row| !row.vips.is_empty());
    Ok(rows.map(|row| (row.service, row.vips.into_keys().collect())).collect())
}

pub(crate) async fn under_cluster_set_back_tears_nothing_down() -> Result<()> {
    let bed = Bed::start(1).await?;
    let lab = &bed.lab;
    let tenant = lab.tenant("a")?;
    for vm in ["vm1", "vm2"] {
        tenant.add_pod(&format!("web-{vm}"), vm, &[("app", "web")]).await?;
    }
    let web = |name: &str| service(name).selector("app", "web").port(80);
    let stays = bed::serve(lab, tenant, &web("stays").build()).await?;
    let goes = bed::create(tenant, &web("goes").build()).await?;
    let snapshot = lab.under().snapshot("an-hour-ago").await?;
    bed.cpo.ready().await?;

    // An hour later one is gone, one has its address, and one is new.
    bed::services(tenant).delete("goes", &DeleteParams::default()).await?;
    wait::for_absence(&bed::services(tenant), "goes", AGAIN).await?;
    let eips = lab.under().api("cloud-provider-ovn.io/v1alpha1", "Eip", "").await?;
    wait::for_absence(&eips, &goes.to_string(), AGAIN).await?;
    let heir = bed::serve(lab, tenant, &web("heir").address(&goes.to_string()).build()).await?;
    ensure!(heir == goes, "{heir}");
    let new = bed::serve(lab, tenant, &web("new").build()).await?;
    let before = served(lab).await?;
    let streams = [stays, heir, new]
        .map(|eip| traffic::Stream::start(lab.far(), &format!("http://{eip}/"), 20, 300));

    lab.under().set_back(&snapshot).await?;
    lab.kube_ovn().restart().await?;
    bed.cpo.ready().await?;
    for (name, address) in [("stays", stays), ("heir", heir), ("new", new)] {
        let key = format!("default/{name}");
        wait::until(&format!("a record of {name}"), AGAIN, || async {
            let eip = look::eip(lab, "a", &key).await?;
            let named = eip.metadata.name.clone().context("no name")?;
            ensure!(named == address.to_string(), "{key} is recorded at {named}");
            Ok(())
        })
        .await?;
        ensure!(bed::address(tenant, name).await? == address, "{name} was moved");
    }
    ensure!(served(lab).await? == before, "rows changed");
    for stream in streams {
        let report = stream.stop().await?;
        ensure!(report.failures.is_empty(), "{report:?}");
    }
    // And it goes on from there.
    let late = bed::create(tenant, &web("late").build()).await?;
    let url = format!("http://{late}/");
    wait::until("an answer", SOON, || traffic::get(lab.near(), &url)).await?;
    Ok(())
}
