//! The one bed that these tests share, and how they disturb it.

use std::time::Duration;

use anyhow::{Result, ensure};
use kube::api::DeleteParams;
use lab::overlay::Tenant;
use lab::process::Process;
use lab::writes::mark;
use lab::{Lab, traffic, wait};
use tokio::sync::OnceCell;

use crate::bed::{self, Bed, SOON};
use crate::look;

/// The longest wait between two tries of a watch or a tenant, and time to list.
pub(crate) const TRIED_AGAIN: Duration = Duration::from_secs(60);

/// How long the product is watched for a write that should not come: longer than every wait of
/// its own that a start could begin.
pub(crate) const QUIET: Duration = Duration::from_secs(4);

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

/// Waits until nothing is left to do: every address quiet, the last quarantine over, every Event
/// written, which follow what they tell of.
pub(crate) async fn settled(bed: &Bed) -> Result<()> {
    wait::until("the product to have nothing to do", SOON, || async {
        let mark = mark(&bed.lab)?;
        wait::throughout("silence", QUIET, || async { mark.nothing_written() }).await
    })
    .await
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
