//! The pools: which there are, what of them is free, and in which order they are tried.

mod pool;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use slab::Slab;
use smol_str::SmolStr;

pub(super) use pool::{Fresh, Pool, Uses};

use super::names::Names;
use crate::check::is_forbidden;
use crate::pool::Rank;
use crate::space::Space;
use crate::{AddressRange, AddressSet, Family, PerFamily, PoolSpec, Source};

/// The number of a pool; it stays the same for as long as the pool, or an address of it, is there.
pub(super) type PoolId = u32;

/// Pools in the order in which they are tried.
type Open = PerFamily<BTreeMap<(Rank, SmolStr), PoolId>>;

#[derive(Clone, Debug, Default)]
pub(super) struct Catalog {
    pools: Slab<Pool>,
    names: Names,
    /// Of the pools that count, the last address of each range, and the pool, by the first. What
    /// pools of one other allocator have in common is the oldest one's.
    ranges: BTreeMap<IpAddr, (IpAddr, PoolId)>,
    /// By the name of the other allocator.
    groups: BTreeMap<Arc<str>, Group>,
    /// Pools that do not count.
    idle: Vec<PoolId>,
    /// Pools for all tenants that assign by themselves and have free addresses.
    open: Open,
    /// The same, of pools that are bound to a tenant.
    bound: BTreeMap<Arc<str>, Open>,
}

/// Pools that one other allocator hands out.
#[derive(Clone, Debug, Default)]
struct Group {
    /// By age.
    pools: Vec<PoolId>,
    /// The addresses of all.
    contents: AddressSet,
}

impl Catalog {
    pub(super) fn get(&self, pool: PoolId) -> Option<&Pool> {
        self.pools.get(pool as usize)
    }

    pub(super) fn named(&self, name: &str) -> Option<(PoolId, &Pool)> {
        let id = self.names.get(name)?;
        self.get(id).map(|pool| (id, pool))
    }

    /// All pools, by name; also those that are gone while addresses of them are in use.
    pub(super) fn all(&self) -> impl Iterator<Item = (PoolId, &Pool)> {
        self.names.numbers().filter_map(|id| Some((id, self.get(id)?)))
    }

    /// All pools that have a spec, by name.
    pub(super) fn iter(&self) -> impl Iterator<Item = (PoolId, &Pool)> {
        self.all().filter(|(_, pool)| pool.spec.is_some())
    }

    /// The pools that hold this address, by age: several only where another allocator hands it out.
    pub(super) fn at(&self, address: IpAddr) -> impl Iterator<Item = (PoolId, &Pool)> {
        let first = self.owner(address);
        let group = first.and_then(|id| self.group(id));
        let one = first.filter(|_| group.is_none());
        let ids = one.into_iter().chain(group.into_iter().flat_map(|g| g.pools.iter().copied()));
        let pools = ids.filter_map(|id| Some((id, self.get(id)?)));
        pools.filter(move |(_, pool)| pool.holds(address))
    }

    /// A pool whose ranges hold this address, but do not count.
    pub(super) fn idle_at(&self, address: IpAddr) -> Option<&Pool> {
        let pools = self.idle.iter().filter_map(|id| self.get(*id));
        pools.into_iter().find(|pool| pool.contents.contains(address))
    }

    /// The oldest pool that counts and has this address in its ranges.
    fn owner(&self, address: IpAddr) -> Option<PoolId> {
        let (_, (last, id)) = self.ranges.range(..=address).next_back()?;
        (address <= *last && Family::of(address) == Family::of(*last)).then_some(*id)
    }

    fn group(&self, pool: PoolId) -> Option<&Group> {
        match &self.get(pool)?.spec.as_ref()?.source {
            Source::Here => None,
            Source::Elsewhere { name, .. } => self.groups.get(name),
        }
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
        let name: SmolStr = name.into();
        let id = self.pools.insert(Pool::new(name.clone()));
        let id = PoolId::try_from(id).unwrap_or(PoolId::MAX);
        self.names.insert(name, id);
        id
    }

