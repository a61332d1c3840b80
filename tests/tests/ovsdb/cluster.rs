//! Three servers of one database.

use anyhow::{Context as _, Result, ensure};
use lab::ovsdb::{Cluster, Member, Pace, Proxy};
use lab::space::Space;
use lab::wait;
use ovn_client::ClientConfig;
use ovn_client::nb::LoadBalancer;

use crate::scene::{SOON, Scene, config, space};

pub(crate) async fn cluster() -> Result<(Space, std::path::PathBuf, Cluster, Scene)> {
    let (space, schema) = space()?;
    let cluster = Cluster::start(&space, "m", &schema, 3).await?;
    cluster.leader().await?;
    let scene = Scene::start(&space, &cluster.endpoints()).await?;
    Ok((space, schema, cluster, scene))
}

/// Waits until every member holds the same, and the replica too.
pub(crate) async fn agree(cluster: &Cluster, scene: &Scene) -> Result<()> {
    cluster.leader().await?;
    for member in cluster.members() {
        member.joined().await?;
        scene.settles(member).await?;
    }
    Ok(())
}

/// Whether the client is connected to this member.
fn at(scene: &Scene, member: &Member) -> bool {
    let health = scene.client.health();
    let there = health.endpoint.is_some_and(|there| there.to_string() == member.endpoint());
    there && health.connected
}

pub(crate) async fn follows(scene: &Scene, member: &Member) -> Result<()> {
    wait::until("the client to go to the leader", SOON, || async {
        ensure!(at(scene, member), "{:?}", scene.client.health());
        Ok(())
    })
    .await
}

pub(crate) async fn leadership_is_transferred_under_load() -> Result<()> {
    let (_space, _schema, cluster, scene) = cluster().await?;
    follows(&scene, cluster.leader().await?).await?;
    let load = scene.load();
    for _ in 0..4 {
        scene.write(10).await?;
        let leader = cluster.transfer_leadership().await?;
        follows(&scene, leader).await?;
    }
    ensure!(load.stop().await? > 0, "nothing was written under way");
    agree(&cluster, &scene).await
}

pub(crate) async fn follower_is_killed_and_started() -> Result<()> {
    let (_space, _schema, cluster, scene) = cluster().await?;
    let load = scene.load();
    for _ in 0..3 {
        let follower = cluster.follower().await?;
        follower.process().kill().await?;
        scene.write(20).await?;
        follower.kill_and_start().await?;
        follower.joined().await?;
    }
    load.stop().await?;
    let health = scene.client.health();
    ensure!(health.connections == 1, "a follower's end was noticed: {health:?}");
    agree(&cluster, &scene).await
}

pub(crate) async fn leader_is_killed_and_started() -> Result<()> {
    let (_space, _schema, cluster, scene) = cluster().await?;
    let load = scene.load();
    for _ in 0..3 {
        let leader = cluster.leader().await?;
        follows(&scene, leader).await?;
        leader.process().kill().await?;
        let next = cluster.another_leader(leader).await?;
        follows(&scene, next).await?;
        scene.write(20).await?;
        leader.kill_and_start().await?;
        leader.joined().await?;
    }
    ensure!(load.stop().await? > 0, "nothing was written under way");
    agree(&cluster, &scene).await
}

pub(crate) async fn leader_is_paused_and_resumed() -> Result<()> {
    let (_space, _schema, cluster, scene) = cluster().await?;
    let load = scene.load();
    let leader = cluster.leader().await?;
    follows(&scene, leader).await?;
    leader.process().pause()?;
    let next = cluster.another_leader(leader).await?;
    // The old connection is open and silent.
    follows(&scene, next).await?;
    scene.write(20).await?;
    leader.process().resume()?;
    leader.joined().await?;
    scene.write(20).await?;
    load.stop().await?;
    agree(&cluster, &scene).await
}

pub(crate) async fn follower_is_paused_and_resumed() -> Result<()> {
    let (_space, _schema, cluster, scene) = cluster().await?;
    let load = scene.load();
    let follower = cluster.follower().await?;
    follower.process().pause()?;
    scene.write(50).await?;
    follower.process().resume()?;
    follower.joined().await?;
    scene.write(20).await?;
    load.stop().await?;
    agree(&cluster, &scene).await
}

pub(crate) async fn compaction_is_not_noticed() -> Result<()> {
    let (_space, _schema, cluster, scene) = cluster().await?;
    let load = scene.load();
    for _ in 0..3 {
        scene.write(20).await?;
        for member in cluster.members() {
            member.compact().await?;
        }
    }
    load.stop().await?;
    let health = scene.client.health();
    ensure!(health.connections == 1 && health.outcomes.unknown == 0, "{health:?}");
    agree(&cluster, &scene).await
}

