//! One pool as the catalog keeps it.

use std::net::IpAddr;

use smol_str::SmolStr;

use crate::space::{Space, is_buggy};
use crate::{AddressRange, AddressSet, Family, PerFamily, PoolFigures, PoolSpec, Source};

#[derive(Clone, Debug)]
pub(in crate::allocator) struct Pool {
    pub(in crate::allocator) name: SmolStr,
    /// `None` once it is deleted, while addresses of it are in use.
    pub(in crate::allocator) spec: Option<Box<PoolSpec>>,
    /// The older pool it overlaps, and where.
    pub(in crate::allocator) conflict: Option<Box<(SmolStr, AddressRange)>>,
    /// What follows from these, side by side with what an assignment reads besides.
    pub(super) traits: Traits,
    /// Whether it holds what no pool may hold.
    pub(in crate::allocator) forbidden: bool,
    /// The addresses of its spec.
    pub(super) contents: AddressSet,
    pub(super) total: PerFamily<u128>,
    /// What is free of it, where we hand it out.
    pub(super) space: Space,
    pub(in crate::allocator) uses: PerFamily<Uses>,
    /// Addresses in its ranges that something else than a Service uses.
    pub(super) foreign: PerFamily<u64>,
}

/// What an assignment asks of a pool first: with a thousand pools each look elsewhere is a look into
/// memory that no cache holds.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Traits {
    /// Whether it is sound, and gives to every Service of every tenant.
    open: bool,
    /// Whether another allocator hands its addresses out.
    elsewhere: bool,
    avoids_buggy: bool,
}

/// Addresses of a pool that are in use, by how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::allocator) struct Uses {
    pub(in crate::allocator) assigned: u64,
    pub(in crate::allocator) drawing: u64,
    pub(in crate::allocator) resting: u64,
    pub(in crate::allocator) kept: u64,
    pub(in crate::allocator) reserved: u64,
    pub(in crate::allocator) conflicting: u64,
}

/// How a pool gives an address that nobody asked for by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::allocator) enum Fresh {
    /// This one.
    Address(IpAddr),
    /// It is drawn elsewhere.
    Draw,
}

impl Pool {
    /// The addresses that it may give.
    pub(in crate::allocator) const fn contents(&self) -> &AddressSet {
        &self.contents
    }

    pub(super) fn new(name: SmolStr) -> Self {
        Self {
            name,
            spec: None,
            conflict: None,
            traits: Traits::default(),
            forbidden: false,
            contents: AddressSet::default(),
            total: PerFamily::default(),
            space: Space::default(),
            uses: PerFamily::default(),
            foreign: PerFamily::default(),
        }
    }

    /// Whether its ranges are its own, and right.
    pub(super) fn counts(&self) -> bool {
        let sound = self.spec.as_ref().is_some_and(|spec| !spec.broken);
        sound && self.conflict.is_none() && !self.forbidden
    }

    /// Whether this address is in its ranges.
    pub(in crate::allocator) fn contains(&self, address: IpAddr) -> bool {
        self.contents.contains(address)
    }

    /// Whether this address is in its ranges, and could be given.
    pub(in crate::allocator) fn holds(&self, address: IpAddr) -> bool {
        self.counts() && self.contents.contains(address) && !self.avoids(address)
    }

    /// Whether it leaves this address of its ranges out.
    pub(super) fn avoids(&self, address: IpAddr) -> bool {
        self.traits.avoids_buggy && is_buggy(address)
    }

    pub(in crate::allocator) fn has_free(&self, family: Family) -> bool {
        match self.traits.elsewhere {
            true => self.available(family) > 0,
            false => !self.space.is_empty(family),
        }
    }

    fn available(&self, family: Family) -> u128 {
        if !self.traits.elsewhere {
            return self.space.free(family);
        }
        let left = self.spec.as_ref().and_then(|spec| spec.free_elsewhere()).unwrap_or_default();
        u128::from(*left.get(family)).min(*self.total.get(family))
    }

    /// What it gives next.
    pub(in crate::allocator) fn fresh(&self, family: Family) -> Option<Fresh> {
        match self.traits.elsewhere {
            true => self.has_free(family).then_some(Fresh::Draw),
            false => self.space.lowest(family).map(Fresh::Address),
        }
    }

    /// What it gives after one another to Services that ask for nothing, as things are.
    pub(in crate::allocator) fn next(&self, family: Family, most: usize) -> Vec<IpAddr> {
        // Of what is drawn elsewhere nothing is known here.
        if self.gives(family) { self.space.next(family, most) } else { Vec::new() }
    }

    /// Whether it gives addresses to every Service of every tenant that may draw from it.
    pub(in crate::allocator) const fn is_open(&self) -> bool {
        self.traits.open
    }

    /// Takes in what its spec says, and what is wrong with it.
    pub(super) fn review(&mut self) {
        let Some(spec) = self.spec.as_deref() else { return };
        self.traits = Traits {
            open: self.counts() && spec.is_for_all(),
            elsewhere: spec.free_elsewhere().is_some(),
            avoids_buggy: spec.avoid_buggy_ips,
        };
    }

    /// Whether it may be among those that are tried.
    pub(super) fn gives(&self, family: Family) -> bool {
        let spec = self.spec.as_ref().filter(|_| self.counts());
        let willing = spec.is_some_and(|s| s.auto_assign && !s.drain && !s.delegated);
        willing && self.has_free(family)
    }

    /// Whether the same other allocator hands both out.
    pub(super) fn is_handed_out_with(&self, other: &Self) -> bool {
        let by = |pool: &Self| match &pool.spec.as_ref()?.source {
            Source::Here => None,
            Source::Elsewhere { name, .. } => Some(name.clone()),
        };
        by(self).is_some_and(|name| Some(name) == by(other))
    }

    /// Makes all its addresses free, if we hand them out.
    pub(super) fn renew(&mut self) {
        let Some(spec) = self.spec.as_ref() else { return };
        let nothing = AddressSet::default();
        let usable = if self.counts() { &self.contents } else { &nothing };
        self.foreign = PerFamily::default();
        let space = Space::new(usable, spec.avoid_buggy_ips);
        self.total = PerFamily { v4: space.free(Family::V4), v6: space.free(Family::V6) };
        self.space = if spec.free_elsewhere().is_none() { space } else { Space::default() };
    }

    pub(in crate::allocator) fn figures(&self) -> PoolFigures {
        let of =
            |get: fn(&Uses) -> u64| PerFamily { v4: get(&self.uses.v4), v6: get(&self.uses.v6) };
        let available = |family| self.available(family);
        PoolFigures {
            pool: self.name.to_string(),
            total: self.total,
            assigned: of(|uses| uses.assigned),
            resting: of(|uses| uses.resting),
            kept: of(|uses| uses.kept),
            reserved: of(|uses| uses.reserved),
            drawing: of(|uses| uses.drawing),
            conflicting: of(|uses| uses.conflicting),
            foreign: self.foreign,
            available: PerFamily { v4: available(Family::V4), v6: available(Family::V6) },
            gone: self.spec.is_none(),
        }
    }

    /// Whether it is neither there nor in use.
    pub(super) fn is_over(&self) -> bool {
        let unused = Uses::default();
        self.spec.is_none() && self.uses == PerFamily { v4: unused, v6: unused }
    }
}
