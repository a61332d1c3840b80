//! Who has which address, and who may have which.
//!
//! The durable record of an address is an object elsewhere; the allocator is told what those say
//! ([`Allocator::restore`], [`Allocator::forget`]) and never disputes it. What it is asked for
//! anew ([`Allocator::assign`]) it gives by rules alone, and marks as promised until a record says
//! the same, or it is taken back ([`Allocator::withdraw`]). The same facts, in whatever order they
//! were told, lead to the same state, and the same request in the same state to the same address.

mod catalog;
mod change;
mod choose;
mod holder;
mod names;
mod ports;
mod promise;
mod record;
mod release;
mod restore;
mod rivals;
mod slot;
mod table;
mod tenants;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use catalog::{Catalog, PoolId};
use holder::{Holder, HolderId, Ports};
use rivals::Rivals;
use slot::{Usage, Waiting};
use table::Table;
use tenants::Tenants;

pub use record::{Bound, Conflict, Entry, Owner, Record, RecordError, State};
pub use tenants::{TenantSpec, TenantUsage};

use crate::{
    AddressRange, AddressSet, Afterwards, Assigned, Family, Forbidden, Given, PerFamily,
    PoolFigures, PoolSpec, Refusal, Request, Service,
};

const BOTH: [Family; 2] = [Family::V4, Family::V6];

/// Pools, what of them is in use, and by whom.
#[derive(Clone, Debug, Default)]
pub struct Allocator {
    catalog: Catalog,
    table: Table,
    tenants: Tenants,
    /// Resting addresses by the end of their rest.
    resting: BTreeSet<(u64, IpAddr)>,
    /// From which pool a Service draws.
    draws: BTreeMap<HolderId, PoolId>,
    /// What their records say of addresses that wait, and are promised.
    under: BTreeMap<IpAddr, Box<Waiting>>,
    /// Ports by a record that does not count for them, where they are others.
    told: BTreeMap<(HolderId, Family), Ports>,
    rivals: Rivals,
}

impl Allocator {
    /// Takes these pools instead of those there are. Addresses in use stay with who has them,
    /// wherever they are. Cheap where only what other allocators have left is new.
    pub fn set_pools(&mut self, specs: BTreeMap<String, PoolSpec>) {
        let renewed = self.catalog.replace(specs);
        let used = if renewed.is_empty() { Vec::new() } else { self.table.ascending() };
        for (pool, contents) in renewed {
            for range in contents.ranges() {
                let from = used.partition_point(|slot| slot.address < range.first());
                let to = used.partition_point(|slot| slot.address <= range.last());
                for slot in used.get(from..to).unwrap_or_default() {
                    let foreign = matches!(slot.usage, Usage::Foreign(_));
                    self.catalog.find_in_use(pool, slot.address, foreign);
                }
            }
        }
    }

    /// Sets what another allocator has left of a pool that it hands out.
    pub fn set_free(&mut self, pool: &str, left: PerFamily<u64>) {
        if let Some((id, _)) = self.catalog.named(pool) {
            self.catalog.set_free(id, left);
        }
    }

    /// Sets what a tenant may have. What it has stays.
    pub fn set_tenant(&mut self, name: &str, spec: TenantSpec) {
        let id = self.tenants.intern(name);
        if let Some(tenant) = self.tenants.get_mut(id) {
            tenant.set(spec, true);
        }
    }

    /// Forgets what a tenant may have: as much as one that nobody ever spoke of. What it has stays.
    pub fn remove_tenant(&mut self, name: &str) {
        let Some(id) = self.tenants.find(name) else { return };
        if let Some(tenant) = self.tenants.get_mut(id) {
            tenant.set(TenantSpec::default(), false);
        }
        self.tenants.tidy(id);
    }

    /// What a Service would get; nothing is changed.
    ///
    /// # Errors
    /// Why it gets nothing, or nothing else than it has.
    pub fn choose(&self, request: &Request<'_>) -> Result<Assigned, Refusal> {
        choose::choose(self, request).map(|chosen| chosen.assigned)
    }

    /// Gives a Service what it asks for, and keeps what it has. What is new is promised until a
    /// record gives it, or it is [withdrawn](Self::withdraw).
    ///
    /// # Errors
    /// Why it gets nothing, or nothing else than it has. Nothing is changed then: what was promised
    /// before still is.
    pub fn assign(&mut self, request: &Request<'_>) -> Result<Assigned, Refusal> {
        let chosen = choose::choose(self, request)?;
        self.bind(request, &chosen);
        Ok(chosen.assigned)
    }

    /// Takes the addresses of a Service from it, promised or not, and those that records bind it to
    /// in vain, and ends its drawing. Gives those that nobody else shares, which are now as
    /// `afterwards` says.
    pub fn release(&mut self, service: &Service<'_>, afterwards: Afterwards<'_>) -> Vec<IpAddr> {
        self.let_go(service, &BOTH, afterwards)
    }

