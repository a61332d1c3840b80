//! Records become what is so.

use std::net::IpAddr;

use super::Allocator;
use super::holder::{Holder, HolderId};
use super::record::{Bound, Owner, Record, RecordError};
use super::rivals::Seat;
use super::slot::{Foreign, Slot, SlotId, Usage, Wait, Waiting};
use super::table::NONE;
use crate::{Family, Service, Sharing};

impl Allocator {
    /// Takes what the record of an address says, instead of what was known of the address. A promise
    /// of that address that the record leaves room for stays: to a Service that it waits for, or
    /// that may share it; others are gone. A promise of another address stays.
    ///
    /// # Errors
    /// The record cannot be right; the address is then given to nobody by it. That a record makes
    /// an earlier one not count is no error of it: see [`Self::conflicts`].
    pub fn restore(&mut self, record: &Record<'_>) -> Result<(), RecordError> {
        let promised = self.outlast(record);
        let (sharing, seats) = self.clear(record.address, &promised);
        let sharing = sharing.as_ref().map(|(key, backends)| Sharing { key, backends });
        let done = self.apply(record, |allocator, slot| {
            promised.iter().for_each(|holder| allocator.promise(*holder, slot, sharing));
        });
        seats.iter().for_each(|seat| self.settle(seat));
        done
    }

    /// Takes the record of an address that is not known; then, by its number, `promise` it.
    fn apply(
        &mut self,
        record: &Record<'_>,
        promise: impl FnOnce(&mut Self, SlotId),
    ) -> Result<(), RecordError> {
        let place = (record.address, u32::try_from(record.created).unwrap_or(u32::MAX));
        let (tenant, usage) = match record.owner {
            Owner::Foreign(what) => {
                let usage = Usage::Foreign(Box::new(Foreign { what: what.into() }));
                self.occupy(NONE, NONE, place, usage);
                return Ok(());
            }
            Owner::Services { tenant, .. } => (tenant, Usage::Blocked),
            Owner::Resting { tenant, .. }
            | Owner::Kept { tenant, .. }
            | Owner::Reserved { tenant, .. } => {
                (tenant, self.waiting(&record.owner).map_or(Usage::Blocked, Usage::Waiting))
            }
        };
        let (tenant_id, pool) = (self.tenants.intern(tenant), self.catalog.intern(record.pool));
        let slot = self.occupy(tenant_id, pool, place, usage);
        let mut done = Ok(());
        if let Owner::Services { services, sharing, .. } = record.owner {
            done = self.bind_all(slot, tenant, services, sharing.and_then(Sharing::keyed));
        }
        promise(self, slot);
        done
    }

