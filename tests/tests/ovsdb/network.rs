//! What lies between: replies lost, connections half open or cut, streams in pieces.

use anyhow::{Result, ensure};
use lab::ovsdb::{Listen, Member, Pace, Proxy};
use lab::wait;

use crate::scene::{SOON, Scene, space};

async fn behind(pace: Pace) -> Result<(Member, Proxy, Scene)> {
    let (space, schema) = space()?;
    let member = Member::standalone(&space, "alone", &schema, &Listen::Tcp).await?;
    let proxy = Proxy::start(member.port(), pace).await?;
    let scene = Scene::start(&space, &proxy.endpoint()).await?;
    Ok((member, proxy, scene))
}

pub(crate) async fn lost_reply_leaves_one_row() -> Result<()> {
    let (member, proxy, scene) = behind(Pace::Whole).await?;
    for lost in 1..=5 {
        proxy.swallow_a_reply();
        scene.write(3).await?;
        ensure!(proxy.swallowed() == lost, "{} replies were lost", proxy.swallowed());
        ensure!(scene.ledger.unknown() == lost, "{} outcomes unknown", scene.ledger.unknown());
    }
    scene.settles(&member).await
}

pub(crate) async fn half_open_connection_is_given_up() -> Result<()> {
    let (member, proxy, scene) = behind(Pace::Whole).await?;
    scene.write(5).await?;
    let before = proxy.connections();
    proxy.fall_silent();
    // No reply and no end: the probe finds out.
    scene.write(5).await?;
    ensure!(proxy.connections() > before, "no new connection");
    let reason = scene.client.health().last_failure.unwrap_or_default();
    ensure!(reason.contains("silent"), "{reason}");
    scene.settles(&member).await
}

pub(crate) async fn stream_cut_at_every_byte_is_read() -> Result<()> {
    for size in [1, 2, 3, 7, 61, 4_093] {
        let (member, _proxy, scene) = behind(Pace::Pieces(size)).await?;
        scene.write(5).await?;
        let second = Scene::start(&scene.space, &member.endpoint()).await?;
        let row = scene.ledger.write(&second.client, "from elsewhere").await?;
        wait::until("the other client's row", SOON, || async {
            let snapshot = scene.client.snapshot();
            ensure!(snapshot.row("Load_Balancer", row).is_some(), "pieces of {size}: not seen");
            Ok(())
        })
        .await?;
        scene.settles(&member).await?;
    }
    Ok(())
}

pub(crate) async fn connections_cut_again_and_again_lose_nothing() -> Result<()> {
    let (member, proxy, scene) = behind(Pace::Whole).await?;
    let load = scene.load();
    for _ in 0..20 {
        let before = proxy.connections();
        scene.write(2).await?;
        proxy.cut();
        wait::until("a new connection", SOON, || async {
            ensure!(proxy.connections() > before, "none");
            Ok(())
        })
        .await?;
    }
    let written = load.stop().await?;
    ensure!(written > 20, "{written} rows");
    scene.settles(&member).await
}
