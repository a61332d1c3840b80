//! Reads once what the controller watches, into the same world.

use anyhow::Context as _;
use cpo_api::{AddressPool, Eip, TenantCluster};
use cpo_core::engine::{Engine, Input, UnderObject};
use cpo_core::ids::ServiceKey;
use cpo_core::kubeconfig::Server;
use cpo_core::ovn::OvnLink;
use cpo_core::tenant::TenantSpec;
use cpo_core::world::World;
use k8s_openapi::api::core::v1::Node;
use k8s_openapi::api::networking::v1::ServiceCIDR;
use kube::core::{ClusterResourceScope, DeserializeGuard, NamespaceResourceScope};
use kube::{Api, Client, Config, Resource, ResourceExt as _};
use ovn_client::ClientConfig;
use serde::de::DeserializeOwned;

use super::list;
use crate::under::{kinds, parse};
use crate::{ovn, rows, tenant};

/// What was found.
pub(super) struct Found {
    /// Everything that was read.
    pub(super) world: World,
    /// The TenantCluster is there, and not ours to serve.
    pub(super) unmanaged: bool,
    /// Why the tenant's own objects were not read.
    pub(super) unread: Option<String>,
}

/// Reads the under cluster, the Northbound database where it is given, and the tenant where its
/// kubeconfig may be read and leads to an API server that answers, into this engine's world.
pub(super) async fn gather(
    config: Config,
    database: Option<ClientConfig>,
    mut engine: Engine,
    key: &ServiceKey,
) -> anyhow::Result<Found> {
    let server = crate::run::server_of(&config)?;
    let client = cpo_client::connect(config).context("make a client of the under cluster")?;
    let tenants = list::<TenantCluster>(&Api::all(client.clone())).await?;
    let named = tenants.iter().any(|tenant| tenant.name_any() == key.tenant().as_str());
    feed(&mut engine, tenants.iter().filter_map(parse::tenant_cluster));
    under(&mut engine, &client).await?;
    if let Some(database) = database {
        let changes = rows::read(database, ovn::everything).await?;
        engine.handle(Input::Rows(changes));
        engine.handle(Input::OvnLink(OvnLink::Up));
    }
    let spec = engine.world().tenants.get(key.tenant()).map(|tenant| tenant.spec.clone());
    let unmanaged = named && spec.is_none();
    let unread = match spec {
        Some(spec) => of_tenant(&mut engine, client, server, &spec, key).await,
        None => Some("its TenantCluster does not lead there".to_owned()),
    };
    Ok(Found { world: engine.into_world(), unmanaged, unread })
}

async fn under(engine: &mut Engine, client: &Client) -> anyhow::Result<()> {
    let pools = cluster::<AddressPool>(client).await?;
    let eips = cluster::<Eip>(client).await?;
    let ovn_eips = cluster::<kinds::OvnEip>(client).await?;
    let subnets = cluster::<kinds::Subnet>(client).await?;
    let vpcs = cluster::<kinds::Vpc>(client).await?;
    let ips = cluster::<kinds::Ip>(client).await?;
    let vips = cluster::<kinds::Vip>(client).await?;
    let nodes = cluster::<Node>(client).await?;
    let cidrs = cluster::<ServiceCIDR>(client).await.or_else(none_if_unknown)?;
    let machines = namespaced::<kinds::VirtualMachine>(client).await?;
    let instances = namespaced::<kinds::VirtualMachineInstance>(client).await?;
    let shields = cluster::<kinds::OvnDnatRule>(client).await?;
    let shield = cpo_core::rows::row_name(&engine.world().install);
    let shields = shields.iter().filter(|rule| rule.name_any() == shield).map(parse::shield);
    feed(engine, subnets.into_iter().filter_map(parse::subnet));
    feed(engine, vpcs.into_iter().filter_map(parse::vpc));
    feed(engine, pools.into_iter().filter_map(parse::pool));
    feed(engine, eips.into_iter().map(parse::eip));
    feed(engine, ovn_eips.into_iter().map(parse::ovn_eip));
    feed(engine, ips.into_iter().filter_map(parse::ip));
    feed(engine, vips.into_iter().filter_map(parse::vip));
    feed(engine, nodes.into_iter().filter_map(parse::node));
    feed(engine, cidrs.into_iter().filter_map(parse::service_cidr));
    feed(engine, machines.into_iter().filter_map(parse::machine));
    feed(engine, instances.into_iter().filter_map(parse::instance));
    feed(engine, shields);
    Ok(())
}

/// Tells the world what the tenant says; gives back why it says nothing.
async fn of_tenant(
    engine: &mut Engine,
    client: Client,
    server: Server,
    spec: &TenantSpec,
    key: &ServiceKey,
) -> Option<String> {
    let namespaces = engine.world().tenants.get(&spec.name).and_then(|t| t.namespaces.round);
    match tenant::look(client, &server, spec, key, namespaces).await {
        Ok(inputs) => {
            inputs.into_iter().for_each(|input| engine.handle(input));
            None
        }
        Err(error) => Some(format!("{error:#}")),
    }
}

fn feed(engine: &mut Engine, objects: impl Iterator<Item = UnderObject>) {
    objects.for_each(|object| engine.handle(Input::Under(object)));
}

/// Kubernetes before 1.33 has no `ServiceCIDR`.
fn none_if_unknown<K>(error: anyhow::Error) -> anyhow::Result<Vec<K>> {
    match error.downcast_ref::<kube::Error>() {
        Some(kube::Error::Api(status)) if status.code == 404 => Ok(Vec::new()),
        _ => Err(error),
    }
}

async fn cluster<K>(client: &Client) -> anyhow::Result<Vec<K>>
where
    K: Resource<DynamicType = (), Scope = ClusterResourceScope>
        + Clone
        + std::fmt::Debug
        + DeserializeOwned,
{
    list(&Api::<DeserializeGuard<K>>::all(client.clone())).await
}

async fn namespaced<K>(client: &Client) -> anyhow::Result<Vec<K>>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + std::fmt::Debug
        + DeserializeOwned,
{
    list(&Api::<DeserializeGuard<K>>::all(client.clone())).await
}
