//! Restarts of kube-ovn-controller and of `cpo` itself.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use kube::api::DeleteParams;
use lab::builders::service;
use lab::writes::mark;
use lab::{Lab, traffic, wait};

use crate::bed::{self, Bed, SOON, serve};
use crate::look::{self, Row};
use crate::stage::{QUIET, bed, delete, pause, settled, unbroken};

/// kube-ovn-controller waits for the Lease of its killed predecessor before it collects.
const COLLECTED: Duration = Duration::from_secs(60);

pub(crate) async fn overlay_survives_kube_ovn_restart() -> Result<()> {
    let bed = bed().await?;
    let lab = &bed.lab;
    let tenant = lab.tenant("a")?;
    let eip =
        serve(lab, tenant, &service("steady").selector("app", "web").port(80).build()).await?;
    let before = look::live_rows(lab, "a/default/steady").await?;
    for _ in 0..3 {
        let near = traffic::Stream::start(lab.near(), &format!("http://{eip}/"), 50, 120);
        let far = traffic::Stream::start(lab.far(), &format!("http://{eip}/"), 50, 120);
        plant_decoy(lab).await?;
        lab.kube_ovn().restart().await?;
        decoy_collected(lab).await?;
        lab.kube_ovn().wait_ready(lab.under()).await?;
        unbroken(&near.stop().await?)?;
        unbroken(&far.stop().await?)?;
    }
    ensure!(look::live_rows(lab, "a/default/steady").await? == before, "the rows changed");
    unshielded(bed, eip, &before).await?;
    delete(tenant, "steady").await
}

/// A load balancer of nobody: when it is gone, the collector has run.
async fn plant_decoy(lab: &Lab) -> Result<()> {
    lab.nb(["lb-add", "decoy", "192.0.2.1:80", "10.0.0.9:80"]).await.map(|_| ())
}

async fn decoy_collected(lab: &Lab) -> Result<()> {
    wait::until("kube-ovn-controller to collect load balancers", COLLECTED, || async {
        let left = lab.nb(["--bare", "--columns=_uuid", "find", "Load_Balancer", "name=decoy"]);
        let left = left.await?;
        ensure!(left.trim().is_empty(), "the decoy is there");
        Ok(())
    })
    .await
}

/// The shield is removed while nobody can restore it, and kube-ovn-controller collects our rows.
async fn unshielded(bed: &Bed, eip: Ipv4Addr, before: &[Row]) -> Result<()> {
    let lab = &bed.lab;
    let shield = lab.under().api("kubeovn.io/v1", "OvnDnatRule", "").await?;
    let stream = traffic::Stream::start(lab.near(), &format!("http://{eip}/"), 100, 120);
    let paused = pause(bed.cpo.process())?;
    shield.delete("cloud-provider-ovn", &DeleteParams::default()).await?;
    lab.kube_ovn().restart().await?;
    wait::until("our rows to be collected", COLLECTED, || async {
        let left = look::live_rows(lab, "a/default/steady").await?;
        ensure!(left.is_empty(), "{left:?}");
        Ok(())
    })
    .await?;
    let resumed = Instant::now();
    drop(paused);
    let after = wait::until("our rows to come back", SOON, || async {
        let rows = look::live_rows(lab, "a/default/steady").await?;
        ensure!(rows.len() == before.len(), "{rows:?}");
        Ok(rows)
    })
    .await?;
    let healed = resumed.elapsed();
    bed::answers(lab, eip).await?;
    let ready =
        |rule: &kube::api::DynamicObject| rule.data.pointer("/status/ready") == Some(&true.into());
    wait::for_object(&shield, "cloud-provider-ovn", "to be restored", SOON, ready).await?;
    let report = stream.stop().await?;
    eprintln!(
        "without the shield: no answer for {:?}, rows back {healed:?} after cpo could act; {} of {} \
         questions failed",
        report.longest_gap,
        report.failures.len(),
        report.asked
    );
    ensure!(!report.failures.is_empty(), "the rows were collected, but nobody noticed");
    ensure!(healed < Duration::from_secs(2), "healed after {healed:?} only");
    let fresh = after.iter().all(|row| before.iter().all(|old| old.uuid != row.uuid));
    ensure!(fresh, "a UUID was used twice: {before:?} {after:?}");
    lab.kube_ovn().wait_ready(lab.under()).await
}

