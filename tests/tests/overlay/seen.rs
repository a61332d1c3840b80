//! What can be seen of a Service: its rows in the Northbound database, its conditions and Events in
//! the tenant, its objects on the under cluster, and the machines its traffic reaches.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use anyhow::{Context as _, Result, bail, ensure};
use k8s_openapi::api::core::v1::{Event, Service};
use kube::Api;
use kube::api::{DynamicObject, ListParams};
use lab::netns::Host;
use lab::overlay::Tenant;
use lab::{Lab, traffic, wait};
use serde_json::Value;

use crate::bed::SOON;

/// Questions that reach every machine of a few, unless one is left out.
const QUESTIONS: usize = 24;

/// A `Load_Balancer` row of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) uuid: String,
    pub(crate) service: String,
    pub(crate) protocol: String,
    pub(crate) vips: BTreeMap<String, String>,
    pub(crate) options: BTreeMap<String, String>,
    pub(crate) selection_fields: BTreeSet<String>,
}

/// The rows of a Service, `<tenant>/<namespace>/<name>`.
pub(crate) async fn rows_of(lab: &Lab, service: &str) -> Result<Vec<Row>> {
    let mut rows = all_rows(lab).await?;
    rows.retain(|row| row.service == service);
    Ok(rows)
}

/// Every row of ours, by Service and protocol.
pub(crate) async fn all_rows(lab: &Lab) -> Result<Vec<Row>> {
    let columns = "--columns=_uuid,external_ids,protocol,vips,options,selection_fields";
    let filter = "external_ids:vendor=cpo";
    let text = lab.nb(["--format=json", columns, "find", "Load_Balancer", filter]).await?;
    let mut rows: Vec<Row> = cells(&text)?.iter().map(|cells| row(cells)).collect::<Result<_>>()?;
    // The row that says who writes serves nobody.
    rows.retain(|row| !row.service.is_empty());
    rows.sort_by_key(|row| (row.service.clone(), row.protocol.clone()));
    Ok(rows)
}

/// The UUIDs of the load balancers on a router.
pub(crate) async fn attached(lab: &Lab, router: &str) -> Result<BTreeSet<String>> {
    let filter = format!("name={router}");
    let columns = "--columns=load_balancer";
    let text = lab.nb(["--format=json", columns, "find", "Logical_Router", &filter]).await?;
    let cells = cells(&text)?;
    Ok(members(cells.first().and_then(|row| row.first()).context("no such router")?))
}

/// Waits until the vips of a Service's row are these.
pub(crate) async fn vips_become(
    lab: &Lab,
    service: &str,
    protocol: &str,
    expected: &[(String, String)],
) -> Result<()> {
    let expected: BTreeMap<_, _> = expected.iter().cloned().collect();
    wait::until(&format!("{protocol} row of {service} to hold {expected:?}"), SOON, || async {
        let rows = rows_of(lab, service).await?;
        let rows: Vec<_> = rows.iter().filter(|row| row.protocol == protocol).collect();
        ensure!(rows.len() == 1 && rows.iter().all(|row| row.vips == expected), "{rows:?}");
        Ok(())
    })
    .await
}

/// Waits until no row of a Service serves anything.
pub(crate) async fn withdrawn(lab: &Lab, service: &str) -> Result<()> {
    wait::until(&format!("rows of {service} to be empty"), SOON, || async {
        let rows = rows_of(lab, service).await?;
        ensure!(rows.iter().all(|row| row.vips.is_empty()), "{rows:?}");
        Ok(())
    })
    .await
}

/// A condition of a Service: whether it holds, its reason and message.
pub(crate) fn condition(service: &Service, kind: &str) -> Option<(bool, String, String)> {
    let kind = format!("cloud-provider-ovn.io/{kind}");
    let conditions = service.status.as_ref()?.conditions.as_ref()?;
    let found = conditions.iter().find(|condition| condition.type_ == kind)?;
    Some((found.status == "True", found.reason.clone(), found.message.clone()))
}

/// The nodePort of a Service's port.
pub(crate) fn node_port(service: &Service, port: i32) -> Result<u16> {
    let ports = service.spec.as_ref().and_then(|spec| spec.ports.as_ref());
    let found = ports.into_iter().flatten().find(|candidate| candidate.port == port);
    let node_port =
        found.and_then(|port| port.node_port).context("no such port, or no nodePort")?;
    Ok(node_port.try_into()?)
}

/// The Events of a Service: reason and message, oldest first.
pub(crate) async fn events_of(tenant: &Tenant, name: &str) -> Result<Vec<(String, String)>> {
    let api: Api<Event> = Api::namespaced(tenant.cluster().client(), "default");
    let fields = format!("involvedObject.kind=Service,involvedObject.name={name}");
    let mut events = api.list(&ListParams::default().fields(&fields)).await?.items;
    // The API server tells of Services too, when it allocates their addresses.
    let ours = |event: &Event| {
        let source = event.source.as_ref().and_then(|source| source.component.as_deref());
        source == Some("cloud-provider-ovn")
    };
    events.retain(ours);
    events.sort_by_key(|event| event.first_timestamp.clone().map(|time| time.0));
    let told = |event: Event| (event.reason.unwrap_or_default(), event.message.unwrap_or_default());
    Ok(events.into_iter().map(told).collect())
}

