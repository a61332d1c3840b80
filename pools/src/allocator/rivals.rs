//! Records that contradict each other: which of them counts, and what becomes of the others.
//!
//! Of the records that bind one Service in one family the oldest counts, and of two as old the one
//! of the lower address, in whatever order they were told. The others wait: their addresses are
//! given to nobody, and when the one that counts is gone the next takes its place.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::holder::{HolderId, Name, Ports};
use super::record::Conflict;
use super::slot::{Slot, SlotId, Usage};
use super::tenants::TenantId;
use super::{Allocator, BOTH};
use crate::{Family, Port, Service, Sharing};

/// What records say that do not count.
#[derive(Clone, Debug, Default)]
pub(super) struct Rivals {
    /// The Services that a record names in vain.
    by_address: BTreeMap<IpAddr, Vain>,
    /// The same by Service: `<namespace>/<name>`.
    by_service: BTreeMap<SeatKey, BTreeSet<IpAddr>>,
}

type SeatKey = (TenantId, Family, Box<str>);

#[derive(Clone, Debug, Default)]
struct Vain {
    services: BTreeMap<Box<str>, Ports>,
    sharing: Option<(Box<str>, Box<str>)>,
}

/// One Service in one family.
pub(super) struct Seat {
    pub(super) tenant: TenantId,
    pub(super) family: Family,
    pub(super) name: Name,
}

impl Rivals {
    /// Notes a record of an address that nobody holds, whether it names a Service or not.
    pub(super) fn note(&mut self, address: IpAddr, sharing: Option<Sharing<'_>>) {
        let vain = self.by_address.entry(address).or_default();
        vain.sharing = sharing.map(|sharing| (sharing.key.into(), sharing.backends.into()));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.by_address.is_empty()
    }

    pub(super) fn has(&self, address: IpAddr) -> bool {
        self.by_address.contains_key(&address)
    }

    /// Services that a record names in vain, with their ports.
    pub(super) fn at(&self, address: IpAddr) -> impl Iterator<Item = (&str, &[Port])> {
        let services = self.by_address.get(&address).into_iter().flat_map(|vain| &vain.services);
        services.map(|(name, ports)| (&**name, ports.as_slice()))
    }

    fn add(&mut self, seat: &Seat, address: IpAddr, ports: Ports) {
        let vain = self.by_address.entry(address).or_default();
        vain.services.insert(seat.text(), ports);
        let key = seat.key();
        self.by_service.entry(key).or_default().insert(address);
    }

    fn remove(&mut self, seat: &Seat, address: IpAddr) -> Option<Ports> {
        let key = seat.key();
        if let Some(addresses) = self.by_service.get_mut(&key) {
            addresses.remove(&address);
            if addresses.is_empty() {
                self.by_service.remove(&key);
            }
        }
        let vain = self.by_address.get_mut(&address)?;
        let ports = vain.services.remove(&*seat.name);
        if vain.services.is_empty() {
            self.by_address.remove(&address);
        }
        ports
    }

    /// Forgets a record that names nobody.
    pub(super) fn drop_empty(&mut self, address: IpAddr) {
        if self.by_address.get(&address).is_some_and(|vain| vain.services.is_empty()) {
            self.by_address.remove(&address);
        }
    }

    fn of(&self, seat: &Seat) -> impl Iterator<Item = IpAddr> + use<> {
        let addresses = if self.by_service.is_empty() {
            BTreeSet::new()
        } else {
            let key = seat.key();
            self.by_service.get(&key).cloned().unwrap_or_default()
        };
        addresses.into_iter()
    }
}

