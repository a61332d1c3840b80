//! Something that `cpo` depends on is away: the Northbound database, the under cluster, a tenant;
//! or an object cannot be read.

use std::time::Duration;

use anyhow::{Result, ensure};
use k8s_openapi::api::core::v1::Service;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use lab::builders::service;
use lab::overlay::Tenant;
use lab::process::Process;
use lab::writes::mark;
use lab::{Lab, cpo, traffic, wait};
use serde_json::{Value, json};

use crate::bed::{self, Bed, SOON, answers, serve};
use crate::look;
use crate::stage::{TRIED_AGAIN, bed, connected, delete, kill, pause, settled, unbroken};

/// How long the product is watched for a write that must not come.
const WATCHED: Duration = Duration::from_secs(3);

/// The metric of transactions that were committed.
const COMMITTED: &str = "cpo_ovn_transactions_total{outcome=\"committed\"}";

fn web(name: &str) -> Service {
    service(name).selector("app", "web").port(80).build()
}

pub(crate) async fn overlay_waits_for_the_northbound_database() -> Result<()> {
    let bed = bed().await?;
    let lab = &bed.lab;
    let tenant = lab.tenant("a")?;
    let before = serve(lab, tenant, &web("before")).await?;
    serve(lab, tenant, &web("leaving")).await?;
    let stream = traffic::Stream::start(lab.near(), &format!("http://{before}/"), 50, 120);
    let database = lab.ovn().northbound();
    let connections = bed.cpo.metric("cpo_ovn_connections_total").await?;
    let failures = bed.cpo.metric("cpo_ovn_connection_failures_total").await?;
    let committed = bed.cpo.metric(COMMITTED).await?;
    ensure!(connections > 0 && committed > 0, "{connections} connections, {committed} committed");
    let killed = kill(database.process()).await?;
    readiness(bed, 503, "OVNUnavailable").await?;
    ensure!(bed.cpo.metric("cpo_ovn_connected").await? == 0, "it is told to be connected");
    ensure!(bed.cpo.metric("cpo_ovn_connection_failures_total").await? > failures, "no failure");

    let api = bed::services(tenant);
    api.create(&PostParams::default(), &web("during")).await?;
    api.delete("leaving", &DeleteParams::default()).await?;
    change_port(tenant, "before", 8080).await?;
    for name in ["during", "before"] {
        told(tenant, name, "OVNUnavailable").await?;
    }
    let leaving = api.get("leaving").await?;
    ensure!(leaving.metadata.finalizers.is_some(), "let go while its rows may be live");

    drop(killed);
    database.ready().await?;
    revived(lab, lab.kube_ovn().process()).await?;
    readiness(bed, 200, "ready").await?;
    answers(lab, bed::address(tenant, "during").await?).await?;
    let moved = format!("http://{before}:8080/");
    wait::until("an answer on the new port", SOON, || traffic::get(lab.near(), &moved)).await?;
    wait::for_absence(&api, "leaving", SOON).await?;
    ensure!(look::live_rows(lab, "a/default/leaving").await?.is_empty(), "live rows of nobody");
    for name in ["during", "before"] {
        wait::for_object(&api, name, "no complaint", SOON, clean).await?;
    }
    ensure!(bed.cpo.metric("cpo_ovn_connected").await? == 1, "it is told not to be connected");
    ensure!(bed.cpo.metric("cpo_ovn_connections_total").await? > connections, "no connection");
    ensure!(bed.cpo.metric(COMMITTED).await? > committed, "no transaction");
    // The old port was answered until the rows changed, never refused before.
    let report = stream.stop().await?;
    ensure!(report.answered > 0, "{report:?}");
    for name in ["during", "before"] {
        delete(tenant, name).await?;
    }
    Ok(())
}

/// A server that keeps its connections and answers nothing is away too.
pub(crate) async fn overlay_notices_a_northbound_database_that_hangs() -> Result<()> {
    let bed = bed().await?;
    let lab = &bed.lab;
    let tenant = lab.tenant("a")?;
    let paused = pause(lab.ovn().northbound().process())?;
    readiness(bed, 503, "OVNUnavailable").await?;
    bed::services(tenant).create(&PostParams::default(), &web("hung")).await?;
    told(tenant, "hung", "OVNUnavailable").await?;
    drop(paused);
    revived(lab, lab.kube_ovn().process()).await?;
    readiness(bed, 200, "ready").await?;
    answers(lab, bed::address(tenant, "hung").await?).await?;
    ensure!(look::live_rows(lab, "a/default/hung").await?.len() == 1, "not one row");
    delete(tenant, "hung").await
}

