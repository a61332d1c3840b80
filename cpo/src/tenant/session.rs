//! One tenant: its kubeconfig, its client, its watches, its jobs.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use cpo_core::effect::{Effect, Notice};
use cpo_core::engine::{Input, TenantKind, TenantObject};
use cpo_core::ids::TenantName;
use cpo_core::kubeconfig::{self, Kubeconfig, Server};
use cpo_core::tenant::{Link, Round};
use k8s_openapi::api::core::v1::{Node, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::core::DeserializeGuard;
use kube::runtime::watcher::Config;
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::events::Events;
use super::execute::TenantExecutor;
use super::namespaces::Namespaces;
use super::registry::FromTenant;
use super::secret::Content;
use super::{client, parse};
use crate::leadership::{Leadership, Order};
use crate::outbox::{self, Finished};
use crate::watch::{Kind, describe, watch as watch_kind};

/// Calls to one tenant's API server under way at a time.
const CALLS: usize = 16;
/// Observations of one tenant that may wait.
const INPUTS: usize = 256;
/// How long the first call to a tenant may take.
const TRY_TIMEOUT: Duration = Duration::from_secs(10);
/// First wait before a tenant that did not answer is tried again, doubled with each.
const FIRST_RETRY: Duration = Duration::from_millis(500);
/// Longest wait.
pub(super) const LAST_RETRY: Duration = Duration::from_secs(10);

/// What a session reads from and writes to.
pub(super) struct Session {
    pub(super) tenant: TenantName,
    pub(super) incarnation: u64,
    pub(super) kubeconfig: watch::Receiver<Content>,
    pub(super) under: Server,
    /// The round in which its namespaces are read, too; none while nobody asks for them.
    pub(super) namespaces: watch::Receiver<Option<Round>>,
    pub(super) jobs: mpsc::Receiver<Order<Effect>>,
    pub(super) notices: mpsc::Receiver<Notice>,
    pub(super) inputs: mpsc::Sender<FromTenant>,
    pub(super) results: mpsc::Sender<Finished>,
    pub(super) leadership: Leadership,
    pub(super) stop: CancellationToken,
}

impl Session {
    /// Serves the tenant until it is stopped; `secret` keeps its kubeconfig current. `false` if a
    /// part ended though nobody told it to.
    pub(super) async fn run(self, secret: impl Future<Output = ()> + Send + 'static) -> bool {
        let current = Arc::new(ArcSwapOption::empty());
        let executor = TenantExecutor { tenant: self.tenant.clone(), client: current.clone() };
        // Beside the rest: it answers for every job before it ends.
        let (leadership, stop) = (self.leadership.clone(), self.stop.clone());
        let outbox = outbox::run(executor, self.jobs, self.results, CALLS, leadership, stop);
        let mut outbox = tokio::spawn(outbox);
        let (inputs, observed) = mpsc::channel(INPUTS);
        let mut tasks = JoinSet::new();
        tasks.spawn(secret);
        tasks.spawn(Events::new(current.clone(), self.notices, self.leadership).run());
        tasks.spawn(forward(self.tenant.clone(), self.incarnation, observed, self.inputs));
        let connector = Connector {
            tenant: self.tenant,
            kubeconfig: self.kubeconfig,
            under: self.under,
            namespaces: self.namespaces,
            inputs,
            current,
        };
        tasks.spawn(connector.run());
        // Cancel safe: nothing is lost by stopping.
        let told = tokio::select! {
            () = self.stop.cancelled() => true,
            // Told to stop, the queues close and their tasks end too.
            _ = tasks.join_next() => self.stop.is_cancelled(),
            _ = &mut outbox => return self.stop.is_cancelled(),
        };
        self.stop.cancel();
        tasks.shutdown().await;
        outbox.await.is_ok() && told
    }
}

/// Hands one tenant's observations on, one at a time: a flood waits in its own queue, and the
/// others' turns come in between.
async fn forward(
    tenant: TenantName,
    incarnation: u64,
    mut observed: mpsc::Receiver<Input>,
    inputs: mpsc::Sender<FromTenant>,
) {
    while let Some(input) = observed.recv().await {
        let tenant = tenant.clone();
        if inputs.send(FromTenant { tenant, incarnation, input }).await.is_err() {
            return;
        }
    }
}

/// Keeps the tenant's client current and its watches running.
struct Connector {
    tenant: TenantName,
    kubeconfig: watch::Receiver<Content>,
    under: Server,
    namespaces: watch::Receiver<Option<Round>>,
    inputs: mpsc::Sender<Input>,
    current: Arc<ArcSwapOption<Client>>,
}

impl Connector {
    async fn run(mut self) {
        let mut watches = JoinSet::new();
        let mut retry = FIRST_RETRY;
        loop {
            let content = self.kubeconfig.borrow_and_update().clone();
            let again = match self.try_kubeconfig(&content).await {
                Err(Link::Connecting) => None,
                Ok((client, link)) => {
                    retry = FIRST_RETRY;
                    self.current.store(Some(Arc::new(client.clone())));
                    watches.shutdown().await;
                    self.spawn_watches(&mut watches, &client, &link);
                    self.tell(link).await;
                    None
                }
                Err(link) => {
                    let again = matches!(link, Link::Down(_)).then_some(retry);
                    retry = (retry * 2).min(LAST_RETRY);
                    // While a new kubeconfig fails, the old client goes on: its watches speak.
                    self.tell(link).await;
                    again
                }
            };
            if !self.wait(again, &mut watches).await {
                return;
            }
        }
    }

    /// Waits for another kubeconfig, or until it is time to try this one again. `false`: the end.
    async fn wait(&mut self, again: Option<Duration>, watches: &mut JoinSet<()>) -> bool {
        let timer = async {
            match again {
                Some(again) => sleep(again).await,
                None => std::future::pending().await,
            }
        };
        // Cancel safe: a change seen by `changed` stays seen by `borrow_and_update`.
        tokio::select! {
            changed = self.kubeconfig.changed() => changed.is_ok(),
            () = timer => true,
            Some(ended) = watches.join_next(), if !watches.is_empty() => {
                tracing::error!(tenant = %self.tenant, panicked = ended.is_err(), "watch ended");
                false
            }
        }
    }

    async fn tell(&self, link: Link) {
        match &link {
            Link::Up { version, .. } => {
                tracing::info!(tenant = %self.tenant, version, "tenant connected");
            }
            Link::Down(error) => tracing::warn!(tenant = %self.tenant, error, "tenant unreachable"),
            Link::Rejected(error) => {
                tracing::warn!(tenant = %self.tenant, error, "kubeconfig rejected");
            }
            Link::Connecting => {}
        }
        // The heart is gone only when the process ends.
        let _ = self.inputs.send(Input::TenantLink(self.tenant.clone(), link)).await;
    }

    async fn try_kubeconfig(&self, content: &Content) -> Result<(Client, Link), Link> {
        let bytes = match content {
            Content::Unknown => return Err(Link::Connecting),
            Content::Unreadable(error) => return Err(Link::Down(error.clone())),
            Content::Absent => {
                let text = "the Secret of spec.kubeconfig.secretRef, or the key in it, is missing";
                return Err(Link::Rejected(text.to_owned()));
            }
            Content::Present(bytes) => bytes,
            Content::Own(client) => {
                let version = try_out(client).await.map_err(Link::Down)?;
                return Ok((client.clone(), Link::Up { version: Some(version), expires: None }));
            }
        };
        let rejected = |error: &dyn std::error::Error| Link::Rejected(error.to_string());
        let parsed = kubeconfig::parse(bytes).map_err(|e| rejected(&e))?;
        let client = client::connect(&parsed, &self.under).map_err(|e| rejected(&e))?;
        let version = try_out(&client).await.map_err(|error| unusable(&error))?;
        Ok((client, link(&parsed, version)))
    }

    fn spawn_watches(&self, watches: &mut JoinSet<()>, client: &Client, link: &Link) {
        self.spawn::<Service>(
            watches,
            client,
            link,
            TenantKind::Service,
            |service| Some(parse::service(service)),
            |n, s| Some(TenantObject::Service(n.to_owned(), s.to_owned(), None)),
        );
        self.spawn::<Node>(watches, client, link, TenantKind::Node, parse::node, |_, name| {
            Some(TenantObject::Node(name.parse().ok()?, None))
        });
        let kind = TenantKind::EndpointSlice;
        self.spawn::<EndpointSlice>(watches, client, link, kind, parse::slice, |n, s| {
            Some(TenantObject::Slice(n.to_owned(), s.to_owned(), None))
        });
        let namespaces = Namespaces {
            tenant: self.tenant.clone(),
            client: client.clone(),
            rounds: self.namespaces.clone(),
            inputs: self.inputs.clone(),
        };
        watches.spawn(namespaces.run());
    }

    fn spawn<O>(
        &self,
        watches: &mut JoinSet<()>,
        client: &Client,
        link: &Link,
        kind: TenantKind,
        present: fn(O) -> Option<TenantObject>,
        gone: fn(&str, &str) -> Option<TenantObject>,
    ) where
        O: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + 'static,
    {
        let watch = TenantWatch {
            tenant: self.tenant.clone(),
            kind,
            link: link.clone(),
            present,
            gone,
            object: PhantomData,
        };
        let api = Api::<DeserializeGuard<O>>::all(client.clone());
        watches.spawn(watch_kind(api, Config::default(), watch, self.inputs.clone()));
    }
}

/// The first call to a tenant; gives back the version it reports.
async fn try_out(client: &Client) -> Result<String, String> {
    let call = client.apiserver_version();
    match timeout(TRY_TIMEOUT, call).await {
        Ok(Ok(version)) => Ok(version.git_version.chars().take(64).collect()),
        Ok(Err(error)) => Err(describe(&error)),
        Err(_) => Err("no answer in time".to_owned()),
    }
}

/// A server whose certificate the given CA did not sign is a matter of the kubeconfig; anything
/// else may pass.
fn unusable(error: &str) -> Link {
    if error.contains("invalid peer certificate") {
        return Link::Rejected(
            "clusters[0].cluster.certificate-authority-data does not verify the certificate of \
             clusters[0].cluster.server"
                .to_owned(),
        );
    }
    Link::Down(error.to_owned())
}

fn link(kubeconfig: &Kubeconfig, version: String) -> Link {
    Link::Up { version: Some(version), expires: kubeconfig.expires }
}

/// How the objects of one kind of a tenant are read.
struct TenantWatch<O> {
    tenant: TenantName,
    kind: TenantKind,
    link: Link,
    present: fn(O) -> Option<TenantObject>,
    gone: fn(&str, &str) -> Option<TenantObject>,
    object: PhantomData<fn() -> O>,
}

impl<O> Kind for TenantWatch<O>
where
    O: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + 'static,
{
    type Object = O;

    fn present(&self, object: O) -> Option<Input> {
        Some(Input::Tenant(self.tenant.clone(), (self.present)(object)?))
    }

    fn gone(&self, namespace: &str, name: &str) -> Option<Input> {
        Some(Input::Tenant(self.tenant.clone(), (self.gone)(namespace, name)?))
    }

    fn listing(&self) -> Option<Input> {
        Some(Input::TenantListing(self.tenant.clone(), self.kind))
    }

    fn listed(&self, names: BTreeSet<String>) -> Input {
        Input::TenantListed(self.tenant.clone(), self.kind, names)
    }

    fn patience(&self) -> Duration {
        LAST_RETRY
    }

    fn lost(&self, error: String) -> Input {
        Input::TenantLink(self.tenant.clone(), Link::Down(error))
    }

    fn recovered(&self) -> Option<Input> {
        Some(Input::TenantLink(self.tenant.clone(), self.link.clone()))
    }
}

#[cfg(test)]
#[path = "session_tests.rs"]
mod tests;
