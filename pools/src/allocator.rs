//! Who has which address, and who may have which.
//!
//! The durable record of an address is an object elsewhere; the allocator is told what those say
//! ([`Allocator::restore`], [`Allocator::forget`]) and never disputes it. What it is asked for
//! anew ([`Allocator::assign`]) it gives by rules alone: the same facts, in whatever order they
//! were told, lead to the same state, and the same request in the same state to the same address.

mod catalog;
mod choose;
mod names;
mod record;
mod table;
mod tenants;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use catalog::{Catalog, PoolId};
use choose::Chosen;
use table::{Holder, HolderId, Shared, Slot, SlotId, Table, TenantId, Usage, Waiting};
use tenants::Tenants;

pub use record::{Bound, Conflict, Entry, Owner, Record, State};
pub use tenants::{TenantSpec, TenantUsage};

use crate::{
    AddressRange, Family, PerFamily, PoolFigures, PoolSpec, Port, Refusal, Request, Service,
    Sharing,
};

/// Pools, what of them is in use, and by whom.
#[derive(Clone, Debug, Default)]
pub struct Allocator {
    catalog: Catalog,
    table: Table,
    tenants: Tenants,
    /// Resting addresses by the end of their rest.
    resting: BTreeSet<(u64, IpAddr)>,
}

/// What becomes of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Assigned {
    /// The Service has these addresses already.
    Kept(Given),
    /// The Service gets these addresses.
    New(Given),
    /// The Service could have these addresses, which it asked for, instead of those it has. Nothing
    /// is changed: what it has must first be withdrawn and released.
    Move {
        /// What it has.
        from: Given,
        /// What it could have.
        to: Given,
    },
}

/// Addresses of one pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Given {
    /// The pool.
    pub pool: Arc<str>,
    /// The addresses; one at least.
    pub addresses: PerFamily<Option<IpAddr>>,
}

/// What becomes of the addresses of a Service that lets go of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Afterwards {
    /// They rest until this time (seconds of Unix time); until then only a Service of the same
    /// name gets them.
    Rest(u64),
    /// They stay reserved for a Service of the same name.
    Keep,
}

impl Allocator {
    /// Takes these pools instead of those there are. Addresses in use stay with who has them,
    /// wherever they are.
    pub fn set_pools(&mut self, specs: BTreeMap<String, PoolSpec>) {
        for range in self.catalog.replace(specs) {
            for address in self.table.between(&range) {
                self.catalog.take(address);
            }
        }
    }

    /// Sets what a tenant may have. What it has stays.
    pub fn set_tenant(&mut self, name: &str, spec: TenantSpec) {
        let id = self.tenants.intern(name);
        if let Some(tenant) = self.tenants.get_mut(id) {
            tenant.spec = spec;
        }
    }

    /// What a Service would get; nothing is changed.
    ///
    /// # Errors
    /// Why it gets nothing, or nothing else than it has.
    pub fn choose(&self, request: &Request<'_>) -> Result<Assigned, Refusal> {
        choose::choose(self, request).map(|chosen| chosen.assigned)
    }

    /// Gives a Service what it asks for, and keeps what it has.
    ///
    /// # Errors
    /// Why it gets nothing, or nothing else than it has. Nothing is changed then.
    pub fn assign(&mut self, request: &Request<'_>) -> Result<Assigned, Refusal> {
        let chosen = choose::choose(self, request)?;
        match &chosen.assigned {
            Assigned::Kept(given) | Assigned::New(given) => self.bind(request, &chosen, given),
            Assigned::Move { .. } => {}
        }
        Ok(chosen.assigned)
    }

    /// Takes the addresses of a Service from it, and gives those nobody else shares back.
    pub fn release(&mut self, service: &Service<'_>, afterwards: Afterwards) -> Vec<IpAddr> {
        let Some(tenant) = self.tenants.find(service.tenant) else { return Vec::new() };
        let Some(id) = self.table.find(tenant, service) else { return Vec::new() };
        let Some(holder) = self.table.holder(id) else { return Vec::new() };
        let (slots, name) = (holder.slots().collect::<Vec<_>>(), holder.name.clone());
        let mut free = Vec::new();
        for slot in slots {
            self.leave(id, slot);
            let Some(address) = self.vacant(slot) else { continue };
            let until = match afterwards {
                Afterwards::Rest(until) => Some(until),
                Afterwards::Keep => None,
            };
            let waiting = Waiting { service: Some(name.clone()), until };
            self.use_as(slot, Usage::Waiting(Box::new(waiting)));
            free.push(address);
        }
        free
    }