pub(crate) async fn overlay_writes_nothing_without_the_under_cluster() -> Result<()> {
    let bed = bed().await?;
    let lab = &bed.lab;
    let tenant = lab.tenant("a")?;
    let stays = serve(lab, tenant, &web("stays")).await?;
    serve(lab, tenant, &web("leaves")).await?;
    settled(bed).await?;
    let stream = traffic::Stream::start(lab.near(), &format!("http://{stays}/"), 50, 180);
    let rows = look::rows(lab).await?;
    let killed = kill(lab.under().api_server()).await?;
    readiness(bed, 503, "under cluster").await?;
    let mark = mark(lab)?;

    let api = bed::services(tenant);
    api.create(&PostParams::default(), &web("comes")).await?;
    api.delete("leaves", &DeleteParams::default()).await?;
    add_port(tenant, "stays", 8080).await?;
    tenant.set_node_ready("vm2", false).await?;
    wait::throughout("silence", WATCHED, || async { mark.nothing_written() }).await?;
    ensure!(look::rows(lab).await? == rows, "the rows changed");
    tenant.set_node_ready("vm2", true).await?;

    drop(killed);
    lab.under().ready().await?;
    revived(lab, lab.kube_ovn().process()).await?;
    wait::until("cpo to be ready", TRIED_AGAIN, || bed.cpo.ready()).await?;
    answers(lab, bed::address(tenant, "comes").await?).await?;
    let added = format!("http://{stays}:8080/");
    wait::until("an answer on the new port", SOON, || traffic::get(lab.near(), &added)).await?;
    wait::for_absence(&api, "leaves", SOON).await?;
    unbroken(&stream.stop().await?)?;
    for name in ["stays", "comes"] {
        delete(tenant, name).await?;
    }
    Ok(())
}

pub(crate) async fn tenant_that_is_not_reachable_keeps_what_it_has() -> Result<()> {
    let bed = bed().await?;
    let lab = &bed.lab;
    let (tenant, other) = (lab.tenant("a")?, lab.tenant("b")?);
    let kept = serve(lab, tenant, &web("kept")).await?;
    serve(lab, tenant, &web("gone")).await?;
    let stream = traffic::Stream::start(lab.near(), &format!("http://{kept}/"), 50, 240);
    let killed = kill(tenant.cluster().api_server()).await?;
    connected(lab, "a", false, "TenantUnreachable").await?;
    unbroken(&stream.stop().await?)?;

    // What is known of the under cluster is applied still. (A connection to a machine that leaves
    // is reset, so nothing is asked meanwhile.)
    let vm = tenant.vm("vm2").await?;
    let address = format!("{}:", vm.address());
    vm.set_phase("Stopped").await?;
    backends(lab, "a/default/kept", |all| !all.contains(&address)).await?;
    vm.set_phase("Running").await?;
    backends(lab, "a/default/kept", |all| all.contains(&address)).await?;
    answers(lab, kept).await?;
    let rows = look::live_rows(lab, "a/default/kept").await?;
    for row in &rows {
        lab.nb(["lb-del", row.uuid.as_str()]).await?;
    }
    backends(lab, "a/default/kept", |all| all.contains(&address)).await?;
    answers(lab, kept).await?;
    serve(lab, other, &web("beside")).await?;

    // A start while the tenant is away keeps everything too.
    let rows = look::rows(lab).await?;
    bed.cpo.process().kill().await?;
    bed.cpo.process().start_again()?;
    bed.cpo.ready().await?;
    let mark = mark(lab)?;
    wait::throughout("silence", WATCHED, || async {
        let mut writes = mark.writes()?;
        // How the tenant cannot be reached is told anew, and what was not counted yet is counted.
        let counts = ["tenantclusters/status", "addresspools/status"];
        writes.retain(|write| !counts.iter().any(|status| write.contains(status)));
        ensure!(writes.is_empty(), "written: {writes:#?}");
        Ok(())
    })
    .await?;
    ensure!(look::rows(lab).await? == rows, "the rows changed");
    traffic::get(lab.near(), &format!("http://{kept}/")).await?;

    drop(killed);
    tenant.cluster().ready().await?;
    // Changed before anybody looks again: only the list can tell.
    add_port(tenant, "kept", 8080).await?;
    bed::services(tenant).delete("gone", &DeleteParams::default()).await?;
    connected(lab, "a", true, "Connected").await?;
    let added = format!("http://{kept}:8080/");
    wait::until("an answer on the new port", SOON, || traffic::get(lab.near(), &added)).await?;
    wait::for_absence(&bed::services(tenant), "gone", SOON).await?;
    delete(tenant, "kept").await?;
    delete(other, "beside").await
}

