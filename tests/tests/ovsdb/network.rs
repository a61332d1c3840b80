//! What lies between: replies lost, connections half open or cut, streams in pieces.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use lab::ovsdb::{Listen, Member, Pace, Proxy, Schema, Then};
use lab::space::Space;
use lab::wait;
use ovn_client::ClientConfig;

use crate::scene::{SOON, Scene, config, space};

async fn behind(pace: Pace) -> Result<(Member, Proxy, Scene)> {
    let (space, schema) = space()?;
    let member = Member::standalone(&space, "alone", &schema, &Listen::Tcp).await?;
    let proxy = Proxy::start(member.port(), pace).await?;
    let scene = Scene::start(&space, &proxy.endpoint()).await?;
    Ok((member, proxy, scene))
}

/// A server with so small a database that each byte of a connection can be treated for itself.
async fn small() -> Result<(Space, Member, Scene)> {
    let space = Space::new()?;
    let schema = Schema::small()?.write(&space, "small")?;
    let member = Member::standalone(&space, "small", &schema, &Listen::Tcp).await?;
    let scene = Scene::start(&space, &member.endpoint()).await?;
    scene.write(3).await?;
    Ok((space, member, scene))
}

pub(crate) async fn lost_reply_leaves_one_row() -> Result<()> {
    let (member, proxy, scene) = behind(Pace::Whole).await?;
    for lost in 1..=5 {
        proxy.swallow("transact", Then::Cut);
        scene.write(3).await?;
        ensure!(proxy.swallowed() == lost, "{} replies were lost", proxy.swallowed());
        ensure!(scene.ledger.unknown() == lost, "{} outcomes unknown", scene.ledger.unknown());
    }
    scene.settles(&member).await
}

/// An addition whose reply is lost is not made a second time.
pub(crate) async fn lost_reply_to_an_addition_counts_once() -> Result<()> {
    let (member, proxy, scene) = behind(Pace::Whole).await?;
    scene.ledger.count(&scene.client).await?;
    for lost in 1..=5 {
        proxy.swallow("transact", Then::Cut);
        scene.ledger.count(&scene.client).await?;
        ensure!(scene.ledger.unknown() == lost, "{} outcomes unknown", scene.ledger.unknown());
    }
    scene.settles(&member).await
}

/// Exactly one reply is lost, and the connection goes on.
pub(crate) async fn lost_reply_holds_up_no_other_transaction() -> Result<()> {
    let (member, proxy, scene) = behind(Pace::Whole).await?;
    proxy.swallow("transact", Then::GoOn);
    let (client, ledger) = (scene.client.clone(), scene.ledger.clone());
    let first = tokio::spawn(async move { ledger.write(&client, "without a reply").await });
    wait::until("the row whose reply was lost", SOON, || async {
        let rows = scene.client.snapshot().table("Load_Balancer").len();
        ensure!(proxy.swallowed() == 1 && rows == 1, "{rows} rows");
        Ok(())
    })
    .await?;
    scene.write(20).await?;
    ensure!(!first.is_finished() && proxy.connections() == 1, "its outcome was guessed");
    proxy.cut();
    first.await??;
    ensure!(scene.ledger.unknown() == 1, "{} outcomes unknown", scene.ledger.unknown());
    scene.settles(&member).await
}

/// Each request on the way into sync may be the last one that the server takes.
pub(crate) async fn lost_reply_on_the_way_into_sync_is_asked_for_again() -> Result<()> {
    let (member, proxy, scene) = behind(Pace::Whole).await?;
    let methods = ["set_db_change_aware", "get_schema", "monitor_cond", "monitor_cond_since"];
    for (number, method) in methods.into_iter().enumerate() {
        scene.write(3).await?;
        proxy.swallow(method, Then::Cut);
        proxy.cut();
        wait::until("the reply to be lost", SOON, || async {
            ensure!(proxy.swallowed() == number + 1, "{method}");
            Ok(())
        })
        .await?;
        scene.write(3).await?;
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

pub(crate) async fn server_that_never_speaks_is_left() -> Result<()> {
    let (member, proxy, scene) = behind(Pace::Whole).await?;
    scene.write(5).await?;
    proxy.mute(true);
    proxy.cut();
    wait::until("two connections to be given up", SOON, || async {
        let reason = scene.client.health().last_failure.unwrap_or_default();
        ensure!(proxy.connections() > 2 && reason.contains("silent"), "{reason}");
        Ok(())
    })
    .await?;
    proxy.mute(false);
    scene.write(5).await?;
    scene.settles(&member).await
}

pub(crate) async fn stream_in_pieces_is_read() -> Result<()> {
    for pace in [2, 3, 7, 61, 4_093].map(Pace::Pieces).into_iter().chain([Pace::Bytes]) {
        let (member, _proxy, scene) = behind(pace).await?;
        scene.write(5).await?;
        let second = Scene::start(&scene.space, &member.endpoint()).await?;
        let row = scene.ledger.write(&second.client, "from elsewhere").await?;
        wait::until("the other client's row", SOON, || async {
            let snapshot = scene.client.snapshot();
            ensure!(snapshot.row("Load_Balancer", row).is_some(), "{pace:?}: not seen");
            Ok(())
        })
        .await?;
        scene.settles(&member).await?;
    }
    Ok(())
}

/// The way into sync, once for each byte of it that may be the last of a read.
pub(crate) async fn stream_split_at_every_byte_is_read() -> Result<()> {
    let (space, member, writer) = small().await?;
    let dump = member.dump().await?;
    let whole = Proxy::start(member.port(), Pace::Whole).await?;
    let first = Scene::start(&space, &whole.endpoint()).await?;
    dump.equals(&first.client.snapshot())?;
    for at in 1..whole.passed() {
        let proxy = Proxy::start(member.port(), Pace::SplitAt(at)).await?;
        let scene = Scene::start(&space, &proxy.endpoint()).await?;
        dump.equals(&scene.client.snapshot()).with_context(|| format!("split at {at}"))?;
        ensure!(proxy.connections() == 1, "split at {at}: {:?}", scene.client.health());
    }
    writer.settles(&member).await
}

/// One byte at a time, and each message takes longer than silence may last.
pub(crate) async fn server_that_trickles_is_not_silent() -> Result<()> {
    let (space, member, writer) = small().await?;
    let proxy = Proxy::start(member.port(), Pace::Trickle(Duration::from_millis(1))).await?;
    let probed = config(&proxy.endpoint())?;
    let probe_interval = Some(Duration::from_millis(200));
    let scene = Scene::with(&space, ClientConfig { probe_interval, ..probed }).await?;
    writer.write(3).await?;
    writer.ledger.write(&scene.client, "through the trickle").await?;
    ensure!(proxy.connections() == 1, "{:?}", scene.client.health());
    wait::until("the slow replica to equal the dump", SOON, || async {
        member.dump().await?.equals(&scene.client.snapshot())
    })
    .await?;
    writer.settles(&member).await
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
