//! The one task that decides: observations in, jobs out.
//!
//! ```text
//! watches of the under cluster ─┐
//! tenants' sessions ────────────┼─► Engine ─► jobs ─► executors
//! Northbound link ──────────────┤      ▲                  │
//! ended jobs ───────────────────┘      └──────────────────┘
//! ```
//! Every replica takes observations in; jobs are given out by the one that leads.
//!
//! Queues are bounded. A full queue of observations makes its watches wait; a full queue of jobs
//! makes the job fail, and its Service is planned anew later.

use std::collections::BTreeMap;
use std::sync::Arc;

use cpo_core::effect::{Effect, LbEdit};
use cpo_core::engine::{Engine, Input, Job, JobId, Note, TenantObject, UnderKind, UnderObject};
use cpo_core::ids::TenantName;
use cpo_core::problem::Severity;
use tokio::sync::{mpsc, watch};
use tokio::time::sleep_until;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::leadership::{Leadership, Order};
use crate::metrics::Snapshot;
use crate::outbox::Finished;
use crate::ovn::Message;
use crate::tenant::{FromTenant, Routes, Wanted};

/// Log target of the steps of each Service: what was seen, what was begun, what has ended.
const STEPS: &str = "cpo::steps";
/// Observations taken in before jobs are looked for again.
const BATCH: usize = 512;

/// Where observations come from.
pub(crate) struct Sources {
    /// Watches of the under cluster.
    pub(crate) under: mpsc::Receiver<Input>,
    /// Tenants' sessions.
    pub(crate) tenants: mpsc::Receiver<FromTenant>,
    /// The Northbound database, and its ended jobs.
    pub(crate) ovn: mpsc::Receiver<Message>,
    /// Other ended jobs.
    pub(crate) results: mpsc::Receiver<Finished>,
}

/// Where jobs go.
pub(crate) struct Sinks {
    /// The under cluster.
    pub(crate) under: mpsc::Sender<Order<Effect>>,
    /// The tenants.
    pub(crate) tenants: Routes,
    /// The Northbound database.
    pub(crate) ovn: mpsc::Sender<Order<Vec<LbEdit>>>,
}

/// The one task that decides.
pub(crate) struct Heart {
    pub(crate) engine: Engine,
    pub(crate) clock: Clock,
    pub(crate) sources: Sources,
    pub(crate) sinks: Sinks,
    pub(crate) snapshot: watch::Sender<Arc<Snapshot>>,
    pub(crate) tenants: watch::Sender<Arc<BTreeMap<TenantName, Wanted>>>,
    /// Who is to be read, and what of him, may be another than was published.
    pub(crate) tenants_changed: bool,
    pub(crate) leadership: Leadership,
    /// The term in which the engine leads.
    pub(crate) term: Option<u64>,
    pub(crate) stop: CancellationToken,
}

impl Heart {
    /// Decides until stopped. Ends by itself only when a source is gone.
    pub(crate) async fn run(mut self) {
        while self.step().await {
            for _ in 0..BATCH {
                if !self.take_one() {
                    break;
                }
            }
            if std::mem::take(&mut self.tenants_changed) {
                self.publish_tenants();
            }
            self.follow_leadership();
            let now = self.clock.now();
            for job in self.engine.poll(now) {
                self.dispatch(job);
            }
            self.log_notes();
            self.snapshot.send_replace(Arc::new(Snapshot::of(&self.engine)));
        }
    }

    /// Leads or stands by, as this replica does now.
    fn follow_leadership(&mut self) {
        let term = self.leadership.term();
        if std::mem::replace(&mut self.term, term) != term {
            match term {
                Some(_) => self.engine.lead(),
                None => self.engine.stand_by(),
            }
        }
    }

    /// Tells the operator what the tenants were told, and more.
    fn log_notes(&mut self) {
        for Note { service, problems } in self.engine.take_notes() {
            for problem in problems {
                let (reason, why) = (problem.reason.as_str(), problem.operator_text());
                match problem.severity {
                    Severity::Warning => tracing::info!(%service, reason, why, "limited"),
                    Severity::Refused => tracing::warn!(%service, reason, why, "refused"),
                    Severity::Withdrawn => tracing::warn!(%service, reason, why, "withdrawn"),
                }
            }
        }
    }

    /// Waits for one thing to happen. `false`: the end.
    async fn step(&mut self) -> bool {
        if self.engine.has_work() {
            tokio::task::yield_now().await;
            return !self.stop.is_cancelled();
        }
        let deadline = self.engine.deadline();
        let timer = async {
            match deadline {
                Some(at) => sleep_until(self.clock.at(at)).await,
                None => std::future::pending().await,
            }
        };
        // Cancel safe: `recv` loses nothing when another branch is taken.
        tokio::select! {
            () = self.stop.cancelled() => return false,
            () = self.leadership.changed() => {}
            message = self.sources.ovn.recv() => match message {
                Some(message) => self.message(message),
                None => return false,
            },
            finished = self.sources.results.recv() => match finished {
                Some(finished) => self.finished(finished),
                None => return false,
            },
            input = self.sources.under.recv() => match input {
                Some(input) => self.handle(input),
                None => return false,
            },
            input = self.sources.tenants.recv() => match input {
                Some(input) => self.observed(input),
                None => return false,
            },
            () = timer => {}
        }
        true
    }

