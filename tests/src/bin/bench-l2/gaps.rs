//! How long nobody answers for an address whose owner is killed, or told to hand it over.

use std::net::Ipv4Addr;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use k8s_openapi::api::core::v1::Node;
use kube::Api;
use kube::api::{Patch, PatchParams, PostParams};
use lab::process::Process;
use lab::report::{Report, percentile};
use lab::wait;
use serde_json::json;
use speaker_core::mac::MacAddress;

use crate::asker::Asker;
use crate::bed::{Bed, SOON, Who, balanced, mac_of, published};

/// How long is looked after another answers.
const AFTERWARDS: Duration = Duration::from_millis(500);
/// How long speakers may take to find each other.
const FOUND: Duration = Duration::from_secs(5);
/// How often an address is moved.
const MOVES: usize = 10;
const EXCLUDED: &str = "node.kubernetes.io/exclude-from-external-load-balancers";

/// Measures both products.
pub(crate) async fn measure(report: &mut Report, bed: &Bed, runs: usize) -> Result<()> {
    let (mut kills, mut moves) = (Vec::new(), Vec::new());
    for who in [Who::Us, Who::MetalLb] {
        let asker = bed.asker(who, "gaps").await?;
        let address = serve(bed, who).await?;
        // Speakers that have just started find each other first.
        tokio::time::sleep(FOUND).await;
        eprintln!("bench: {runs} owners killed, {MOVES} addresses moved, {who:?}");
        let mut gaps = Vec::new();
        for _ in 0..runs {
            gaps.push(killed(bed, who, &asker, address).await?);
        }
        eprintln!("bench: killed, {who:?}: {gaps:.0?}");
        kills.push(gaps);
        let mut gaps = Vec::new();
        for _ in 0..MOVES {
            gaps.push(moved(bed, who, &asker, address).await?);
        }
        eprintln!("bench: moved, {who:?}: {gaps:.1?}");
        moves.push(gaps);
    }
    let (mut kills, mut moves) = (kills.into_iter(), moves.into_iter());
    let pair = |all: &mut std::vec::IntoIter<Vec<Duration>>| {
        all.next().zip(all.next()).context("two of them")
    };
    let (mut ours, mut theirs) = pair(&mut kills)?;
    let what = format!("owner killed (-9), {runs} runs: no answer by ARP at 1 kHz");
    for (name, share, most) in [("p50", 0.5, 500), ("p99", 0.99, 1_000)] {
        let theirs = percentile(&mut theirs, share);
        let most = Duration::from_millis(most).min(theirs);
        report.time(format!("{what}, {name}"), percentile(&mut ours, share), Some(theirs), most);
    }
    let (mut ours, mut theirs) = pair(&mut moves)?;
    let (ours, theirs) = (percentile(&mut ours, 1.0), percentile(&mut theirs, 1.0));
    let what = format!("planned move, {MOVES} runs: no answer by ARP at 1 kHz, worst");
    report.time(what, ours, Some(theirs), Duration::from_millis(100));
    Ok(())
}

/// A Service that has its address.
async fn serve(bed: &Bed, who: Who) -> Result<Ipv4Addr> {
    let api = bed.services(who)?;
    api.create(&PostParams::default(), &balanced("gaps")).await?;
    let served = wait::for_object(&api, "gaps", "an address", SOON, |s| published(s).is_some());
    published(&served.await?).context("no address")
}

/// Kills the owner, and has it back afterwards.
async fn killed(bed: &Bed, who: Who, asker: &Asker, address: Ipv4Addr) -> Result<Duration> {
    let before = asker.owner(address).await?;
    let (_, process) = owner(bed, who, before).await?;
    let gap = asker.gap(address, before, async { process.kill().await }, AFTERWARDS).await?;
    process.start_again()?;
    rested(asker, address, before).await?;
    Ok(gap)
}

/// Has the owner's node hand its addresses over, and take them again.
async fn moved(bed: &Bed, who: Who, asker: &Asker, address: Ipv4Addr) -> Result<Duration> {
    let before = asker.owner(address).await?;
    let (node, _) = owner(bed, who, before).await?;
    let cluster = match who {
        Who::Us => bed.lab.under(),
        Who::MetalLb => bed.tenant(who)?.cluster(),
    };
    let nodes: Api<Node> = Api::all(cluster.client());
    let label = async |value: serde_json::Value| -> Result<()> {
        let patch = json!({"metadata": {"labels": {EXCLUDED: value}}});
        nodes.patch(&node, &PatchParams::default(), &Patch::Merge(&patch)).await?;
        Ok(())
    };
    let gap = asker.gap(address, before, label(json!("true")), AFTERWARDS).await?;
    let after = asker.owner(address).await?;
    let back = asker.gap(address, after, label(json!(null)), AFTERWARDS).await?;
    rested(asker, address, before).await?;
    Ok(gap.max(back))
}

/// The node that has this Ethernet address, and the speaker on it.
async fn owner(bed: &Bed, who: Who, mac: MacAddress) -> Result<(String, &Process)> {
    match who {
        Who::Us => {
            for (speaker, node) in bed.speakers.iter().zip(bed.lab.lans()?.nodes()) {
                let pin = format!("{}-a", node.netns().name());
                let shown = lab::exec::Exec::new(lab::exec::Place::Namespace(pin), "ip");
                let shown = shown.args(["link", "show", "dev", "vlan"]).output().await?;
                if shown.contains(&mac.to_string()) {
                    return Ok((node.name().to_owned(), speaker.process()));
                }
            }
        }
        Who::MetalLb => {
            for vm in bed.tenant(who)?.vms().await {
                if mac_of(vm.host().netns(), "eth0").await? == mac.to_string() {
                    return Ok((vm.name().to_owned(), bed.metallb.speaker(vm.name())?));
                }
            }
        }
    }
    bail!("{mac} is no speaker's")
}

/// Waits until the owner of before answers again, and nobody else.
async fn rested(asker: &Asker, address: Ipv4Addr, before: MacAddress) -> Result<()> {
    wait::until("the owner of before", SOON, || async {
        let owner = asker.owner(address).await?;
        ensure!(owner == before, "{owner} answers");
        Ok(())
    })
    .await?;
    // A member that has just come back is looked at once more before it is killed again.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let owner = asker.owner(address).await?;
    ensure!(owner == before, "{owner} answers again");
    Ok(())
}
