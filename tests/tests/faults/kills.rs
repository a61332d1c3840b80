//! `cpo` killed after each effect of the create and the delete order.
//!
//! Each step pauses the component that the next effect needs, waits until the present effect is
//! seen, kills `cpo`, lets the component go on and starts `cpo` again. What `cpo` sent before its
//! end may be executed afterwards, without anybody to read the reply.

use std::net::Ipv4Addr;

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::Service;
use kube::ResourceExt as _;
use kube::api::{DeleteParams, DynamicObject, ListParams, PostParams};
use lab::builders::service;
use lab::overlay::Tenant;
use lab::{Lab, traffic, wait};
use serde_json::Value;

use crate::bed::{self, Bed, SOON, answers};
use crate::look;
use crate::stage::{bed, delete, pause};

/// One Service on its way.
pub(crate) struct Way<'a> {
    pub(crate) bed: &'a Bed,
    pub(crate) lab: &'a Lab,
    pub(crate) tenant: &'a Tenant,
    pub(crate) name: &'static str,
}

pub(crate) async fn overlay_kill_at_each_step() -> Result<()> {
    let bed = bed().await?;
    let lab = &bed.lab;
    let way = |name| Ok::<_, anyhow::Error>(Way { bed, lab, tenant: lab.tenant("a")?, name });
    way("finalizer")?.killed_after_the_finalizer().await?;
    way("drawn")?.killed_after_the_ovn_eip().await?;
    way("assigned")?.killed_after_the_eip().await?;
    way("committed")?.killed_after_the_rows().await?;
    way("told")?.killed_after_the_status().await?;
    way("emptied")?.killed_after_the_rows_were_emptied().await?;
    way("released")?.killed_after_the_release().await?;
    way("let-go")?.killed_after_the_finalizer_was_removed().await?;
    way("returned")?.killed_after_the_ovn_eip_was_deleted().await?;
    way("removed-1")?.killed_while_deleted_before_it_was_assigned().await
}

