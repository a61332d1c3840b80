//! What tenants may have, and what they have.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use slab::Slab;

use super::names::Names;
use super::table::{SlotId, TenantId};
use crate::{Family, PerFamily, Quota, Refusal, Resource, Sharing};

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
    /// Services with an address.
    pub load_balancers: u64,
    /// Addresses of its Services.
    pub addresses: PerFamily<u64>,
    /// Ports of its Services.
    pub ports: u64,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Tenants {
    tenants: Slab<Tenant>,
    names: Names,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Tenant {
    pub(super) name: Arc<str>,
    pub(super) spec: TenantSpec,
    pub(super) usage: TenantUsage,
    /// Shared addresses by sharing key and backends.
    pub(super) shared: BTreeMap<(Box<str>, Box<str>), BTreeSet<SlotId>>,
    /// Addresses that wait for a Service, by `<namespace>/<name>`.
    pub(super) waiting: BTreeMap<Box<str>, BTreeSet<SlotId>>,
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
        let name: Arc<str> = name.into();
        let id = self.tenants.insert(Tenant { name: name.clone(), ..Tenant::default() });
        let id = TenantId::try_from(id).unwrap_or(TenantId::MAX);
        self.names.insert(name, id);
        id
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

    /// Whether the quota has room for so many more.
    pub(super) fn room(&self, more: &TenantUsage) -> Result<(), Refusal> {
        let (quota, usage) = (&self.spec.quota, &self.usage);
        let addresses = [Family::V4, Family::V6].map(|family| {
            let (limit, used) = (*quota.addresses.get(family), *usage.addresses.get(family));
            (Resource::Addresses(family), limit, used, *more.addresses.get(family))
        });
        let services = (
            Resource::LoadBalancers,
            quota.load_balancers,
            usage.load_balancers,
            more.load_balancers,
        );
        let ports = (Resource::Ports, quota.ports, usage.ports, more.ports);
        for (resource, limit, used, more) in [services, ports].into_iter().chain(addresses) {
            if let Some(limit) =
                limit.filter(|limit| more > 0 && used.saturating_add(more) > *limit)
            {
                return Err(Refusal::Quota { resource, limit, used });
            }
        }
        Ok(())
    }
}