    /// An address of a pool that was filled anew is in use.
    pub(super) fn find_in_use(&mut self, id: PoolId, address: IpAddr, foreign: bool) {
        self.take(address, id);
        if let Some(pool) = self.pools.get_mut(id as usize).filter(|_| foreign) {
            *pool.foreign.get_mut(Family::of(address)) += 1;
        }
    }

    /// Takes an address out of what is free, in all likelihood of this pool; whether it was free.
    pub(super) fn take(&mut self, address: IpAddr, likely: PoolId) -> bool {
        self.change(address, likely, Space::take)
    }

    /// Makes an address free again, if a pool holds it, in all likelihood this one.
    pub(super) fn give_back(&mut self, address: IpAddr, likely: PoolId) {
        self.change(address, likely, Space::give_back);
    }

    fn change(
        &mut self,
        address: IpAddr,
        likely: PoolId,
        change: impl Fn(&mut Space, IpAddr) -> bool,
    ) -> bool {
        // Whose own address it is, it need not be looked for among those of all pools.
        self.change_of(likely, address, &change)
            || self
                .owner(address)
                .is_some_and(|id| id != likely && self.change_of(id, address, &change))
    }

    /// The same of one pool; whether it changed.
    fn change_of(
        &mut self,
        id: PoolId,
        address: IpAddr,
        change: &impl Fn(&mut Space, IpAddr) -> bool,
    ) -> bool {
        let Some(pool) = self.pools.get_mut(id as usize) else { return false };
        let family = Family::of(address);
        let before = pool.space.is_empty(family);
        if pool.avoids(address) || !change(&mut pool.space, address) {
            return false;
        }
        if before || pool.space.is_empty(family) {
            self.list(id, family);
        }
        true
    }

    /// Counts an address that something else than a Service uses, or no longer.
    pub(super) fn count_foreign(&mut self, address: IpAddr, more: bool) {
        let first = self.owner(address);
        let pools = first.and_then(|id| self.group(id)).map(|group| group.pools.clone());
        for id in pools.unwrap_or_else(|| first.into_iter().collect()) {
            let pool = self.pools.get_mut(id as usize).filter(|p| p.contents.contains(address));
            let Some(pool) = pool else { continue };
            let count = pool.foreign.get_mut(Family::of(address));
            *count = if more { *count + 1 } else { count.saturating_sub(1) };
        }
    }

    /// Sets what another allocator has left of a pool.
    pub(super) fn set_free(&mut self, id: PoolId, left: PerFamily<u64>) {
        for family in [Family::V4, Family::V6] {
            let Some(pool) = self.pools.get_mut(id as usize) else { return };
            let before = pool.has_free(family);
            let Some(spec) = &mut pool.spec else { return };
            let mut now = spec.free_elsewhere().unwrap_or_default();
            *now.get_mut(family) = *left.get(family);
            if spec.set_free(now) && before != pool.has_free(family) {
                self.list(id, family);
            }
        }
    }

    /// Counts a use of an address.
    pub(super) fn uses(&mut self, pool: PoolId, family: Family) -> Option<&mut Uses> {
        self.pools.get_mut(pool as usize).map(|pool| pool.uses.get_mut(family))
    }

    /// Forgets a pool that is neither there nor in use.
    pub(super) fn tidy(&mut self, id: PoolId) {
        if self.get(id).is_some_and(Pool::is_over) {
            let pool = self.pools.remove(id as usize);
            self.names.remove(&pool.name);
        }
    }

