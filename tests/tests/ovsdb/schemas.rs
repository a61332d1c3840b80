//! Servers of other versions, and versions that change.

use anyhow::{Context as _, Result, ensure};
use lab::ovsdb::{Cluster, Listen, Member, Release, Schema};
use lab::space::Space;
use lab::wait;
use ovn_client::nb::{self, LoadBalancer};
use ovn_client::ovsdb::schema::Resolved;
use ovn_client::{DatabaseSchema, TypedRow, sb};

use crate::cluster::agree;
use crate::scene::{SOON, Scene};

/// No column of the typed rows is invented, and each is read as what it is.
pub(crate) async fn typed_rows_fit_the_real_schemas() -> Result<()> {
    let missing = fit(Release::Current)?;
    ensure!(missing.is_empty(), "not there: {missing:?}");
    Ok(())
}

/// What OVN 24.03 lacks is known, and the rest is read as what it is.
pub(crate) async fn typed_rows_fit_the_older_schemas() -> Result<()> {
    let missing = fit(Release::Older)?;
    let known = [
        "ACL.sample_new",
        "ACL.sample_est",
        "Logical_Router_Policy.chain",
        "Logical_Router_Policy.jump_chain",
        "Logical_Router_Port.dhcp_relay",
        "Logical_Router_Static_Route.selection_fields",
        "Logical_Switch_Port.peer",
        "NAT.match",
        "NAT.priority",
    ];
    ensure!(missing == known, "not there: {missing:?}");
    Ok(())
}

/// The columns of the typed rows that a release lacks.
fn fit(release: Release) -> Result<Vec<String>> {
    let mut missing = Vec::new();
    for (schema, spec) in [
        (Schema::northbound(release)?, nb::database(nb::tables())),
        (Schema::southbound(release)?, sb::database(sb::tables())),
    ] {
        let schema = DatabaseSchema::parse(&schema.text())?;
        let resolved = Resolved::new(schema, &spec);
        missing.extend(resolved.missing.iter().map(ToString::to_string));
    }
    macro_rules! read {
        ($schema:expr, $($row:ty),*) => {{
            let schema = DatabaseSchema::parse(&$schema.text())?;
            $(
                let table = schema.table(<$row>::TABLE).context(<$row>::TABLE)?;
                let mistyped = <$row as TypedRow>::mistyped(table);
                ensure!(mistyped.is_empty(), "{}: {mistyped:?}", <$row>::TABLE);
            )*
        }};
    }
    read!(
        Schema::northbound(release)?,
        nb::Acl,
        nb::AddressSet,
        nb::GatewayChassis,
        nb::HaChassisGroup,
        LoadBalancer,
        nb::LoadBalancerGroup,
        nb::LoadBalancerHealthCheck,
        nb::LogicalRouter,
        nb::LogicalRouterPolicy,
        nb::LogicalRouterPort,
        nb::LogicalRouterStaticRoute,
        nb::LogicalSwitch,
        nb::LogicalSwitchPort,
        nb::Nat,
        nb::NbGlobal
    );
    read!(
        Schema::southbound(release)?,
        sb::Chassis,
        sb::PortBinding,
        sb::ServiceMonitor,
        sb::SbGlobal
    );
    Ok(missing)
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
