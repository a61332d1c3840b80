//! How an address changes hands, and what is counted and found by it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::Allocator;
use super::catalog::{Catalog, PoolId};
use super::holder::{Holder, HolderId, Name};
use super::slot::{Shared, Slot, SlotId, Usage, Wait};
use super::tenants::TenantId;
use super::tenants::Tenants;
use crate::{Family, Sharing};

impl Allocator {
    /// A Service as a holder, made if need be.
    pub(super) fn hold(&mut self, tenant: TenantId, name: &Name) -> HolderId {
        let known = self.table.find_named(tenant, name);
        known.unwrap_or_else(|| self.add_holder(tenant, name.clone()))
    }

    pub(super) fn add_holder(&mut self, tenant: TenantId, name: Name) -> HolderId {
        if let Some(tenant) = self.tenants.get_mut(tenant) {
            tenant.usage.load_balancers += 1;
        }
        self.table.add_holder(Holder::new(tenant, name))
    }

    /// Takes an address out of what is free.
    pub(super) fn occupy(
        &mut self,
        tenant: TenantId,
        pool: PoolId,
        (address, created): (IpAddr, u32),
        usage: Usage,
    ) -> SlotId {
        self.catalog.take(address, pool);
        self.enter(tenant, pool, (address, created), usage)
    }

    /// The same of one that was taken out before.
    pub(super) fn enter(
        &mut self,
        tenant: TenantId,
        pool: PoolId,
        (address, created): (IpAddr, u32),
        usage: Usage,
    ) -> SlotId {
        let id = self.table.insert(Slot { usage, pool, tenant, created, address });
        self.account(id, true);
        id
    }

    /// Makes a Service one of those that hold an address.
    pub(super) fn join(&mut self, holder: HolderId, id: SlotId, sharing: Option<Sharing<'_>>) {
        let Some(slot) = self.table.slot(id) else { return };
        let family = Family::of(slot.address);
        let mut holders = slot.holders().to_vec();
        if let Err(place) = holders.binary_search(&holder) {
            holders.insert(place, holder);
        }
        let usage = match (sharing, &*holders) {
            (None, [holder]) => Usage::Held(*holder),
            _ => {
                let (key, backends) = match (sharing, &slot.usage) {
                    (Some(sharing), _) => (sharing.key.into(), sharing.backends.into()),
                    (None, Usage::Shared(shared)) => (shared.key.clone(), shared.backends.clone()),
                    (None, _) => Default::default(),
                };
                Usage::Shared(Box::new(Shared { key, backends, holders }))
            }
        };
        self.use_as(id, usage);
        if let Some(holder) = self.table.holder_mut(holder) {
            holder.set_slot(family, Some(id));
        }
    }

    /// Takes a Service from those that hold an address, and forgets it with its last one.
    pub(super) fn leave(&mut self, holder: HolderId, id: SlotId) {
        self.vacate_seat(holder, id);
        self.drop_idle(holder);
    }

    /// Takes a Service from those that hold an address. It may be idle then.
    pub(super) fn vacate_seat(&mut self, holder: HolderId, id: SlotId) {
        if let Some(usage) = self.stand_up(holder, id) {
            self.use_as(id, usage);
        }
    }

    /// Takes an address from one of those that hold it; gives how it is to be used without.
    pub(super) fn stand_up(&mut self, holder: HolderId, id: SlotId) -> Option<Usage> {
        let slot = self.table.slot(id)?;
        let (family, usage) = (Family::of(slot.address), slot.usage.without(holder));
        if let Some(gone) = self.table.holder_mut(holder) {
            gone.set_slot(family, None);
            *gone.promised.get_mut(family) = false;
        }
        self.forget_ports(holder, family);
        Some(usage)
    }