/// The rights in a tenant are taken away: what it has stays, also over a start of `cpo`.
pub(crate) async fn tenant_that_refuses_us_keeps_what_it_has() -> Result<()> {
    let bed = bed().await?;
    let lab = &bed.lab;
    let tenant = lab.tenant("a")?;
    let kept = serve(lab, tenant, &web("held")).await?;
    let version = "rbac.authorization.k8s.io/v1";
    let bindings = tenant.cluster().api(version, "ClusterRoleBinding", "").await?;
    let binding = bindings.get(cpo::NAME).await?;
    let rows = look::rows(lab).await?;
    bindings.delete(cpo::NAME, &DeleteParams::default()).await?;
    bed.cpo.process().restart().await?;
    bed.cpo.ready().await?;
    connected(lab, "a", false, "TenantUnreachable").await?;
    serve(lab, lab.tenant("b")?, &web("besides")).await?;
    let now = look::rows(lab).await?;
    ensure!(rows.iter().all(|row| now.contains(row)), "{rows:?} became {now:?}");
    traffic::get(lab.near(), &format!("http://{kept}/")).await?;
    let binding = json!({
        "apiVersion": version, "kind": "ClusterRoleBinding", "metadata": {"name": cpo::NAME},
        "roleRef": binding.data.get("roleRef"), "subjects": binding.data.get("subjects"),
    });
    tenant.cluster().apply(&binding).await?;
    connected(lab, "a", true, "Connected").await?;
    delete(tenant, "held").await?;
    delete(lab.tenant("b")?, "besides").await
}

pub(crate) async fn malformed_objects_degrade_themselves_alone() -> Result<()> {
    let bed = bed().await?;
    let lab = &bed.lab;
    let tenant = lab.tenant("a")?;
    let under = lab.under();
    let apply = async |object: Value| under.apply(&object).await.map(|_| ());
    let ours = |kind: &str, name: &str, spec: Value| {
        json!({
            "apiVersion": "cloud-provider-ovn.io/v1alpha1", "kind": kind,
            "metadata": {"name": name}, "spec": spec,
        })
    };
    apply(ours(
        "AddressPool",
        "broken",
        json!({"ovnSubnet": "external", "excludes": ["198.51.100.9-198.51.100.5"]}),
    ))
    .await?;
    apply(ours("AddressPool", "nowhere", json!({"ovnSubnet": "none"}))).await?;
    let mut nobody = cpo::tenant_cluster(tenant, json!({}));
    if let Some(name) = nobody.pointer_mut("/spec/kubeconfig/secretRef/name") {
        *name = json!("no-such-secret");
    }
    if let Some(name) = nobody.pointer_mut("/metadata/name") {
        *name = json!("nobody");
    }
    apply(nobody).await?;
    apply(unreadable("VirtualMachineInstance")).await?;
    let instances = under.api("kubevirt.io/v1", "VirtualMachineInstance", "tenant-a").await?;
    let phase = Patch::Merge(json!({"status": {"phase": 7}}));
    instances.patch_status("unreadable", &PatchParams::default(), &phase).await?;

    pool_says(lab, "broken", "Invalid").await?;
    pool_says(lab, "nowhere", "SubnetNotFound").await?;
    connected(lab, "nobody", false, "KubeconfigRejected").await?;
    let wish = service("strange").selector("app", "web").port(80).address("300.1.2.3").build();
    bed::services(tenant).create(&PostParams::default(), &wish).await?;
    told(tenant, "strange", "RequestConflict").await?;
    serve(lab, tenant, &web("sound-1")).await?;
    let eip = look::eip(lab, "a", "default/sound-1").await?;
    let pool = eip.data.pointer("/spec/pool").and_then(Value::as_str);
    ensure!(pool == Some("public"), "drawn from {pool:?}");
    // The same when all of them are in the first lists.
    bed.cpo.process().restart().await?;
    bed.cpo.ready().await?;
    serve(lab, tenant, &web("sound-2")).await?;

    for (version, kind, namespace, name) in [
        ("cloud-provider-ovn.io/v1alpha1", "AddressPool", "", "broken"),
        ("cloud-provider-ovn.io/v1alpha1", "AddressPool", "", "nowhere"),
        ("cloud-provider-ovn.io/v1alpha1", "TenantCluster", "", "nobody"),
        ("kubevirt.io/v1", "VirtualMachineInstance", "tenant-a", "unreadable"),
    ] {
        let api = under.api(version, kind, namespace).await?;
        api.delete(name, &DeleteParams::default()).await?;
    }
    for name in ["strange", "sound-1", "sound-2"] {
        delete(tenant, name).await?;
    }
    Ok(())
}

