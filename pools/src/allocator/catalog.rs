//! The pools: which there are, what of them is free, and in which order they are tried.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use slab::Slab;

use super::names::Names;
use crate::check::is_forbidden;
use crate::pool::Rank;
use crate::space::{Space, is_buggy};
use crate::{AddressRange, AddressSet, Family, PerFamily, PoolFigures, PoolSpec};

/// The number of a pool; it stays the same for as long as the pool, or an address of it, is there.
pub(super) type PoolId = u32;

/// Pools in the order in which they are tried.
type Open = PerFamily<BTreeMap<(Rank, Arc<str>), PoolId>>;

#[derive(Clone, Debug, Default)]
pub(super) struct Catalog {
    pools: Slab<Pool>,
    names: Names,
    /// Of the pools that count, the last address of each range, and the pool, by the first.
    ranges: BTreeMap<IpAddr, (IpAddr, PoolId)>,
    /// Pools for all tenants that assign by themselves and have free addresses.
    open: Open,
    /// The same, of pools that are bound to a tenant.
    bound: BTreeMap<Arc<str>, Open>,
}

#[derive(Clone, Debug)]
pub(super) struct Pool {
    pub(super) name: Arc<str>,
    /// `None` once it is deleted, while addresses of it are in use.
    pub(super) spec: Option<PoolSpec>,
    /// The older pool it overlaps, and where.
    pub(super) conflict: Option<(Arc<str>, AddressRange)>,
    /// Whether it holds what no pool may hold.
    pub(super) forbidden: bool,
    /// The addresses of its spec.
    contents: AddressSet,
    total: PerFamily<u128>,
    space: Space,
    pub(super) uses: PerFamily<Uses>,
}

/// Addresses of a pool that are in use, by how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Uses {
    pub(super) assigned: u64,
    pub(super) resting: u64,
    pub(super) reserved: u64,
}

impl Uses {
    const fn is_empty(&self) -> bool {
        self.assigned == 0 && self.resting == 0 && self.reserved == 0
    }
}

impl Pool {
    fn new(name: Arc<str>) -> Self {
        let uses = PerFamily::default();
        let (total, space) = (PerFamily::default(), Space::default());
        let contents = AddressSet::default();
        Self { name, spec: None, conflict: None, forbidden: false, contents, total, space, uses }
    }

    pub(super) fn has_free(&self, family: Family) -> bool {
        self.space.free(family) > 0
    }

    /// Whether it leaves this address of its ranges out.
    pub(super) fn avoids(&self, address: IpAddr) -> bool {
        is_buggy(address) && self.spec.as_ref().is_some_and(|spec| spec.avoid_buggy_ips)
    }

    pub(super) fn lowest(&self, family: Family) -> Option<IpAddr> {
        self.space.lowest(family)
    }

    pub(super) fn figures(&self) -> PoolFigures {
        let of =
            |get: fn(&Uses) -> u64| PerFamily { v4: get(&self.uses.v4), v6: get(&self.uses.v6) };
        PoolFigures {
            pool: self.name.to_string(),
            total: self.total,
            assigned: of(|uses| uses.assigned),
            resting: of(|uses| uses.resting),
            reserved: of(|uses| uses.reserved),
            available: PerFamily {
                v4: self.space.free(Family::V4),
                v6: self.space.free(Family::V6),
            },
        }
    }

    /// Whether it may be among those that are tried.
    fn gives(&self, family: Family) -> bool {
        let spec = self.spec.as_ref().filter(|_| self.conflict.is_none());
        let willing = spec.is_some_and(|s| s.auto_assign && !s.drain && !s.delegated && !s.broken);
        willing && self.has_free(family)
    }
}

impl Catalog {
    pub(super) fn get(&self, pool: PoolId) -> Option<&Pool> {
        self.pools.get(pool as usize)
    }

    pub(super) fn named(&self, name: &str) -> Option<(PoolId, &Pool)> {
        let id = self.names.get(name)?;
        self.get(id).map(|pool| (id, pool))
    }

    /// All pools that have a spec, by name.
    pub(super) fn iter(&self) -> impl Iterator<Item = (PoolId, &Pool)> {
        let pools = self.names.numbers().filter_map(|id| Some((id, self.get(id)?)));
        pools.filter(|(_, pool)| pool.spec.is_some())
    }

    /// The pool that counts and holds this address in its ranges.
    pub(super) fn at(&self, address: IpAddr) -> Option<(PoolId, &Pool)> {
        let (_, (last, id)) = self.ranges.range(..=address).next_back()?;
        let inside = address <= *last && Family::of(address) == Family::of(*last);
        inside.then(|| self.get(*id)).flatten().map(|pool| (*id, pool))
    }

