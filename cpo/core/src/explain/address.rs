//! The step at which a pool has an address, and the tenant's quota room.

use cpo_api::Reason;
use pools::{Family, PoolFigures};

use super::steps::condition;
use super::{Chain, Facts, Mark, Step};
use crate::select;
use crate::tenant::Tenant;
use crate::under::Eip;

impl Chain<'_> {
    pub(super) fn pool(&mut self, tenant: &Tenant) {
        let facts = self.facts;
        if self.troubled(Step::Pool) {
            return;
        }
        if let Some(eip) = facts.eip() {
            return self.pool_of(eip);
        }
        if self.blocked() {
            return;
        }
        let open = facts.open_pools(tenant);
        let texts: Vec<_> = open.iter().map(figures).collect();
        if open.is_empty() {
            let (text, remedy) = (
                "PoolNotFound: no AddressPool that is Ready, not drained and has autoAssign is open \
                 to the tenant",
                Reason::PoolNotFound.remedy(),
            );
            return self.unasked(text.to_owned(), remedy);
        }
        if open.iter().all(|pool| *pool.available.get(Family::V4) == 0) {
            let text = format!("PoolExhausted: no address is free in {}", texts.join(", "));
            return self.unasked(text, Reason::PoolExhausted.remedy());
        }
        if let Some(full) = facts.full_quota(tenant) {
            return self.unasked(format!("QuotaExceeded: {full}"), Reason::QuotaExceeded.remedy());
        }
        self.ok(Step::Pool, format!("open to the tenant: {}", texts.join(", ")));
    }

    /// What holds back a Service without wishes. The planner knows of a Service that was read
    /// whether it is one.
    fn unasked(&mut self, text: String, remedy: &str) {
        match self.facts.unread {
            Some(_) => self.no(Step::Pool, text, remedy),
            None => self.add(Step::Pool, Mark::Ok, text, ""),
        }
    }

    fn pool_of(&mut self, eip: &Eip) {
        let pool = &eip.spec.pool;
        let assigned = condition(&eip.status.conditions, "Assigned");
        let outside = assigned.filter(|condition| condition.reason == "OutsidePool");
        match (outside, self.facts.world.assignments.figures(pool)) {
            (Some(outside), _) => self.ok(Step::Pool, outside.message.clone()),
            (None, Some(found)) => self.ok(Step::Pool, format!("pool {}", figures(&found))),
            (None, None) => self.ok(Step::Pool, format!("pool {pool} is gone; the address stays")),
        }
    }
}

/// `public: 3 assigned, 187 of 190 available`.
fn figures(pool: &PoolFigures) -> String {
    let of = |count: &pools::PerFamily<u64>| *count.get(Family::V4);
    let mut text = format!("{}: {} assigned", pool.pool, of(&pool.assigned));
    let others = [
        ("resting", of(&pool.resting)),
        ("kept", of(&pool.kept)),
        ("reserved", of(&pool.reserved)),
    ];
    for (word, count) in others.into_iter().filter(|(_, count)| *count > 0) {
        text.push_str(&format!(", {count} {word}"));
    }
    let (available, total) = (pool.available.get(Family::V4), pool.total.get(Family::V4));
    text.push_str(&format!(", {available} of {total} available"));
    text
}

impl Facts<'_> {
    /// The pools a Service of the tenant that names none may draw from.
    fn open_pools(&self, tenant: &Tenant) -> Vec<PoolFigures> {
        let world = self.world;
        let pools = world.under.pools.iter().filter(|(name, pool)| {
            let gives = pool.auto_assign && !pool.drain && !pool.delegated;
            gives
                && select::open(world, name, pool, &tenant.spec)
                && world.assignments.conflict(name).is_none()
        });
        pools.filter_map(|(name, _)| world.assignments.figures(name)).collect()
    }

    /// The quota that leaves no room for one Service more, in words.
    fn full_quota(&self, tenant: &Tenant) -> Option<String> {
        let uid = tenant.spec.uid.as_str();
        let eips = self.world.under.eips.values().filter(|eip| eip.spec.tenant.uid == uid);
        let bound = |eip: &&Eip| !eip.spec.services.is_empty();
        let eips: Vec<_> = eips.filter(bound).collect();
        let live = eips.iter().filter(|eip| eip.released().is_none()).count();
        let quota = &tenant.spec.quota;
        let full = |limit: Option<u32>, used: usize, what: &str| {
            let limit = usize::try_from(limit?).ok()?;
            (used >= limit)
                .then(|| format!("spec.quota allows {limit} {what}, and {used} are in use"))
        };
        full(quota.load_balancers, live, "load balancers")
            .or_else(|| full(quota.addresses.ipv4, eips.len(), "IPv4 addresses"))
    }
}
