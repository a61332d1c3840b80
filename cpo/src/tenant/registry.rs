//! Which tenants there are, and where their jobs go.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use cpo_api::{SecretKeyRef, TenantCluster, TenantMode};
use cpo_core::effect::{Effect, Notice, TenantEffect};
use cpo_core::engine::{Input, JobId};
use cpo_core::ids::TenantName;
use cpo_core::kubeconfig::Server;
use futures::{StreamExt as _, pin_mut};
use k8s_openapi::api::core::v1::Secret;
use kube::runtime::watcher::{self, Event};
use kube::runtime::{WatchStreamExt as _, watcher::watcher};
use kube::{Api, Client, ResourceExt as _};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::session::{Content, Session};
use crate::outbox::Finished;

/// Jobs that may wait for one tenant.
const JOBS: usize = 256;
/// Events that may wait for one tenant.
const NOTICES: usize = 256;

/// The queues of one tenant.
#[derive(Clone, Debug)]
struct Route {
    jobs: mpsc::Sender<(JobId, Effect)>,
    notices: mpsc::Sender<Notice>,
}

/// Where each tenant's jobs go. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Routes(Arc<Mutex<BTreeMap<TenantName, Route>>>);

impl Routes {
    /// Hands a job to its tenant's session; gives it back where there is none, or its queue is
    /// full.
    pub(crate) fn send(&self, job: JobId, effect: TenantEffect) -> Result<(), JobId> {
        let tenant = match &effect {
            TenantEffect::PatchService { key, .. } => key.tenant().clone(),
            TenantEffect::Event(notice) => notice.key.tenant().clone(),
        };
        let routes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(route) = routes.get(&tenant) else { return Err(job) };
        match effect {
            TenantEffect::Event(notice) => {
                // An Event is for reading: a full queue drops it.
                if route.notices.try_send(notice).is_err() {
                    tracing::debug!(%tenant, "event dropped: queue full");
                }
                Ok(())
            }
            effect @ TenantEffect::PatchService { .. } => {
                route.jobs.try_send((job, Effect::Tenant(effect))).map_err(|_| job)
            }
        }
    }

    fn set(&self, tenant: &TenantName, route: Option<Route>) {
        let mut routes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match route {
            Some(route) => routes.insert(tenant.clone(), route),
            None => routes.remove(tenant),
        };
    }
}

/// Starts and stops a session for each `TenantCluster`.
pub(crate) struct Registry {
    /// Client of the under cluster.
    pub(crate) client: Client,
    /// The under cluster's own API server.
    pub(crate) under: Server,
    /// Where jobs go.
    pub(crate) routes: Routes,
    /// Observations.
    pub(crate) inputs: mpsc::Sender<Input>,
    /// Ended jobs.
    pub(crate) results: mpsc::Sender<Finished>,
}

struct Running {
    secret: SecretKeyRef,
    uid: Option<String>,
    stop: CancellationToken,
}

impl Registry {
    /// Follows the `TenantCluster` objects for ever.
    pub(crate) async fn run(self) {
        let mut sessions: JoinSet<()> = JoinSet::new();
        let mut running: BTreeMap<TenantName, Running> = BTreeMap::new();
        let api = Api::<kube::core::DeserializeGuard<TenantCluster>>::all(self.client.clone());
        let events = watcher(api, watcher::Config::default()).default_backoff();
        pin_mut!(events);
        let mut listed = Vec::new();
        loop {
            // Cancel safe: the stream and the set lose nothing when the other branch is taken.
            let event = tokio::select! {
                event = events.next() => event,
                Some(ended) = sessions.join_next(), if !sessions.is_empty() => {
                    if ended.is_err() {
                        tracing::error!("a tenant's session panicked");
                        return;
                    }
                    continue;
                }
            };
            let object = match event {
                None => return,
                Some(Err(_)) => continue,
                Some(Ok(Event::Init)) => {
                    listed.clear();
                    continue;
                }
                Some(Ok(Event::InitDone)) => {
                    running.retain(|name, session| {
                        let stays = listed.contains(name);
                        if !stays {
                            self.stop(name, session);
                        }
                        stays
                    });
                    continue;
                }
                Some(Ok(Event::Delete(object))) => {
                    if let Ok(name) = object.name_any().parse()
                        && let Some(session) = running.remove(&name)
                    {
                        self.stop(&name, &session);
                    }
                    continue;
                }
                Some(Ok(Event::Apply(object) | Event::InitApply(object))) => object,
            };
            let Ok(name) = object.name_any().parse::<TenantName>() else { continue };
            listed.push(name.clone());
            if let Ok(tenant) = object.0 {
                self.follow(name, &tenant, &mut running, &mut sessions);
            }
        }
    }

