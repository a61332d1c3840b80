//! The order in which things are done: observations in, jobs out.
//!
//! ```text
//! handle(Input) ─► World ─► dirty Services, by tenant
//! poll(now)     ─► plan each dirty Service, round robin over the tenants ─► Job per effect
//! done(job)     ─► the Service is planned again; a failure first waits, longer each time
//! ```
//! At most one plan of a Service is under way. Nothing is decided before every kind of the under
//! cluster was listed, nor while a watch of it is broken, nor by a replica that stands by.

mod absorb;
mod brake;
mod chores;
mod contention;
mod input;
mod job;
mod lists;
mod namespaces;
mod orders;
mod services;
mod standby;
mod tenants;
mod timers;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

pub use input::{Input, NamespacesSeen, TenantKind, TenantObject, UnderKind, UnderObject};
pub use job::{Counters, Job, JobId, Note, Outcome};

use crate::assignments::{Claim, Reserved};
use crate::effect::{Effect, TenantEffect};
use crate::ids::{Install, ServiceKey, TenantName};
use crate::plan::{Plan, Promise, plan};
use crate::tenant::Round;
use crate::time::Now;
use crate::world::World;

use chores::Chores;
use contention::Contention;
use job::{Load, Progress, Waiter};
use timers::Timers;

/// Plans made in one [`Engine::poll`]; the rest waits for the next, so that inputs are never kept
/// waiting by a long list.
const PLANS_PER_POLL: usize = 256;
/// First wait after a failure, doubled with each.
const FIRST_BACKOFF: Duration = Duration::from_millis(100);
/// Longest wait after a failure.
pub(super) const LAST_BACKOFF: Duration = Duration::from_secs(30);
/// After this many failures in a row, some three seconds, the tenant is told.
const TOLD_AFTER_FAILURES: u32 = 5;
/// The pure heart of `cpo`.
#[derive(Debug)]
pub struct Engine {
    world: World,
    leading: bool,
    listed: BTreeSet<UnderKind>,
    lost: BTreeSet<UnderKind>,
    tenant_listed: BTreeMap<TenantName, BTreeSet<TenantKind>>,
    dirty: BTreeMap<TenantName, BTreeSet<ServiceKey>>,
    turn: Option<TenantName>,
    progress: BTreeMap<ServiceKey, Progress>,
    timers: Timers,
    everybody: bool,
    pools_changed: bool,
    /// Services that are refused for what others have.
    hungry: BTreeSet<ServiceKey>,
    tenants_learnt: u64,
    last_round: Round,
    jobs: BTreeMap<JobId, Waiter>,
    jobs_of: BTreeMap<TenantName, Load>,
    next_job: JobId,
    chores: Chores,
    contention: Contention,
    sweep_period: Duration,
    counters: Counters,
    notes: Vec<Note>,
}

impl Engine {
    /// An engine that knows nothing yet, and stands by.
    #[must_use]
    pub fn new(install: Install) -> Self {
        Self {
            world: World::new(install),
            leading: false,
            listed: BTreeSet::new(),
            lost: BTreeSet::new(),
            tenant_listed: BTreeMap::new(),
            dirty: BTreeMap::new(),
            turn: None,
            progress: BTreeMap::new(),
            timers: Timers::default(),
            everybody: false,
            pools_changed: false,
            hungry: BTreeSet::new(),
            tenants_learnt: 0,
            last_round: Round::default(),
            jobs: BTreeMap::new(),
            jobs_of: BTreeMap::new(),
            next_job: 0,
            chores: Chores::default(),
            sweep_period: chores::SWEEP_PERIOD,
            contention: Contention::default(),
            counters: Counters::default(),
            notes: Vec::new(),
        }
    }

    /// Sweeps emptied rows at most this often, instead of once a minute.
    #[must_use]
    pub const fn sweep_every(mut self, period: Duration) -> Self {
        self.sweep_period = period;
        self
    }

    /// Keeps these addresses out of pools of ranges.
    #[must_use]
    pub fn reserving(mut self, reserved: Reserved) -> Self {
        self.world.reserved = reserved;
        self
    }

