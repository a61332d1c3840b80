//! What the product made, looked at where it lies: rows, OvnEips, Eips, conditions, Events.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::{Event, Service};
use kube::api::{DynamicObject, ListParams};
use kube::{Api, ResourceExt as _};
use lab::Lab;
use lab::overlay::Tenant;
use serde_json::Value;

/// A `Load_Balancer` row of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) uuid: String,
    pub(crate) protocol: String,
    /// `<tenant>/<namespace>/<name>`.
    pub(crate) service: String,
    pub(crate) vips: BTreeMap<String, String>,
}

/// Our rows, tombstones included.
pub(crate) async fn rows(lab: &Lab) -> Result<Vec<Row>> {
    let columns = "--columns=_uuid,protocol,vips,external_ids";
    let command = ["--format=json", columns, "find", "Load_Balancer", "external_ids:vendor=cpo"];
    let table: Value = serde_json::from_str(&lab.nb(command).await?)?;
    let rows = table.get("data").and_then(Value::as_array).context("no rows")?;
    let mut rows = rows.iter().map(row).collect::<Result<Vec<_>>>()?;
    // The row that says who writes serves nobody.
    rows.retain(|row| !row.service.is_empty());
    Ok(rows)
}

fn row(cells: &Value) -> Result<Row> {
    let text = |at: &str| cells.pointer(at).and_then(Value::as_str).map(str::to_owned);
    let ids = map(cells.pointer("/3/1"));
    Ok(Row {
        uuid: text("/0/1").context("a row without _uuid")?,
        protocol: text("/1").unwrap_or_default(),
        service: ids.get("service").cloned().unwrap_or_default(),
        vips: map(cells.pointer("/2/1")),
    })
}

/// The pairs of a map as OVSDB writes it.
pub(crate) fn map(pairs: Option<&Value>) -> BTreeMap<String, String> {
    let pairs = pairs.and_then(Value::as_array).into_iter().flatten();
    let text = |pair: &Value, at| pair.get(at).and_then(Value::as_str).map(str::to_owned);
    pairs.filter_map(|pair| Some((text(pair, 0)?, text(pair, 1)?))).collect()
}

/// The rows of a Service that serve something.
pub(crate) async fn live_rows(lab: &Lab, service: &str) -> Result<Vec<Row>> {
    let mut rows = rows(lab).await?;
    rows.retain(|row| row.service == service && !row.vips.is_empty());
    Ok(rows)
}

/// The `Eip`s of a Service: `("a", "default/web")`.
pub(crate) async fn eips(lab: &Lab, tenant: &str, key: &str) -> Result<Vec<DynamicObject>> {
    let api = lab.under().api("cloud-provider-ovn.io/v1alpha1", "Eip", "").await?;
    let mut all = api.list(&ListParams::default()).await?.items;
    all.retain(|eip| {
        let at = |pointer| eip.data.pointer(pointer).and_then(Value::as_str);
        at("/spec/tenant/name") == Some(tenant) && at("/spec/services/0/key") == Some(key)
    });
    Ok(all)
}

/// The one `Eip` of a Service.
pub(crate) async fn eip(lab: &Lab, tenant: &str, key: &str) -> Result<DynamicObject> {
    let mut all = eips(lab, tenant, key).await?;
    ensure!(all.len() <= 1, "several Eips of {tenant}/{key}: {all:?}");
    all.pop().with_context(|| format!("no Eip of {tenant}/{key}"))
}

/// The `OvnEip`s made for a Service: `a/default/web`.
pub(crate) async fn ovn_eips(lab: &Lab, service: &str) -> Result<Vec<DynamicObject>> {
    let api = lab.under().api("kubeovn.io/v1", "OvnEip", "").await?;
    let mut all = api.list(&ListParams::default()).await?.items;
    all.retain(|eip| {
        let annotation = eip.annotations().get("cloud-provider-ovn.io/service");
        annotation.is_some_and(|owner| owner == service)
    });
    Ok(all)
}

/// A condition of an object: status and reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Condition {
    pub(crate) holds: bool,
    pub(crate) reason: String,
    pub(crate) message: String,
    pub(crate) since: String,
}

/// A condition in an object's status.
pub(crate) fn condition(object: &Value, kind: &str) -> Option<Condition> {
    let conditions = object.pointer("/status/conditions").and_then(Value::as_array);
    let found = conditions.into_iter().flatten().find(|c| c.get("type") == Some(&kind.into()))?;
    let text = |key: &str| found.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    Some(Condition {
        holds: text("status") == "True",
        reason: text("reason"),
        message: text("message"),
        since: text("lastTransitionTime"),
    })
}

/// Condition `Programmed` of a Service.
pub(crate) fn programmed(service: &Service) -> Result<Condition> {
    let value = serde_json::to_value(service)?;
    let found = condition(&value, "cloud-provider-ovn.io/Programmed");
    found.with_context(|| format!("no condition Programmed on {}", service.name_any()))
}

/// Reasons of the Events on a tenant's Service.
pub(crate) async fn event_reasons(tenant: &Tenant, service: &str) -> Result<Vec<String>> {
    let api: Api<Event> = Api::namespaced(tenant.cluster().client(), "default");
    let only = format!("involvedObject.kind=Service,involvedObject.name={service}");
    let events = api.list(&ListParams::default().fields(&only)).await?.items;
    Ok(events.into_iter().filter_map(|event| event.reason).collect())
}
