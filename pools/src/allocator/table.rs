//! The addresses in use and the Services that hold them.

use std::hash::BuildHasher;
use std::net::IpAddr;

use hashbrown::{DefaultHashBuilder, HashTable};
use slab::Slab;

use super::catalog::PoolId;
use crate::{Family, PerFamily, Port, Service};

/// The number of an address in use.
pub(super) type SlotId = u32;

/// The number of a Service that holds an address.
pub(super) type HolderId = u32;

/// The number of a tenant.
pub(super) type TenantId = u32;

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

/// An address in use.
#[derive(Clone, Debug)]
pub(super) struct Slot {
    pub(super) usage: Usage,
    /// [`NONE`] where it is foreign.
    pub(super) pool: PoolId,
    /// [`NONE`] where it is foreign.
    pub(super) tenant: TenantId,
    /// When its record was made; seconds of Unix time fit until 2106.
    pub(super) created: u32,
    pub(super) address: IpAddr,
}

/// How an address is used.
#[derive(Clone, Debug)]
pub(super) enum Usage {
    /// By one Service, which shares it with none.
    Held(HolderId),
    /// By Services that share it; one at least.
    Shared(Box<Shared>),
    /// By nobody: it waits for a Service, or for the end of its rest.
    Waiting(Box<Waiting>),
    /// By something that is none of our Services.
    Foreign(Box<Foreign>),
    /// By whom cannot be told; never given away.
    Blocked,
}

#[derive(Clone, Debug)]
pub(super) struct Foreign {
    /// What has it, for an operator.
    pub(super) what: Box<str>,
}

#[derive(Clone, Debug)]
pub(super) struct Shared {
    pub(super) key: Box<str>,
    pub(super) backends: Box<str>,
    /// Ascending.
    pub(super) holders: Vec<HolderId>,
}

#[derive(Clone, Debug)]
pub(super) struct Waiting {
    /// `<namespace>/<name>` of whom it waits for; `None` is nobody, or whoever of the tenant asks
    /// for it where it is reserved.
    pub(super) service: Option<Box<str>>,
    pub(super) why: Wait,
}

/// Why an address waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wait {
    /// It rests until this time, in seconds of Unix time.
    Rest(u64),
    /// Its tenant keeps it.
    Kept,
    /// An operator reserved it.
    Reserved,
}

/// A Service that holds addresses, or draws them.
#[derive(Clone, Debug)]
pub(super) struct Holder {
    /// `<namespace>/<name>`.
    pub(super) name: Box<str>,
    pub(super) ports: Ports,
    pub(super) tenant: TenantId,
    slots: [SlotId; 2],
    /// Which of its addresses no record gives it yet.
    pub(super) promised: PerFamily<bool>,
    /// Which families it draws, from the pool that [`super::Allocator`] knows.
    pub(super) drawing: PerFamily<bool>,
}

/// The ports of a Service; most have one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Ports {
    One(Port),
    Some(Box<[Port]>),
}

/// No number of anything.
pub(super) const NONE: u32 = u32::MAX;

impl Slot {
    /// What it waits for, if it waits.
    pub(super) fn waits(&self) -> Option<&Waiting> {
        match &self.usage {
            Usage::Waiting(waiting) => Some(waiting),
            Usage::Held(_) | Usage::Shared(_) | Usage::Foreign(_) | Usage::Blocked => None,
        }
    }

    /// Of two records the one with the lesser age counts.
    pub(super) const fn age(&self) -> (u32, IpAddr) {
        (self.created, self.address)
    }

    /// The key and the backends of who shares it.
    pub(super) fn sharing(&self) -> Option<(&str, &str)> {
        match &self.usage {
            Usage::Shared(shared) => {
                (!shared.key.is_empty()).then_some((&*shared.key, &*shared.backends))
            }
            Usage::Held(_) | Usage::Waiting(_) | Usage::Foreign(_) | Usage::Blocked => None,
        }
    }

    /// The end of its rest, if it rests.
    pub(super) fn rests_until(&self) -> Option<u64> {
        self.waits().and_then(Waiting::until)
    }

    pub(super) fn holders(&self) -> &[HolderId] {
        match &self.usage {
            Usage::Held(holder) => std::slice::from_ref(holder),
            Usage::Shared(shared) => &shared.holders,
            Usage::Waiting(_) | Usage::Foreign(_) | Usage::Blocked => &[],
        }
    }
}

impl Waiting {
    pub(super) const fn until(&self) -> Option<u64> {
        match self.why {
            Wait::Rest(until) => Some(until),
            Wait::Kept | Wait::Reserved => None,
        }
    }

    /// Whether it waits for this Service of its tenant, or for any that asks.
    pub(super) fn awaits(&self, named: impl FnOnce(&str) -> bool) -> bool {
        self.service.as_deref().map_or(self.why == Wait::Reserved, named)
    }
}

impl Holder {
    pub(super) fn new(tenant: TenantId, name: Box<str>) -> Self {
        let (promised, drawing) = Default::default();
        Self { name, ports: Ports::of(&[]), tenant, slots: [NONE; 2], promised, drawing }
    }

    /// Whether it neither has an address nor draws one.
    pub(super) const fn is_idle(&self) -> bool {
        let [v4, v6] = self.slots;
        v4 == NONE && v6 == NONE && !self.draws()
    }

    pub(super) const fn draws(&self) -> bool {
        self.drawing.v4 || self.drawing.v6
    }

