//! Speakers that come, go and are cut off, with traffic on the way.

use std::time::Duration;

use anyhow::{Result, ensure};
use k8s_openapi::api::core::v1::Node;
use kube::Api;
use kube::api::{Patch, PatchParams};
use lab::builders::service;
use lab::traffic::Stream;
use lab::wait;
use serde_json::json;

use crate::bed::{Bed, EXCLUDED, bed, go_on};

/// The longest time without an answer that a take-over may cause.
const GAP: Duration = Duration::from_secs(1);

/// How long the API server answers nothing before a node dies, and how long afterwards.
const AWAY: Duration = Duration::from_secs(60);

/// How long a carrier is away that flaps.
const FLAP: Duration = Duration::from_millis(300);

/// Questions to the Service that is always there, so many a second.
fn stream(bed: &Bed, rate: u32) -> Result<Stream> {
    Ok(Stream::start(bed.client()?, &format!("http://{}/", bed.web()?), rate, 300))
}

/// The pods that the connections of all clients lead to stay the same.
macro_rules! connections_go_on {
    ($bed:expr, $while:block) => {{
        let mut sessions = $bed.sessions().await?;
        let before = go_on(&mut sessions).await?;
        let outcome = $while;
        ensure!(before == go_on(&mut sessions).await?, "connections moved");
        outcome
    }};
}

pub(crate) async fn owner_that_is_killed_is_replaced_and_connections_go_on() -> Result<()> {
    let bed = bed().await?;
    let owner = bed.owner(bed.web()?).await?;
    let report = connections_go_on!(bed, {
        let stream = stream(bed, 200)?;
        owner.process().kill().await?;
        bed.moves_from(bed.web()?, owner.node()).await?;
        stream.stop().await?
    });
    eprintln!("longest gap after kill -9 of the owner: {:?}", report.longest_gap);
    ensure!(report.longest_gap < GAP + Duration::from_millis(200), "{report:?}");
    Ok(())
}

pub(crate) async fn node_without_its_cable_is_replaced_within_a_second() -> Result<()> {
    let bed = bed().await?;
    let owner = bed.owner(bed.web()?).await?;
    let bridge = bed.lab.tenant("a")?.lan()?.bridge();
    let report = connections_go_on!(bed, {
        let stream = stream(bed, 200)?;
        // Neither side sees that the link is down.
        bridge.ip(&format!("link set {} nomaster", owner.node())).await?;
        bed.moves_from(bed.web()?, owner.node()).await?;
        bed.answers(bed.web()?).await?;
        stream.stop().await?
    });
    eprintln!("longest gap after the cable of the owner was pulled: {:?}", report.longest_gap);
    ensure!(report.longest_gap < GAP, "{report:?}");
    // With its cable back there is one again.
    bridge.ip(&format!("link set {} master br0", owner.node())).await?;
    bed.says(bed.web()?, "one speaker announces it", |s| s.announcements.len() == 1).await?;
    bed.answers(bed.web()?).await.map(|_| ())
}

pub(crate) async fn owner_that_is_stopped_for_a_while_comes_back_as_one_of_several() -> Result<()> {
    let bed = bed().await?;
    let owner = bed.owner(bed.web()?).await?;
    let stream = stream(bed, 100)?;
    owner.process().pause()?;
    bed.moves_from(bed.web()?, owner.node()).await?;
    owner.process().resume()?;
    bed.says(bed.web()?, "one speaker announces it", |s| s.announcements.len() == 1).await?;
    let report = stream.stop().await?;
    ensure!(report.failures.is_empty(), "{:?} of {}", report.failures, report.asked);
    Ok(())
}

pub(crate) async fn owner_whose_link_is_down_withdraws_and_is_replaced() -> Result<()> {
    let bed = bed().await?;
    let owner = bed.owner(bed.web()?).await?;
    let bridge = bed.lab.tenant("a")?.lan()?.bridge();
    let report = connections_go_on!(bed, {
        let stream = stream(bed, 200)?;
        bridge.ip(&format!("link set {} down", owner.node())).await?;
        bed.says(bed.web()?, "another speaker announces it, and it alone", |s| {
            s.announcements.len() == 1 && s.announcements.iter().all(|by| by.node != owner.node())
        })
        .await?;
        bed.answers(bed.web()?).await?;
        stream.stop().await?
    });
    eprintln!("longest gap after the link of the owner went down: {:?}", report.longest_gap);
    ensure!(report.longest_gap < GAP, "{report:?}");
    let told = owner.status().await?;
    ensure!(told.contains("it has no carrier"), "{told}");
    bridge.ip(&format!("link set {} up", owner.node())).await?;
    bed.all_hear_each_other().await?;
    bed.says(bed.web()?, "one speaker announces it", |s| s.announcements.len() == 1).await?;
    bed.answers(bed.web()?).await.map(|_| ())
}

