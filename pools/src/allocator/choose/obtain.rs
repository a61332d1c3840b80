//! Whether a Service can have an address that is in use, or that it asks for.

use std::net::IpAddr;

use super::Chooser;
use crate::allocator::catalog::PoolId;
use crate::allocator::table::{self, Slot, Usage};
use crate::{Refusal, Unavailable};

impl Chooser<'_> {
    /// Whether an address that is asked for can be had, and the pool it is of.
    pub(super) fn available(&self, address: IpAddr) -> Result<PoolId, Unavailable> {
        let slot = self.allocator.table.at(address).map(|(_, slot)| slot);
        let ours = slot.is_none_or(|slot| self.is_tenant(slot));
        if let Some(slot) = slot.filter(|_| !ours) {
            return Err(Unavailable::Taken(self.owner(slot)));
        }
        let held = slot.filter(|slot| self.awaits_us(slot) || !slot.holders().is_empty());
        let (id, pool) = match held {
            // What is reserved for us, or shared with us, need not be in its pool any more.
            Some(slot) => self.allocator.catalog.get(slot.pool).map(|pool| (slot.pool, pool)),
            None => self.allocator.catalog.at(address).filter(|(_, p)| !p.avoids(address)),
        }
        .ok_or(Unavailable::NotInPool)?;
        if self.request.pool.is_some_and(|wanted| *wanted != *pool.name) {
            return Err(Unavailable::OtherPool(pool.name.to_string()));
        }
        match slot {
            Some(slot) if self.awaits_us(slot) => return Ok(id),
            Some(slot) => self.take_part(slot)?,
            None => {}
        }
        self.admit(pool)
            .map_err(|why| Unavailable::PoolClosed { pool: pool.name.to_string(), why })?;
        Ok(id)
    }

    /// Whether a slot of our tenant's is one that we may hold.
    pub(super) fn take_part(&self, slot: &Slot) -> Result<(), Unavailable> {
        match &slot.usage {
            Usage::Waiting(waiting) => Err(match waiting.until {
                Some(until) => Unavailable::Resting(until),
                None => Unavailable::Reserved(self.owner(slot)),
            }),
            Usage::Blocked => Err(Unavailable::Reserved(self.owner(slot))),
            Usage::Held(_) | Usage::Shared(_) => self.share(slot),
        }
    }

    /// Whether we may keep an address with these wishes.
    pub(super) fn joinable(&self, slot: &Slot) -> Result<(), Refusal> {
        let address = slot.address;
        self.share(slot).map_err(|why| Refusal::Unavailable { address, why })
    }

    /// Whether we may be one of those that hold an address.
    pub(super) fn share(&self, slot: &Slot) -> Result<(), Unavailable> {
        let table = &self.allocator.table;
        let us = self.own.map(|(id, _)| id);
        let others = || slot.holders().iter().filter(|id| Some(**id) != us);
        let others = || others().filter_map(|id| table.holder(*id));
        let Some(one) = others().next() else { return Ok(()) };
        let alike = match (&slot.usage, self.request.sharing) {
            (Usage::Shared(shared), Some(sharing)) => {
                *shared.key == *sharing.key && *shared.backends == *sharing.backends
            }
            _ => false,
        };
        if !alike {
            return Err(Unavailable::NotShared(one.name.to_string()));
        }
        for other in others() {
            let taken = self.request.ports.iter().find(|p| other.ports.as_slice().contains(p));
            if let Some(port) = taken {
                return Err(Unavailable::Port { port: *port, service: other.name.to_string() });
            }
        }
        Ok(())
    }

    pub(super) fn is_tenant(&self, slot: &Slot) -> bool {
        let of = self.allocator.tenants.get(slot.tenant);
        of.is_some_and(|tenant| *tenant.name == *self.request.service.tenant)
    }

    /// Whether an address of our tenant's waits for this very Service, or for any that asks.
    pub(super) fn awaits_us(&self, slot: &Slot) -> bool {
        let named = |name: &str| table::is_named(name, &self.request.service);
        match &slot.usage {
            Usage::Waiting(waiting) => match waiting.service.as_deref() {
                Some(service) => named(service),
                None => waiting.until.is_none(),
            },
            Usage::Held(_) | Usage::Shared(_) | Usage::Blocked => false,
        }
    }

    /// Whose an address is, for an operator.
    pub(super) fn owner(&self, slot: &Slot) -> String {
        let tenant = self.allocator.tenants.get(slot.tenant).map_or("", |tenant| &tenant.name);
        let holder = slot.holders().first().and_then(|id| self.allocator.table.holder(*id));
        let name = match &slot.usage {
            Usage::Waiting(waiting) => waiting.service.as_deref(),
            Usage::Held(_) | Usage::Shared(_) | Usage::Blocked => holder.map(|h| &*h.name),
        };
        match name {
            Some(name) => format!("{tenant}/{name}"),
            None => format!("tenant {tenant}"),
        }
    }
}
