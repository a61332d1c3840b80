//! Every precondition that fails has a reason: on the Service, as an Event, on the `Eip`.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use kube::ResourceExt as _;
use kube::api::{Patch, PatchParams};
use lab::builders::service;
use lab::overlay::Tenant;
use lab::{Lab, traffic, wait};
use serde_json::json;

use crate::bed::{self, SOON, answers, serve};
use crate::causes::{self, Cause, Severity};
use crate::look::{self, Row};
use crate::stage::{bed, delete};

/// A failing precondition of a live Service is not told for this long.
const PATIENCE: Duration = Duration::from_secs(10);

/// A tenant with a Service that is live, and one that is turned on while something is wrong. The
/// latter keeps its address, so that it needs nothing of Kube-OVN, which would mend what we break.
struct Scene<'a> {
    lab: &'a Lab,
    tenant: &'a Tenant,
    live: Ipv4Addr,
    again: Ipv4Addr,
}

pub(crate) async fn overlay_preconditions_have_reasons() -> Result<()> {
    let bed = bed().await?;
    let lab = &bed.lab;
    let one = Scene::set(lab, "a").await?;
    let two = Scene::set(lab, "b").await?;
    lab.kube_ovn().process().stop().await?;
    let rows = two.rows().await?;
    let backends = rows.iter().find_map(|row| row.vips.values().next()).context("no backends")?;
    let of_router = causes::of_the_router(lab, one.tenant).await?;
    let others = causes::beside_the_router(two.tenant, [two.live, two.again], backends);
    tokio::try_join!(one.play(of_router), two.play(others))?;
    lab.kube_ovn().process().start_again()?;
    lab.kube_ovn().wait_ready(lab.under()).await?;
    for scene in [one, two] {
        answers(lab, scene.live).await?;
        delete(scene.tenant, "live").await?;
        delete(scene.tenant, "again").await?;
    }
    Ok(())
}

impl<'a> Scene<'a> {
    async fn set(lab: &'a Lab, tenant: &str) -> Result<Self> {
        let tenant = lab.tenant(tenant)?;
        let web = |name| service(name).selector("app", "web").port(80);
        let live = serve(lab, tenant, &web("live").build()).await?;
        let kept = web("again").annotation("cloud-provider-ovn.io/keep-address", "true");
        let again = serve(lab, tenant, &kept.build()).await?;
        let scene = Self { lab, tenant, live, again };
        scene.turn("ClusterIP").await?;
        scene.off().await?;
        Ok(scene)
    }

    async fn play(&self, causes: Vec<Cause>) -> Result<()> {
        for cause in causes {
            let what = || format!("{} of tenant {}", cause.reason, self.tenant.name());
            self.lasts_and_ends(&cause).await.with_context(what)?;
        }
        Ok(())
    }

    async fn lasts_and_ends(&self, cause: &Cause) -> Result<()> {
        let before = self.rows().await?;
        let begin = Instant::now();
        for step in &cause.make {
            step.take(self.lab, self.tenant).await?;
        }
        self.turn("LoadBalancer").await?;
        self.told("again", cause).await?;
        self.told("live", cause).await?;
        let refused = matches!(cause.severity, Severity::Refused | Severity::RefusedAndCut);
        if refused {
            let after = begin.elapsed();
            ensure!(after >= PATIENCE, "a live Service was reported after {after:?} already");
            let rows = look::live_rows(self.lab, &self.key("again")).await?;
            ensure!(rows.is_empty(), "programmed in spite of it: {rows:?}");
            ensure!(self.rows().await? == before, "changed in spite of it");
        }
        match cause.severity {
            Severity::Refused | Severity::Warned => {
                traffic::get(self.lab.near(), &format!("http://{}/", self.live)).await?;
            }
            Severity::Unserved => {
                let rows = self.rows().await?;
                let empty = rows.iter().flat_map(|row| row.vips.values()).all(String::is_empty);
                ensure!(!rows.is_empty() && empty, "{rows:?}");
            }
            Severity::RefusedAndCut => {}
        }
        for step in &cause.mend {
            step.take(self.lab, self.tenant).await?;
        }
        self.ends(before).await
    }

    /// Both Services are served without complaint, and the second is turned off.
    async fn ends(&self, before: Vec<Row>) -> Result<()> {
        for (name, eip) in [("live", self.live), ("again", self.again)] {
            self.clean(name).await?;
            answers(self.lab, eip).await?;
        }
        ensure!(self.rows().await? == before, "another row than before");
        self.turn("ClusterIP").await?;
        self.off().await
    }

    /// The reason is on the Service, as an Event, and on the `Eip`.
    async fn told(&self, name: &str, cause: &Cause) -> Result<()> {
        let served = matches!(cause.severity, Severity::Warned | Severity::Unserved);
        let api = bed::services(self.tenant);
        let shown = wait::for_object(&api, name, cause.reason, SOON, |service| {
            look::programmed(service).is_ok_and(|c| c.holds == served && c.reason == cause.reason)
        })
        .await?;
        let message = look::programmed(&shown)?.message;
        let inner = ["vpc-", "tenant-", "Logical_Router", "OvnEip", "VirtualMachine"];
        let leak = inner.iter().find(|word| message.contains(*word));
        ensure!(!message.is_empty() && leak.is_none(), "told to a tenant: {message}");
        wait::until(&format!("Event {} on {name}", cause.event), SOON, || async {
            let reasons = look::event_reasons(self.tenant, name).await?;
            ensure!(reasons.iter().any(|reason| reason == cause.event), "{reasons:?}");
            Ok(())
        })
        .await?;
        let ready = cause.severity == Severity::Warned;
        self.eip_says(name, ready, cause.reason).await
    }

    async fn clean(&self, name: &str) -> Result<()> {
        let api = bed::services(self.tenant);
        wait::for_object(&api, name, "no complaint", SOON, |service| {
            look::programmed(service).is_ok_and(|c| c.holds && c.reason == "Programmed")
        })
        .await?;
        self.eip_says(name, true, "Ready").await
    }

    async fn eip_says(&self, name: &str, ready: bool, reason: &str) -> Result<()> {
        wait::until(&format!("READY={ready} {reason} on the Eip of {name}"), SOON, || async {
            let eip = look::eip(self.lab, self.tenant.name(), &format!("default/{name}")).await?;
            let seen = look::condition(&eip.data, "Ready").context("no condition")?;
            ensure!(seen.holds == ready && seen.reason == reason, "{seen:?}");
            Ok(())
        })
        .await
    }

    async fn turn(&self, kind: &str) -> Result<()> {
        let patch = Patch::Merge(json!({"spec": {"type": kind}}));
        bed::services(self.tenant).patch("again", &PatchParams::default(), &patch).await?;
        Ok(())
    }

    /// Waits until the second Service is off the network, its address kept.
    async fn off(&self) -> Result<()> {
        let api = bed::services(self.tenant);
        let let_go = |service: &k8s_openapi::api::core::v1::Service| {
            service.finalizers().is_empty() && look::programmed(service).is_err()
        };
        wait::for_object(&api, "again", "to be let go", SOON, let_go).await?;
        self.eip_says("again", false, "Kept").await?;
        let rows = look::live_rows(self.lab, &self.key("again")).await?;
        ensure!(rows.is_empty(), "{rows:?}");
        Ok(())
    }

    async fn rows(&self) -> Result<Vec<Row>> {
        look::live_rows(self.lab, &self.key("live")).await
    }

    fn key(&self, name: &str) -> String {
        format!("{}/default/{name}", self.tenant.name())
    }
}