pub(crate) async fn overlay_restart_of_cpo_writes_nothing() -> Result<()> {
    let bed = bed().await?;
    let lab = &bed.lab;
    let mut eips = Vec::new();
    for tenant in lab.tenants() {
        for n in 1..=3 {
            let wanted = service(&format!("still-{n}")).selector("app", "web").port(80).udp(53);
            let wanted = if n == 3 { wanted.local().affinity(600) } else { wanted };
            eips.push((tenant, n, serve(lab, tenant, &wanted.build()).await?));
        }
    }
    settled(bed).await?;
    let eip = eips.first().map(|(_, _, eip)| *eip).unwrap_or(Ipv4Addr::UNSPECIFIED);
    for kill in [false, true] {
        let before = look::rows(lab).await?;
        let stream = traffic::Stream::start(lab.near(), &format!("http://{eip}/"), 50, 120);
        let mark = mark(lab)?;
        if kill {
            bed.cpo.process().kill().await?;
        } else {
            bed.cpo.process().stop().await?;
        }
        bed.cpo.process().start_again()?;
        bed.cpo.ready().await?;
        all_connected(bed, 2).await?;
        wait::throughout("silence", QUIET, || async { mark.nothing_written() }).await?;
        unbroken(&stream.stop().await?)?;
        ensure!(look::rows(lab).await? == before, "the rows changed");
    }
    changes_of_others_are_answered_by_nothing(bed).await?;
    for (tenant, n, eip) in eips {
        let name = format!("still-{n}");
        ensure!(bed::address(tenant, &name).await? == eip, "{name} moved from {eip}");
        delete(tenant, &name).await?;
    }
    Ok(())
}

async fn all_connected(bed: &Bed, tenants: u64) -> Result<()> {
    wait::until("every tenant to be connected", SOON, || async {
        let connected = bed.cpo.metric("cpo_tenants_connected").await?;
        ensure!(connected == tenants, "{connected} are");
        Ok(())
    })
    .await
}

/// Objects the product watches change in ways that do not concern it. The one change that does
/// concern it comes last: when it is answered, the others were seen.
async fn changes_of_others_are_answered_by_nothing(bed: &Bed) -> Result<()> {
    let lab = &bed.lab;
    let tenant = lab.tenant("a")?;
    let mark = mark(lab)?;
    for n in 0..20 {
        let note =
            serde_json::json!({"metadata": {"annotations": {"example.org/note": n.to_string()}}});
        for (kind, version, name) in
            [("Subnet", "kubeovn.io/v1", "tenant-a"), ("Vpc", "kubeovn.io/v1", "vpc-a")]
        {
            let api = lab.under().api(version, kind, "").await?;
            let (params, patch) =
                (kube::api::PatchParams::default(), kube::api::Patch::Merge(&note));
            api.patch(name, &params, &patch).await?;
        }
        let nodes = tenant.cluster().api("v1", "Node", "").await?;
        let (params, patch) = (kube::api::PatchParams::default(), kube::api::Patch::Merge(&note));
        nodes.patch("vm1", &params, &patch).await?;
    }
    mark.nothing_written()?;
    serve(lab, tenant, &service("last").selector("app", "web").port(80).build()).await?;
    let writes = mark.writes()?;
    let seen = ["tenant-a: patch services/status", "under: create eips", "northbound: "];
    let seen = seen.iter().all(|what| writes.iter().any(|write| write.starts_with(what)));
    ensure!(seen, "not every write is seen: {writes:#?}");
    let others: Vec<_> = writes.iter().filter(|write| write.contains("still-")).collect();
    ensure!(others.is_empty(), "written: {others:#?}");
    delete(tenant, "last").await
}