    /// The pools that may have a free address of this family for a tenant, in order.
    pub(super) fn candidates<'c>(
        &'c self,
        family: Family,
        tenant: &str,
    ) -> impl Iterator<Item = (PoolId, &'c Pool)> + use<'c> {
        let mut open = self.open.get(family).iter().peekable();
        let bound = self.bound.get(tenant).map(|bound| bound.get(family));
        let mut bound = bound.into_iter().flatten().peekable();
        let ids = std::iter::from_fn(move || match (open.peek(), bound.peek()) {
            (Some((one, _)), Some((other, _))) if other < one => bound.next(),
            (None, _) => bound.next(),
            (Some(_), _) => open.next(),
        });
        ids.filter_map(|(_, id)| Some((*id, self.get(*id)?)))
    }

    /// The number of a pool of this name, whether there is one or not.
    pub(super) fn intern(&mut self, name: &str) -> PoolId {
        if let Some(id) = self.names.get(name) {
            return id;
        }
        let name: Arc<str> = name.into();
        let id = self.pools.insert(Pool::new(name.clone()));
        let id = PoolId::try_from(id).unwrap_or(PoolId::MAX);
        self.names.insert(name, id);
        id
    }

    /// Takes an address out of what is free.
    pub(super) fn take(&mut self, address: IpAddr) {
        self.change(address, Space::take);
    }

    /// Makes an address free again, if a pool holds it.
    pub(super) fn give_back(&mut self, address: IpAddr) {
        self.change(address, Space::give_back);
    }

    fn change(&mut self, address: IpAddr, change: fn(&mut Space, IpAddr) -> bool) {
        let Some((id, _)) = self.at(address).filter(|(_, p)| !p.avoids(address)) else { return };
        let Some(pool) = self.pools.get_mut(id as usize) else { return };
        let family = Family::of(address);
        let before = pool.has_free(family);
        if change(&mut pool.space, address) && before != pool.has_free(family) {
            self.list(id, family);
        }
    }

    /// Counts a use of an address.
    pub(super) fn uses(&mut self, pool: PoolId, family: Family) -> Option<&mut Uses> {
        self.pools.get_mut(pool as usize).map(|pool| pool.uses.get_mut(family))
    }

    /// Forgets a pool that is neither there nor in use.
    pub(super) fn tidy(&mut self, id: PoolId) {
        let gone = self.get(id).is_some_and(|pool| {
            pool.spec.is_none() && pool.uses.v4.is_empty() && pool.uses.v6.is_empty()
        });
        if gone {
            let pool = self.pools.remove(id as usize);
            self.names.remove(&pool.name);
        }
    }

    /// Takes these pools instead of those there are; gives the ranges that are not as they were.
    pub(super) fn replace(&mut self, specs: BTreeMap<String, PoolSpec>) -> Vec<AddressRange> {
        let gone: Vec<_> = self.iter().filter(|(_, p)| !specs.contains_key(&*p.name)).collect();
        let gone: Vec<PoolId> = gone.into_iter().map(|(id, _)| id).collect();
        let mut order: Vec<_> =
            specs.into_iter().map(|(name, spec)| (spec.created, name, spec)).collect();
        order.sort_by(|a, b| (a.0, &a.1).cmp(&(b.0, &b.1)));
        self.ranges.clear();
        self.open = Open::default();
        self.bound.clear();
        let mut renewed = Vec::new();
        for (_, name, spec) in order {
            let id = self.intern(&name);
            renewed.extend(self.set(id, spec));
            for family in [Family::V4, Family::V6] {
                self.list(id, family);
            }
        }
        for id in gone {
            if let Some(pool) = self.pools.get_mut(id as usize) {
                let (name, uses) = (pool.name.clone(), pool.uses);
                *pool = Pool { uses, ..Pool::new(name) };
            }
            self.tidy(id);
        }
        renewed
    }

    /// Sets a pool, after those that are older; gives its ranges if they must be filled anew.
    fn set(&mut self, id: PoolId, spec: PoolSpec) -> Vec<AddressRange> {
        let Some(pool) = self.pools.get_mut(id as usize) else { return Vec::new() };
        let same = pool.spec.as_ref() == Some(&spec);
        let contents = if same { pool.contents.clone() } else { spec.contents() };
        let kept = same
            || pool.spec.as_ref().is_some_and(|before| {
                before.avoid_buggy_ips == spec.avoid_buggy_ips && pool.contents == contents
            });
        let forbidden = if kept { pool.forbidden } else { is_forbidden(&contents) };
        let avoid = spec.avoid_buggy_ips;
        pool.spec = Some(spec);
        let conflict = contents.ranges().find_map(|range| self.overlap(range));
        if conflict.is_none() && !forbidden {
            let ranges = contents.ranges().map(|range| (range.first(), (range.last(), id)));
            self.ranges.extend(ranges);
        }
        let Some(pool) = self.pools.get_mut(id as usize) else { return Vec::new() };
        if kept && conflict == pool.conflict {
            return Vec::new();
        }
        (pool.conflict, pool.forbidden) = (conflict, forbidden);
        let counts = pool.conflict.is_none() && !forbidden;
        pool.contents = contents;
        let nothing = AddressSet::default();
        let usable = if counts { &pool.contents } else { &nothing };
        pool.space = Space::new(usable, avoid);
        pool.total = PerFamily { v4: pool.space.free(Family::V4), v6: pool.space.free(Family::V6) };
        usable.ranges().copied().collect()
    }

    /// The pool that holds part of a range already, and which part.
    fn overlap(&self, range: &AddressRange) -> Option<(Arc<str>, AddressRange)> {
        let inside = self.ranges.range(..=range.last()).next_back();
        let (first, (last, id)) = inside.filter(|(_, (last, _))| *last >= range.first())?;
        if Family::of(*last) != Family::of(range.first()) {
            return None;
        }
        let met = AddressRange::new(range.first().max(*first), range.last().min(*last)).ok()?;
        self.get(*id).map(|pool| (pool.name.clone(), met))
    }

    /// Puts a pool among those that are tried, or takes it out.
    fn list(&mut self, id: PoolId, family: Family) {
        let Some(pool) = self.pools.get(id as usize) else { return };
        let Some(spec) = &pool.spec else { return };
        let key = (spec.rank(), pool.name.clone());
        let set = |open: &mut Open| match pool.gives(family) {
            true => drop(open.get_mut(family).insert(key.clone(), id)),
            false => drop(open.get_mut(family).remove(&key)),
        };
        match &spec.tenants {
            None => set(&mut self.open),
            Some(tenants) => {
                for tenant in tenants {
                    set(self.bound.entry(tenant.as_str().into()).or_default());
                }
            }
        }
    }
}
