//! The under cluster's edge: its objects into [`cpo_core`]'s types, effects into API calls.

mod events;
mod execute;
pub(crate) mod kinds;
mod metallb;
pub(crate) mod parse;

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::marker::PhantomData;
use std::time::Duration;

use cpo_api::{AddressPool, Eip, L2Advertisement, TenantCluster};
use cpo_core::engine::{Input, UnderKind, UnderObject};
use cpo_core::under::Shield;
use k8s_openapi::api::core::v1::Node;
use k8s_openapi::api::networking::v1::ServiceCIDR;
use kube::core::{ClusterResourceScope, DeserializeGuard, NamespaceResourceScope};
use kube::runtime::watcher::{self, Config};
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

pub(crate) use execute::UnderExecutor;

use crate::watch::{Kind, status_of, watch};

/// The longest wait between two attempts to list a kind of the under cluster.
const PATIENCE: Duration = Duration::from_secs(2);

/// How the objects of one kind are read.
struct UnderWatch<O, P, G> {
    kind: UnderKind,
    present: P,
    gone: G,
    object: PhantomData<fn() -> O>,
}

impl<O, P, G> Kind for UnderWatch<O, P, G>
where
    O: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + 'static,
    P: Fn(O) -> Option<UnderObject> + Send + Sync + 'static,
    G: Fn(&str, &str) -> Option<UnderObject> + Send + Sync + 'static,
{
    type Object = O;

    fn present(&self, object: O) -> Option<Input> {
        (self.present)(object).map(Input::Under)
    }

    fn gone(&self, namespace: &str, name: &str) -> Option<Input> {
        (self.gone)(namespace, name).map(Input::Under)
    }

    fn listing(&self) -> Option<Input> {
        Some(Input::UnderListing(self.kind))
    }

    fn listed(&self, names: BTreeSet<String>) -> Input {
        Input::UnderListed(self.kind, names)
    }

    /// Kubernetes before 1.33 has no `ServiceCIDR`.
    fn without(&self, error: &watcher::Error) -> Option<Input> {
        let lacks = self.kind == UnderKind::ServiceCidr && status_of(error) == Some(404);
        lacks.then(|| self.listed(BTreeSet::new()))
    }

    fn patience(&self) -> Duration {
        PATIENCE
    }

    fn lost(&self, error: String) -> Input {
        tracing::warn!(kind = ?self.kind, error, "watch on the under cluster failed, will be repeated");
        Input::UnderLost(self.kind)
    }
}

/// Starts every watch of the under cluster. `shield` is the name of the `OvnDnatRule` that
/// shields our rows.
pub(crate) fn spawn_watches(
    tasks: &mut JoinSet<&'static str>,
    client: &Client,
    shield: &str,
    inputs: &mpsc::Sender<Input>,
) {
    let mut watches = Watches { tasks, client, inputs };
    watches.cluster::<TenantCluster, _, _>(
        UnderKind::TenantCluster,
        |object| parse::tenant_cluster(&object),
        |_, name| Some(UnderObject::TenantCluster(name.parse().ok()?, None)),
    );
    watches.cluster::<AddressPool, _, _>(UnderKind::AddressPool, parse::pool, |_, name| {
        Some(UnderObject::AddressPool(name.to_owned(), None))
    });
    watches.cluster::<L2Advertisement, _, _>(
        UnderKind::L2Advertisement,
        parse::l2_advertisement,
        |_, name| Some(UnderObject::L2Advertisement(name.to_owned(), None)),
    );
    watches.cluster::<Eip, _, _>(
        UnderKind::Eip,
        |object| Some(parse::eip(object)),
        |_, name| Some(UnderObject::Eip(name.to_owned(), None)),
    );
    watches.cluster::<kinds::OvnEip, _, _>(
        UnderKind::OvnEip,
        |object| Some(parse::ovn_eip(object)),
        |_, name| Some(UnderObject::OvnEip(name.to_owned(), None)),
    );
    watches.cluster::<kinds::Subnet, _, _>(UnderKind::Subnet, parse::subnet, |_, name| {
        Some(UnderObject::Subnet(name.to_owned(), None))
    });
    watches.cluster::<kinds::Vpc, _, _>(UnderKind::Vpc, parse::vpc, |_, name| {
        Some(UnderObject::Vpc(name.to_owned(), None))
    });
    watches.cluster::<kinds::Ip, _, _>(UnderKind::Ip, parse::ip, |_, name| {
        Some(UnderObject::Ip(name.to_owned(), None))
    });
    watches.cluster::<kinds::Vip, _, _>(UnderKind::Vip, parse::vip, |_, name| {
        Some(UnderObject::Vip(name.to_owned(), None))
    });
    watches.cluster::<Node, _, _>(UnderKind::Node, parse::node, |_, name| {
        Some(UnderObject::Node(name.to_owned(), None))
    });
    watches.cluster::<ServiceCIDR, _, _>(UnderKind::ServiceCidr, parse::service_cidr, |_, name| {
        Some(UnderObject::ServiceCidr(name.to_owned(), None))
    });
    spawn_machines(&mut watches);
    let config = Config::default().fields(&format!("metadata.name={shield}"));
    watches.spawn::<kinds::OvnDnatRule, _, _>(
        Api::all(client.clone()),
        config,
        UnderKind::Shield,
        |object| Some(parse::shield(&object)),
        |_, _| Some(UnderObject::Shield(Shield::Missing)),
    );
}

