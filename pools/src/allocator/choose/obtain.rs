//! Whether a Service can have an address that is in use, or that it asks for.

use std::net::IpAddr;

use super::Chooser;
use crate::allocator::catalog::{Pool, PoolId};
use crate::allocator::holder::is_named;
use crate::allocator::slot::{Slot, Usage, Wait};
use crate::{Refusal, Unavailable};

impl Chooser<'_> {
    /// Whether an address that is asked for can be had, and the pool it is of.
    pub(super) fn available(&self, address: IpAddr) -> Result<PoolId, Unavailable> {
        let Some((_, slot)) = self.allocator.table.at(address) else {
            return self.unused(address);
        };
        if !self.is_tenant(slot) {
            return Err(Unavailable::Taken(self.owner(slot)));
        }
        // What waits for us, or is shared with us, is of the pool it was drawn from.
        let pool = self.allocator.catalog.get(slot.pool).ok_or(Unavailable::NotInPool)?;
        if self.awaits_us(slot) {
            self.awaited(slot)?;
        } else {
            self.take_part(slot)?;
            self.in_open_pool(slot)?;
        }
        if self.request.pool.is_some_and(|wanted| *wanted != *pool.name) {
            return Err(Unavailable::OtherPool(pool.name.to_string()));
        }
        Ok(slot.pool)
    }

    /// The pool of an address that nobody uses: of several the one that is open to us.
    fn unused(&self, address: IpAddr) -> Result<PoolId, Unavailable> {
        let mut why = None;
        for (id, pool) in self.allocator.catalog.at(address) {
            let closed = match self.request.pool {
                Some(wanted) if *wanted != *pool.name => {
                    Err(Unavailable::OtherPool(pool.name.to_string()))
                }
                _ => self.open_pool(pool),
            };
            match closed {
                Ok(()) => return Ok(id),
                Err(closed) => why = why.or(Some(closed)),
            }
        }
        let idle = || {
            let pool = self.allocator.catalog.idle_at(address)?;
            self.open_pool(pool).err()
        };
        Err(why.or_else(idle).unwrap_or(Unavailable::NotInPool))
    }

    /// Whether an address that waits for us can be had: what is reserved always, what rests only
    /// of a pool that would give it anew.
    pub(super) fn awaited(&self, slot: &Slot) -> Result<(), Unavailable> {
        slot.rests_until().map_or(Ok(()), |_| self.in_open_pool(slot))
    }

    /// Whether an address is still in the ranges of its pool, and that gives it to this Service.
    pub(super) fn in_open_pool(&self, slot: &Slot) -> Result<(), Unavailable> {
        let pool = self.allocator.catalog.get(slot.pool);
        let pool = pool.filter(|pool| pool.holds(slot.address)).ok_or(Unavailable::NotInPool)?;
        self.open_pool(pool)
    }

    fn open_pool(&self, pool: &Pool) -> Result<(), Unavailable> {
        self.admit(pool).map_err(|why| Unavailable::PoolClosed { pool: pool.name.to_string(), why })
    }

    /// Whether a slot of our tenant's is one that we may hold.
    pub(super) fn take_part(&self, slot: &Slot) -> Result<(), Unavailable> {
        match &slot.usage {
            Usage::Waiting(waiting) => Err(match waiting.why {
                Wait::Rest(until) => Unavailable::Resting(until),
                Wait::Kept | Wait::Reserved => Unavailable::Reserved(self.owner(slot)),
            }),
            Usage::Foreign(foreign) => Err(Unavailable::Taken(foreign.what.to_string())),
            Usage::Blocked => Err(Unavailable::Conflicting),
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
        let holders = &self.allocator.table;
        let us = self.own.map(|(id, _)| id);
        let others = || slot.holders().iter().filter(|id| Some(**id) != us);
        let others = || others().filter_map(|id| holders.holder(*id));
        let Some(one) = others().min_by_key(|other| &*other.name) else { return Ok(()) };
        let alike = match (&slot.usage, self.request.shares()) {
            (Usage::Shared(shared), Some(sharing)) => {
                *shared.key == *sharing.key && *shared.backends == *sharing.backends
            }
            // So it was recorded, whatever for: who is among them stays.
            (Usage::Shared(shared), None) => {
                shared.key.is_empty() && us.is_some_and(|us| slot.holders().contains(&us))
            }
            _ => false,
        };
        if !alike {
            return Err(Unavailable::NotShared(one.name.to_string()));
        }
        // Also those that records name in vain, for now.
        let vain = self.allocator.rivals.at(slot.address);
        let vain = vain.filter(|(name, _)| !is_named(name, &self.request.service));
        let ports = others().map(|other| (&*other.name, other.ports.as_slice())).chain(vain);
        for (service, ports) in ports {
            if let Some(port) = self.request.ports.iter().find(|port| ports.contains(port)) {
                return Err(Unavailable::Port { port: *port, service: service.to_owned() });
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
        let named = |name: &str| is_named(name, &self.request.service);
        slot.waits().is_some_and(|waiting| waiting.awaits(named))
    }

    /// Whose an address is, for an operator.
    pub(super) fn owner(&self, slot: &Slot) -> String {
        let tenant = self.allocator.tenants.get(slot.tenant).map_or("", |tenant| &tenant.name);
        let holders = slot.holders().iter().filter_map(|id| self.allocator.table.holder(*id));
        let holder = holders.min_by_key(|holder| &*holder.name);
        let name = match &slot.usage {
            Usage::Foreign(foreign) => return foreign.what.to_string(),
            Usage::Waiting(waiting) => waiting.service.as_deref(),
            Usage::Held(_) | Usage::Shared(_) | Usage::Blocked => holder.map(|h| &*h.name),
        };
        match name {
            Some(name) => format!("{tenant}/{name}"),
            None => format!("tenant {tenant}"),
        }
    }
}
