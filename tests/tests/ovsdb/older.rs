//! OVN 24.03 with its own schema and the ovsdb-server of its time.

use anyhow::{Result, ensure};
use lab::ovsdb::{Cluster, Listen, Member, Release, Schema};
use lab::space::Space;
use ovn_client::nb::{LoadBalancer, Protocol};
use ovn_client::{Delete, Outcome, Txn, Uuid};

use crate::cluster::{agree, follows};
use crate::scene::Scene;

fn space() -> Result<(Space, std::path::PathBuf)> {
    let space = Space::new()?;
    let schema = Schema::northbound(Release::Older)?.write(&space, "older")?;
    Ok((space, schema))
}

pub(crate) async fn older_server_is_followed_and_written() -> Result<()> {
    let (space, schema) = space()?;
    let member = Member::of(Release::Older, &space, "older", &schema, &Listen::Tcp).await?;
    let scene = Scene::start(&space, &member.endpoint()).await?;
    let version = scene.client.snapshot().resolved().schema.version().to_owned();
    ensure!(version == "7.3.0", "the schema is {version}");
    writes_fit(&scene).await?;
    let load = scene.load();
    for _ in 0..3 {
        scene.write(10).await?;
        member.kill_and_start().await?;
    }
    ensure!(load.stop().await? > 0, "nothing was written under way");
    scene.settles(&member).await
}

/// What the server lacks is left out of what is written, and told.
async fn writes_fit(scene: &Scene) -> Result<()> {
    const ROW: Uuid = Uuid::from_u128(1);
    let row = LoadBalancer {
        selection_fields: ["ip_src", "ipv6_src"].map(str::to_owned).into(),
        ..LoadBalancer::new(ROW, "web", Protocol::Tcp)
    };
    let refused = scene.client.transact(Txn::new().insert(&row)).await;
    ensure!(matches!(refused, Outcome::Hard(_)), "{refused}");
    let (txn, missing) = Txn::new().insert(&row).fit(&scene.client.snapshot().resolved().schema);
    let missing: Vec<_> = missing.iter().map(ToString::to_string).collect();
    ensure!(missing == ["Load_Balancer.selection_fields=ipv6_src"], "{missing:?}");
    let written = scene.client.transact(txn).await;
    ensure!(written.is_committed(), "{written}");
    let delete = Delete::row(LoadBalancer::TABLE, ROW).expect_count(1);
    let gone = scene.client.transact(Txn::new().with(delete)).await;
    ensure!(matches!(gone, Outcome::Committed(_)), "{gone}");
    Ok(())
}

pub(crate) async fn older_cluster_is_followed_through_transfer_and_kill() -> Result<()> {
    let (space, schema) = space()?;
    let cluster = Cluster::of(Release::Older, &space, "o", &schema, 3).await?;
    let scene = Scene::start(&space, &cluster.endpoints()).await?;
    let load = scene.load();
    for _ in 0..2 {
        scene.write(10).await?;
        let leader = cluster.transfer_leadership().await?;
        follows(&scene, leader).await?;
        scene.write(10).await?;
        leader.process().kill().await?;
        follows(&scene, cluster.another_leader(leader).await?).await?;
        scene.write(10).await?;
        leader.start_again().await?;
        leader.joined().await?;
    }
    ensure!(load.stop().await? > 0, "nothing was written under way");
    agree(&cluster, &scene).await
}
