//! The addresses in use and the Services that hold them.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use hashbrown::HashTable;
use slab::Slab;

use super::catalog::PoolId;
use crate::{AddressRange, Family, PerFamily, Port, Service};

/// The number of an address in use.
pub(super) type SlotId = u32;

/// The number of a Service that holds an address.
pub(super) type HolderId = u32;

/// The number of a tenant.
pub(super) type TenantId = u32;

#[derive(Clone, Debug, Default)]
pub(super) struct Table {
    slots: Slab<Slot>,
    by_v4: BTreeMap<u32, SlotId>,
    by_v6: BTreeMap<u128, SlotId>,
    holders: Slab<Holder>,
    /// Never gone through: its order is of no consequence.
    by_service: HashTable<HolderId>,
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

    pub(super) fn slot_mut(&mut self, id: SlotId) -> Option<&mut Slot> {
        self.slots.get_mut(id as usize)
    }

    pub(super) fn at(&self, address: IpAddr) -> Option<(SlotId, &Slot)> {
        let id = match address {
            IpAddr::V4(v4) => self.by_v4.get(&v4.to_bits()),
            IpAddr::V6(v6) => self.by_v6.get(&v6.to_bits()),
        };
        id.and_then(|id| Some((*id, self.slot(*id)?)))
    }

    /// The addresses of a range that are in use, ascending.
    pub(super) fn between(&self, range: &AddressRange) -> Vec<IpAddr> {
        match (range.first(), range.last()) {
            (IpAddr::V4(first), IpAddr::V4(last)) => {
                let used = self.by_v4.range(first.to_bits()..=last.to_bits());
                used.map(|(bits, _)| Ipv4Addr::from_bits(*bits).into()).collect()
            }
            (IpAddr::V6(first), IpAddr::V6(last)) => {
                let used = self.by_v6.range(first.to_bits()..=last.to_bits());
                used.map(|(bits, _)| Ipv6Addr::from_bits(*bits).into()).collect()
            }
            _ => Vec::new(),
        }
    }

    /// All addresses in use, ascending, IPv4 before IPv6.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Slot> {
        self.by_v4.values().chain(self.by_v6.values()).filter_map(|id| self.slot(*id))
    }

    pub(super) fn insert(&mut self, slot: Slot) -> SlotId {
        let address = slot.address;
        let id = SlotId::try_from(self.slots.insert(slot)).unwrap_or(NONE);
        match address {
            IpAddr::V4(v4) => self.by_v4.insert(v4.to_bits(), id),
            IpAddr::V6(v6) => self.by_v6.insert(v6.to_bits(), id),
        };
        id
    }

    pub(super) fn remove(&mut self, id: SlotId) -> Option<Slot> {
        let slot = self.slots.try_remove(id as usize)?;
        match slot.address {
            IpAddr::V4(v4) => self.by_v4.remove(&v4.to_bits()),
            IpAddr::V6(v6) => self.by_v6.remove(&v6.to_bits()),
        };
        Some(slot)
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
        let hash = hash_of(tenant, service.namespace, service.name);
        self.by_service.find(hash, same).copied()
    }

    pub(super) fn find_named(&self, tenant: TenantId, name: &str) -> Option<HolderId> {
        let (namespace, name) = name.split_once('/')?;
        self.find(tenant, &Service { tenant: "", namespace, name })
    }

    pub(super) fn add_holder(&mut self, holder: Holder) -> HolderId {
        let hash = hash_of_holder(&holder);
        let id = HolderId::try_from(self.holders.insert(holder)).unwrap_or(HolderId::MAX);
        let holders = &self.holders;
        let hash_again = |id: &HolderId| holders.get(*id as usize).map_or(0, hash_of_holder);
        self.by_service.insert_unique(hash, id, hash_again);
        id
    }

    pub(super) fn remove_holder(&mut self, id: HolderId) -> Option<Holder> {
        let holder = self.holders.try_remove(id as usize)?;
        let found = self.by_service.find_entry(hash_of_holder(&holder), |other| *other == id);
        if let Ok(entry) = found {
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

fn hash_of_holder(holder: &Holder) -> u64 {
    let (namespace, name) = holder.name.split_once('/').unwrap_or_default();
    hash_of(holder.tenant, namespace, name)
}

fn hash_of(tenant: TenantId, namespace: &str, name: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    (tenant, namespace, name).hash(&mut hasher);
    hasher.finish()
}
