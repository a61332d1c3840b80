//! What was given and has no record yet.

use super::choose::Chosen;
use super::holder::{Holder, HolderId, Name};
use super::slot::{Shared, SlotId, Usage};
use super::tenants::TenantId;
use super::{Allocator, BOTH, PoolId};
use crate::{Assigned, Family, Given, PerFamily, Request, Service, Sharing, Target};

impl Allocator {
    /// Takes back what is promised to a Service: such addresses are what their records say, or free
    /// if they have none, and it draws no more. What it has by a record stays.
    pub fn withdraw(&mut self, service: &Service<'_>) {
        let Some(tenant) = self.tenants.find(service.tenant) else { return };
        let hash = self.table.hash(service);
        let Some(id) = self.table.find(tenant, service, hash) else { return };
        for family in BOTH {
            self.stop_drawing(id, family);
            let holder = self.table.holder(id).filter(|holder| *holder.promised.get(family));
            let Some(slot) = holder.and_then(|holder| holder.slot(family)) else { continue };
            self.vacate_seat(id, slot);
            let Some(address) = self.vacant(slot) else { continue };
            match self.under.remove(&address) {
                Some(waiting) => self.use_as(slot, Usage::Waiting(waiting)),
                None => self.vacate(slot),
            }
        }
        self.drop_idle(id);
        self.settle_both(tenant, &Name::new(service, hash));
    }

    /// Records what a Service was given, or that it wants other ports of it.
    pub(super) fn bind(&mut self, request: &Request<'_>, chosen: &Chosen) {
        let (given, draw) = match &chosen.assigned {
            Assigned::Move { .. } => return,
            Assigned::Kept(Given { addresses, .. })
            | Assigned::New(Target::These(Given { addresses, .. })) => {
                (*addresses, PerFamily::default())
            }
            Assigned::New(Target::Draw { families, .. }) => {
                let has = chosen.own.and_then(|id| self.table.holder(id));
                (has.map(|has| self.table.addresses(has)).unwrap_or_default(), *families)
            }
        };
        let tenant = chosen.tenant;
        let tenant = tenant.unwrap_or_else(|| self.tenants.intern(request.service.tenant));
        let name = || Name::new(&request.service, chosen.hash);
        let holder = chosen.own.unwrap_or_else(|| self.add_holder(tenant, name()));
        self.want_ports(holder, request.ports);
        for address in [given.v4, given.v6].into_iter().flatten() {
            // What was free has no place yet, and need not be looked for.
            let taken = self.catalog.take(address, chosen.pool);
            let known = if taken { None } else { self.table.at(address) };
            match known.map(|(slot, _)| slot) {
                Some(slot) => self.promise(holder, slot, request.shares()),
                None => {
                    let usage = usage_by(holder, request.shares());
                    let slot = self.enter(tenant, chosen.pool, (address, 0), usage);
                    self.mark(holder, Family::of(address), slot);
                }
            }
        }
        self.draw(holder, tenant, chosen.pool, draw);
        if !self.rivals.is_empty() {
            // What it draws no more, it may have by a record.
            self.settle_both(tenant, &name());
        }
    }

    /// Makes a Service one of those that hold an address, which no record says yet.
    pub(super) fn promise(&mut self, holder: HolderId, id: SlotId, sharing: Option<Sharing<'_>>) {
        let Some(slot) = self.table.slot(id) else { return };
        let family = Family::of(slot.address);
        if let Usage::Waiting(waiting) = &slot.usage {
            self.under.insert(slot.address, waiting.clone());
        }
        let had = self.table.holder(holder).and_then(|holder| holder.slot(family)) == Some(id);
        if self.rivals.has(slot.address) {
            self.rivals.note(slot.address, sharing);
        }
        self.join(holder, id, sharing);
        if !had {
            self.mark(holder, family, id);
        }
    }

    fn mark(&mut self, holder: HolderId, family: Family, slot: SlotId) {
        if let Some(holder) = self.table.holder_mut(holder) {
            holder.set_slot(family, Some(slot));
            *holder.promised.get_mut(family) = true;
        }
    }

    /// Makes a Service draw from a pool, or stop it where no family is named.
    fn draw(&mut self, id: HolderId, tenant: TenantId, pool: PoolId, families: PerFamily<bool>) {
        if self.table.holder(id).is_some_and(Holder::draws) {
            BOTH.iter().for_each(|family| self.stop_drawing(id, *family));
        }
        for family in BOTH.into_iter().filter(|family| *families.get(*family)) {
            let Some(holder) = self.table.holder_mut(id) else { return };
            *holder.drawing.get_mut(family) = true;
            self.draws.insert(id, pool);
            self.count_drawing(tenant, pool, family, true);
        }
    }

    /// Ends the drawing of one family. The holder may be idle then.
    pub(super) fn stop_drawing(&mut self, id: HolderId, family: Family) {
        let Some(holder) = self.table.holder_mut(id).filter(|h| *h.drawing.get(family)) else {
            return;
        };
        *holder.drawing.get_mut(family) = false;
        let (tenant, more) = (holder.tenant, holder.draws());
        let Some(pool) = self.draws.get(&id).copied() else { return };
        if !more {
            self.draws.remove(&id);
        }
        self.count_drawing(tenant, pool, family, false);
        self.catalog.tidy(pool);
        if !self.told.is_empty() {
            self.review_ports(id);
        }
    }

    fn count_drawing(&mut self, tenant: TenantId, pool: PoolId, family: Family, more: bool) {
        let step = |count: &mut u64| *count = if more { *count + 1 } else { *count - 1 };
        if let Some(uses) = self.catalog.uses(pool, family) {
            step(&mut uses.drawing);
        }
        if let Some(tenant) = self.tenants.get_mut(tenant) {
            step(tenant.usage.drawing.get_mut(family));
        }
    }
}

fn usage_by(holder: HolderId, sharing: Option<Sharing<'_>>) -> Usage {
    match sharing {
        None => Usage::Held(holder),
        Some(Sharing { key, backends }) => Usage::Shared(Box::new(Shared {
            key: key.into(),
            backends: backends.into(),
            holders: vec![holder],
        })),
    }
}
