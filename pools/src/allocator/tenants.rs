//! What tenants may have, and what they have.

use std::collections::{BTreeMap, BTreeSet};

use slab::Slab;
use smol_str::SmolStr;

use super::names::Names;
use super::slot::SlotId;
use crate::{Family, PerFamily, Quota, Refusal, Resource, Sharing, Used};

/// What is known of a tenant beside its Services.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TenantSpec {
    /// What it may have at most.
    pub quota: Quota,
    /// The pools it may draw from; empty is all that are open to it.
    pub pools: BTreeSet<String>,
}

/// What a tenant has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TenantUsage {
    /// Services with an address, or that draw one.
    pub load_balancers: u64,
    /// Addresses of its Services; one that Services share counts once.
    pub addresses: PerFamily<u64>,
    /// Addresses that its Services draw from pools that others hand out.
    pub drawing: PerFamily<u64>,
    /// Addresses that rest since their release.
    pub resting: PerFamily<u64>,
    /// Addresses that it keeps for Services.
    pub kept: PerFamily<u64>,
    /// Addresses that an operator reserved for it; they count against no quota.
    pub reserved: PerFamily<u64>,
    /// Ports of its Services.
    pub ports: u64,
}

/// What a Service wants beside what it has.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct More {
    pub(super) load_balancers: u64,
    pub(super) addresses: PerFamily<Change>,
    pub(super) ports: u64,
}

/// How many are taken, and given up for them.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Change {
    pub(super) takes: u64,
    pub(super) frees: u64,
}

/// The number of a tenant.
pub(super) type TenantId = u32;

#[derive(Clone, Debug, Default)]
pub(super) struct Tenants {
    tenants: Slab<Tenant>,
    names: Names,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Tenant {
    pub(super) name: SmolStr,
    pub(super) spec: TenantSpec,
    /// Whether it may not have all it asks for.
    limited: bool,
    /// Whether somebody set the spec.
    pub(super) registered: bool,
    pub(super) usage: TenantUsage,
    /// Addresses of it, however they are used.
    pub(super) slots: u64,
    /// Shared addresses by sharing key and backends.
    pub(super) shared: BTreeMap<(Box<str>, Box<str>), BTreeSet<SlotId>>,
}

impl Tenants {
    pub(super) fn get(&self, id: TenantId) -> Option<&Tenant> {
        self.tenants.get(id as usize)
    }

    pub(super) fn get_mut(&mut self, id: TenantId) -> Option<&mut Tenant> {
        self.tenants.get_mut(id as usize)
    }

    pub(super) fn find(&self, name: &str) -> Option<TenantId> {
        self.names.get(name)
    }

    pub(super) fn intern(&mut self, name: &str) -> TenantId {
        if let Some(id) = self.names.get(name) {
            return id;
        }
        let name: SmolStr = name.into();
        let id = self.tenants.insert(Tenant { name: name.clone(), ..Tenant::default() });
        let id = TenantId::try_from(id).unwrap_or(TenantId::MAX);
        self.names.insert(name, id);
        id
    }

    /// Forgets a tenant that is not registered and has nothing.
    pub(super) fn tidy(&mut self, id: TenantId) {
        let gone = |t: &&Tenant| !t.registered && t.slots == 0 && t.usage == TenantUsage::default();
        if self.get(id).filter(gone).is_some() {
            let tenant = self.tenants.remove(id as usize);
            self.names.remove(&tenant.name);
        }
    }
}

impl Tenant {
    pub(super) fn lists(&self, pool: &str) -> bool {
        self.spec.pools.is_empty() || self.spec.pools.contains(pool)
    }

    pub(super) fn shares(&self, sharing: Sharing<'_>) -> impl Iterator<Item = SlotId> + '_ {
        // The key is looked up by value: sharing is rare, its keys are short.
        let key = (sharing.key.into(), sharing.backends.into());
        self.shared.get(&key).into_iter().flatten().copied()
    }

    /// How many addresses it has, by what counts against its quota.
    fn used(&self, family: Family) -> Used {
        let of = |count: &PerFamily<u64>| *count.get(family);
        let usage = &self.usage;
        let assigned = of(&usage.addresses) + of(&usage.drawing);
        Used { assigned, resting: of(&usage.resting), kept: of(&usage.kept) }
    }

    /// Sets what it may have.
    pub(super) fn set(&mut self, spec: TenantSpec, registered: bool) {
        self.limited = spec.quota != Quota::default();
        (self.spec, self.registered) = (spec, registered);
    }

    pub(super) const fn has_quota(&self) -> bool {
        self.limited
    }

    /// Whether the quota has room for so many more.
    pub(super) fn room(&self, more: &More) -> Result<(), Refusal> {
        let (quota, usage) = (&self.spec.quota, &self.usage);
        let addresses = [Family::V4, Family::V6].map(|family| {
            let (limit, more) = (*quota.addresses.get(family), *more.addresses.get(family));
            (Resource::Addresses(family), limit, self.used(family), more)
        });
        let adds = |takes| Change { takes, frees: 0 };
        let counted = |assigned| Used { assigned, ..Used::default() };
        let services = counted(usage.load_balancers);
        let services =
            (Resource::LoadBalancers, quota.load_balancers, services, adds(more.load_balancers));
        let ports = (Resource::Ports, quota.ports, counted(usage.ports), adds(more.ports));
        for (resource, limit, used, more) in [services, ports].into_iter().chain(addresses) {
            let Change { takes, frees } = more;
            let after = used.all().saturating_sub(frees).saturating_add(takes);
            let over = |limit: &u64| takes > 0 && after > *limit;
            if let Some(limit) = limit.filter(over) {
                return Err(Refusal::Quota { resource, limit, used });
            }
        }
        Ok(())
    }
}
