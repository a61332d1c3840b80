//! The one bed that these tests share, and how they disturb it.

use std::net::Ipv4Addr;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::Service;
use kube::api::DeleteParams;
use lab::overlay::Tenant;
use lab::process::Process;
use lab::{Lab, traffic, wait};
use tokio::sync::OnceCell;

use crate::bed::{self, Bed, SOON};
use crate::look;

/// The longest wait between two tries of a watch or a tenant, and time to list.
pub(crate) const TRIED_AGAIN: Duration = Duration::from_secs(60);

static BED: OnceCell<Bed> = OnceCell::const_new();

/// The bed: tenants `a` and `b`, each with pods of `app=web` on both machines.
pub(crate) async fn bed() -> Result<&'static Bed> {
    let bed = BED.get_or_try_init(start).await?;
    if !bed.cpo.process().alive() {
        // A test that failed may have left it so.
        bed.cpo.process().start_again()?;
    }
    bed.cpo.ready().await?;
    Ok(bed)
}

async fn start() -> Result<Bed> {
    let bed = Bed::start(2).await?;
    for tenant in bed.lab.tenants() {
        for vm in ["vm1", "vm2"] {
            tenant.add_pod(&format!("web-{vm}"), vm, &[("app", "web")]).await?;
        }
    }
    Ok(bed)
}

/// A component that is paused until this is dropped.
pub(crate) struct Paused<'a>(&'a Process);

/// Pauses a component.
pub(crate) fn pause(process: &Process) -> Result<Paused<'_>> {
    process.pause()?;
    Ok(Paused(process))
}

impl Drop for Paused<'_> {
    fn drop(&mut self) {
        // It fails when the process has ended, which whoever needs it sees.
        let _ = self.0.resume();
    }
}

/// A component that is killed, and started again when this is dropped.
pub(crate) struct Killed<'a>(&'a Process);

/// Kills a component.
pub(crate) async fn kill(process: &Process) -> Result<Killed<'_>> {
    process.kill().await?;
    Ok(Killed(process))
}

impl Drop for Killed<'_> {
    fn drop(&mut self) {
        // What does not start is missed by whoever waits for it.
        let _ = self.0.start_again();
    }
}

/// Creates a Service of the pods `app=web` and waits until it answers the client on the provider
/// network, whichever machine the question reaches.
pub(crate) async fn serve(lab: &Lab, tenant: &Tenant, service: &Service) -> Result<Ipv4Addr> {
    let eip = bed::create(tenant, service).await?;
    answers(lab, eip).await?;
    let name = service.metadata.name.as_deref().unwrap_or_default();
    every_machine_answers(tenant, name).await?;
    Ok(eip)
}

/// Waits until kube-proxy on each machine knows a Service. One that lost its API server tries again
/// after a while, and until then it drops what the product sends there.
async fn every_machine_answers(tenant: &Tenant, name: &str) -> Result<()> {
    let service = bed::services(tenant).get(name).await?;
    let ports = service.spec.and_then(|spec| spec.ports).unwrap_or_default();
    let port = ports.first().and_then(|port| port.node_port).context("no nodePort")?;
    for vm in tenant.vms().await {
        let url = format!("http://{}:{port}/", vm.address());
        let what = format!("an answer from {url} on {}", vm.name());
        wait::until(&what, TRIED_AGAIN, || traffic::get(vm.host(), &url)).await?;
    }
    Ok(())
}

/// Waits until an address answers the client on the provider network.
pub(crate) async fn answers(lab: &Lab, eip: Ipv4Addr) -> Result<()> {
    let url = format!("http://{eip}/");
    wait::until(&format!("an answer from {url}"), SOON, || traffic::get(lab.near(), &url)).await?;
    Ok(())
}

/// Deletes a Service and waits until it is gone.
pub(crate) async fn delete(tenant: &Tenant, name: &str) -> Result<()> {
    let api = bed::services(tenant);
    api.delete(name, &DeleteParams::default()).await?;
    wait::for_absence(&api, name, SOON).await
}

/// Holds that a stream of questions was answered without exception.
pub(crate) fn unbroken(report: &traffic::Report) -> Result<()> {
    ensure!(report.asked > 0, "nothing was asked");
    ensure!(
        report.failures.is_empty() && report.answered == report.asked,
        "{} of {} failed, first {:?}",
        report.failures.len(),
        report.asked,
        report.failures.first()
    );
    Ok(())
}

/// Waits for the condition `Connected` of a TenantCluster.
pub(crate) async fn connected(lab: &Lab, name: &str, holds: bool, reason: &str) -> Result<()> {
    let api = lab.under().api("cloud-provider-ovn.io/v1alpha1", "TenantCluster", "").await?;
    let what = format!("Connected={holds} {reason}");
    wait::for_object(&api, name, &what, TRIED_AGAIN, |tenant| {
        look::condition(&tenant.data, "Connected")
            .is_some_and(|c| c.holds == holds && c.reason == reason)
    })
    .await?;
    Ok(())
}
