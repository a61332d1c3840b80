//! Who has which address, and who may have which: the allocator, kept in step with what objects
//! and rows say.
//!
//! The durable record of an address is its `Eip`; where there is none (yet, or any more), the
//! `OvnEip` made for a Service, or the row that serves it, speaks for it. What else Kube-OVN or the Northbound database uses is nobody's to give.
//! Each change of such a fact is told with [`World::reckon`], and the state is a function of the
//! facts alone: [`World::reckon_all`] leads to the same one. Only what was given and has no record
//! yet, a promise, is known here first.

mod facts;
mod pools_of;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use pools::{AddressSet, Allocator, Assigned, Family, PoolFigures, Refusal, Service};
use uuid::Uuid;

use crate::ids::ServiceKey;
use crate::world::World;

pub use facts::Wish;
pub(crate) use facts::port;
pub use pools_of::Fault;
pub(crate) use pools_of::OWN_VPC;

/// The allocator, and what it was told.
#[derive(Clone, Debug, Default)]
pub struct Assignments {
    allocator: Allocator,
    /// What uses an address beside an `Eip`.
    claims: BTreeMap<IpAddr, BTreeSet<Claim>>,
    /// The addresses that a Service moves to, while it still has others.
    wanted: BTreeMap<ServiceKey, BTreeSet<IpAddr>>,
    /// Addresses of which the allocator was told a record.
    recorded: BTreeSet<IpAddr>,
    /// Something was given back since this was asked last.
    freed: bool,
    /// What is wrong with each pool that has a fault.
    faults: BTreeMap<String, Vec<Fault>>,
}

/// What uses an address beside an `Eip`, in the order in which it is believed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Claim {
    /// An `OvnEip`, ours or another's.
    OvnEip(String),
    /// A live row of ours.
    Row(Uuid),
    /// A Kube-OVN `IP`.
    Ip(String),
    /// A Kube-OVN `Vip`.
    Vip(String),
    /// A NAT rule.
    Nat(Uuid),
    /// Something that is not seen: Kube-OVN did not grant it a moment ago.
    Ungranted,
    /// A Service that is on its way to it from another address.
    Wanted(ServiceKey),
}

/// Addresses that no pool of ranges may hold, with what they are.
pub type Reserved = Vec<(AddressSet, String)>;

impl Assignments {
    /// What a Service would get; nothing is changed.
    ///
    /// # Errors
    /// Why it gets nothing, or nothing else than it has.
    pub fn choose(&self, wish: &Wish) -> Result<Assigned, Refusal> {
        wish.ask(|request| self.allocator.choose(request))
    }

    /// The figures of a pool, if it is known.
    #[must_use]
    pub fn figures(&self, pool: &str) -> Option<PoolFigures> {
        self.allocator.pool(pool)
    }

    /// The addresses that a pool gives next to Services that ask for nothing, so many at most.
    #[must_use]
    pub fn next(&self, pool: &str, family: Family, most: usize) -> Vec<IpAddr> {
        self.allocator.next(pool, family, most)
    }

    /// What is wrong with a pool.
    #[must_use]
    pub fn faults(&self, pool: &str) -> &[Fault] {
        self.faults.get(pool).map_or(&[], Vec::as_slice)
    }

    /// What a pool may give, but for what is in use.
    #[must_use]
    pub fn left_of(&self, pool: &str) -> AddressSet {
        self.allocator.left_of(pool)
    }

    /// The older pool that a pool overlaps, and where: while it does, it gives nothing.
    #[must_use]
    pub fn conflict(&self, pool: &str) -> Option<(&str, pools::AddressRange)> {
        self.allocator.conflict(pool)
    }

    /// The oldest pool whose addresses hold this one, if one does.
    #[must_use]
    pub fn pool_at(&self, address: IpAddr) -> Option<&str> {
        self.allocator.pool_holding(address)
    }

    /// Whether the ranges of a pool hold an address.
    #[must_use]
    pub fn holds(&self, pool: &str, address: IpAddr) -> bool {
        self.allocator.holds(pool, address)
    }

    /// What an address is used for, if it is.
    #[must_use]
    pub fn entry(&self, address: IpAddr) -> Option<pools::Entry> {
        self.allocator.entry(address)
    }

