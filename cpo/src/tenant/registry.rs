//! Which tenants there are, and where their jobs go.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use cpo_core::effect::{Effect, Notice, TenantEffect};
use cpo_core::engine::Input;
use cpo_core::ids::TenantName;
use cpo_core::kubeconfig::Server;
use cpo_core::tenant::{Access, Round};
use kube::Client;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::secret::{Content, follow};
use super::session::Session;
use crate::leadership::{Leadership, Order};
use crate::outbox::Finished;

/// Jobs that may wait for one tenant.
const JOBS: usize = 256;
/// Events that may wait for one tenant.
const NOTICES: usize = 256;

/// The queues of one tenant.
#[derive(Clone, Debug)]
struct Route {
    jobs: mpsc::Sender<Order<Effect>>,
    notices: mpsc::Sender<Notice>,
}

/// Where each tenant's jobs go. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Routes(Arc<Mutex<BTreeMap<TenantName, Route>>>);

impl Routes {
    /// Hands a job to its tenant's session; `false` where there is none, or its queue is full.
    pub(crate) fn send(&self, order: Order<TenantEffect>) -> bool {
        let Order { job, term, effect } = order;
        let tenant = match &effect {
            TenantEffect::PatchService { key, .. } => key.tenant().clone(),
            TenantEffect::Event(notice) => notice.key.tenant().clone(),
        };
        let routes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(route) = routes.get(&tenant) else { return false };
        match effect {
            TenantEffect::Event(notice) => {
                // An Event is for reading: a full queue drops it.
                if route.notices.try_send(notice).is_err() {
                    tracing::debug!(%tenant, "event dropped: queue full");
                }
                true
            }
            effect @ TenantEffect::PatchService { .. } => {
                let order = Order { job, term, effect: Effect::Tenant(effect) };
                route.jobs.try_send(order).is_ok()
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

/// One incarnation of a tenant, how it is reached, and what is read of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// Which of the tenants of this name it is, as the engine counts them.
    pub(crate) incarnation: u64,
    /// How its API server is reached.
    pub(crate) access: Access,
    /// The round in which its namespaces are read, too; none while nobody asks for them.
    pub(crate) namespaces: Option<Round>,
}

impl Wanted {
    /// Whether one session serves both: what it reads besides comes and goes within it.
    fn same_session(&self, other: &Self) -> bool {
        self.incarnation == other.incarnation && self.access == other.access
    }
}

/// Something observed of one incarnation of a tenant.
#[derive(Debug)]
pub(crate) struct FromTenant {
    /// The tenant.
    pub(crate) tenant: TenantName,
    /// Which of the tenants of this name it was observed for: a later one does not inherit it.
    pub(crate) incarnation: u64,
    /// What was observed.
    pub(crate) input: Input,
}

/// Starts and stops a session for each tenant the heart knows of: only what the heart knows can be
/// told of.
pub(crate) struct Registry {
    /// Client of the under cluster.
    pub(crate) client: Client,
    /// The under cluster's own API server.
    pub(crate) under: Server,
    /// The tenants there are.
    pub(crate) wanted: watch::Receiver<Arc<BTreeMap<TenantName, Wanted>>>,
    /// Where jobs go.
    pub(crate) routes: Routes,
    /// Observations.
    pub(crate) inputs: mpsc::Sender<FromTenant>,
    /// Ended jobs.
    pub(crate) results: mpsc::Sender<Finished>,
    /// Whether jobs may be executed.
    pub(crate) leadership: Leadership,
}

struct Running {
    wanted: Wanted,
    namespaces: watch::Sender<Option<Round>>,
    stop: CancellationToken,
}

impl Running {
    /// Begins or ends the reading of namespaces, if that is asked for.
    fn read(&self, namespaces: Option<Round>) {
        self.namespaces
            .send_if_modified(|current| std::mem::replace(current, namespaces) != namespaces);
    }
}

impl Registry {
    /// Follows the tenants. Ends by itself only when a session ended though nobody told it to.
    pub(crate) async fn run(mut self) {
        let mut sessions: JoinSet<bool> = JoinSet::new();
        let mut running: BTreeMap<TenantName, Running> = BTreeMap::new();
        loop {
            let wanted = self.wanted.borrow_and_update().clone();
            self.turn_to(&wanted, &mut running, &mut sessions);
            // Cancel safe: a change seen stays seen, and the set loses nothing.
            tokio::select! {
                changed = self.wanted.changed() => if changed.is_err() { return },
                Some(ended) = sessions.join_next(), if !sessions.is_empty() => {
                    if !matches!(ended, Ok(true)) {
                        tracing::error!("a tenant's session ended unexpectedly");
                        return;
                    }
                }
            }
        }
    }

    /// Ends the sessions that are not wanted any more, begins those that are, and tells the others
    /// what to read besides.
    fn turn_to(
        &self,
        wanted: &BTreeMap<TenantName, Wanted>,
        running: &mut BTreeMap<TenantName, Running>,
        sessions: &mut JoinSet<bool>,
    ) {
        running.retain(|name, session| {
            let same = |wanted: &&Wanted| wanted.same_session(&session.wanted);
            let stays = wanted.get(name).filter(same);
            match stays {
                Some(wanted) => session.read(wanted.namespaces),
                None => {
                    session.stop.cancel();
                    self.routes.set(name, None);
                }
            }
            stays.is_some()
        });
        for (name, wanted) in wanted {
            if !running.contains_key(name) {
                running.insert(name.clone(), self.start(name, wanted, sessions));
            }
        }
    }

    fn start(&self, name: &TenantName, wanted: &Wanted, sessions: &mut JoinSet<bool>) -> Running {
        let stop = CancellationToken::new();
        let (jobs, job_queue) = mpsc::channel(JOBS);
        let (notices, notice_queue) = mpsc::channel(NOTICES);
        let (content, kubeconfig) = watch::channel(Content::Unknown);
        let (namespaces, rounds) = watch::channel(wanted.namespaces);
        let session = Session {
            tenant: name.clone(),
            incarnation: wanted.incarnation,
            kubeconfig,
            under: self.under.clone(),
            namespaces: rounds,
            jobs: job_queue,
            notices: notice_queue,
            inputs: self.inputs.clone(),
            results: self.results.clone(),
            leadership: self.leadership.clone(),
            stop: stop.clone(),
        };
        let follow = follow(self.client.clone(), wanted.access.clone(), content);
        sessions.spawn(session.run(follow));
        self.routes.set(name, Some(Route { jobs, notices }));
        Running { wanted: wanted.clone(), namespaces, stop }
    }
}

#[cfg(test)]
#[path = "registry_tests.rs"]
mod tests;
