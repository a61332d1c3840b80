//! The addresses in use and the Services that hold them.

use std::hash::BuildHasher as _;
use std::net::IpAddr;

use hashbrown::{DefaultHashBuilder, HashTable};
use slab::Slab;

use super::holder::{Holder, HolderId, Name, NameHash, is_named};
use super::slot::{Slot, SlotId, Usage};
use super::tenants::TenantId;
use crate::{Family, PerFamily, Service};

/// The tables by hash are never gone through as a whole: their order is of no consequence.
#[derive(Clone, Debug, Default)]
pub(super) struct Table {
    slots: Slab<Slot>,
    by_address: HashTable<SlotId>,
    /// Addresses that wait for a Service, by that Service.
    waiting: HashTable<SlotId>,
    holders: Slab<Holder>,
    by_service: HashTable<HolderId>,
    /// Seeded anew in each process, so that names that meet cannot be worked out beforehand.
    hasher: DefaultHashBuilder,
}

/// No number of anything.
pub(super) const NONE: u32 = u32::MAX;

impl Table {
    pub(super) fn slot(&self, id: SlotId) -> Option<&Slot> {
        self.slots.get(id as usize)
    }

    pub(super) fn at(&self, address: IpAddr) -> Option<(SlotId, &Slot)> {
        let same = |id: &SlotId| self.slot(*id).is_some_and(|slot| slot.address == address);
        let id = self.by_address.find(hash_of_address(&self.hasher, address), same)?;
        Some((*id, self.slot(*id)?))
    }

    /// All addresses in use, ascending, IPv4 before IPv6.
    pub(super) fn ascending(&self) -> Vec<&Slot> {
        let mut slots: Vec<&Slot> = self.slots.iter().map(|(_, slot)| slot).collect();
        slots.sort_unstable_by_key(|slot| slot.address);
        slots
    }

    /// Adds an address that is not there.
    pub(super) fn insert(&mut self, slot: Slot) -> SlotId {
        let hash = hash_of_address(&self.hasher, slot.address);
        let id = SlotId::try_from(self.slots.insert(slot)).unwrap_or(NONE);
        let (slots, hasher) = (&self.slots, &self.hasher);
        let again = |id: &SlotId| {
            slots.get(*id as usize).map_or(0, |slot| hash_of_address(hasher, slot.address))
        };
        self.by_address.insert_unique(hash, id, again);
        self.await_service(id);
        id
    }

    pub(super) fn remove(&mut self, id: SlotId) -> Option<Slot> {
        self.await_nobody(id);
        let slot = self.slots.try_remove(id as usize)?;
        let hash = hash_of_address(&self.hasher, slot.address);
        if let Ok(entry) = self.by_address.find_entry(hash, |other| *other == id) {
            entry.remove();
        }
        Some(slot)
    }

    /// Changes how an address is used.
    pub(super) fn use_as(&mut self, id: SlotId, usage: Usage) {
        self.await_nobody(id);
        if let Some(slot) = self.slots.get_mut(id as usize) {
            slot.usage = usage;
        }
        self.await_service(id);
    }

    /// The addresses that wait for a Service.
    pub(super) fn waiting_for(
        &self,
        tenant: TenantId,
        service: &Service<'_>,
        hash: NameHash,
    ) -> impl Iterator<Item = &Slot> {
        let ids = self.waiting.iter_hash(self.hash_among(tenant, hash));
        ids.filter_map(|id| self.slot(*id)).filter(move |slot| {
            let name = slot.waits().and_then(|waiting| waiting.service.as_deref());
            slot.tenant == tenant && name.is_some_and(|name| is_named(name, service))
        })
    }

    /// Whether no address waits for a Service.
    pub(super) fn nothing_waits(&self) -> bool {
        self.waiting.is_empty()
    }

