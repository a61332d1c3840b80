//! Speakers that come, go and are cut off, with traffic on the way.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use futures::future::try_join_all;
use k8s_openapi::api::core::v1::Node;
use kube::Api;
use kube::api::{Patch, PatchParams};
use lab::builders::service;
use lab::netns::Host;
use lab::traffic::{Session, Stream};
use lab::wait;
use serde_json::json;

use crate::bed::Bed;

/// The longest time without an answer that a take-over may cause.
const GAP: Duration = Duration::from_secs(1);

/// How long a carrier is away that flaps.
const FLAP: Duration = Duration::from_millis(300);

/// A bed with one Service, a pod on each machine.
async fn with_web() -> Result<(Bed, Ipv4Addr)> {
    let bed = Bed::start(1).await?;
    let tenant = bed.lab.tenant("a")?;
    tenant.add_pod("web-1", "vm1", &[("app", "web")]).await?;
    tenant.add_pod("web-2", "vm2", &[("app", "web")]).await?;
    let address = bed.serve(tenant, &service("web").port(80).local().build()).await?;
    Ok((bed, address))
}

/// Connections that have had an answer.
async fn sessions(client: &Host, address: Ipv4Addr, count: usize) -> Result<Vec<Session>> {
    let to = SocketAddr::from((address, 80));
    let open = (0..count).map(|_| Session::open(client, to, Duration::from_secs(5)));
    let mut sessions = try_join_all(open).await?;
    go_on(&mut sessions).await?;
    Ok(sessions)
}

/// Each of `sessions` has an answer again.
async fn go_on(sessions: &mut [Session]) -> Result<()> {
    for session in sessions {
        session.ask().await.context("a connection of before")?;
    }
    Ok(())
}

pub(crate) async fn owner_that_is_killed_is_replaced_and_connections_go_on() -> Result<()> {
    let (bed, address) = with_web().await?;
    let client = bed.lab.lans()?.client();
    let mut sessions = sessions(client, address, 100).await?;
    let owner = bed.owner(address).await?;
    let stream = Stream::start(client, &format!("http://{address}/"), 200, 60);
    owner.process().kill().await?;
    bed.says(address, "another speaker announces it", |s| {
        s.announcements.iter().any(|by| by.node != owner.node())
    })
    .await?;
    let report = stream.stop().await?;
    eprintln!("longest gap after kill -9 of the owner: {:?}", report.longest_gap);
    ensure!(report.longest_gap < GAP + Duration::from_millis(200), "{report:?}");
    go_on(&mut sessions).await?;
    Ok(())
}

pub(crate) async fn node_without_its_cable_is_replaced_within_a_second() -> Result<()> {
    let (bed, address) = with_web().await?;
    let client = bed.lab.lans()?.client();
    let mut sessions = sessions(client, address, 100).await?;
    let owner = bed.owner(address).await?;
    let bridge = bed.lab.tenant("a")?.lan()?.bridge();
    let stream = Stream::start(client, &format!("http://{address}/"), 200, 60);
    // Neither side sees that the link is down.
    bridge.ip(&format!("link set {} nomaster", owner.node())).await?;
    bed.says(address, "another speaker announces it", |s| {
        s.announcements.iter().any(|by| by.node != owner.node())
    })
    .await?;
    bed.answers(address).await?;
    let report = stream.stop().await?;
    eprintln!("longest gap after the cable of the owner was pulled: {:?}", report.longest_gap);
    ensure!(report.longest_gap < GAP, "{report:?}");
    go_on(&mut sessions).await?;
    // With its cable back there is one again.
    bridge.ip(&format!("link set {} master br0", owner.node())).await?;
    bed.says(address, "one speaker announces it", |s| s.announcements.len() == 1).await?;
    bed.answers(address).await.map(|_| ())
}

