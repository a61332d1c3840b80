//! Servers of other versions, and versions that change.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};
use lab::ovsdb::{Cluster, Listen, Member, Release, Schema};
use lab::space::Space;
use lab::wait;
use ovn_client::nb::LoadBalancer;
use serde_json::Value;

use crate::cluster::agree;
use crate::scene::{SOON, Scene};

/// What the typed rows are held against (`ovn-client/tests/schemas.rs`) is what OVN ships.
pub(crate) async fn schemas_that_are_checked_in_are_those_of_the_current_release() -> Result<()> {
    let north = include_str!("../../../ovn-client/tests/fixtures/ovn-nb-25.03.json");
    let south = include_str!("../../../ovn-client/tests/fixtures/ovn-sb-25.03.json");
    same(north, &Schema::northbound(Release::Current)?)?;
    same(south, &Schema::southbound(Release::Current)?)
}

/// Likewise of the oldest release that is served.
pub(crate) async fn schemas_that_are_checked_in_are_those_of_the_older_release() -> Result<()> {
    let north = include_str!("../../../ovn-client/tests/fixtures/ovn-nb-24.03.json");
    let south = include_str!("../../../ovn-client/tests/fixtures/ovn-sb-24.03.json");
    same(north, &Schema::northbound(Release::Older)?)?;
    same(south, &Schema::southbound(Release::Older)?)
}

/// Each table that is checked in has the columns of the real one, and no others, of the same types.
fn same(checked_in: &str, real: &Schema) -> Result<()> {
    let (checked_in, real): (Value, Value) =
        (serde_json::from_str(checked_in)?, serde_json::from_str(&real.text())?);
    ensure!(checked_in.get("name") == real.get("name"), "another database");
    let tables = checked_in.get("tables").and_then(Value::as_object).context("no tables")?;
    ensure!(!tables.is_empty(), "no tables");
    for table in tables.keys() {
        let (ours, theirs) = (columns(&checked_in, table), columns(&real, table));
        ensure!(ours.is_some() && ours == theirs, "{table}: {ours:?} is not {theirs:?}");
    }
    Ok(())
}

/// The columns of a table, with their types.
fn columns<'s>(schema: &'s Value, table: &str) -> Option<BTreeMap<&'s str, &'s Value>> {
    let columns = schema.get("tables")?.get(table)?.get("columns")?.as_object()?;
    columns.iter().map(|(name, column)| Some((name.as_str(), column.get("type")?))).collect()
}

pub(crate) async fn schemas_of_other_versions_are_followed() -> Result<()> {
    let lacking = Schema::current()?.without("Load_Balancer", "health_check");
    for (name, schema, missing) in [
        ("current", Schema::current()?, None),
        ("lacking", lacking, Some("Load_Balancer.health_check")),
        ("more", Schema::current()?.with("Load_Balancer", "of_the_future"), None),
    ] {
        let space = Space::new()?;
        let schema = schema.write(&space, name)?;
        let member = Member::standalone(&space, name, &schema, &Listen::Tcp).await?;
        let scene = Scene::start(&space, &member.endpoint()).await?;
        scene.write(10).await?;
        scene.settles(&member).await?;
        let snapshot = scene.client.snapshot();
        let told: Vec<_> = snapshot.resolved().missing.iter().map(ToString::to_string).collect();
        ensure!(told.first().map(String::as_str) == missing, "{name}: {told:?} is missing");
    }
    Ok(())
}

pub(crate) async fn schema_converted_up_and_down_is_followed() -> Result<()> {
    let space = Space::new()?;
    let full = Schema::current()?.version("99.0.0").write(&space, "full")?;
    let member = Member::standalone(&space, "alone", &full, &Listen::Tcp).await?;
    let scene = Scene::start(&space, &member.endpoint()).await?;
    converted(&space, &scene, Servers::One(&member)).await?;
    scene.settles(&member).await
}

pub(crate) async fn cluster_converted_up_and_down_is_followed() -> Result<()> {
    let space = Space::new()?;
    let full = Schema::current()?.version("99.0.0").write(&space, "full")?;
    let cluster = Cluster::start(&space, "m", &full, 3).await?;
    let scene = Scene::start(&space, &cluster.endpoints()).await?;
    converted(&space, &scene, Servers::Cluster(&cluster)).await?;
    agree(&cluster, &scene).await
}

enum Servers<'s> {
    One(&'s Member),
    Cluster(&'s Cluster),
}

/// Converts the schema under load: a column goes, comes back, and goes again.
async fn converted(space: &Space, scene: &Scene, servers: Servers<'_>) -> Result<()> {
    let full = Schema::current()?.version("99.0.0").write(space, "full")?;
    let lacking = Schema::current()?.version("98.0.0").without("Load_Balancer", "health_check");
    let lacking = lacking.write(space, "lacking")?;
    let load = scene.load();
    for (schema, version, columns) in
        [(&lacking, "98.0.0", 7), (&full, "99.0.0", 8), (&lacking, "98.0.0", 7)]
    {
        scene.write(5).await?;
        let member = match servers {
            Servers::One(member) => member,
            Servers::Cluster(cluster) => cluster.leader().await?,
        };
        member.convert(schema).await?;
        wait::until("the new schema", SOON, || async {
            let snapshot = scene.client.snapshot();
            let table = snapshot.table(LoadBalancer::TABLE);
            let found = (snapshot.resolved().schema.version(), table.layout().names().len());
            let health = scene.client.health();
            ensure!(found == (version, columns) && snapshot.connected(), "{found:?}, {health:?}");
            Ok(())
        })
        .await?;
        scene.write(5).await?;
    }
    ensure!(load.stop().await? > 0, "nothing was written under way");
    Ok(())
}
