//! Two installations that were given one name by mistake, each with a Lease of its own: the
//! election knows nothing of it, and one must not undo what the other did.

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::Service;
use kube::api::{Patch, PatchParams};
use lab::builders::service;
use lab::overlay::Tenant;
use lab::{Lab, cpo, traffic, wait};
use serde_json::{Value, json};

use crate::bed::{self, SOON, answers, serve};
use crate::look;
use crate::stage::{bed, delete, pause};

/// The Lease of the second installation.
const SECOND: &str = "second";

fn web(name: &str) -> Service {
    service(name).selector("app", "web").port(80).build()
}

pub(crate) async fn overlay_writer_that_was_replaced_stops() -> Result<()> {
    let bed = bed().await?;
    let lab = &bed.lab;
    let tenant = lab.tenant("a")?;
    let eip = serve(lab, tenant, &web("moved")).await?;
    let before = epoch(lab).await?;

    let paused = pause(bed.cpo.process())?;
    let args = vec!["--lease-name".to_owned(), SECOND.to_owned()];
    let options = cpo::Options { name: "cpo-2".to_owned(), args, ..cpo::Options::default() };
    grant_second(lab).await?;
    let second = cpo::Cpo::start(lab, options).await?;
    ensure!(epoch(lab).await? == before, "who has nothing to write has taken over");
    change_port(tenant, "moved", 8080).await?;
    answers_at(lab, eip, 8080).await?;
    let after = epoch(lab).await?;
    ensure!(after.number > before.number && after.writer != before.writer, "{after:?}");

    drop(paused);
    change_port(tenant, "moved", 8081).await?;
    bed.cpo.process().ended(SOON).await.context("the first goes on writing")?;
    let last = bed.cpo.process().last_lines(20);
    ensure!(last.contains("has taken over writing"), "it does not say why it stops: {last}");
    answers_at(lab, eip, 8081).await?;
    ensure!(epoch(lab).await? == after, "{after:?} was raised by the first");

    destroy_epoch(lab).await?;
    change_port(tenant, "moved", 8082).await?;
    answers_at(lab, eip, 8082).await?;
    ensure!(second.process().alive(), "a row that others delete is no other writer");
    ensure!(epoch(lab).await?.writer == after.writer, "it was not made again");
    ensure!(look::live_rows(lab, "a/default/moved").await?.len() == 1, "not one row");

    second.process().stop().await?;
    bed.cpo.process().start_again()?;
    bed.cpo.ready().await?;
    change_port(tenant, "moved", 80).await?;
    answers(lab, eip).await?;
    delete(tenant, "moved").await
}

/// The rights of `rbac.yaml`, for the Lease of the second installation.
async fn grant_second(lab: &Lab) -> Result<()> {
    let group = "rbac.authorization.k8s.io";
    let (version, name) = (format!("{group}/v1"), "second-leader");
    let meta = json!({"name": name, "namespace": cpo::NAME});
    let verbs = ["get", "list", "watch", "update"];
    let role = json!({
        "apiVersion": version, "kind": "Role", "metadata": meta,
        "rules": [{
            "apiGroups": ["coordination.k8s.io"], "resources": ["leases"],
            "resourceNames": [SECOND], "verbs": verbs,
        }],
    });
    let account = json!({"kind": "ServiceAccount", "name": cpo::NAME, "namespace": cpo::NAME});
    let binding = json!({
        "apiVersion": version, "kind": "RoleBinding", "metadata": meta,
        "roleRef": {"apiGroup": group, "kind": "Role", "name": name},
        "subjects": [account],
    });
    lab.under().apply(&role).await?;
    lab.under().apply(&binding).await.map(|_| ())
}

async fn change_port(tenant: &Tenant, name: &str, port: u16) -> Result<()> {
    let patch = json!([{"op": "replace", "path": "/spec/ports/0/port", "value": port}]);
    let patch = Patch::<()>::Json(serde_json::from_value(patch)?);
    bed::services(tenant).patch(name, &PatchParams::default(), &patch).await?;
    Ok(())
}

async fn answers_at(lab: &Lab, eip: std::net::Ipv4Addr, port: u16) -> Result<()> {
    let url = format!("http://{eip}:{port}/");
    wait::until(&format!("an answer from {url}"), SOON, || traffic::get(lab.near(), &url)).await?;
    Ok(())
}

/// Who may write, as the database says.
#[derive(Debug, PartialEq, Eq)]
struct Epoch {
    number: u64,
    writer: String,
}

async fn epoch(lab: &Lab) -> Result<Epoch> {
    let columns = "--columns=external_ids,vips";
    let command = ["--format=json", columns, "find", "Load_Balancer", "external_ids:role=epoch"];
    let table: Value = serde_json::from_str(&lab.nb(command).await?)?;
    let rows = table.get("data").and_then(Value::as_array).context("no rows")?;
    ensure!(rows.len() == 1, "{} rows hold an epoch", rows.len());
    let ids = look::map(rows.first().and_then(|row| row.pointer("/0/1")));
    Ok(Epoch {
        number: ids.get("epoch").context("no epoch")?.parse()?,
        writer: ids.get("writer").context("no writer")?.clone(),
    })
}

async fn destroy_epoch(lab: &Lab) -> Result<()> {
    let find = ["--bare", "--columns=_uuid", "find", "Load_Balancer", "external_ids:role=epoch"];
    let uuid = lab.nb(find).await?.trim().to_owned();
    lab.nb(["destroy", "Load_Balancer", &uuid]).await.map(|_| ())
}