    fn await_service(&mut self, id: SlotId) {
        let Some(hash) = self.slot(id).and_then(hash_of_awaited) else {
            return;
        };
        let slots = &self.slots;
        let slot = |id: &SlotId| slots.get(*id as usize);
        let again = |id: &SlotId| slot(id).and_then(hash_of_awaited).unwrap_or(0);
        self.waiting.insert_unique(hash, id, again);
    }

    fn await_nobody(&mut self, id: SlotId) {
        let hash = self.slot(id).and_then(hash_of_awaited);
        let entry = hash.map(|hash| self.waiting.find_entry(hash, |other| *other == id));
        if let Some(Ok(entry)) = entry {
            entry.remove();
        }
    }

    pub(super) fn holder(&self, id: HolderId) -> Option<&Holder> {
        self.holders.get(id as usize)
    }

    pub(super) fn holder_mut(&mut self, id: HolderId) -> Option<&mut Holder> {
        self.holders.get_mut(id as usize)
    }

    /// A Service that holds or draws an address.
    pub(super) fn find(
        &self,
        tenant: TenantId,
        service: &Service<'_>,
        hash: NameHash,
    ) -> Option<HolderId> {
        self.find_as(tenant, hash, |name| is_named(name, service))
    }

    /// The same, of a Service whose name was hashed before.
    pub(super) fn find_named(&self, tenant: TenantId, name: &Name) -> Option<HolderId> {
        self.find_as(tenant, name.hash(), |other| *other == **name)
    }

    fn find_as(
        &self,
        tenant: TenantId,
        hash: NameHash,
        named: impl Fn(&str) -> bool,
    ) -> Option<HolderId> {
        let same = |id: &HolderId| {
            self.holder(*id).is_some_and(|holder| holder.tenant == tenant && named(&holder.name))
        };
        self.by_service.find(self.hash_among(tenant, hash), same).copied()
    }

    pub(super) fn add_holder(&mut self, holder: Holder) -> HolderId {
        let hash = self.hash_among(holder.tenant, holder.name.hash());
        let id = HolderId::try_from(self.holders.insert(holder)).unwrap_or(HolderId::MAX);
        let holders = &self.holders;
        let holder = |id: &HolderId| holders.get(*id as usize);
        let again = |id: &HolderId| holder(id).map_or(0, |h| h.name.hash().among(h.tenant));
        self.by_service.insert_unique(hash, id, again);
        id
    }

    pub(super) fn remove_holder(&mut self, id: HolderId) -> Option<Holder> {
        let holder = self.holders.try_remove(id as usize)?;
        let hash = self.hash_among(holder.tenant, holder.name.hash());
        if let Ok(entry) = self.by_service.find_entry(hash, |other| *other == id) {
            entry.remove();
        }
        Some(holder)
    }

    /// The hash by which a Service is found, and named.
    pub(super) fn hash(&self, service: &Service<'_>) -> NameHash {
        NameHash::of(service, &self.hasher)
    }

    /// The name of a Service.
    pub(super) fn name(&self, service: &Service<'_>) -> Name {
        Name::new(service, self.hash(service))
    }

    fn hash_among(&self, tenant: TenantId, hash: NameHash) -> u64 {
        hash.among(tenant)
    }

    /// The addresses of a Service.
    pub(super) fn addresses(&self, holder: &Holder) -> PerFamily<Option<IpAddr>> {
        let of = |family| holder.slot(family).and_then(|id| self.slot(id)).map(|slot| slot.address);
        PerFamily { v4: of(Family::V4), v6: of(Family::V6) }
    }
}

/// As of one number: what is derived for an address takes three times as long.
fn hash_of_address(hasher: &DefaultHashBuilder, address: IpAddr) -> u64 {
    match address {
        IpAddr::V4(v4) => hasher.hash_one(v4.to_bits()),
        IpAddr::V6(v6) => hasher.hash_one(v6.to_bits()),
    }
}

/// The hash of the Service that an address waits for, if it waits for one.
fn hash_of_awaited(slot: &Slot) -> Option<u64> {
    let name = slot.waits()?.service.as_ref()?;
    Some(name.hash().among(slot.tenant))
}