impl Allocator {
    /// The records that do not count, because a Service they name has another address; by address.
    pub fn conflicts(&self) -> impl Iterator<Item = Conflict> + '_ {
        self.rivals.by_address.iter().flat_map(move |(address, vain)| {
            let slot = self.table.at(*address).map(|(_, slot)| slot);
            let names = vain.services.keys();
            names.filter_map(move |name| Some(self.conflict_of(slot?, name)))
        })
    }

    pub(super) fn conflict_of(&self, slot: &Slot, name: &str) -> Conflict {
        let tenant = self.tenants.get(slot.tenant).map_or("", |tenant| &tenant.name);
        let (namespace, of) = name.split_once('/').unwrap_or_default();
        let service = Service { tenant, namespace, name: of };
        let found = self.table.find(slot.tenant, &service, self.table.hash(&service));
        let holder = found.and_then(|id| self.table.holder(id));
        let other = holder.and_then(|holder| holder.slot(Family::of(slot.address)));
        let other = other.and_then(|other| self.table.slot(other)).map(|other| other.address);
        Conflict { address: slot.address, service: service.to_string(), other }
    }

    /// A record binds a Service to an address.
    pub(super) fn claim(
        &mut self,
        seat: &Seat,
        id: SlotId,
        ports: &[Port],
        sharing: Option<Sharing<'_>>,
    ) {
        let Some(address) = self.table.slot(id).map(|slot| slot.address) else { return };
        let found = self.table.find_named(seat.tenant, &seat.name);
        let known = found.and_then(|holder| self.table.holder(holder));
        let has = known.and_then(|holder| holder.slot(seat.family));
        if let (Some(holder), true) = (found, has == Some(id)) {
            return self.tell_ports(holder, seat.family, Ports::of(ports));
        }
        let draws = known.is_some_and(|holder| *holder.drawing.get(seat.family));
        let vies = draws || has.is_some();
        if !vies && self.rivals.of(seat).next().is_none() {
            let holder = self.hold(seat.tenant, &seat.name);
            self.join(holder, id, sharing);
            return self.tell_ports(holder, seat.family, Ports::of(ports));
        }
        self.rivals.add(seat, address, Ports::of(ports));
        self.rivals.note(address, sharing);
        self.settle(seat);
    }

    /// Gives a Service the address of the record that counts. A promise counts more than records of
    /// other addresses, and so does the drawing from another pool than theirs.
    pub(super) fn settle(&mut self, seat: &Seat) {
        let found = self.table.find_named(seat.tenant, &seat.name);
        let holder = found.and_then(|id| self.table.holder(id));
        let has = holder.and_then(|holder| holder.slot(seat.family));
        if holder.is_some_and(|holder| has.is_some() && *holder.promised.get(seat.family)) {
            return;
        }
        let drawn = holder.filter(|holder| *holder.drawing.get(seat.family));
        let drawn = drawn.and_then(|_| self.draws.get(&found?).copied());
        let slots = self.rivals.of(seat).filter_map(|address| self.table.at(address));
        let slots = slots.filter(|(_, slot)| drawn.is_none_or(|pool| pool == slot.pool));
        let Some((id, best)) = slots.min_by_key(|(_, slot)| slot.age()) else { return };
        let now = has.and_then(|has| self.table.slot(has));
        if now.is_some_and(|now| now.age() < best.age()) {
            return;
        }
        if let (Some(holder), Some(has)) = (found, has) {
            self.unseat(seat, holder, has);
        }
        self.seat(seat, id);
        if drawn.is_some() {
            // It draws no more: now records of other pools count as well.
            self.settle(seat);
        }
    }

    /// The same in both families.
    pub(super) fn settle_both(&mut self, tenant: TenantId, name: &Name) {
        for family in BOTH {
            self.settle(&Seat { tenant, family, name: name.clone() });
        }
    }

    /// Gives a Service an address that a record named in vain.
    fn seat(&mut self, seat: &Seat, id: SlotId) {
        let Some(address) = self.table.slot(id).map(|slot| slot.address) else { return };
        let vain = self.rivals.by_address.get(&address);
        let sharing = vain.and_then(|vain| vain.sharing.clone());
        let Some(ports) = self.rivals.remove(seat, address) else { return };
        let holder = self.hold(seat.tenant, &seat.name);
        let sharing = sharing.as_ref().map(|(key, backends)| Sharing { key, backends });
        self.join(holder, id, sharing);
        self.stop_drawing(holder, seat.family);
        self.tell_ports(holder, seat.family, ports);
    }

    /// Takes an address from a Service, whose record still names it. The holder may be idle then.
    fn unseat(&mut self, seat: &Seat, holder: HolderId, id: SlotId) {
        let Some(slot) = self.table.slot(id) else { return };
        let (address, sharing) = (slot.address, slot.sharing());
        let sharing = sharing.map(|shares| (shares.key.to_owned(), shares.backends.to_owned()));
        let ports = self.ports_told(holder, seat.family);
        self.vacate_seat(holder, id);
        self.rivals.add(seat, address, ports);
        let sharing = sharing.as_ref().map(|(key, backends)| Sharing { key, backends });
        self.rivals.note(address, sharing);
    }

    /// Takes a Service out of the records that name it in vain; gives the addresses that nobody is
    /// named for any more, ascending.
    pub(super) fn renounce(&mut self, seat: &Seat) -> Vec<SlotId> {
        let mut free = Vec::new();
        for address in self.rivals.of(seat).collect::<Vec<_>>() {
            self.rivals.remove(seat, address);
            let Some((id, slot)) = self.table.at(address) else { continue };
            match slot.usage {
                Usage::Blocked if !self.rivals.has(address) => free.push(id),
                _ => self.note_empty(id),
            }
        }
        free
    }

    /// Notes that the record of an address names nobody any more, if all who have it are only
    /// promised it: when these are gone it is not free.
    pub(super) fn note_empty(&mut self, id: SlotId) {
        let Some(slot) = self.table.slot(id) else { return };
        let family = Family::of(slot.address);
        let mut holders = slot.holders().iter().filter_map(|id| self.table.holder(*id));
        let held = !slot.holders().is_empty();
        if held && holders.all(|h| *h.promised.get(family)) && !self.rivals.has(slot.address) {
            self.rivals.note(slot.address, slot.sharing());
        }
    }

    /// Forgets what a record named in vain.
    pub(super) fn forget_claims(&mut self, address: IpAddr) {
        let Some(tenant) = self.table.at(address).map(|(_, slot)| slot.tenant) else { return };
        let names: Vec<Box<str>> = self.rivals.at(address).map(|(name, _)| name.into()).collect();
        for name in names {
            let (namespace, name) = name.split_once('/').unwrap_or_default();
            let name = self.table.name(&Service { tenant: "", namespace, name });
            self.rivals.remove(&Seat { tenant, family: Family::of(address), name }, address);
        }
        self.rivals.by_address.remove(&address);
    }

    /// Those who hold an address, where what they have next may depend on other records.
    pub(super) fn seats_of(&self, slot: &Slot) -> Vec<Seat> {
        if self.rivals.is_empty() {
            return Vec::new();
        }
        let holders = slot.holders().iter().filter_map(|id| self.table.holder(*id));
        let (tenant, family) = (slot.tenant, Family::of(slot.address));
        holders.map(|holder| Seat { tenant, family, name: holder.name.clone() }).collect()
    }
}

impl Seat {
    fn text(&self) -> Box<str> {
        (*self.name).into()
    }

    fn key(&self) -> SeatKey {
        (self.tenant, self.family, self.text())
    }
}
