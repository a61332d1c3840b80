//! One server.

use anyhow::{Result, ensure};
use lab::ovsdb::{Listen, Member};
use lab::wait;
use ovn_client::nb::{LoadBalancer, LogicalRouter, TypedRow as _};
use ovn_client::{
    Condition, Delete, Event, Insert, Mutate, NamedUuid, Outcome, RowFilter, Txn, Update, Uuid,
    Wait,
};

use crate::scene::{SOON, Scene, space};

pub(crate) async fn standalone_server_is_followed_and_written() -> Result<()> {
    let (space, schema) = space()?;
    let member = Member::standalone(&space, "alone", &schema, &Listen::Tcp).await?;
    let scene = Scene::start(&space, &member.endpoint()).await?;
    scene.write(20).await?;
    every_operation_does_what_it_says(&scene).await?;
    // Another client writes too.
    let second = Scene::start(&space, &member.endpoint()).await?;
    let row = scene.ledger.write(&second.client, "of another client").await?;
    wait::until("the other client's row", SOON, || async {
        let seen = scene.client.snapshot().row(LoadBalancer::TABLE, row).is_some();
        ensure!(seen, "not seen");
        Ok(())
    })
    .await?;
    scene.settles(&member).await
}

/// Insert, update, mutate, select, wait, comment, delete on a router, which is gone in the end.
async fn every_operation_does_what_it_says(scene: &Scene) -> Result<()> {
    const ROUTER: Uuid = Uuid::from_u128(0xa110_0000_0000_4000_8000_0000_0000_0001);
    let table = LogicalRouter::TABLE;
    let client = &scene.client;
    let commit = async |txn: Txn| match client.transact(txn).await {
        Outcome::Committed(results) => Ok(results),
        other => Err(anyhow::anyhow!("{other}")),
    };
    let router = || {
        let replica = client.snapshot();
        replica.row(table, ROUTER).map(|row| LogicalRouter::from_row(row))
    };
    commit(Txn::new().with(Insert::new(table, ROUTER).set("name", "r1")).comment("made")).await?;
    ensure!(router().is_some_and(|router| router.name == "r1"));
    let renamed = Update::row(table, ROUTER).set("name", "r2").expect_count(1);
    commit(Txn::new().with(Wait::row(table, ROUTER).holds("name", "r1")).with(renamed)).await?;
    let ids = |pairs: &[(&str, &str)]| {
        pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    };
    let old: std::collections::BTreeMap<String, String> = ids(&[("a", "1")]);
    let new: std::collections::BTreeMap<String, String> = ids(&[("a", "2"), ("b", "3")]);
    commit(Txn::new().with(Mutate::row(table, ROUTER).insert("external_ids", &old))).await?;
    let replaced = Mutate::row(table, ROUTER).remove("external_ids", &old);
    commit(Txn::new().with(replaced.insert("external_ids", &new))).await?;
    ensure!(router().is_some_and(|router| router.external_ids == new));
    let named = Insert::named(LoadBalancer::TABLE, "lb").set("name", "by name");
    let refer = NamedUuid("lb".to_owned());
    let attach = Mutate::row(table, ROUTER).insert("load_balancer", &refer).expect_count(1);
    let results = commit(Txn::new().with(named).with(attach)).await?;
    let Some(ovn_client::OperationResult::Inserted(balancer)) = results.first() else {
        anyhow::bail!("{results:?}")
    };
    ensure!(router().is_some_and(|router| router.load_balancer.contains(balancer)));
    commit(Txn::new().with(Delete::row(LoadBalancer::TABLE, *balancer).expect_count(1))).await?;
    ensure!(router().is_some_and(|router| router.load_balancer.is_empty()));
    let select = ovn_client::Select::all(table).filter(Condition::equal("name", "r2"));
    let results = commit(Txn::new().with(select)).await?;
    ensure!(
        matches!(results.first(), Some(ovn_client::OperationResult::Rows(rows)) if rows.len() == 1),
        "{results:?}"
    );
    let failing = Txn::new().with(Wait::row(table, ROUTER).holds("name", "r1").fence());
    let outcome = client.transact(failing.with(Delete::row(table, ROUTER))).await;
    ensure!(matches!(outcome, Outcome::Fenced(_)) && router().is_some(), "{outcome}");
    let nobody = Update::row(table, Uuid::nil()).set("name", "x").expect_count(1);
    let outcome = client.transact(Txn::new().with(nobody)).await;
    ensure!(matches!(outcome, Outcome::Mismatched { .. }), "{outcome}");
    let twice = Txn::new().with(Insert::new(table, ROUTER));
    let outcome = client.transact(twice).await;
    ensure!(matches!(outcome, Outcome::Hard(_)), "{outcome}");
    commit(Txn::new().with(Delete::row(table, ROUTER).expect_count(1))).await?;
    ensure!(router().is_none());
    Ok(())
}