    /// Takes these pools instead of those there are; gives the ranges that are not as they were,
    /// one after the other even where several pools have them.
    pub(super) fn replace(
        &mut self,
        mut specs: BTreeMap<String, PoolSpec>,
    ) -> Vec<(PoolId, AddressSet)> {
        if self.takes_figures_of(&mut specs) {
            return Vec::new();
        }
        let gone: Vec<_> = self.iter().filter(|(_, p)| !specs.contains_key(&*p.name)).collect();
        let gone: Vec<PoolId> = gone.into_iter().map(|(id, _)| id).collect();
        let mut order: Vec<_> =
            specs.into_iter().map(|(name, spec)| (spec.created, name, spec)).collect();
        order.sort_by(|a, b| (a.0, &a.1).cmp(&(b.0, &b.1)));
        self.ranges.clear();
        self.groups.clear();
        self.idle.clear();
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

    /// Whether these are the pools there are, but for what other allocators have left, which is
    /// taken over then.
    fn takes_figures_of(&mut self, specs: &mut BTreeMap<String, PoolSpec>) -> bool {
        let mut left = Vec::new();
        let mut known = self.iter();
        for (name, spec) in specs {
            let Some((id, pool)) = known.next() else { return false };
            let same = |before: &PoolSpec| before.differs_in_free_at_most(spec);
            if *pool.name != **name || !pool.spec.as_deref().is_some_and(same) {
                return false;
            }
            left.extend(spec.free_elsewhere().map(|left| (id, left)));
        }
        if known.next().is_some() {
            return false;
        }
        drop(known);
        for (id, left) in left {
            self.set_free(id, left);
        }
        true
    }

    /// Sets a pool, after those that are older; gives its ranges if they must be filled anew.
    fn set(&mut self, id: PoolId, spec: PoolSpec) -> Option<(PoolId, AddressSet)> {
        let pool = self.pools.get_mut(id as usize)?;
        let same = pool.spec.as_deref() == Some(&spec);
        let contents = if same { pool.contents.clone() } else { spec.contents() };
        let kept = pool.spec.as_ref().is_some_and(|before| {
            before.avoid_buggy_ips == spec.avoid_buggy_ips
                && before.free_elsewhere().is_some() == spec.free_elsewhere().is_some()
                && pool.contents == contents
        });
        let counted = pool.counts();
        pool.forbidden = if kept { pool.forbidden } else { is_forbidden(&contents) };
        (pool.contents, pool.spec, pool.conflict) = (contents, Some(Box::new(spec)), None);
        let conflict = self.pools.get(id as usize).and_then(|pool| self.overlap(pool));
        let pool = self.pools.get_mut(id as usize)?;
        pool.conflict = conflict.map(Box::new);
        pool.review();
        let counts = pool.counts();
        if !(kept && counted == counts) {
            pool.renew();
        }
        let contents = counts.then(|| pool.contents.clone());
        match &contents {
            Some(contents) => self.claim(id, contents),
            None => self.idle.push(id),
        }
        let renewed = !(kept && counted == counts);
        contents.filter(|_| renewed).map(|contents| (id, contents))
    }

    /// Makes addresses a pool's own, but for what is a pool's of the same other allocator.
    fn claim(&mut self, id: PoolId, contents: &AddressSet) {
        let Some(spec) = self.pools.get(id as usize).and_then(|pool| pool.spec.as_ref()) else {
            return;
        };
        let own = match &spec.source {
            Source::Here => contents.clone(),
            Source::Elsewhere { name, .. } => {
                let group = self.groups.entry(name.clone()).or_default();
                group.pools.push(id);
                let own = contents.minus(&group.contents);
                group.contents =
                    group.contents.ranges().chain(contents.ranges()).copied().collect();
                own
            }
        };
        self.ranges.extend(own.ranges().map(|range| (range.first(), (range.last(), id))));
    }

    /// A pool that holds part of another's addresses already, and which part.
    fn overlap(&self, pool: &Pool) -> Option<(SmolStr, AddressRange)> {
        pool.contents.ranges().find_map(|range| {
            let before = self.ranges.range(..=range.last()).rev();
            let met = before.take_while(|(_, (last, _))| *last >= range.first());
            met.filter_map(|(first, (last, id))| Some((first, last, self.get(*id)?)))
                .find(|(_, _, other)| !pool.is_handed_out_with(other))
                .and_then(|(first, last, other)| {
                    let (first, last) = (range.first().max(*first), range.last().min(*last));
                    Some((other.name.clone(), AddressRange::new(first, last).ok()?))
                })
        })
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