    /// The addresses a Service is on its way to.
    pub(crate) fn wanted(&self, key: &ServiceKey) -> impl Iterator<Item = IpAddr> + '_ {
        self.wanted.get(key).into_iter().flatten().copied()
    }

    /// Whether a Service is on its way to other addresses than it has.
    pub(crate) fn moves(&self, key: &ServiceKey) -> bool {
        self.wanted.contains_key(key)
    }

    /// Something may be had that could not be had before.
    pub(crate) const fn note_freed(&mut self) {
        self.freed = true;
    }

    /// Whether something was given back since the last call.
    pub(crate) const fn take_freed(&mut self) -> bool {
        std::mem::replace(&mut self.freed, false)
    }

    fn claim(&mut self, address: IpAddr, claim: Claim, there: bool) {
        let claims = self.claims.entry(address).or_default();
        let _ = if there { claims.insert(claim) } else { claims.remove(&claim) };
        if claims.is_empty() {
            self.claims.remove(&address);
        }
    }
}

impl World {
    /// Gives a Service what it wishes, before the record says so.
    pub(crate) fn promise(&mut self, wish: &Wish) {
        // A refusal here is a plan that has been overtaken: the next one tells.
        let _ = wish.ask(|request| self.assignments.allocator.assign(request));
    }

    /// Keeps addresses for a Service that gives up others for them: nobody else gets them meanwhile.
    pub(crate) fn want(&mut self, key: &ServiceKey, addresses: &BTreeSet<IpAddr>) {
        if self.assignments.wanted.get(key) == Some(addresses) {
            return;
        }
        self.unwant(key);
        self.assignments.wanted.insert(key.clone(), addresses.clone());
        for address in addresses {
            self.claim(Some(*address), Claim::Wanted(key.clone()), true);
        }
    }

    /// A Service goes nowhere any more.
    pub(crate) fn unwant(&mut self, key: &ServiceKey) {
        for address in self.assignments.wanted.remove(key).into_iter().flatten() {
            self.claim(Some(address), Claim::Wanted(key.clone()), false);
        }
    }

    /// A Service has an address that it was on its way to.
    pub(crate) fn arrived(&mut self, key: &ServiceKey, address: IpAddr) {
        let Some(wanted) = self.assignments.wanted.get_mut(key) else { return };
        if !wanted.remove(&address) {
            return;
        }
        if wanted.is_empty() {
            self.assignments.wanted.remove(key);
        }
        self.claim(Some(address), Claim::Wanted(key.clone()), false);
    }

    /// Takes back what a Service was given without a record.
    pub(crate) fn withdraw_promise(&mut self, key: &ServiceKey) {
        self.unwant(key);
        let tenant = key.tenant().as_str();
        let service = Service { tenant, namespace: key.namespace(), name: key.name() };
        let assignments = &mut self.assignments;
        let before = assignments.allocator.usage(tenant);
        assignments.allocator.withdraw(&service);
        assignments.freed |= before != assignments.allocator.usage(tenant);
    }
}

#[cfg(test)]
impl World {
    /// What the allocator knows, line by line; nothing while something is promised, drawn or kept
    /// for who moves there.
    fn account(&self) -> Option<Vec<String>> {
        let allocator = &self.assignments.allocator;
        let entries: Vec<_> = allocator.iter().collect();
        let pools: Vec<_> = allocator.pools().collect();
        let drawing = pools.iter().any(|pool| pool.drawing.v4 + pool.drawing.v6 > 0);
        let moving = !self.assignments.wanted.is_empty();
        if drawing || moving || entries.iter().any(|entry| entry.promised) {
            return None;
        }
        let usage = self.tenants.keys().map(|name| (name, allocator.usage(name.as_str())));
        let entries = entries.iter().map(|entry| format!("{entry:?}"));
        let pools = pools.iter().map(|pool| format!("{pool:?}"));
        let usage = usage.map(|usage| format!("{usage:?}"));
        Some(entries.chain(pools).chain(usage).collect())
    }

    /// Fails where what was told piece by piece differs from a recount of all facts.
    pub(crate) fn recount(&self) {
        let Some(told) = self.account() else { return };
        let mut anew = self.clone();
        anew.reckon_all();
        assert_eq!(Some(told), anew.account(), "told piece by piece, and counted anew");
    }
}