pub(crate) async fn standalone_server_killed_and_started_is_found_again() -> Result<()> {
    let (space, schema) = space()?;
    let member = Member::standalone(&space, "alone", &schema, &Listen::Tcp).await?;
    let scene = Scene::start(&space, &member.endpoint()).await?;
    scene.write(5).await?;
    let mut events = scene.client.subscribe();
    let load = scene.load();
    for _ in 0..3 {
        member.kill_and_start().await?;
        scene.write(5).await?;
    }
    let written = load.stop().await?;
    ensure!(written > 0, "nothing was written under way");
    let mut disconnections = 0;
    while let Ok(Some(event)) =
        tokio::time::timeout(std::time::Duration::from_millis(100), events.recv()).await
    {
        disconnections += usize::from(matches!(event, Event::Disconnected { .. } | Event::Lagged));
    }
    ensure!(disconnections > 0, "nobody told of the lost connection");
    scene.settles(&member).await
}

pub(crate) async fn unix_socket_serves_as_well() -> Result<()> {
    let (space, schema) = space()?;
    let member = Member::standalone(&space, "alone", &schema, &Listen::Tcp).await?;
    // As this program sees the path.
    let scene = Scene::start(&space, &member.socket()).await?;
    scene.write(20).await?;
    member.kill_and_start().await?;
    scene.write(20).await?;
    scene.settles(&member).await
}

pub(crate) async fn database_deleted_and_created_anew_is_followed() -> Result<()> {
    let (space, schema) = space()?;
    let member = Member::standalone(&space, "alone", &schema, &Listen::Tcp).await?;
    let scene = Scene::start(&space, &member.endpoint()).await?;
    scene.write(20).await?;
    member.recreate(&schema).await?;
    scene.ledger.forget();
    scene.settles(&member).await?;
    scene.write(5).await?;
    scene.settles(&member).await
}

pub(crate) async fn database_removed_and_added_while_the_server_runs_is_followed() -> Result<()> {
    let (space, schema) = space()?;
    let member = Member::standalone(&space, "alone", &schema, &Listen::Tcp).await?;
    let scene = Scene::start(&space, &member.endpoint()).await?;
    scene.write(20).await?;
    member.remove_and_add(&schema).await?;
    scene.ledger.forget();
    scene.settles(&member).await?;
    scene.write(5).await?;
    scene.settles(&member).await
}

pub(crate) async fn rows_of_a_filter_come_and_go() -> Result<()> {
    let (space, schema) = space()?;
    let member = Member::standalone(&space, "alone", &schema, &Listen::Tcp).await?;
    let scene = Scene::start(&space, &member.endpoint()).await?;
    scene.write(10).await?;
    let filtered = Scene::start(&space, &member.endpoint()).await?;
    let monitored = || filtered.client.snapshot().table(LoadBalancer::TABLE).len();
    ensure!(monitored() == 10, "{}", monitored());
    let only = |name: &str| RowFilter::Any(vec![Condition::equal("name", name)]);
    filtered.client.monitor(LoadBalancer::TABLE, only("row-3")).await?;
    ensure!(monitored() == 1, "{}", monitored());
    member.kill_and_start().await?;
    filtered.client.connected().await;
    filtered.client.monitor(LoadBalancer::TABLE, RowFilter::Nothing).await?;
    ensure!(monitored() == 0, "{}", monitored());
    filtered.client.monitor(LoadBalancer::TABLE, RowFilter::All).await?;
    ensure!(LoadBalancer::all(&filtered.client.snapshot()).count() == 10);
    member.dump().await?.equals(&filtered.client.snapshot())?;
    scene.settles(&member).await
}