/// The watches of KubeVirt's kinds.
fn spawn_machines(watches: &mut Watches<'_>) {
    watches.namespaced::<kinds::VirtualMachine, _, _>(
        UnderKind::Machine,
        parse::machine,
        |namespace, name| Some(UnderObject::Machine((namespace.into(), name.into()), None)),
    );
    watches.namespaced::<kinds::VirtualMachineInstance, _, _>(
        UnderKind::Instance,
        parse::instance,
        |namespace, name| Some(UnderObject::Instance((namespace.into(), name.into()), None)),
    );
}

struct Watches<'a> {
    tasks: &'a mut JoinSet<&'static str>,
    client: &'a Client,
    inputs: &'a mpsc::Sender<Input>,
}

impl Watches<'_> {
    fn cluster<O, P, G>(&mut self, kind: UnderKind, present: P, gone: G)
    where
        O: Resource<DynamicType = (), Scope = ClusterResourceScope>
            + Clone
            + Debug
            + DeserializeOwned
            + Send
            + 'static,
        P: Fn(O) -> Option<UnderObject> + Send + Sync + 'static,
        G: Fn(&str, &str) -> Option<UnderObject> + Send + Sync + 'static,
    {
        let api = Api::<DeserializeGuard<O>>::all(self.client.clone());
        self.spawn(api, Config::default(), kind, present, gone);
    }

    fn namespaced<O, P, G>(&mut self, kind: UnderKind, present: P, gone: G)
    where
        O: Resource<DynamicType = (), Scope = NamespaceResourceScope>
            + Clone
            + Debug
            + DeserializeOwned
            + Send
            + 'static,
        P: Fn(O) -> Option<UnderObject> + Send + Sync + 'static,
        G: Fn(&str, &str) -> Option<UnderObject> + Send + Sync + 'static,
    {
        let api = Api::<DeserializeGuard<O>>::all(self.client.clone());
        self.spawn(api, Config::default(), kind, present, gone);
    }

    fn spawn<O, P, G>(
        &mut self,
        api: Api<DeserializeGuard<O>>,
        config: Config,
        kind: UnderKind,
        present: P,
        gone: G,
    ) where
        O: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + 'static,
        P: Fn(O) -> Option<UnderObject> + Send + Sync + 'static,
        G: Fn(&str, &str) -> Option<UnderObject> + Send + Sync + 'static,
    {
        let kind = UnderWatch { kind, present, gone, object: PhantomData };
        let inputs = self.inputs.clone();
        self.tasks.spawn(async move {
            watch(api, config, kind, inputs).await;
            "watch of the under cluster"
        });
    }
}

#[cfg(test)]
mod tests {
    use kube::core::Status;

    use super::*;

    fn without(kind: UnderKind, code: u16) -> Option<Input> {
        let status = Status::failure("no", "Whatever").with_code(code);
        let error = watcher::Error::InitialListFailed(kube::Error::Api(Box::new(status)));
        let (present, gone) = (|_: Node| None, |_: &str, _: &str| None);
        UnderWatch { kind, present, gone, object: PhantomData }.without(&error)
    }

    #[test]
    fn a_server_that_lacks_service_cidrs_has_none_and_every_other_kind_is_missed() {
        for kind in UnderKind::ALL {
            for code in [403, 404, 410, 500] {
                let tolerated = (kind, code) == (UnderKind::ServiceCidr, 404);
                let told = without(kind, code);
                let none = matches!(
                    &told,
                    Some(Input::UnderListed(UnderKind::ServiceCidr, names)) if names.is_empty()
                );
                assert_eq!(none, tolerated, "{kind:?} {code}: {told:?}");
                assert_eq!(told.is_some(), tolerated, "{kind:?} {code}: {told:?}");
            }
        }
    }
}