    /// The addresses whose rest is over, ascending. They stay until they are
    /// [forgotten](Self::forget), which is when their records are gone.
    pub fn rested(&self, now: u64) -> Vec<IpAddr> {
        let over = self.resting.iter().take_while(|(until, _)| *until <= now);
        let mut addresses: Vec<_> = over.map(|(_, address)| *address).collect();
        addresses.sort_unstable();
        addresses
    }

    /// An address has no record any more: it is free, whoever had it.
    pub fn forget(&mut self, address: IpAddr) {
        let Some((id, slot)) = self.table.at(address) else { return };
        for holder in slot.holders().to_vec() {
            self.leave(holder, id);
        }
        if let Some(slot) = self.table.remove(id) {
            self.count(&slot, false);
            self.find_by(id, &slot, false);
            self.catalog.give_back(address);
            self.catalog.tidy(slot.pool);
        }
    }

    /// The addresses of a Service.
    pub fn of(&self, service: &Service<'_>) -> Option<Given> {
        let tenant = self.tenants.find(service.tenant)?;
        let (_, given) = self.given(self.table.holder(self.table.find(tenant, service)?)?)?;
        Some(given)
    }

    /// The figures of a pool, also of one that is gone while addresses of it are in use.
    pub fn pool(&self, name: &str) -> Option<PoolFigures> {
        self.catalog.named(name).map(|(_, pool)| pool.figures())
    }

    /// The older pool that a pool overlaps, and where: while it does, it gives nothing.
    pub fn conflict(&self, pool: &str) -> Option<(&str, AddressRange)> {
        let (_, pool) = self.catalog.named(pool)?;
        pool.conflict.as_ref().map(|(other, range)| (&**other, *range))
    }

    /// What a tenant has.
    pub fn usage(&self, tenant: &str) -> TenantUsage {
        let tenant = self.tenants.find(tenant).and_then(|id| self.tenants.get(id));
        tenant.map(|tenant| tenant.usage).unwrap_or_default()
    }

    fn given(&self, holder: &Holder) -> Option<(PoolId, Given)> {
        let slot = self.table.slot(holder.slots().next()?)?;
        let pool = self.catalog.get(slot.pool)?.name.clone();
        Some((slot.pool, Given { pool, addresses: self.table.addresses(holder) }))
    }

    /// Records what a Service was given, or that it wants other ports of it.
    fn bind(&mut self, request: &Request<'_>, chosen: &Chosen, given: &Given) {
        let tenant = chosen.tenant;
        let tenant = tenant.unwrap_or_else(|| self.tenants.intern(request.service.tenant));
        let holder = self.hold(tenant, chosen.own, &request.service, request.ports);
        for address in [given.addresses.v4, given.addresses.v6].into_iter().flatten() {
            let known = self.table.at(address).map(|(slot, _)| slot);
            if let Some(slot) = known {
                self.join(holder, slot, request.shares());
                continue;
            }
            let usage = match request.shares() {
                None => Usage::Held(holder),
                Some(Sharing { key, backends }) => Usage::Shared(Box::new(Shared {
                    key: key.into(),
                    backends: backends.into(),
                    holders: vec![holder],
                })),
            };
            let slot = self.occupy(tenant, chosen.pool, address, usage);
            if let Some(holder) = self.table.holder_mut(holder) {
                holder.set_slot(Family::of(address), Some(slot));
            }
        }
    }

    /// The Service as a holder with these ports, made if need be.
    fn hold(
        &mut self,
        tenant: TenantId,
        found: Option<HolderId>,
        service: &Service<'_>,
        ports: &[Port],
    ) -> HolderId {
        let id = found
            .unwrap_or_else(|| self.table.add_holder(service, Holder::new(tenant, service, &[])));
        let Some(holder) = self.table.holder_mut(id) else { return id };
        let before = holder.ports.as_slice().len() as u64;
        holder.ports = table::Ports::of(ports);
        if let Some(tenant) = self.tenants.get_mut(tenant) {
            tenant.usage.ports = tenant.usage.ports + ports.len() as u64 - before;
            tenant.usage.load_balancers += u64::from(found.is_none());
        }
        id
    }