    /// Takes in one thing that waits already, of each source in turn.
    fn take_one(&mut self) -> bool {
        let mut any = false;
        if let Ok(message) = self.sources.ovn.try_recv() {
            self.message(message);
            any = true;
        }
        if let Ok(finished) = self.sources.results.try_recv() {
            self.finished(finished);
            any = true;
        }
        if let Ok(input) = self.sources.under.try_recv() {
            self.handle(input);
            any = true;
        }
        if let Ok(input) = self.sources.tenants.try_recv() {
            self.observed(input);
            any = true;
        }
        any
    }

    fn message(&mut self, message: Message) {
        match message {
            Message::Input(input) => self.handle(input),
            Message::Finished(finished) => self.finished(finished),
        }
    }

    fn finished(&mut self, finished: Finished) {
        let outcome = finished.outcome;
        tracing::debug!(target: STEPS, job = finished.job, ?outcome, "ended");
        for input in finished.inputs {
            self.handle(input);
        }
        self.engine.done(finished.job, finished.outcome, self.clock.now());
    }

    /// Takes in what a session observed, unless its tenant is another one by now.
    fn observed(&mut self, FromTenant { tenant, incarnation, input }: FromTenant) {
        let known = self.engine.world().tenants.get(&tenant);
        if known.is_some_and(|known| known.incarnation == incarnation) {
            self.handle(input);
        }
    }

    /// Tells the registry which tenants there are, once the engine knows them, and the pools: what is
    /// read in a tenant depends on these.
    fn publish_tenants(&self) {
        if !self.engine.knows(UnderKind::AddressPool) {
            return;
        }
        let world = self.engine.world();
        let tenants = world.tenants.iter();
        let tenants = tenants.filter(|(_, tenant)| world.rival(&tenant.spec).is_none());
        let wanted = tenants.map(|(name, tenant)| {
            let access = tenant.spec.access.clone();
            let (incarnation, namespaces) = (tenant.incarnation, tenant.namespaces.round);
            (name.clone(), Wanted { incarnation, access, namespaces })
        });
        let wanted: BTreeMap<_, _> = wanted.collect();
        self.tenants.send_if_modified(|current| {
            let differs = **current != wanted;
            if differs {
                *current = Arc::new(wanted);
            }
            differs
        });
    }

    fn handle(&mut self, input: Input) {
        match &input {
            Input::Tenant(
                tenant,
                TenantObject::Service(namespace, name, _)
                | TenantObject::Patched(namespace, name, _),
            ) => {
                tracing::debug!(target: STEPS, service = %format_args!("{tenant}/{namespace}/{name}"), "service seen");
            }
            Input::Under(UnderObject::OvnEip(name, Some(eip))) => {
                if let (Some(service), Some(address)) = (&eip.service, eip.granted()) {
                    tracing::debug!(target: STEPS, %service, ovn_eip = name, %address, "granted");
                }
            }
            _ => {}
        }
        let tenants_change = matches!(
            input,
            Input::Under(UnderObject::TenantCluster(..) | UnderObject::AddressPool(..))
                | Input::UnderListed(UnderKind::TenantCluster | UnderKind::AddressPool, _)
        );
        self.engine.handle(input);
        self.tenants_changed |= tenants_change;
    }

    fn dispatch(&mut self, job: Job) {
        let Job { id, service, effect } = job;
        let (name, service) = (effect.name(), service.map(tracing::field::display));
        tracing::debug!(target: STEPS, job = id, service, name, "begun");
        tracing::trace!(job = id, ?effect, "effect");
        if !self.hand_on(id, effect) {
            tracing::debug!(job = id, "queue full, tenant gone, or no leader: planned anew later");
            self.finished(Finished::failed(id));
        }
    }

    /// Hands an effect to its executor, if this replica leads at this very moment.
    fn hand_on(&self, job: JobId, effect: Effect) -> bool {
        let Some(term) = self.term.filter(|term| self.leadership.admits(*term)) else {
            return false;
        };
        match effect {
            Effect::Tenant(effect) => self.sinks.tenants.send(Order { job, term, effect }),
            Effect::Under(_) => self.sinks.under.try_send(Order { job, term, effect }).is_ok(),
            Effect::Ovn(effect) => self.sinks.ovn.try_send(Order { job, term, effect }).is_ok(),
        }
    }
}
