//! What a cluster remembers of its transactions, and what it forgets.

use anyhow::{Result, ensure};
use lab::ovsdb::{Cluster, Pace, Proxy};
use lab::wait;
use ovn_client::ClientConfig;

use crate::cluster::{agree, cluster};
use crate::scene::{SOON, Scene, config, space};

/// The next leader knows the last transaction of the replica and sends what came after it.
pub(crate) async fn next_leader_sends_only_the_difference() -> Result<()> {
    let (space, schema) = space()?;
    let cluster = Cluster::start(&space, "m", &schema, 3).await?;
    let mut proxies = Vec::new();
    for member in cluster.members() {
        proxies.push(Proxy::start(member.port(), Pace::Whole).await?);
    }
    let passed = || proxies.iter().map(Proxy::passed).sum::<usize>();
    let endpoints: Vec<_> = proxies.iter().map(Proxy::endpoint).collect();
    let scene = Scene::start(&space, &endpoints.join(",")).await?;
    for _ in 0..10 {
        scene.ledger.write_together(&scene.client, 200).await?;
    }
    let fresh = Scene::start(&space, &endpoints.join(",")).await?;
    drop(fresh);
    let (all, connections) = (passed(), scene.client.health().connections);
    cluster.transfer_leadership().await?;
    scene.write(1).await?;
    let health = scene.client.health();
    ensure!(health.connections == connections + 1, "{health:?}");
    let difference = passed() - all;
    ensure!(difference * 5 < all, "{difference} bytes after {all}");
    agree(&cluster, &scene).await
}

/// Who has seen more refuses the cluster until it is past that; who has not takes it as it is.
pub(crate) async fn cluster_restored_from_an_old_copy_is_stale() -> Result<()> {
    let (space, _schema, cluster, leaders) = cluster().await?;
    drop(leaders);
    cluster.back_up().await?;
    // Of any member, so that each gives the same reason.
    let any = ClientConfig { leader_only: false, ..config(&cluster.endpoints())? };
    let scene = Scene::with(&space, any).await?;
    scene.write(100).await?;
    let seen = scene.client.health().progress;
    cluster.restore().await?;
    wait::until("the old copy to be refused", SOON, || async {
        let health = scene.client.health();
        let reason = health.last_failure.unwrap_or_default();
        ensure!(!health.connected && reason.contains("stale"), "{reason}");
        Ok(())
    })
    .await?;
    let rows = scene.client.snapshot().table("Load_Balancer").len();
    ensure!(rows == 100, "{rows} rows: a stale copy was believed");
    scene.ledger.forget();
    let fresh = Scene::start(&space, &cluster.endpoints()).await?;
    wait::until("the cluster to be past what was seen", SOON, || async {
        scene.ledger.write(&fresh.client, "anew").await?;
        ensure!(scene.client.health().connected, "{:?}", scene.client.health().last_failure);
        Ok(())
    })
    .await?;
    let now = scene.client.health().progress;
    ensure!(now.cluster == seen.cluster && now.index >= seen.index, "{now:?} after {seen:?}");
    agree(&cluster, &scene).await
}