    fn stop(&self, name: &TenantName, session: &Running) {
        session.stop.cancel();
        self.routes.set(name, None);
    }

    fn follow(
        &self,
        name: TenantName,
        tenant: &TenantCluster,
        running: &mut BTreeMap<TenantName, Running>,
        sessions: &mut JoinSet<()>,
    ) {
        let secret = tenant.spec.kubeconfig.secret_ref.clone();
        let uid = tenant.uid();
        let serves = tenant.spec.mode == TenantMode::Overlay;
        if let Some(session) = running.get(&name) {
            if serves && session.secret == secret && session.uid == uid {
                return;
            }
            self.stop(&name, session);
            running.remove(&name);
        }
        if !serves {
            return;
        }
        let stop = CancellationToken::new();
        let (jobs, job_queue) = mpsc::channel(JOBS);
        let (notices, notice_queue) = mpsc::channel(NOTICES);
        let (content, kubeconfig) = watch::channel(Content::Unknown);
        let session = Session {
            tenant: name.clone(),
            kubeconfig,
            under: self.under.clone(),
            jobs: job_queue,
            notices: notice_queue,
            inputs: self.inputs.clone(),
            results: self.results.clone(),
            stop: stop.clone(),
        };
        let secrets = follow_secret(self.client.clone(), secret.clone(), content);
        sessions.spawn(async move {
            // Cancel safe: both end for good.
            tokio::select! {
                () = session.run() => {}
                () = secrets => {}
            }
        });
        self.routes.set(&name, Some(Route { jobs, notices }));
        running.insert(name, Running { secret, uid, stop });
    }
}

/// Publishes the content of one key of one Secret, whenever it differs.
async fn follow_secret(client: Client, secret: SecretKeyRef, published: watch::Sender<Content>) {
    let api: Api<Secret> = Api::namespaced(client, &secret.namespace);
    let config = watcher::Config::default().fields(&format!("metadata.name={}", secret.name));
    let objects = watcher(api, config).default_backoff();
    pin_mut!(objects);
    let publish = |content: Content| {
        published.send_if_modified(|current| {
            let differs = *current != content;
            if differs {
                *current = content;
            }
            differs
        });
    };
    let mut present = false;
    while let Some(event) = objects.next().await {
        match event {
            Ok(Event::Apply(object) | Event::InitApply(object)) => {
                present = true;
                publish(content(object, &secret.key));
            }
            Ok(Event::Init) => present = false,
            Ok(Event::InitDone) if !present => publish(Content::Absent),
            Ok(Event::InitDone) => {}
            Ok(Event::Delete(_)) => publish(Content::Absent),
            Err(error) => {
                let error = crate::watch::describe(&error);
                let (namespace, name) = (&secret.namespace, &secret.name);
                tracing::warn!(namespace, name, error, "kubeconfig Secret cannot be watched");
            }
        }
    }
}

fn content(object: Secret, key: &str) -> Content {
    let bytes = object.data.and_then(|mut data| data.remove(key));
    bytes.map_or(Content::Absent, |bytes| Content::Present(Arc::new(bytes.0)))
}