    /// Forgets a Service that neither has an address nor draws one; gives it then.
    pub(super) fn drop_idle(&mut self, holder: HolderId) -> Option<Holder> {
        self.table.holder(holder).filter(|holder| holder.is_idle())?;
        let gone = self.table.remove_holder(holder)?;
        if let Some(tenant) = self.tenants.get_mut(gone.tenant) {
            tenant.usage.load_balancers -= 1;
            tenant.usage.ports -= gone.ports.as_slice().len() as u64;
        }
        self.tenants.tidy(gone.tenant);
        Some(gone)
    }

    /// Gives an address back that nobody holds.
    pub(super) fn vacate(&mut self, id: SlotId) {
        self.account(id, false);
        let Some(slot) = self.table.remove(id) else { return };
        self.under.remove(&slot.address);
        self.catalog.give_back(slot.address, slot.pool);
        self.catalog.tidy(slot.pool);
        self.tenants.tidy(slot.tenant);
    }

    /// The address of a slot that nobody holds, or is bound to.
    pub(super) fn vacant(&self, id: SlotId) -> Option<IpAddr> {
        let slot = self.table.slot(id)?;
        let vacant = slot.holders().is_empty() && !self.rivals.has(slot.address);
        vacant.then_some(slot.address)
    }

    /// Changes how an address is used, and what is counted and found by it.
    pub(super) fn use_as(&mut self, id: SlotId, usage: Usage) {
        self.account(id, false);
        self.table.use_as(id, usage);
        self.account(id, true);
    }

    /// Counts and files an address by how it is used, or no longer.
    fn account(&mut self, id: SlotId, there: bool) {
        let Some(slot) = self.table.slot(id) else { return };
        count(&mut self.catalog, &mut self.tenants, slot, there);
        if let Some(until) = slot.rests_until() {
            let entry = (until, slot.address);
            let _ = if there { self.resting.insert(entry) } else { self.resting.remove(&entry) };
        }
        if let Usage::Shared(shared) = &slot.usage
            && let Some(tenant) = self.tenants.get_mut(slot.tenant)
        {
            let key = (shared.key.clone(), shared.backends.clone());
            file(&mut tenant.shared, key, id, there);
        }
    }
}

fn count(catalog: &mut Catalog, tenants: &mut Tenants, slot: &Slot, more: bool) {
    let family = Family::of(slot.address);
    let step = |count: &mut u64| *count = if more { *count + 1 } else { *count - 1 };
    if let Usage::Foreign(_) = slot.usage {
        return catalog.count_foreign(slot.address, more);
    }
    if let Some(uses) = catalog.uses(slot.pool, family) {
        step(match &slot.usage {
            Usage::Held(_) | Usage::Shared(_) => &mut uses.assigned,
            Usage::Waiting(waiting) => match waiting.why {
                Wait::Rest(_) => &mut uses.resting,
                Wait::Kept => &mut uses.kept,
                Wait::Reserved => &mut uses.reserved,
            },
            Usage::Foreign(_) | Usage::Blocked => &mut uses.conflicting,
        });
    }
    let Some(tenant) = tenants.get_mut(slot.tenant) else { return };
    step(&mut tenant.slots);
    let usage = &mut tenant.usage;
    let counted = match &slot.usage {
        Usage::Held(_) | Usage::Shared(_) => &mut usage.addresses,
        Usage::Waiting(waiting) => match waiting.why {
            Wait::Rest(_) => &mut usage.resting,
            Wait::Kept => &mut usage.kept,
            Wait::Reserved => &mut usage.reserved,
        },
        Usage::Foreign(_) | Usage::Blocked => return,
    };
    step(counted.get_mut(family));
}

fn file<K: Ord>(index: &mut BTreeMap<K, BTreeSet<SlotId>>, key: K, id: SlotId, there: bool) {
    if there {
        index.entry(key).or_default().insert(id);
    } else if let Some(slots) = index.get_mut(&key) {
        slots.remove(&id);
        if slots.is_empty() {
            index.remove(&key);
        }
    }
}