pub(crate) async fn carrier_that_flaps_takes_traffic_away_for_no_longer() -> Result<()> {
    let bed = bed().await?;
    let bridge = bed.lab.tenant("a")?.lan()?.bridge();
    let owner = bed.owner(bed.web()?).await?;
    let stream = stream(bed, 200)?;
    bridge.ip(&format!("link set {} down", owner.node())).await?;
    wait::throughout("the link is down", FLAP, || async { Ok(()) }).await?;
    bridge.ip(&format!("link set {} up", owner.node())).await?;
    bed.answers_from_now_on(bed.web()?, Duration::from_secs(3)).await?;
    bed.says(bed.web()?, "one speaker announces it", |s| s.announcements.len() == 1).await?;
    let report = stream.stop().await?;
    eprintln!("longest gap of a carrier that flaps for 0.3 s: {:?}", report.longest_gap);
    ensure!(report.longest_gap < GAP, "{report:?}");
    Ok(())
}

pub(crate) async fn rolling_restart_of_all_speakers_loses_nothing() -> Result<()> {
    let bed = bed().await?;
    // A datagram that is lost is sent no second time.
    let datagrams = Stream::datagrams(bed.client()?, (bed.web()?, 80).into(), 200, 120);
    let stream = stream(bed, 100)?;
    connections_go_on!(bed, {
        for speaker in &bed.speakers {
            speaker.process().stop().await?;
            bed.says(bed.web()?, "another speaker announces it", |s| {
                let of = |by: &cpo_api::EipAnnouncement| by.node != speaker.node();
                !s.announcements.is_empty() && s.announcements.iter().all(of)
            })
            .await?;
            speaker.process().start_again()?;
        }
        bed.all_hear_each_other().await?;
    });
    let (report, datagrams) = (stream.stop().await?, datagrams.stop().await?);
    eprintln!(
        "longest gap of a rolling restart: {:?}; {} of {} datagrams answered",
        report.longest_gap, datagrams.answered, datagrams.asked
    );
    ensure!(report.failures.is_empty(), "{:?} of {}", report.failures, report.asked);
    ensure!(datagrams.failures.is_empty(), "{:?} of {}", datagrams.failures, datagrams.asked);
    Ok(())
}

pub(crate) async fn api_server_away_changes_nothing_and_speakers_go_on_alone() -> Result<()> {
    let bed = bed().await?;
    let tenant = bed.lab.tenant("a")?;
    let owner = bed.owner(bed.web()?).await?;
    let server = bed.lab.under().api_server();
    let stream = stream(bed, 100)?;
    let bridge = tenant.lan()?.bridge();
    server.pause()?;
    bed.answers_from_now_on(bed.web()?, AWAY).await?;
    // A dead node: its kernel would go on without its speaker.
    bridge.ip(&format!("link set {} nomaster", owner.node())).await?;
    owner.process().kill().await?;
    bed.answers_from_now_on(bed.web()?, AWAY).await?;
    server.resume()?;
    let report = stream.stop().await?;
    eprintln!("longest gap without the API server for {:?}: {:?}", AWAY * 2, report.longest_gap);
    ensure!(report.longest_gap < GAP + Duration::from_millis(200), "{report:?}");
    bed.moves_from(bed.web()?, owner.node()).await?;
    // What is wanted is seen again.
    bed.pods("a", "after").await?;
    let after =
        bed.serve(tenant, &service("after").selector("app", "after").port(80).build()).await?;
    bed.end(tenant, "after", after).await
}

pub(crate) async fn node_that_is_excluded_hands_its_addresses_over() -> Result<()> {
    let bed = bed().await?;
    let owner = bed.owner(bed.web()?).await?;
    let nodes: Api<Node> = Api::all(bed.lab.under().client());
    let patch = json!({"metadata": {"labels": {EXCLUDED: "true"}}});
    let (params, patch) = (PatchParams::default(), Patch::Merge(&patch));
    nodes.patch(owner.node(), &params, &patch).await?;
    bed.says(bed.web()?, "another speaker announces it, and it alone", |s| {
        s.announcements.len() == 1 && s.announcements.iter().all(|by| by.node != owner.node())
    })
    .await?;
    bed.answers(bed.web()?).await.map(|_| ())
}
