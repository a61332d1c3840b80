//! Contents so large that they are decoded beside the connection.

use anyhow::{Result, ensure};
use lab::ovsdb::{Listen, Member, Pace, Proxy};
use lab::space::Space;
use lab::wait;

use crate::scene::{SOON, Scene, space};

/// A server with 3,000 rows, 650 kB of contents.
async fn large() -> Result<(Space, Member, Scene)> {
    let (space, schema) = space()?;
    let member = Member::standalone(&space, "large", &schema, &Listen::Tcp).await?;
    let writer = Scene::start(&space, &member.endpoint()).await?;
    for _ in 0..15 {
        writer.ledger.write_together(&writer.client, 200).await?;
    }
    Ok((space, member, writer))
}

pub(crate) async fn large_contents_come_while_rows_change() -> Result<()> {
    let (space, member, writer) = large().await?;
    let load = writer.load();
    let mut readers = Vec::new();
    for _ in 0..4 {
        let reader = Scene::start(&space, &member.endpoint()).await?;
        ensure!(reader.client.snapshot().table("Load_Balancer").len() >= 3_000, "not whole");
        readers.push(reader);
    }
    ensure!(load.stop().await? > 0, "nothing was written under way");
    writer.settles(&member).await?;
    let dump = member.dump().await?;
    for reader in readers {
        wait::until("each reader to equal the dump", SOON, || async {
            dump.equals(&reader.client.snapshot())
        })
        .await?;
        ensure!(reader.client.health().connections == 1, "{:?}", reader.client.health());
    }
    Ok(())
}

pub(crate) async fn connection_cut_within_large_contents_leaves_the_replica_whole() -> Result<()> {
    let (space, member, writer) = large().await?;
    let proxy = Proxy::start(member.port(), Pace::Whole).await?;
    let reader = Scene::start(&space, &proxy.endpoint()).await?;
    let whole = proxy.passed();
    ensure!(whole > 600_000, "{whole} bytes are not large");
    for part in 1..5 {
        writer.write(3).await?;
        let connections = proxy.connections();
        proxy.cut_at(whole * part / 5);
        proxy.cut();
        wait::until("the connection after the one that was cut", SOON, || async {
            let rows = reader.client.snapshot().table("Load_Balancer").len();
            ensure!(rows >= 3_000, "{rows} rows: the replica lost some");
            let health = reader.client.health();
            ensure!(health.connected && proxy.connections() == connections + 2, "{health:?}");
            Ok(())
        })
        .await?;
        member.dump().await?.equals(&reader.client.snapshot())?;
    }
    writer.settles(&member).await
}
