//! What others take away comes back.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use kube::ResourceExt as _;
use kube::api::{DeleteParams, DynamicObject};
use lab::builders::service;
use lab::{traffic, wait};
use serde_json::Value;

use crate::bed::{self, Bed};
use crate::seen;

/// How long an `OvnEip` that others deleted may be away.
const BACK: Duration = Duration::from_secs(2);

pub(crate) async fn overlay_ovneip_deleted_by_others_comes_back() -> Result<()> {
    let bed = Bed::start(1).await?;
    let lab = &bed.lab;
    let tenant = lab.tenant("a")?;
    for vm in ["vm1", "vm2"] {
        tenant.add_pod(&format!("web-{vm}"), vm, &[("app", "web")]).await?;
    }
    let eip = bed::serve(lab, tenant, &service("web").port(80).build()).await?;
    let name = seen::ovn_eip_of(lab, eip).await?;
    let api = seen::ovn_eips(lab).await?;
    let rows = seen::rows_of(lab, "a/default/web").await?;
    let service = bed::services(tenant).get("web").await?;
    let stream = traffic::Stream::start(lab.far(), &format!("http://{eip}/"), 50, 120);

    for _ in 0..3 {
        let before = api.get(&name).await?.uid().context("no UID")?;
        let begin = Instant::now();
        api.delete(&name, &DeleteParams::default()).await?;
        let granted = |object: &DynamicObject| {
            let status = |field: &str| object.data.get("status").and_then(|s| s.get(field));
            object.uid().is_some_and(|uid| uid != before)
                && status("ready") == Some(&Value::Bool(true))
                && status("v4Ip") == Some(&Value::from(eip.to_string()))
        };
        let what = format!("to hold {eip} again");
        wait::for_object(&api, &name, &what, BACK, granted).await?;
        eprintln!("OvnEip deleted by others: {eip} held again after {:?}", begin.elapsed());
    }

    for client in [lab.near(), lab.far()] {
        traffic::get(client, &format!("http://{eip}/")).await?;
    }
    let report = stream.stop().await?;
    ensure!(report.failures.is_empty(), "{report:?}");
    ensure!(seen::rows_of(lab, "a/default/web").await? == rows, "the rows changed");
    let after = bed::services(tenant).get("web").await?;
    ensure!(after.status == service.status, "{:?} became {:?}", service.status, after.status);
    Ok(())
}
