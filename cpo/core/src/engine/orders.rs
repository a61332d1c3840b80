//! What a plan leads to: orders to the edges, and what people are told.

use cpo_api::Reason;

use super::contention::Verdict;
use super::job::{Lane, Progress, Waiter};
use super::{Engine, Job, Note};
use crate::effect::{Effect, TenantEffect, UnderEffect};
use crate::ids::ServiceKey;
use crate::plan;
use crate::problem::Problem;
use crate::time::Now;

impl Engine {
    /// Nothing is to be done for the Service now: what was done is told.
    pub(super) fn rest(&mut self, key: &ServiceKey, jobs: &mut Vec<Job>) {
        self.tell_news(key, jobs);
        let Some(progress) = self.progress.get_mut(key) else { return };
        progress.rounds = 0;
        progress.failures = 0;
        if progress.since.is_empty() {
            self.progress.remove(key);
        }
    }

    pub(super) fn tell_news(&mut self, key: &ServiceKey, jobs: &mut Vec<Job>) {
        let news = self.progress.get_mut(key).map(|progress| std::mem::take(&mut progress.news));
        for news in news.into_iter().flatten() {
            self.dispatch(Waiter::Nobody, news, jobs);
        }
    }

    /// A write fails again and again: the tenant is told that, the operator why (in the log).
    pub(super) fn tell_failing(&mut self, key: &ServiceKey, jobs: &mut Vec<Job>) {
        let service = self.world.tenants.get(key.tenant()).and_then(|t| t.services.get(key));
        let Some(uid) = service.map(|service| service.uid.clone()) else { return };
        let text = "the load balancer cannot be set up or changed for now; this is tried again, \
                    and the provider's operator is told why";
        let problem = Problem::warning(Reason::SyncLoadBalancerFailed, text)
            .for_operator("a write for the Service keeps failing: the log before this names it");
        self.dispatch_for(key, plan::notice(key, &uid, &problem), jobs);
        self.notes.push(Note { service: key.clone(), problems: vec![problem] });
    }

    /// Dispatches the effects of a plan. What the tenant waits for comes first: what its `Eip` says
    /// besides is planned again when that is done, and told at once where that fails.
    pub(super) fn settle_all(
        &mut self,
        key: &ServiceKey,
        effects: Vec<Effect>,
        now: Now,
        jobs: &mut Vec<Job>,
    ) {
        let status = |e: &Effect| matches!(e, Effect::Under(UnderEffect::PatchEipStatus { .. }));
        let patch = |e: &Effect| matches!(e, Effect::Tenant(TenantEffect::PatchService { .. }));
        let patches = effects.iter().any(patch);
        let (statuses, others): (Vec<_>, Vec<_>) = effects.into_iter().partition(status);
        for effect in others {
            self.settle(key, effect, now, jobs);
        }
        let under_way = |progress: &Progress| progress.under_way > 0 && progress.failures == 0;
        if patches && self.progress.get(key).is_some_and(under_way) {
            return;
        }
        for effect in statuses {
            self.settle(key, effect, now, jobs);
        }
    }

    /// Dispatches an effect, unless it fights over a status with somebody else in the tenant.
    pub(super) fn settle(
        &mut self,
        key: &ServiceKey,
        effect: Effect,
        now: Now,
        jobs: &mut Vec<Job>,
    ) {
        if let Effect::Tenant(TenantEffect::PatchService { patch, .. }) = &effect {
            match self.contention.judge(key, patch, now.mono) {
                Verdict::Write => {}
                Verdict::WriteAndTell => {
                    let service = self.world.tenants.get(key.tenant());
                    let service = service.and_then(|tenant| tenant.services.get(key));
                    let notice = service.map(|s| plan::notice(key, &s.uid, &contended()));
                    notice.into_iter().for_each(|n| self.dispatch_for(key, n, jobs));
                }
                Verdict::LeaveUntil(at) => {
                    self.timers.by(key, at);
                    return;
                }
            }
        }
        self.dispatch_for(key, effect, jobs);
    }

    pub(super) fn dispatch_for(&mut self, key: &ServiceKey, effect: Effect, jobs: &mut Vec<Job>) {
        let lane = match &effect {
            Effect::Tenant(TenantEffect::Event(_)) => None,
            Effect::Tenant(TenantEffect::PatchService { .. }) | Effect::Under(_) => {
                Some(Lane::Calls)
            }
            Effect::Ovn(_) => Some(Lane::Rows),
        };
        let waiter = lane.map_or(Waiter::Nobody, |lane| {
            self.jobs_of.entry(key.tenant().clone()).or_default().begin(lane);
            self.progress.entry(key.clone()).or_default().under_way += 1;
            Waiter::Service(key.clone(), lane)
        });
        self.dispatch(waiter, effect, jobs);
    }

    pub(super) fn dispatch(&mut self, waiter: Waiter, effect: Effect, jobs: &mut Vec<Job>) {
        self.next_job += 1;
        let service = match &waiter {
            Waiter::Service(key, _) => Some(key.clone()),
            Waiter::Chore(_) | Waiter::Nobody => None,
        };
        if waiter != Waiter::Nobody {
            self.jobs.insert(self.next_job, waiter);
        }
        jobs.push(Job { id: self.next_job, service, effect });
    }
}

fn contended() -> Problem {
    Problem::warning(
        Reason::ContendedService,
        "another controller writes status.loadBalancer of this Service; it is left alone for five \
         minutes: run the cluster's cloud-controller-manager without its service controller, and \
         keep other load-balancer controllers off this class",
    )
}
