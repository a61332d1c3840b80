//! One look into a tenant, for a command that ends by itself. The kubeconfig passes the same
//! allow-list, and the client is the same, as the controller's.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use cpo_core::engine::{Input, NamespacesSeen};
use cpo_core::ids::ServiceKey;
use cpo_core::kubeconfig::{self, Server};
use cpo_core::tenant::{Access, Round, SecretKey, TenantSpec};
use k8s_openapi::api::core::v1::{Namespace, Node, Secret, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::ListParams;
use kube::core::DeserializeGuard;
use kube::{Api, Client};
use tokio::time::timeout;

use super::{client, parse};
use crate::watch::describe;

/// How long each call may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Reads a Service of the tenant, its EndpointSlices, and the Nodes; its Namespace too, where that
/// is asked for. A Service that is not there is not among them.
pub(crate) async fn look(
    under: Client,
    server: &Server,
    spec: &TenantSpec,
    key: &ServiceKey,
    namespaces: Option<Round>,
) -> anyhow::Result<Vec<Input>> {
    let client = match &spec.access {
        Access::Kubeconfig(secret) => {
            let kubeconfig = kubeconfig::parse(&content(under, secret).await?)?;
            client::connect(&kubeconfig, server)?
        }
        Access::InCluster => under,
    };
    let namespace = key.namespace();
    let services: Api<DeserializeGuard<Service>> = Api::namespaced(client.clone(), namespace);
    let slices: Api<DeserializeGuard<EndpointSlice>> = Api::namespaced(client.clone(), namespace);
    let nodes: Api<DeserializeGuard<Node>> = Api::all(client.clone());
    let of_service = format!("{}={}", parse::SERVICE_NAME, key.name());
    let service = in_time("Services", services.list(&named(key.name()))).await?;
    let slices =
        in_time("EndpointSlices", slices.list(&ListParams::default().labels(&of_service))).await?;
    let nodes = in_time("Nodes", nodes.list(&ListParams::default())).await?;
    // Objects that cannot be read are as good as absent, as they are for the controller.
    let service = service.items.into_iter().filter_map(|guard| guard.0.ok());
    let slices = slices.items.into_iter().filter_map(|guard| guard.0.ok());
    let nodes = nodes.items.into_iter().filter_map(|guard| guard.0.ok());
    let service = service.map(parse::service);
    let objects = service.chain(slices.filter_map(parse::slice));
    let objects = objects.chain(nodes.filter_map(parse::node));
    let mut inputs: Vec<_> =
        objects.map(|object| Input::Tenant(spec.name.clone(), object)).collect();
    if let Some(round) = namespaces {
        let seen = namespace_of(client, namespace).await;
        let seen = seen.into_iter().map(|seen| Input::Namespaces(spec.name.clone(), round, seen));
        inputs.extend(seen);
    }
    Ok(inputs)
}

/// The labels of a Namespace, or why they are not to be had.
async fn namespace_of(client: Client, name: &str) -> Vec<NamespacesSeen> {
    let namespaces: Api<Namespace> = Api::all(client);
    let refused = |error: &_| matches!(error, kube::Error::Api(status) if status.code == 403);
    match timeout(PATIENCE, namespaces.list(&named(name))).await {
        Ok(Ok(found)) => {
            let listed = NamespacesSeen::Listed(BTreeSet::from([name.to_owned()]));
            found.items.iter().map(parse::namespace).chain([listed]).collect()
        }
        Ok(Err(error)) if refused(&error) => vec![NamespacesSeen::Refused(describe(&error))],
        Ok(Err(error)) => vec![NamespacesSeen::Unread(describe(&error))],
        Err(_) => vec![NamespacesSeen::Unread("no answer in time".to_owned())],
    }
}

/// One object, by a list: the product's rights are to list and to watch.
fn named(name: &str) -> ListParams {
    ListParams::default().fields(&format!("metadata.name={name}"))
}

async fn content(under: Client, secret: &SecretKey) -> anyhow::Result<Vec<u8>> {
    let SecretKey { namespace, name, key } = secret;
    let api: Api<Secret> = Api::namespaced(under, namespace);
    let what = format!("Secret {namespace}/{name}");
    let found = in_time(&what, api.list(&named(name))).await?.items.into_iter().next();
    let found = found.with_context(|| format!("{what} does not exist"))?;
    let content = found.data.and_then(|mut data| data.remove(key));
    Ok(content.with_context(|| format!("{what} has no key {key}"))?.0)
}

/// One call, in bounded time.
async fn in_time<T>(
    what: &str,
    call: impl Future<Output = Result<T, kube::Error>>,
) -> anyhow::Result<T> {
    match timeout(PATIENCE, call).await {
        Ok(Ok(found)) => Ok(found),
        Ok(Err(error)) => Err(anyhow!("{what} cannot be read: {}", describe(&error))),
        Err(_) => Err(anyhow!("{what} cannot be read: no answer in time")),
    }
}