    /// Takes an address out of what is free.
    fn occupy(&mut self, tenant: TenantId, pool: PoolId, address: IpAddr, usage: Usage) -> SlotId {
        self.catalog.take(address);
        let slot = Slot { usage, pool, tenant, address };
        self.count(&slot, true);
        let indexed = !matches!(slot.usage, Usage::Held(_) | Usage::Blocked);
        let of = indexed.then(|| slot.clone());
        let id = self.table.insert(slot);
        if let Some(slot) = of {
            self.find_by(id, &slot, true);
        }
        id
    }

    /// Makes a Service one of those that hold an address.
    fn join(&mut self, holder: HolderId, id: SlotId, sharing: Option<Sharing<'_>>) {
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
    fn leave(&mut self, holder: HolderId, id: SlotId) {
        let Some(slot) = self.table.slot(id) else { return };
        let family = Family::of(slot.address);
        let usage = match &slot.usage {
            Usage::Shared(shared) if shared.holders.len() > 1 => {
                let mut shared = shared.clone();
                shared.holders.retain(|other| *other != holder);
                Usage::Shared(shared)
            }
            _ => Usage::Blocked,
        };
        self.use_as(id, usage);
        let Some(gone) = self.table.holder_mut(holder) else { return };
        gone.set_slot(family, None);
        if gone.slots().next().is_some() {
            return;
        }
        if let Some(gone) = self.table.remove_holder(holder)
            && let Some(tenant) = self.tenants.get_mut(gone.tenant)
        {
            tenant.usage.load_balancers -= 1;
            tenant.usage.ports -= gone.ports.as_slice().len() as u64;
        }
    }

    /// The address of a slot that nobody holds.
    fn vacant(&self, id: SlotId) -> Option<IpAddr> {
        let slot = self.table.slot(id)?;
        slot.holders().is_empty().then_some(slot.address)
    }

    /// Changes how an address is used, and what is counted and found by it.
    fn use_as(&mut self, id: SlotId, usage: Usage) {
        let Some(slot) = self.table.slot(id).cloned() else { return };
        self.count(&slot, false);
        self.find_by(id, &slot, false);
        let slot = Slot { usage, ..slot };
        self.count(&slot, true);
        self.find_by(id, &slot, true);
        if let Some(place) = self.table.slot_mut(id) {
            *place = slot;
        }
    }

    fn count(&mut self, slot: &Slot, more: bool) {
        let family = Family::of(slot.address);
        let step = |count: &mut u64| *count = if more { *count + 1 } else { *count - 1 };
        if let Some(uses) = self.catalog.uses(slot.pool, family) {
            step(match slot.usage {
                Usage::Held(_) | Usage::Shared(_) => &mut uses.assigned,
                Usage::Waiting(ref waiting) if waiting.until.is_some() => &mut uses.resting,
                Usage::Waiting(_) | Usage::Blocked => &mut uses.reserved,
            });
        }
        if let Usage::Held(_) | Usage::Shared(_) = slot.usage
            && let Some(tenant) = self.tenants.get_mut(slot.tenant)
        {
            step(tenant.usage.addresses.get_mut(family));
        }
    }

    fn find_by(&mut self, id: SlotId, slot: &Slot, there: bool) {
        let waiting = match &slot.usage {
            Usage::Waiting(waiting) => {
                if let Some(until) = waiting.until {
                    let entry = (until, slot.address);
                    let resting = &mut self.resting;
                    let _ = if there { resting.insert(entry) } else { resting.remove(&entry) };
                }
                waiting.service.as_ref()
            }
            Usage::Held(_) | Usage::Shared(_) | Usage::Blocked => None,
        };
        let Some(tenant) = self.tenants.get_mut(slot.tenant) else { return };
        if let Some(name) = waiting {
            file(&mut tenant.waiting, name.clone(), id, there);
        }
        if let Usage::Shared(shared) = &slot.usage {
            let key = (shared.key.clone(), shared.backends.clone());
            file(&mut tenant.shared, key, id, there);
        }
    }
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