/// Waits for Events with these reasons on a Service.
pub(crate) async fn events_come(tenant: &Tenant, name: &str, reasons: &[&str]) -> Result<()> {
    wait::until(&format!("Events {reasons:?} on {name}"), SOON, || async {
        let events = events_of(tenant, name).await?;
        let told = |reason: &&str| events.iter().any(|(seen, _)| seen == reason);
        ensure!(reasons.iter().all(told), "{events:?}");
        Ok(())
    })
    .await
}

/// The `Eip` objects of the under cluster.
pub(crate) async fn eips(lab: &Lab) -> Result<Api<DynamicObject>> {
    lab.under().api("cloud-provider-ovn.io/v1alpha1", "Eip", "").await
}

/// The `OvnEip` objects of the under cluster.
pub(crate) async fn ovn_eips(lab: &Lab) -> Result<Api<DynamicObject>> {
    lab.under().api("kubeovn.io/v1", "OvnEip", "").await
}

/// The `OvnEip` behind an `Eip`.
pub(crate) async fn ovn_eip_of(lab: &Lab, address: Ipv4Addr) -> Result<String> {
    let eip = eips(lab).await?.get(&address.to_string()).await?;
    let name = eip.data.pointer("/spec/overlay/ovnEip").and_then(Value::as_str);
    Ok(name.context("an Eip without an OvnEip")?.to_owned())
}

/// Value of a Vip: the addresses of these machines with a nodePort.
pub(crate) async fn targets(tenant: &Tenant, vms: &[&str], node_port: u16) -> Result<String> {
    let mut addresses = BTreeSet::new();
    for vm in vms {
        addresses.insert(tenant.vm(vm).await?.address());
    }
    let targets: Vec<_> = addresses.iter().map(|ip| format!("{ip}:{node_port}")).collect();
    Ok(targets.join(","))
}

/// The machines that a client's connections to `eip:port` reach, seen on the machines themselves;
/// every connection has to be answered.
pub(crate) async fn reached(
    tenant: &Tenant,
    client: &Host,
    eip: Ipv4Addr,
    port: u16,
    node_port: u16,
) -> Result<BTreeSet<String>> {
    let vms = tenant.vms().await;
    for vm in &vms {
        vm.forget_hits().await?;
    }
    for _ in 0..QUESTIONS {
        traffic::get(client, &format!("http://{eip}:{port}/")).await?;
    }
    let mut reached = BTreeSet::new();
    for vm in &vms {
        let hits = vm.hits().await?;
        if hits.iter().any(|hit| (hit.source, hit.port) == (client.address(), node_port)) {
            reached.insert(vm.name().to_owned());
        }
    }
    Ok(reached)
}

/// Waits until nothing answers at `eip:port`.
pub(crate) async fn closed(client: &Host, eip: Ipv4Addr, port: u16) -> Result<()> {
    let url = format!("http://{eip}:{port}/");
    wait::until(&format!("{url} to be closed"), SOON, || async {
        match traffic::get_within(client, &url, std::time::Duration::from_millis(300)).await {
            Ok(answer) => bail!("{answer:?}"),
            Err(_) => Ok(()),
        }
    })
    .await
}

/// The rows of a table as `ovn-nbctl --format=json` prints it.
fn cells(text: &str) -> Result<Vec<Vec<Value>>> {
    let table: Value = serde_json::from_str(text)?;
    let rows = table.get("data").cloned().context("no table")?;
    Ok(serde_json::from_value(rows)?)
}

fn row(cells: &[Value]) -> Result<Row> {
    let [uuid, ids, protocol, vips, options, fields] = cells else { bail!("{cells:?}") };
    let ids = mapping(ids);
    Ok(Row {
        uuid: members(uuid).first().context("no _uuid")?.clone(),
        service: ids.get("service").cloned().unwrap_or_default(),
        protocol: protocol.as_str().unwrap_or_default().to_owned(),
        vips: mapping(vips),
        options: mapping(options),
        selection_fields: members(fields),
    })
}

/// The pairs of a map (RFC 7047, 5.1): `["map", [[key, value], …]]`.
fn mapping(value: &Value) -> BTreeMap<String, String> {
    let pairs = value.get(1).and_then(Value::as_array).into_iter().flatten();
    let text = |value: Option<&Value>| value.and_then(Value::as_str).unwrap_or_default().to_owned();
    pairs.map(|pair| (text(pair.get(0)), text(pair.get(1)))).collect()
}

/// The members of a set (RFC 7047, 5.1); a set of one is the member itself, and a UUID is a pair.
fn members(value: &Value) -> BTreeSet<String> {
    let kind = value.get(0).and_then(Value::as_str);
    match (kind, value.get(1)) {
        (Some("set"), Some(Value::Array(all))) => all.iter().flat_map(members).collect(),
        (Some("uuid"), Some(Value::String(uuid))) => BTreeSet::from([uuid.clone()]),
        _ => value.as_str().map(str::to_owned).into_iter().collect(),
    }
}
