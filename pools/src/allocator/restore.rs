//! Records become what is so.

use std::net::IpAddr;

use super::Allocator;
use super::record::{Bound, Conflict, Owner, Record, RecordError};
use super::table::{self, Foreign, HolderId, NONE, SlotId, TenantId, Usage, Wait, Waiting};
use crate::{Family, Service, Sharing};

impl Allocator {
    /// Takes what the record of an address says, instead of what was known of the address. A promise
    /// of that address that the record leaves room for stays: to a Service that it waits for, or
    /// that may share it; others are gone. A promise of another address stays.
    ///
    /// # Errors
    /// The record cannot be right; the address is then given to nobody by it.
    pub fn restore(&mut self, record: &Record<'_>) -> Result<(), RecordError> {
        let promised = self.outlast(record);
        let sharing = self.clear(record.address, &promised);
        let sharing = sharing.as_ref().map(|(key, backends)| Sharing { key, backends });
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
                (tenant, waiting(&record.owner).map_or(Usage::Blocked, Usage::Waiting))
            }
        };
        let (tenant_id, pool) = (self.tenants.intern(tenant), self.catalog.intern(record.pool));
        let slot = self.occupy(tenant_id, pool, place, usage);
        let done = match record.owner {
            Owner::Services { services: [], .. } => Err(RecordError::NoServices(record.address)),
            Owner::Services { services, sharing, .. } => {
                self.bind_all(record, (tenant, tenant_id), slot, (services, sharing))
            }
            Owner::Resting { .. }
            | Owner::Kept { .. }
            | Owner::Reserved { .. }
            | Owner::Foreign(_) => Ok(()),
        };
        for holder in promised {
            self.promise(holder, slot, sharing);
        }
        done
    }

    /// Binds the Services of a record to its address, but for those that have another.
    fn bind_all(
        &mut self,
        record: &Record<'_>,
        (tenant, tenant_id): (&str, TenantId),
        slot: SlotId,
        (services, sharing): (&[Bound<'_>], Option<Sharing<'_>>),
    ) -> Result<(), RecordError> {
        let mut done = Ok(());
        for Bound { namespace, name, ports } in services {
            let service = Service { tenant, namespace, name };
            let found = self.table.find(tenant_id, &service);
            if let Some(other) = found.and_then(|id| self.elsewhere(id, record, slot)) {
                let (address, service) = (record.address, service.to_string());
                done = done.and(Err(RecordError::Conflict(Conflict { address, service, other })));
                continue;
            }
            let family = Family::of(record.address);
            let holder = self.hold(tenant_id, found, &service, ports);
            self.join(holder, slot, sharing.and_then(Sharing::keyed));
            self.stop_drawing(holder, family);
        }
        done
    }

    /// The address that a Service has instead of that of a record; `None` in it if it draws one from
    /// another pool.
    fn elsewhere(&self, id: HolderId, record: &Record<'_>, slot: SlotId) -> Option<Option<IpAddr>> {
        let (holder, family) = (self.table.holder(id)?, Family::of(record.address));
        if let Some(other) = holder.slot(family).filter(|other| *other != slot) {
            return Some(self.table.slot(other).map(|other| other.address));
        }
        let draws = self.draws.get(&id).filter(|_| *holder.drawing.get(family))?;
        let same = self.catalog.get(*draws).is_some_and(|pool| *pool.name == *record.pool);
        (!same).then_some(None)
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
        let stays = |holder: &table::Holder| match record.owner {
            Owner::Services { services, sharing, .. } => shares(slot, holder, services, sharing),
            _ => false,
        };
        let waits = waiting(&record.owner);
        let awaited = waits.is_some_and(|waiting| {
            promised.iter().any(|(_, holder)| waiting.awaits(|name| *name == *holder.name))
        });
        let outlast = promised.into_iter().filter(|(_, holder)| awaited || stays(holder));
        outlast.map(|(id, _)| id).collect()
    }

    /// Takes an address from all who hold it. Those named are about to hold it again; gives with
    /// whom they share it.
    fn clear(&mut self, address: IpAddr, keep: &[HolderId]) -> Option<(Box<str>, Box<str>)> {
        let (id, slot) = self.table.at(address)?;
        let family = Family::of(address);
        let sharing = match &slot.usage {
            Usage::Shared(shared) => Some((shared.key.clone(), shared.backends.clone())),
            Usage::Held(_) | Usage::Waiting(_) | Usage::Foreign(_) | Usage::Blocked => None,
        };
        for holder in slot.holders().to_vec() {
            if !keep.contains(&holder) {
                self.leave(holder, id);
            } else if let Some(holder) = self.table.holder_mut(holder) {
                holder.set_slot(family, None);
            }
        }
        self.vacate(id);
        sharing
    }
}

/// Whether a Service that is promised a shared address still may have it beside these.
fn shares(
    slot: &table::Slot,
    holder: &table::Holder,
    services: &[Bound<'_>],
    sharing: Option<Sharing<'_>>,
) -> bool {
    let Usage::Shared(shared) = &slot.usage else { return false };
    let alike = sharing.and_then(Sharing::keyed).is_some_and(|sharing| {
        *shared.key == *sharing.key && *shared.backends == *sharing.backends
    });
    let (namespace, name) = holder.name.split_once('/').unwrap_or_default();
    alike
        && services.iter().all(|bound| {
            let itself = (bound.namespace, bound.name) == (namespace, name);
            !itself && bound.ports.iter().all(|port| !holder.ports.as_slice().contains(port))
        })
}

/// How an address waits, if this owner lets it.
fn waiting(owner: &Owner<'_>) -> Option<Box<Waiting>> {
    let name =
        |(namespace, name): (&str, &str)| table::name_of(&Service { tenant: "", namespace, name });
    let (service, why) = match *owner {
        Owner::Resting { last, until, .. } => (last.map(name), Wait::Rest(until)),
        Owner::Kept { namespace, name: of, .. } => (Some(name((namespace, of))), Wait::Kept),
        Owner::Reserved { service, .. } => (service.map(name), Wait::Reserved),
        Owner::Services { .. } | Owner::Foreign(_) => return None,
    };
    Some(Box::new(Waiting { service, why }))
}