pub(crate) async fn owner_that_is_stopped_for_a_while_comes_back_as_one_of_several() -> Result<()> {
    let (bed, address) = with_web().await?;
    let owner = bed.owner(address).await?;
    let client = bed.lab.lans()?.client();
    let stream = Stream::start(client, &format!("http://{address}/"), 100, 120);
    owner.process().pause()?;
    bed.says(address, "another speaker announces it", |s| {
        s.announcements.iter().any(|by| by.node != owner.node())
    })
    .await?;
    owner.process().resume()?;
    bed.says(address, "one speaker announces it", |s| s.announcements.len() == 1).await?;
    let report = stream.stop().await?;
    ensure!(report.failures.is_empty(), "{:?} of {}", report.failures, report.asked);
    Ok(())
}

pub(crate) async fn carrier_that_flaps_takes_traffic_away_for_no_longer() -> Result<()> {
    let (bed, address) = with_web().await?;
    let (client, bridge) = (bed.lab.lans()?.client(), bed.lab.tenant("a")?.lan()?.bridge());
    let owner = bed.owner(address).await?;
    let stream = Stream::start(client, &format!("http://{address}/"), 200, 60);
    bridge.ip(&format!("link set {} down", owner.node())).await?;
    wait::throughout("the link is down", FLAP, || async { Ok(()) }).await?;
    bridge.ip(&format!("link set {} up", owner.node())).await?;
    bed.answers_from_now_on(address, Duration::from_secs(3)).await?;
    bed.says(address, "one speaker announces it", |s| s.announcements.len() == 1).await?;
    let report = stream.stop().await?;
    eprintln!("longest gap of a carrier that flaps for 0.3 s: {:?}", report.longest_gap);
    ensure!(report.longest_gap < GAP, "{report:?}");
    Ok(())
}

pub(crate) async fn rolling_restart_of_all_speakers_loses_no_connection() -> Result<()> {
    let (bed, address) = with_web().await?;
    let client = bed.lab.lans()?.client();
    let mut sessions = sessions(client, address, 1).await?;
    let stream = Stream::start(client, &format!("http://{address}/"), 100, 120);
    for speaker in &bed.speakers {
        speaker.process().stop().await?;
        bed.says(address, "another speaker announces it", |s| {
            let of = |by: &cpo_api::EipAnnouncement| by.node != speaker.node();
            !s.announcements.is_empty() && s.announcements.iter().all(of)
        })
        .await?;
        speaker.process().start_again()?;
        go_on(&mut sessions).await?;
    }
    let report = stream.stop().await?;
    eprintln!("longest gap of a rolling restart: {:?}", report.longest_gap);
    ensure!(report.failures.is_empty(), "{:?} of {}", report.failures, report.asked);
    Ok(())
}

pub(crate) async fn api_server_away_changes_nothing_and_speakers_go_on_alone() -> Result<()> {
    let (bed, address) = with_web().await?;
    let client = bed.lab.lans()?.client();
    let owner = bed.owner(address).await?;
    let server = bed.lab.under().api_server();
    let stream = Stream::start(client, &format!("http://{address}/"), 100, 120);
    let bridge = bed.lab.tenant("a")?.lan()?.bridge();
    server.pause()?;
    // A dead node: its kernel would go on without its speaker.
    bridge.ip(&format!("link set {} nomaster", owner.node())).await?;
    owner.process().kill().await?;
    bed.answers_from_now_on(address, Duration::from_secs(5)).await?;
    server.resume()?;
    let report = stream.stop().await?;
    ensure!(report.longest_gap < GAP + Duration::from_millis(200), "{report:?}");
    bed.says(address, "another speaker says so", |s| {
        s.announcements.iter().any(|by| by.node != owner.node())
    })
    .await
    .map(|_| ())
}

pub(crate) async fn node_that_is_excluded_hands_its_addresses_over() -> Result<()> {
    let (bed, address) = with_web().await?;
    let owner = bed.owner(address).await?;
    let nodes: Api<Node> = Api::all(bed.lab.under().client());
    let label = "node.kubernetes.io/exclude-from-external-load-balancers";
    let patch = json!({"metadata": {"labels": {label: "true"}}});
    let (params, patch) = (PatchParams::default(), Patch::Merge(&patch));
    nodes.patch(owner.node(), &params, &patch).await?;
    bed.says(address, "another speaker announces it, and it alone", |s| {
        s.announcements.len() == 1 && s.announcements.iter().all(|by| by.node != owner.node())
    })
    .await?;
    bed.answers(address).await.map(|_| ())
}