/// Who reads from any member leaves the one it reads from when that is killed, or stops.
pub(crate) async fn member_that_is_read_from_is_killed_and_paused() -> Result<()> {
    let (space, _schema, cluster, scene) = cluster().await?;
    let any = ClientConfig { leader_only: false, ..config(&cluster.endpoints())? };
    let reader = Scene::with(&space, any).await?;
    let load = scene.load();
    for round in 0..4 {
        let read_from = cluster.members().iter().find(|member| at(&reader, member));
        let read_from = read_from.context("the reader is at no member")?;
        match round % 2 {
            0 => read_from.process().kill().await?,
            _ => read_from.process().pause()?,
        }
        wait::until("the reader to go to another member", SOON, || async {
            let health = reader.client.health();
            ensure!(health.connected && !at(&reader, read_from), "{health:?}");
            Ok(())
        })
        .await?;
        match round % 2 {
            0 => read_from.start_again().await?,
            _ => read_from.process().resume()?,
        }
        read_from.joined().await?;
    }
    load.stop().await?;
    agree(&cluster, &scene).await?;
    wait::until("the reader to equal the dump", SOON, || async {
        cluster.leader().await?.dump().await?.equals(&reader.client.snapshot())
    })
    .await
}

/// A member that was cut off shows an old database to whoever believes it.
pub(crate) async fn stale_member_is_left() -> Result<()> {
    let (space, _schema, cluster, scene) = cluster().await?;
    let stale = cluster.follower().await?;
    let leader = Proxy::start(cluster.leader().await?.port(), Pace::Whole).await?;
    // This client takes any member, so that nothing but staleness can make it leave one.
    let two = format!("{},{}", stale.endpoint(), leader.endpoint());
    let any = ClientConfig { leader_only: false, ..config(&two)? };
    let reader = Scene::with(&space, any).await?;
    stale.control(["cluster/failure-test", "stop-raft-rpc"]).await?;
    let row = scene.ledger.write(&scene.client, "unknown to the stale one").await?;
    scene.write(20).await?;
    // It leaves a member that has lost its cluster; whoever comes back to it is sent away again.
    wait::until("the reader to see what the stale member does not know", SOON, || async {
        let snapshot = reader.client.snapshot();
        let seen = snapshot.row(LoadBalancer::TABLE, row).is_some() && snapshot.connected();
        ensure!(seen && !at(&reader, stale), "{:?}", reader.client.health());
        Ok(())
    })
    .await?;
    let before = reader.client.health();
    // The leader is there and says nothing: the stale one alone answers, with an old database.
    leader.mute(true);
    leader.cut();
    wait::until("the stale member to be tried and left", SOON, || async {
        let health = reader.client.health();
        let reason = health.last_failure.unwrap_or_default();
        let refused = reason.contains("stale") || reason.contains("not connected");
        // The connection that was there ends first.
        ensure!(health.failures > before.failures + 1 && refused && !health.connected, "{reason}");
        Ok(())
    })
    .await?;
    let snapshot = reader.client.snapshot();
    ensure!(snapshot.row(LoadBalancer::TABLE, row).is_some(), "a row went with the stale member");
    let connections = reader.client.health().connections;
    ensure!(connections == before.connections, "the stale member was believed");
    leader.mute(false);
    stale.kill_and_start().await?;
    agree(&cluster, &scene).await?;
    wait::until("the reader to be back", SOON, || async {
        let health = reader.client.health();
        let index = before.progress.index;
        ensure!(health.connected && health.progress.index >= index, "{health:?}");
        stale.dump().await?.equals(&reader.client.snapshot())
    })
    .await
}

pub(crate) async fn cluster_rebuilt_with_another_id_is_followed() -> Result<()> {
    let (space, schema, cluster, scene) = cluster().await?;
    scene.write(50).await?;
    let before = scene.client.health().progress;
    let any = ClientConfig { leader_only: false, ..config(&cluster.endpoints())? };
    let pinned = ClientConfig { cluster: before.cluster, ..any };
    let pinned = Scene::with(&space, pinned).await?;
    // On the same ports, with another id and a log that begins anew.
    cluster.rebuild(&schema).await?;
    scene.ledger.forget();
    scene.write(5).await?;
    let after = scene.client.health().progress;
    ensure!(after.cluster != before.cluster && after.index < before.index, "{after:?}");
    wait::until("who asks for the old cluster to refuse the new one", SOON, || async {
        let health = pinned.client.health();
        let reason = health.last_failure.unwrap_or_default();
        ensure!(!health.connected && reason.contains("belongs to cluster"), "{reason}");
        Ok(())
    })
    .await?;
    agree(&cluster, &scene).await
}
