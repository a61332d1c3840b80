//! A Service that holds addresses, or draws them.

use std::hash::BuildHasher;
use std::ops::Deref;

use super::slot::SlotId;
use super::table::NONE;
use super::tenants::TenantId;
use crate::{Family, PerFamily, Port, Service};

/// The number of a Service that holds an address.
pub(super) type HolderId = u32;

/// A Service that holds addresses, or draws them.
#[derive(Clone, Debug)]
pub(super) struct Holder {
    pub(super) name: Name,
    pub(super) ports: Ports,
    pub(super) tenant: TenantId,
    slots: [SlotId; 2],
    /// Which of its addresses no record gives it yet.
    pub(super) promised: PerFamily<bool>,
    /// Which families it draws, from the pool that [`super::Allocator`] knows.
    pub(super) drawing: PerFamily<bool>,
}

/// `<namespace>/<name>` of a Service, with its hash.
#[derive(Clone, Debug)]
pub(super) struct Name {
    text: Box<str>,
    hash: NameHash,
}

/// The hash of namespace and name of a Service, whosever it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NameHash(u64);

/// The ports of a Service; most have one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Ports {
    One(Port),
    Some(Box<[Port]>),
}

impl Holder {
    pub(super) fn new(tenant: TenantId, name: Name) -> Self {
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

impl Name {
    pub(super) fn new(service: &Service<'_>, hash: NameHash) -> Self {
        let Service { namespace, name, .. } = *service;
        Self { text: [namespace, "/", name].concat().into_boxed_str(), hash }
    }

    pub(super) const fn hash(&self) -> NameHash {
        self.hash
    }
}

impl NameHash {
    pub(super) fn of(service: &Service<'_>, hasher: &impl BuildHasher) -> Self {
        Self(hasher.hash_one((service.namespace, service.name)))
    }

    /// The hash among the Services of all tenants, many of which give the same names.
    pub(super) const fn among(self, tenant: TenantId) -> u64 {
        // It is seeded already; an odd factor tells the tenants apart in all bits.
        self.0 ^ (tenant as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }
}

impl Deref for Name {
    type Target = str;

    fn deref(&self) -> &str {
        &self.text
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

pub(super) fn is_named(name: &str, service: &Service<'_>) -> bool {
    let rest = name.strip_prefix(service.namespace).and_then(|rest| rest.strip_prefix('/'));
    rest == Some(service.name)
}