    pub(super) fn slots(&self) -> impl Iterator<Item = SlotId> + use<> {
        self.slots.into_iter().filter(|slot| *slot != NONE)
    }

    pub(super) const fn slot(&self, family: Family) -> Option<SlotId> {
        let slot = match family {
            Family::V4 => self.slots[0],
            Family::V6 => self.slots[1],
        };
        if slot == NONE { None } else { Some(slot) }
    }

    pub(super) fn set_slot(&mut self, family: Family, slot: Option<SlotId>) {
        let [v4, v6] = &mut self.slots;
        *match family {
            Family::V4 => v4,
            Family::V6 => v6,
        } = slot.unwrap_or(NONE);
    }
}

impl Ports {
    pub(super) fn of(ports: &[Port]) -> Self {
        match ports {
            [port] => Self::One(*port),
            ports => Self::Some(ports.into()),
        }
    }

    pub(super) fn as_slice(&self) -> &[Port] {
        match self {
            Self::One(port) => std::slice::from_ref(port),
            Self::Some(ports) => ports,
        }
    }
}

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
    ) -> impl Iterator<Item = &Slot> {
        let hash = hash_of(&self.hasher, tenant, service.namespace, service.name);
        let ids = self.waiting.iter_hash(hash);
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
        let Some(hash) = self.slot(id).and_then(|slot| hash_of_awaited(&self.hasher, slot)) else {
            return;
        };
        let (slots, hasher) = (&self.slots, &self.hasher);
        let slot = |id: &SlotId| slots.get(*id as usize);
        let again = |id: &SlotId| slot(id).and_then(|s| hash_of_awaited(hasher, s)).unwrap_or(0);
        self.waiting.insert_unique(hash, id, again);
    }

    fn await_nobody(&mut self, id: SlotId) {
        let hash = self.slot(id).and_then(|slot| hash_of_awaited(&self.hasher, slot));
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

    pub(super) fn find(&self, tenant: TenantId, service: &Service<'_>) -> Option<HolderId> {
        let same = |id: &HolderId| {
            self.holder(*id).is_some_and(|h| h.tenant == tenant && is_named(&h.name, service))
        };
        let hash = hash_of(&self.hasher, tenant, service.namespace, service.name);
        self.by_service.find(hash, same).copied()
    }

    pub(super) fn find_named(&self, tenant: TenantId, name: &str) -> Option<HolderId> {
        let (namespace, name) = name.split_once('/')?;
        self.find(tenant, &Service { tenant: "", namespace, name })
    }

    pub(super) fn add_holder(&mut self, holder: Holder) -> HolderId {
        let hash = hash_of_named(&self.hasher, holder.tenant, &holder.name);
        let id = HolderId::try_from(self.holders.insert(holder)).unwrap_or(HolderId::MAX);
        let (holders, hasher) = (&self.holders, &self.hasher);
        let holder = |id: &HolderId| holders.get(*id as usize);
        let again =
            |id: &HolderId| holder(id).map_or(0, |h| hash_of_named(hasher, h.tenant, &h.name));
        self.by_service.insert_unique(hash, id, again);
        id
    }

    pub(super) fn remove_holder(&mut self, id: HolderId) -> Option<Holder> {
        let holder = self.holders.try_remove(id as usize)?;
        let hash = hash_of_named(&self.hasher, holder.tenant, &holder.name);
        if let Ok(entry) = self.by_service.find_entry(hash, |other| *other == id) {
            entry.remove();
        }
        Some(holder)
    }

    /// The addresses of a Service.
    pub(super) fn addresses(&self, holder: &Holder) -> PerFamily<Option<IpAddr>> {
        let of = |family| holder.slot(family).and_then(|id| self.slot(id)).map(|slot| slot.address);
        PerFamily { v4: of(Family::V4), v6: of(Family::V6) }
    }
}

/// `<namespace>/<name>`.
pub(super) fn name_of(service: &Service<'_>) -> Box<str> {
    let mut name = String::with_capacity(service.namespace.len() + 1 + service.name.len());
    name.push_str(service.namespace);
    name.push('/');
    name.push_str(service.name);
    name.into_boxed_str()
}

pub(super) fn is_named(name: &str, service: &Service<'_>) -> bool {
    let rest = name.strip_prefix(service.namespace).and_then(|rest| rest.strip_prefix('/'));
    rest == Some(service.name)
}

/// As of one number: what is derived for an address takes three times as long.
fn hash_of_address(hasher: &DefaultHashBuilder, address: IpAddr) -> u64 {
    match address {
        IpAddr::V4(v4) => hasher.hash_one(v4.to_bits()),
        IpAddr::V6(v6) => hasher.hash_one(v6.to_bits()),
    }
}

/// The hash of the Service that an address waits for, if it waits for one.
fn hash_of_awaited(hasher: &DefaultHashBuilder, slot: &Slot) -> Option<u64> {
    let name = slot.waits()?.service.as_deref()?;
    Some(hash_of_named(hasher, slot.tenant, name))
}

/// The hash of the Service `<namespace>/<name>`.
fn hash_of_named(hasher: &DefaultHashBuilder, tenant: TenantId, name: &str) -> u64 {
    let (namespace, name) = name.split_once('/').unwrap_or_default();
    hash_of(hasher, tenant, namespace, name)
}

fn hash_of(hasher: &DefaultHashBuilder, tenant: TenantId, namespace: &str, name: &str) -> u64 {
    hasher.hash_one((tenant, namespace, name))
}