    /// Binds the Services of a record to its address, but for those that have another.
    fn bind_all(
        &mut self,
        slot: SlotId,
        tenant: &str,
        services: &[Bound<'_>],
        sharing: Option<Sharing<'_>>,
    ) -> Result<(), RecordError> {
        let Some(&Slot { address, tenant: id, .. }) = self.table.slot(slot) else { return Ok(()) };
        if services.is_empty() {
            self.rivals.note(address, sharing);
            return Err(RecordError::NoServices(address));
        }
        for Bound { namespace, name, ports } in services {
            let service = Service { tenant, namespace, name };
            let (family, name) = (Family::of(address), self.table.name(&service));
            let seat = Seat { tenant: id, family, name };
            self.claim(&seat, slot, ports, sharing);
        }
        let slot = self.table.slot(slot);
        let vain = self.rivals.at(address).next();
        let conflict = slot.zip(vain).map(|(slot, (name, _))| self.conflict_of(slot, name));
        conflict.map_or(Ok(()), |conflict| Err(RecordError::Conflict(conflict)))
    }

    /// Those that are promised the address of a record, and still may be.
    fn outlast(&self, record: &Record<'_>) -> Vec<HolderId> {
        let Some((_, slot)) = self.table.at(record.address) else { return Vec::new() };
        let tenant = match record.owner {
            Owner::Services { tenant, .. }
            | Owner::Resting { tenant, .. }
            | Owner::Kept { tenant, .. }
            | Owner::Reserved { tenant, .. } => tenant,
            Owner::Foreign(_) => return Vec::new(),
        };
        let family = Family::of(record.address);
        let holders = slot.holders().iter().filter_map(|id| Some((*id, self.table.holder(*id)?)));
        let promised = holders.filter(|(_, holder)| *holder.promised.get(family));
        let promised: Vec<_> = promised.collect();
        if self.tenants.find(tenant) != Some(slot.tenant) {
            return Vec::new();
        }
        let stays = |holder: &Holder| match record.owner {
            Owner::Services { services, sharing, .. } => shares(slot, holder, services, sharing),
            _ => false,
        };
        let waits = self.waiting(&record.owner);
        let awaited = waits.is_some_and(|waiting| {
            promised.iter().any(|(_, holder)| waiting.awaits(|name| *name == *holder.name))
        });
        let outlast = promised.into_iter().filter(|(_, holder)| awaited || stays(holder));
        outlast.map(|(id, _)| id).collect()
    }

    /// Takes an address from all who hold it. Those named are about to hold it again; gives with
    /// whom they share it, and the others.
    fn clear(&mut self, address: IpAddr, keep: &[HolderId]) -> (Option<Key>, Vec<Seat>) {
        let Some((id, slot)) = self.table.at(address) else { return (None, Vec::new()) };
        let family = Family::of(address);
        let sharing = slot.sharing().map(|shares| (shares.key.into(), shares.backends.into()));
        let (holders, mut seats) = (slot.holders().to_vec(), self.seats_of(slot));
        self.forget_claims(address);
        for holder in holders {
            if keep.contains(&holder) {
                seats.retain(|seat| self.table.find_named(seat.tenant, &seat.name) != Some(holder));
                if let Some(holder) = self.table.holder_mut(holder) {
                    holder.set_slot(family, None);
                }
            } else {
                self.leave(holder, id);
            }
        }
        self.vacate(id);
        (sharing, seats)
    }

    /// How an address waits, if this owner lets it.
    fn waiting(&self, owner: &Owner<'_>) -> Option<Box<Waiting>> {
        let name = |(namespace, name): (&str, &str)| {
            self.table.name(&Service { tenant: "", namespace, name })
        };
        let (service, why) = match *owner {
            Owner::Resting { last, until, .. } => (last.map(name), Wait::Rest(until)),
            Owner::Kept { namespace, name: of, .. } => (Some(name((namespace, of))), Wait::Kept),
            Owner::Reserved { service, .. } => (service.map(name), Wait::Reserved),
            Owner::Services { .. } | Owner::Foreign(_) => return None,
        };
        Some(Box::new(Waiting { service, why }))
    }
}

/// A sharing key, and what must be behind all that share.
type Key = (Box<str>, Box<str>);

/// Whether a Service that is promised a shared address still may have it beside these.
fn shares(
    slot: &Slot,
    holder: &Holder,
    services: &[Bound<'_>],
    sharing: Option<Sharing<'_>>,
) -> bool {
    let Usage::Shared(shared) = &slot.usage else { return false };
    let alike = sharing.and_then(Sharing::keyed).is_some_and(|sharing| {
        *shared.key == *sharing.key && *shared.backends == *sharing.backends
    });
    let (namespace, name) = holder.name.split_once('/').unwrap_or_default();
    alike
        && !services.is_empty()
        && services.iter().enumerate().all(|(at, bound)| {
            let is =
                |other: &Bound<'_>| (other.namespace, other.name) == (bound.namespace, bound.name);
            // Of a Service that is named twice the last ports count.
            if services.iter().skip(at + 1).any(is) {
                return true;
            }
            let itself = (bound.namespace, bound.name) == (namespace, name);
            !itself && bound.ports.iter().all(|port| !holder.ports.as_slice().contains(port))
        })
}