impl Way<'_> {
    async fn killed_after_the_finalizer(&self) -> Result<()> {
        let paused = pause(self.lab.under().api_server())?;
        self.create().await?;
        let api = bed::services(self.tenant);
        let has = |service: &Service| !service.finalizers().is_empty();
        wait::for_object(&api, self.name, "our finalizer", SOON, has).await?;
        self.bed.cpo.process().kill().await?;
        drop(paused);
        self.start_and_end().await
    }

    async fn killed_after_the_ovn_eip(&self) -> Result<()> {
        let paused = pause(self.lab.kube_ovn().process())?;
        self.create().await?;
        self.ovn_eip("to be asked for", |_| true).await?;
        self.bed.cpo.process().kill().await?;
        drop(paused);
        // Granted while nobody looks.
        self.ovn_eip("to be granted", |eip| at(eip, "/status/ready") == Some(&true.into())).await?;
        self.start_and_end().await
    }

    async fn killed_after_the_eip(&self) -> Result<()> {
        let paused = pause(self.lab.ovn().northbound().process())?;
        self.create().await?;
        self.eip("to be assigned", |_| true).await?;
        self.bed.cpo.process().kill().await?;
        drop(paused);
        self.start_and_end().await
    }

    async fn killed_after_the_rows(&self) -> Result<()> {
        let kube_ovn = pause(self.lab.kube_ovn().process())?;
        self.create().await?;
        self.ovn_eip("to be asked for", |_| true).await?;
        let tenant = pause(self.tenant.cluster().api_server())?;
        drop(kube_ovn);
        self.rows("to be committed", 2).await?;
        self.bed.cpo.process().kill().await?;
        drop(tenant);
        self.start_and_end().await
    }

    async fn killed_after_the_status(&self) -> Result<()> {
        let northbound = pause(self.lab.ovn().northbound().process())?;
        self.create().await?;
        self.eip("to be assigned", |_| true).await?;
        self.every_eip_is_known().await?;
        let under = pause(self.lab.under().api_server())?;
        drop(northbound);
        bed::address(self.tenant, self.name).await?;
        self.bed.cpo.process().kill().await?;
        drop(under);
        self.start_and_end().await
    }

    async fn killed_after_the_rows_were_emptied(&self) -> Result<()> {
        self.serve().await?;
        let paused = pause(self.lab.under().api_server())?;
        self.delete().await?;
        self.rows("to be emptied", 0).await?;
        self.bed.cpo.process().kill().await?;
        drop(paused);
        self.start_and_vanish().await
    }

    async fn killed_after_the_release(&self) -> Result<()> {
        self.serve().await?;
        let northbound = pause(self.lab.ovn().northbound().process())?;
        let plans = || self.bed.cpo.metric("cpo_plans_total");
        let before = plans().await?;
        self.delete().await?;
        // The deletion is seen when it was planned for.
        wait::until("cpo to see the deletion", SOON, || async {
            ensure!(plans().await? > before, "no plan yet");
            Ok(())
        })
        .await?;
        let tenant = pause(self.tenant.cluster().api_server())?;
        drop(northbound);
        self.eip("to be released", |eip| at(eip, "/status/releasedAt").is_some()).await?;
        self.bed.cpo.process().kill().await?;
        drop(tenant);
        self.start_and_vanish().await
    }

    async fn killed_after_the_finalizer_was_removed(&self) -> Result<()> {
        self.serve().await?;
        delete(self.tenant, self.name).await?;
        self.bed.cpo.process().kill().await?;
        // The quarantine is not over: the address is still held.
        self.eip("to rest", |eip| at(eip, "/status/releasedAt").is_some()).await?;
        self.ovn_eip("to be held", |eip| eip.metadata.deletion_timestamp.is_none()).await?;
        self.start_and_vanish().await
    }

    async fn killed_after_the_ovn_eip_was_deleted(&self) -> Result<()> {
        self.serve().await?;
        delete(self.tenant, self.name).await?;
        let paused = pause(self.lab.kube_ovn().process())?;
        self.ovn_eip("to be given back", |eip| eip.metadata.deletion_timestamp.is_some()).await?;
        self.bed.cpo.process().kill().await?;
        drop(paused);
        wait::until("the OvnEip to be gone", SOON, || async {
            let left = look::ovn_eips(self.lab, &self.key()).await?;
            ensure!(left.is_empty(), "{left:?}");
            Ok(())
        })
        .await?;
        self.eip("to be recorded still", |_| true).await?;
        self.start_and_vanish().await
    }

    /// The Service goes while its address is being drawn and nobody is there to see it.
    async fn killed_while_deleted_before_it_was_assigned(&self) -> Result<()> {
        let paused = pause(self.lab.kube_ovn().process())?;
        self.create().await?;
        self.ovn_eip("to be asked for", |_| true).await?;
        self.bed.cpo.process().kill().await?;
        drop(paused);
        self.delete().await?;
        // Another hand strips the finalizer: the object is gone before cpo returns.
        let api = bed::services(self.tenant);
        let patch = serde_json::json!({"metadata": {"finalizers": null}});
        api.patch(self.name, &kube::api::PatchParams::default(), &kube::api::Patch::Merge(patch))
            .await?;
        wait::for_absence(&api, self.name, SOON).await?;
        self.start_and_vanish().await
    }

    fn key(&self) -> String {
        format!("{}/default/{}", self.tenant.name(), self.name)
    }

    pub(crate) async fn create(&self) -> Result<()> {
        let wanted = service(self.name).selector("app", "web").port(80).udp(53).build();
        bed::services(self.tenant).create(&PostParams::default(), &wanted).await?;
        Ok(())
    }

    async fn serve(&self) -> Result<()> {
        self.create().await?;
        self.is_served().await.map(|_| ())
    }

    pub(crate) async fn delete(&self) -> Result<()> {
        bed::services(self.tenant).delete(self.name, &DeleteParams::default()).await?;
        Ok(())
    }

    async fn restart(&self) -> Result<()> {
        self.bed.cpo.process().start_again()?;
        self.bed.cpo.ready().await
    }

    /// Starts `cpo`: the Service is served whole, and when it is deleted, vanishes whole.
    async fn start_and_end(&self) -> Result<()> {
        self.restart().await.with_context(|| self.name)?;
        self.is_served().await.with_context(|| self.name)?;
        self.delete().await?;
        self.vanishes().await.with_context(|| self.name)
    }

    async fn start_and_vanish(&self) -> Result<()> {
        self.restart().await.with_context(|| self.name)?;
        self.vanishes().await.with_context(|| self.name)
    }

    /// One address, recorded once, held once, with one row per protocol; and it answers.
    pub(crate) async fn is_served(&self) -> Result<Ipv4Addr> {
        let address = bed::address(self.tenant, self.name).await?;
        let eip = self.eip("to be ready", |eip| {
            look::condition(&eip.data, "Ready").is_some_and(|ready| ready.holds)
        });
        let recorded = eip.await?.name_any();
        ensure!(recorded == address.to_string(), "{recorded} is recorded, {address} published");
        let ovn_eips = look::ovn_eips(self.lab, &self.key()).await?;
        let held = ovn_eips.iter().map(|eip| at(eip, "/status/v4Ip").and_then(Value::as_str));
        let held: Vec<_> = held.collect();
        ensure!(held == [Some(address.to_string().as_str())], "{held:?} held for {address}");
        let mut rows = look::rows(self.lab).await?;
        rows.retain(|row| row.service == self.key());
        let mut served: Vec<_> = rows
            .iter()
            .flat_map(|row| row.vips.keys().map(|vip| (row.protocol.as_str(), vip.as_str())))
            .collect();
        served.sort_unstable();
        let (tcp, udp) = (format!("{address}:80"), format!("{address}:53"));
        ensure!(served == [("tcp", tcp.as_str()), ("udp", udp.as_str())], "{rows:?}");
        ensure!(rows.len() == 2, "a row too many: {rows:?}");
        answers(self.lab, address).await?;
        wait::until("an answer over UDP", SOON, || traffic::udp(self.lab.near(), address, 53))
            .await?;
        Ok(address)
    }

    /// Nothing of it is left but emptied rows, which the sweep deletes.
    pub(crate) async fn vanishes(&self) -> Result<()> {
        wait::for_absence(&bed::services(self.tenant), self.name, SOON).await?;
        self.rows("to be emptied", 0).await?;
        wait::until("the address to be given back", SOON, || async {
            let key = format!("default/{}", self.name);
            let eips = look::eips(self.lab, self.tenant.name(), &key).await?;
            let ovn_eips = look::ovn_eips(self.lab, &self.key()).await?;
            ensure!(eips.is_empty() && ovn_eips.is_empty(), "{eips:?} {ovn_eips:?}");
            Ok(())
        })
        .await
    }

    async fn eip(&self, what: &str, is: impl Fn(&DynamicObject) -> bool) -> Result<DynamicObject> {
        let key = format!("default/{}", self.name);
        wait::until(&format!("the Eip of {} {what}", self.name), SOON, || async {
            let eip = look::eip(self.lab, self.tenant.name(), &key).await?;
            ensure!(is(&eip), "{}", eip.data);
            Ok(eip)
        })
        .await
    }

    /// What the API server has, `cpo` has heard of.
    async fn every_eip_is_known(&self) -> Result<()> {
        let api = self.lab.under().api("cloud-provider-ovn.io/v1alpha1", "Eip", "").await?;
        wait::until("cpo to know every Eip", SOON, || async {
            let known = self.bed.cpo.metric("cpo_eips").await?;
            let eips = api.list(&ListParams::default()).await?;
            ensure!(usize::try_from(known)? == eips.items.len(), "it knows {known}: {eips:?}");
            Ok(())
        })
        .await
    }

    async fn ovn_eip(&self, what: &str, is: impl Fn(&DynamicObject) -> bool) -> Result<()> {
        wait::until(&format!("the OvnEip of {} {what}", self.name), SOON, || async {
            let all = look::ovn_eips(self.lab, &self.key()).await?;
            ensure!(all.len() == 1, "{all:?}");
            ensure!(all.iter().all(&is), "{all:?}");
            Ok(())
        })
        .await
    }

    async fn rows(&self, what: &str, live: usize) -> Result<()> {
        wait::until(&format!("the rows of {} {what}", self.name), SOON, || async {
            let rows = look::live_rows(self.lab, &self.key()).await?;
            ensure!(rows.len() == live, "{rows:?}");
            Ok(())
        })
        .await
    }
}

fn at<'o>(object: &'o DynamicObject, pointer: &str) -> Option<&'o Value> {
    object.data.pointer(pointer)
}