fn unreadable(kind: &str) -> Value {
    json!({
        "apiVersion": "kubevirt.io/v1", "kind": kind,
        "metadata": {"name": "unreadable", "namespace": "tenant-a"}, "spec": {},
    })
}

/// What the kubelet would do: starts a component again that gave up.
async fn revived(lab: &Lab, process: &Process) -> Result<()> {
    if !process.alive() {
        process.start_again()?;
    }
    lab.kube_ovn().wait_ready(lab.under()).await
}

async fn readiness(bed: &Bed, code: u16, text: &str) -> Result<()> {
    wait::until(&format!("/readyz to say {code} {text}"), TRIED_AGAIN, || async {
        let (seen, body) = bed.cpo.http("/readyz").await?;
        ensure!(seen == code && body.contains(text), "{seen} {body}");
        Ok(())
    })
    .await
}

/// Waits until a Service is refused with a reason: in its condition and in an Event.
async fn told(tenant: &Tenant, name: &str, reason: &str) -> Result<()> {
    let api = bed::services(tenant);
    wait::for_object(&api, name, reason, SOON, |service| {
        look::programmed(service).is_ok_and(|c| !c.holds && c.reason == reason)
    })
    .await?;
    wait::until(&format!("an Event {reason} on {name}"), SOON, || async {
        let reasons = look::event_reasons(tenant, name).await?;
        ensure!(reasons.iter().any(|r| r == reason), "{reasons:?}");
        Ok(())
    })
    .await
}

fn clean(service: &Service) -> bool {
    look::programmed(service).is_ok_and(|c| c.holds && c.reason == "Programmed")
}

async fn change_port(tenant: &Tenant, name: &str, port: u16) -> Result<()> {
    let patch = json!([{"op": "replace", "path": "/spec/ports/0/port", "value": port}]);
    patched(tenant, name, patch).await
}

async fn add_port(tenant: &Tenant, name: &str, port: u16) -> Result<()> {
    let value = json!({"name": format!("tcp-{port}"), "port": port, "targetPort": 8080});
    patched(tenant, name, json!([{"op": "add", "path": "/spec/ports/-", "value": value}])).await
}

async fn patched(tenant: &Tenant, name: &str, patch: Value) -> Result<()> {
    let patch = Patch::Json::<()>(serde_json::from_value(patch)?);
    bed::services(tenant).patch(name, &PatchParams::default(), &patch).await?;
    Ok(())
}

async fn pool_says(lab: &Lab, name: &str, reason: &str) -> Result<()> {
    let api = lab.under().api("cloud-provider-ovn.io/v1alpha1", "AddressPool", "").await?;
    wait::for_object(&api, name, reason, SOON, |pool| {
        look::condition(&pool.data, "Ready").is_some_and(|c| !c.holds && c.reason == reason)
    })
    .await?;
    Ok(())
}

async fn backends(lab: &Lab, service: &str, is: impl Fn(&str) -> bool) -> Result<()> {
    wait::until(&format!("other backends of {service}"), SOON, || async {
        let rows = look::live_rows(lab, service).await?;
        let all: Vec<_> = rows.iter().flat_map(|row| row.vips.values().cloned()).collect();
        ensure!(!all.is_empty() && is(&all.join(",")), "{all:?}");
        Ok(())
    })
    .await
}
