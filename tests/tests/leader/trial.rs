//! What has to hold around whatever happens to a leader.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use kube::ResourceExt as _;
use kube::api::ListParams;
use lab::ovn::Northbound;
use lab::{Lab, traffic, wait};
use serde_json::Value;

use crate::bed::{self, SOON};
use crate::flow::{self, Flow};
use crate::look;
use crate::pair::{Pair, pair};
use crate::stage::unbroken;

/// A leader at work: Services come and go, and one that was there before is asked all the time.
pub(crate) struct Trial {
    pub(crate) pair: &'static Pair,
    /// Who leads at the beginning.
    pub(crate) leader: usize,
    /// Who does not.
    pub(crate) standby: usize,
    flow: Flow,
    stream: traffic::Stream,
    foreign: Vec<String>,
}

impl Trial {
    /// Begins, with names of Services that begin so.
    pub(crate) async fn begin(database: Northbound, name: &str) -> Result<Self> {
        let pair = pair(database).await?;
        let leader = pair.leader().await?;
        let lab = &pair.lab;
        let foreign = foreign(lab).await?;
        let url = format!("http://{}/", pair.steady);
        let stream = traffic::Stream::start(lab.near(), &url, 50, 300);
        let api = bed::services(lab.tenant("a")?);
        let flow = Flow::start(&api, name);
        wait::until("the flow to flow", SOON, || async {
            let services = api.list(&ListParams::default()).await?;
            ensure!(services.iter().filter_map(bed::published).count() > 3, "not yet");
            Ok(())
        })
        .await?;
        Ok(Self { pair, leader, standby: 1 - leader, flow, stream, foreign })
    }

    /// Both replicas are whole again: one leads, the other is ready, and nothing is left behind.
    pub(crate) async fn end(self) -> Result<()> {
        let pair = self.pair;
        for replica in &pair.replicas {
            replica.cpo.ready().await?;
        }
        let leader = pair.leader().await?;
        let holder = pair.lease().await?.holder;
        ensure!(
            holder == format!("cpo-{}", leader + 1),
            "cpo-{} leads, {holder} holds",
            leader + 1
        );
        distinct(&pair.lab).await?;
        let flown = self.flow.stop().await?;
        eprintln!(
            "{} Services came and went; the longest wait for an address was {:?}",
            flown.services, flown.longest
        );
        nothing_is_left(&pair.lab).await?;
        unbroken(&self.stream.stop().await?)?;
        let now = foreign(&pair.lab).await?;
        ensure!(now == self.foreign, "rows of others changed: {:?} {now:?}", self.foreign);
        ensure!(pair.leaders().await?.len() == 1, "not one leader");
        Ok(())
    }
}

/// Every address is granted once, and recorded once.
async fn distinct(lab: &Lab) -> Result<()> {
    for tenant in lab.tenants() {
        flow::no_address_twice(&bed::services(tenant)).await?;
    }
    let mut granted = BTreeMap::new();
    let ovn_eips = lab.under().api("kubeovn.io/v1", "OvnEip", "").await?;
    for eip in ovn_eips.list(&ListParams::default()).await? {
        let address = eip.data.pointer("/status/v4Ip").and_then(Value::as_str).unwrap_or_default();
        if !address.is_empty()
            && let Some(other) = granted.insert(address.to_owned(), eip.name_any())
        {
            anyhow::bail!("{address} is granted to {other} and {}", eip.name_any());
        }
    }
    let mut recorded = BTreeMap::new();
    let eips = lab.under().api("cloud-provider-ovn.io/v1alpha1", "Eip", "").await?;
    for eip in eips.list(&ListParams::default()).await? {
        let released = eip.data.pointer("/status/releasedAt").is_some();
        let owner = eip.data.pointer("/spec/services/0").cloned().unwrap_or_default();
        let tenant = eip.data.pointer("/spec/tenant/name").cloned().unwrap_or_default();
        let owner = format!("{tenant}/{owner}");
        if !released && let Some(other) = recorded.insert(owner.clone(), eip.name_any()) {
            anyhow::bail!("{owner} has {other} and {}", eip.name_any());
        }
    }
    Ok(())
}

/// Of the flow nothing is left when the quarantine is over and emptied rows are swept.
async fn nothing_is_left(lab: &Lab) -> Result<()> {
    let eips = lab.under().api("cloud-provider-ovn.io/v1alpha1", "Eip", "").await?;
    let ovn_eips = lab.under().api("kubeovn.io/v1", "OvnEip", "").await?;
    wait::until("nothing to be left of the flow", SOON, || async {
        let eips: Vec<_> = eips.list(&ListParams::default()).await?.iter().map(name).collect();
        let ovn_eips = ovn_eips.list(&ListParams::default()).await?;
        let ovn_eips: Vec<_> = ovn_eips.iter().map(name).collect();
        let ours = ovn_eips.iter().filter(|name| name.starts_with("cpo-")).count();
        let rows = look::rows(lab).await?;
        let left = (eips.len(), ours, rows.len());
        ensure!(left == (1, 1, 1), "not the one of steady alone: {eips:?} {ovn_eips:?} {rows:?}");
        Ok(())
    })
    .await
}

fn name(object: &kube::api::DynamicObject) -> String {
    object.name_any()
}

/// What is not ours in the Northbound database and could be hit by mistake.
async fn foreign(lab: &Lab) -> Result<Vec<String>> {
    let mut rows = Vec::new();
    for table in ["Load_Balancer", "NAT", "Logical_Router_Static_Route", "Logical_Router_Policy"] {
        let text = lab.nb(["--format=csv", "--no-headings", "list", table]).await?;
        rows.extend(text.lines().filter(|line| !line.contains("vendor=cpo")).map(str::to_owned));
    }
    rows.sort();
    Ok(rows)
}