    /// The same of one family only.
    pub fn release_family(
        &mut self,
        service: &Service<'_>,
        family: Family,
        afterwards: Afterwards<'_>,
    ) -> Vec<IpAddr> {
        self.let_go(service, &[family], afterwards)
    }

    /// The addresses whose rest is over, ascending. They stay until they are
    /// [forgotten](Self::forget), which is when their records are gone.
    pub fn rested(&self, now: u64) -> Vec<IpAddr> {
        let over = self.resting.iter().take_while(|(until, _)| *until <= now);
        let mut addresses: Vec<_> = over.map(|(_, address)| *address).collect();
        addresses.sort_unstable();
        addresses
    }

    /// An address has no record any more: it is free, whoever had it, or was promised it.
    pub fn forget(&mut self, address: IpAddr) {
        let Some((id, slot)) = self.table.at(address) else { return };
        let seats = self.seats_of(slot);
        if !self.rivals.is_empty() {
            self.forget_claims(address);
        }
        for holder in self.table.slot(id).map(|slot| slot.holders().to_vec()).unwrap_or_default() {
            self.leave(holder, id);
        }
        self.vacate(id);
        seats.iter().for_each(|seat| self.settle(seat));
    }

    /// The addresses of a Service, promised or not.
    pub fn of(&self, service: &Service<'_>) -> Option<Given> {
        let (_, given) = self.given(self.table.holder(self.holder_of(service)?)?)?;
        Some(given)
    }

    /// The figures of a pool, also of one that is gone while addresses of it are in use.
    pub fn pool(&self, name: &str) -> Option<PoolFigures> {
        self.catalog.named(name).map(|(_, pool)| pool.figures())
    }

    /// The addresses that a pool would give next to Services that ask for nothing, one after the
    /// other: so many of a family at most.
    pub fn next(&self, pool: &str, family: Family, most: usize) -> Vec<IpAddr> {
        self.catalog.named(pool).map(|(_, pool)| pool.next(family, most)).unwrap_or_default()
    }

    /// The addresses of a pool that nothing uses, whoever may have them.
    pub fn left_of(&self, pool: &str) -> AddressSet {
        let Some((_, pool)) = self.catalog.named(pool) else { return AddressSet::default() };
        let used = self.table.ascending().into_iter().map(|slot| slot.address);
        pool.contents().minus(&used.map(AddressRange::single).collect())
    }

    /// The figures of all pools, by name; also of those that are gone while addresses of them are
    /// in use.
    pub fn pools(&self) -> impl Iterator<Item = PoolFigures> + '_ {
        self.catalog.all().map(|(_, pool)| pool.figures())
    }

    /// The pool that an address in use was drawn from, or else the oldest that holds it.
    pub fn pool_at(&self, address: IpAddr) -> Option<&str> {
        let used = self.table.at(address).and_then(|(_, slot)| self.catalog.get(slot.pool));
        let pool = used.or_else(|| self.catalog.at(address).next().map(|(_, pool)| pool));
        pool.map(|pool| &*pool.name)
    }

    /// The oldest pool that holds an address, whether that is in use or not.
    pub fn pool_holding(&self, address: IpAddr) -> Option<&str> {
        self.catalog.at(address).next().map(|(_, pool)| &*pool.name)
    }

    /// Whether an address is in a pool, whatever the pool gives at the moment.
    pub fn holds(&self, pool: &str, address: IpAddr) -> bool {
        self.catalog.named(pool).is_some_and(|(_, pool)| pool.contains(address))
    }

    /// The older pool that a pool overlaps, and where: while it does, it gives nothing.
    pub fn conflict(&self, pool: &str) -> Option<(&str, AddressRange)> {
        let (_, pool) = self.catalog.named(pool)?;
        pool.conflict.as_deref().map(|(other, range)| (&**other, *range))
    }

    /// What a pool holds that no pool may hold: while it does, it gives nothing.
    pub fn forbidden(&self, pool: &str) -> Vec<Forbidden> {
        let pool = self.catalog.named(pool).filter(|(_, pool)| pool.forbidden);
        let spec = pool.and_then(|(_, pool)| pool.spec.as_ref());
        spec.map(|spec| spec.forbidden(&[])).unwrap_or_default()
    }

    /// What a tenant has.
    pub fn usage(&self, tenant: &str) -> TenantUsage {
        let tenant = self.tenants.find(tenant).and_then(|id| self.tenants.get(id));
        tenant.map(|tenant| tenant.usage).unwrap_or_default()
    }

    fn holder_of(&self, service: &Service<'_>) -> Option<HolderId> {
        self.table.find(self.tenants.find(service.tenant)?, service, self.table.hash(service))
    }

    fn given(&self, holder: &Holder) -> Option<(PoolId, Given)> {
        let slot = self.table.slot(holder.slots().next()?)?;
        let pool = self.catalog.get(slot.pool)?.name.clone();
        Some((slot.pool, Given { pool, addresses: self.table.addresses(holder) }))
    }
}