    /// What is known.
    #[must_use]
    pub const fn world(&self) -> &World {
        &self.world
    }

    /// What was told, with everything counted in: for those who look and do not decide.
    #[must_use]
    pub fn into_world(mut self) -> World {
        self.take_pools();
        self.world
    }

    /// What was counted so far.
    #[must_use]
    pub const fn counters(&self) -> Counters {
        self.counters
    }

    /// Whether every list of the under cluster is complete, no watch of it is broken, and the
    /// Northbound database was read.
    #[must_use]
    pub fn ready(&self) -> bool {
        self.may_decide() && self.world.ovn.known()
    }

    /// Whether a list of this kind is complete.
    #[must_use]
    pub fn knows(&self, kind: UnderKind) -> bool {
        self.listed.contains(&kind)
    }

    /// Every kind of the under cluster was listed, and no watch of it is broken.
    fn may_decide(&self) -> bool {
        self.listed.len() == UnderKind::ALL.len() && self.lost.is_empty()
    }

    /// What is to be logged since the last call.
    pub fn take_notes(&mut self) -> Vec<Note> {
        std::mem::take(&mut self.notes)
    }

    /// Whether nothing is under way and nothing waits for its turn.
    #[must_use]
    pub fn idle(&self) -> bool {
        self.jobs.is_empty() && self.dirty.is_empty()
    }

    /// When to [`Engine::poll`] again though nothing comes in (monotonic).
    #[must_use]
    pub fn deadline(&self) -> Option<Duration> {
        if !self.leading || !self.may_decide() {
            return None;
        }
        [self.timers.first(), self.chores.deadline()].into_iter().flatten().min()
    }

    /// Jobs to execute now. Call again after each input, each ended job, and at the deadline.
    pub fn poll(&mut self, now: Now) -> Vec<Job> {
        let mut jobs = Vec::new();
        self.take_pools();
        if !self.leading {
            self.forget();
            return jobs;
        }
        if !self.may_decide() {
            return jobs;
        }
        if std::mem::take(&mut self.everybody) {
            for tenant in self.world.tenants.keys().cloned().collect::<Vec<_>>() {
                self.soil_tenant(&tenant);
            }
        }
        self.fire(now);
        self.do_chores(now, &mut jobs);
        for _ in 0..PLANS_PER_POLL {
            let Some(key) = self.next_dirty() else { break };
            self.work_on(key, now, &mut jobs);
        }
        jobs
    }

    /// Whether [`Engine::poll`] has more to plan at once.
    #[must_use]
    pub fn has_work(&self) -> bool {
        let free = |tenant: &TenantName| self.room(tenant);
        let any = self.everybody || self.pools_changed || self.dirty.keys().any(free);
        self.leading && self.may_decide() && any
    }

    /// Takes note that a job ended.
    pub fn done(&mut self, job: JobId, outcome: Outcome, now: Now) {
        if outcome == Outcome::Failed {
            self.counters.failures += 1;
            if let Some(Waiter::Service(key, _)) = self.jobs.get(&job) {
                // What was not written is no correction when it is tried again.
                self.contention.forget(key);
            }
        }
        match self.jobs.remove(&job) {
            Some(Waiter::Service(key, lane)) => {
                if let Some(load) = self.jobs_of.get_mut(key.tenant()) {
                    load.end(lane);
                }
                self.service_done(&key, outcome, now);
            }
            Some(Waiter::Chore(chore)) => self.chores.done(&chore, outcome, now),
            Some(Waiter::Nobody) | None => {}
        }
    }

    fn service_done(&mut self, key: &ServiceKey, outcome: Outcome, now: Now) {
        let progress = self.progress.entry(key.clone()).or_default();
        progress.under_way = progress.under_way.saturating_sub(1);
        progress.failed |= outcome == Outcome::Failed;
        if progress.under_way > 0 {
            return;
        }
        if std::mem::take(&mut progress.failed) {
            let wait = FIRST_BACKOFF.saturating_mul(1 << progress.failures.min(10));
            progress.not_before = now.mono + wait.min(LAST_BACKOFF);
            progress.failures += 1;
            progress.hoped.clear();
        } else {
            progress.failures = 0;
            progress.news.append(&mut progress.hoped);
        }
        self.soil(key.clone());
    }

    fn soil(&mut self, key: ServiceKey) {
        self.dirty.entry(key.tenant().clone()).or_default().insert(key);
    }

    fn soil_tenant(&mut self, tenant: &TenantName) {
        for key in self.world.keys_of(tenant) {
            self.soil(key);
        }
    }

    /// Every Service of every tenant, once, at the next [`Engine::poll`].
    fn soil_everybody(&mut self) {
        self.everybody = true;
    }

    /// What a plan gives a Service is its until the record says so; what it gives back feeds others.
    fn keep_promises(&mut self, key: &ServiceKey, plan: &Plan, now: Now) {
        match &plan.promise {
            Promise::Unchanged => {}
            Promise::Made(wish) => self.world.promise(wish),
            Promise::Moving(addresses) => self.world.want(key, addresses),
            Promise::Withdrawn => self.world.withdraw_promise(key),
        }
        self.feed();
        if let Some(address) = plan.ungranted {
            self.world.claim(Some(address.into()), Claim::Ungranted, true);
            self.chores.ungranted(address.into(), now);
        }
        if plan.hungry {
            self.hungry.insert(key.clone());
        } else {
            self.hungry.remove(key);
        }
    }

    /// If something was given back to the pools, those who wait for it are looked at again.
    fn feed(&mut self) {
        if self.world.assignments.take_freed() {
            std::mem::take(&mut self.hungry).into_iter().for_each(|key| self.soil(key));
        }
    }

    fn fire(&mut self, now: Now) {
        while let Some(key) = self.timers.pop_due(now.mono) {
            self.soil(key);
        }
    }

    fn room(&self, tenant: &TenantName) -> bool {
        self.jobs_of.get(tenant).is_none_or(|load| load.has_room())
    }

    /// The next dirty Service: one of each tenant in turn.
    fn next_dirty(&mut self) -> Option<ServiceKey> {
        let after = self.turn.as_ref();
        let later = self.dirty.keys().find(|t| after.is_none_or(|a| *t > a) && self.room(t));
        let tenant = later.or_else(|| self.dirty.keys().find(|t| self.room(t)))?.clone();
        let keys = self.dirty.get_mut(&tenant)?;
        let key = keys.pop_first();
        if keys.is_empty() {
            self.dirty.remove(&tenant);
        }
        self.turn = Some(tenant);
        key
    }

    fn work_on(&mut self, key: ServiceKey, now: Now, jobs: &mut Vec<Job>) {
        let progress = self.progress.entry(key.clone()).or_default();
        if progress.under_way > 0 {
            // Planned again when what is under way is done.
            return;
        }
        if progress.not_before > now.mono {
            self.timers.set(&key, Some(progress.not_before));
            self.tell_news(&key, jobs);
            return;
        }
        self.counters.plans += 1;
        let plan = plan(&self.world, &key, &progress.since, now);
        progress.remember(&plan, now);
        self.keep_promises(&key, &plan, now);
        self.timers.set(&key, plan.wake.map(|wake| wake.max(now.mono)));
        if plan.effects.is_empty() {
            self.rest(&key, jobs);
            return;
        }
        let progress = self.progress.entry(key.clone()).or_default();
        progress.count_round(now);
        let failing = progress.failures == TOLD_AFTER_FAILURES;
        let (news, effects) = plan.effects.into_iter().partition(Effect::is_good_news);
        progress.hoped = news;
        let effects: Vec<Effect> = effects;
        if effects.iter().any(Effect::is_complaint) {
            // What was good before comes before what is not.
            self.tell_news(&key, jobs);
        }
        let told = |e: &Effect| matches!(e, Effect::Tenant(TenantEffect::PatchService { .. }));
        if !plan.problems.is_empty() && effects.iter().any(told) {
            self.notes.push(Note { service: key.clone(), problems: plan.problems });
        }
        if failing {
            self.tell_failing(&key, jobs);
        }
        self.settle_all(&key, effects, now, jobs);
    }
}

#[cfg(test)]
#[path = "engine_tests.rs"]
mod tests;
