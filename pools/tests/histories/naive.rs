//! What is so, kept in the simplest way: records and promises, and what follows from them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use pools::{
    AddressSet, Afterwards, Entry, Family, Given, PerFamily, PoolFigures, PoolSpec, Port, Service,
    Source, State, TenantSpec, TenantUsage,
};

pub(crate) const BOTH: [Family; 2] = [Family::V4, Family::V6];

pub(crate) type Pair = PerFamily<Option<IpAddr>>;
pub(crate) type Key = Option<(String, String)>;
/// A tenant, and `<namespace>/<name>`.
pub(crate) type Who = (String, String);

#[derive(Clone, Default)]
pub(crate) struct Naive {
    pub(crate) pools: BTreeMap<String, PoolSpec>,
    /// What the pools that count hold, by age.
    held: Vec<(String, BTreeSet<IpAddr>)>,
    pub(crate) tenants: BTreeMap<&'static str, TenantSpec>,
    pub(crate) records: BTreeMap<IpAddr, Written>,
    pub(crate) promises: BTreeMap<(Who, Family), Promise>,
    /// The ports that a Service asked for last.
    pub(crate) wished: BTreeMap<Who, Vec<Port>>,
    /// With which key a promised address is shared that no Service has by a record.
    pub(crate) keys: BTreeMap<IpAddr, Key>,
    /// What follows.
    pub(crate) entries: BTreeMap<IpAddr, Use>,
}

#[derive(Clone, Debug)]
pub(crate) struct Written {
    pub(crate) pool: String,
    pub(crate) created: u64,
    pub(crate) tenant: String,
    pub(crate) owner: Own,
}

#[derive(Clone, Debug)]
pub(crate) enum Own {
    Services(BTreeMap<String, Vec<Port>>, Key),
    Other(State),
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Promise {
    Address(IpAddr, String),
    Draw(String),
}

#[derive(Clone, Debug)]
pub(crate) struct Use {
    pub(crate) pool: String,
    pub(crate) tenant: String,
    pub(crate) state: State,
    pub(crate) sharing: Key,
    pub(crate) promised: bool,
    /// Whom the record names that has another address.
    pub(crate) vain: Vec<String>,
}

pub(crate) fn name(service: &Service<'_>) -> String {
    format!("{}/{}", service.namespace, service.name)
}

pub(crate) fn who(service: &Service<'_>) -> Who {
    (service.tenant.to_owned(), name(service))
}

impl Use {
    pub(crate) fn services(&self) -> &[String] {
        match &self.state {
            State::Assigned(services) => services,
            _ => &[],
        }
    }

    pub(crate) fn awaits(&self, service: &Service<'_>) -> bool {
        self.tenant == service.tenant && waits_for(&self.state, &name(service))
    }
}

pub(crate) fn waits_for(state: &State, service: &str) -> bool {
    match state {
        State::Resting { last, .. } => last.as_deref() == Some(service),
        State::Kept(whose) => whose == service,
        State::Reserved(last) => last.as_ref().is_none_or(|last| last == service),
        State::Assigned(_) | State::Foreign(_) | State::Conflicting => false,
    }
}

impl Naive {
    /// Where a Service is by what it was promised, or by the record that counts.
    pub(crate) fn seat(&self, who: &Who, family: Family) -> Option<IpAddr> {
        match self.promises.get(&(who.clone(), family)) {
            Some(Promise::Address(address, _)) => return Some(*address),
            Some(Promise::Draw(_)) => return None,
            None => {}
        }
        let named = |(address, record): &(&IpAddr, &Written)| {
            let named = match &record.owner {
                Own::Services(services, _) => services.contains_key(&who.1),
                Own::Other(_) => false,
            };
            named && record.tenant == who.0 && Family::of(**address) == family
        };
        let records = self.records.iter().filter(named);
        records.map(|(address, record)| (record.created, *address)).min().map(|(_, a)| a)
    }

    /// Those that are promised an address, and the pool it was promised of.
    fn promised(&self, address: IpAddr) -> Vec<(&Who, &String)> {
        let mut found = Vec::new();
        for ((who, _), promise) in &self.promises {
            match promise {
                Promise::Address(other, pool) if *other == address => found.push((who, pool)),
                Promise::Address(..) | Promise::Draw(_) => {}
            }
        }
        found
    }

    /// What follows from records and promises.
    pub(crate) fn follow(&mut self) {
        let promised = self.promises.values().filter_map(|promise| match promise {
            Promise::Address(address, _) => Some(*address),
            Promise::Draw(_) => None,
        });
        let all: BTreeSet<IpAddr> = self.records.keys().copied().chain(promised).collect();
        self.entries = all.into_iter().map(|address| (address, self.use_of(address))).collect();
        let entries = &self.entries;
        self.keys.retain(|address, _| entries.get(address).is_some_and(|used| used.promised));
    }

    fn use_of(&self, address: IpAddr) -> Use {
        let promised = self.promised(address);
        let mut names: BTreeSet<String> = promised.iter().map(|(who, _)| who.1.clone()).collect();
        let key = || self.keys.get(&address).cloned().flatten();
        let Some(record) = self.records.get(&address) else {
            let (who, pool) = promised[0];
            let state = State::Assigned(names.into_iter().collect());
            let (pool, tenant) = (pool.clone(), who.0.clone());
            return Use { pool, tenant, state, sharing: key(), promised: true, vain: Vec::new() };
        };
        let (mut sharing, mut vain) = (key(), Vec::new());
        let state = match &record.owner {
            Own::Services(services, with) => {
                sharing.clone_from(with);
                for service in services.keys() {
                    let who = (record.tenant.clone(), service.clone());
                    if self.seat(&who, Family::of(address)) == Some(address) {
                        names.insert(service.clone());
                    } else {
                        vain.push(service.clone());
                    }
                }
                State::Conflicting
            }
            Own::Other(state) => state.clone(),
        };
        let assigned = || State::Assigned(names.iter().cloned().collect());
        let state = if names.is_empty() { state } else { assigned() };
        let (pool, tenant) = (record.pool.clone(), record.tenant.clone());
        Use { pool, tenant, state, sharing, promised: !promised.is_empty(), vain }
    }

    /// The ports of a Service: those it asked for while something is promised to it, else those of
    /// the older of its records.
    pub(crate) fn ports(&self, who: &Who) -> Vec<Port> {
        let pending = |family: &Family| self.promises.contains_key(&(who.clone(), *family));
        if BOTH.iter().any(pending) {
            return self.wished[who].clone();
        }
        let seats = BOTH.iter().filter_map(|family| self.seat(who, *family));
        let age = |address: &IpAddr| (self.records[address].created, *address);
        seats.min_by_key(age).map(|address| self.told(&address, &who.1)).unwrap_or_default()
    }

    /// The ports that a record tells of a Service.
    pub(crate) fn told(&self, address: &IpAddr, service: &str) -> Vec<Port> {
        match &self.records[address].owner {
            Own::Services(services, _) => services[service].clone(),
            Own::Other(_) => Vec::new(),
        }
    }

    pub(crate) fn entries(&self) -> Vec<Entry> {
        let entry = |(address, used): (&IpAddr, &Use)| {
            let Use { pool, tenant, state, promised, .. } = used.clone();
            let some = |text: String| (!matches!(state, State::Foreign(_))).then_some(text);
            let (pool, tenant) = (some(pool), some(tenant));
            Entry { address: *address, pool, tenant, state, promised }
        };
        self.entries.iter().map(entry).collect()
    }

    pub(crate) fn of(&self, service: &Service<'_>) -> Option<Given> {
        let mut given: Option<Given> = None;
        for family in BOTH {
            let Some(address) = self.seat(&who(service), family) else { continue };
            let pool = self.entries[&address].pool.as_str().into();
            let given =
                given.get_or_insert_with(|| Given { pool, addresses: PerFamily::default() });
            *given.addresses.get_mut(family) = Some(address);
        }
        given
    }

    /// From which pool a Service draws, and which families.
    pub(crate) fn drawing(&self, who: &Who) -> Option<(String, PerFamily<bool>)> {
        let mut drawing: Option<(String, PerFamily<bool>)> = None;
        for family in BOTH {
            if let Some(Promise::Draw(pool)) = self.promises.get(&(who.clone(), family)) {
                let drawing = drawing.get_or_insert_with(|| (pool.clone(), PerFamily::default()));
                *drawing.1.get_mut(family) = true;
            }
        }
        drawing
    }

    fn together(one: &PoolSpec, other: &PoolSpec) -> bool {
        match (&one.source, &other.source) {
            (Source::Elsewhere { name, .. }, Source::Elsewhere { name: other, .. }) => {
                name == other
            }
            _ => false,
        }
    }

    pub(crate) fn set_pools(&mut self, pools: &BTreeMap<String, PoolSpec>) {
        self.pools.clone_from(pools);
        let held = |pool: &str| (pool.to_owned(), self.all_of(pool));
        self.held = self.sound().into_iter().map(held).collect();
    }

    pub(crate) fn usable(&self) -> Vec<&str> {
        self.held.iter().map(|(name, _)| name.as_str()).collect()
    }

    pub(crate) fn contents(&self, pool: &str) -> BTreeSet<IpAddr> {
        let held = self.held.iter().find(|(name, _)| name == pool);
        held.map(|(_, addresses)| addresses.clone()).unwrap_or_default()
    }

    /// By age, the pools that overlap none before them but of the same other allocator.
    fn sound(&self) -> Vec<&str> {
        let mut order: Vec<_> = self.pools.iter().collect();
        order.sort_by_key(|(name, spec)| (spec.created, *name));
        let mut usable: Vec<(&str, &PoolSpec)> = Vec::new();
        for (name, spec) in order {
            let clash = |other: &PoolSpec| {
                let met: Option<_> = AddressSet::overlap(&other.contents(), &spec.contents());
                met.is_some() && !Self::together(other, spec)
            };
            if !spec.broken && !usable.iter().any(|(_, other)| clash(other)) {
                usable.push((name, spec));
            }
        }
        usable.into_iter().map(|(name, _)| name).collect()
    }

    fn all_of(&self, pool: &str) -> BTreeSet<IpAddr> {
        let spec = &self.pools[pool];
        let last = |address: &IpAddr| match address {
            IpAddr::V4(v4) => v4.octets()[3],
            IpAddr::V6(_) => 1,
        };
        let all = spec.contents();
        let mut addresses = BTreeSet::new();
        for range in all.ranges() {
            let mut next = Some(range.first());
            while let Some(address) = next.filter(|address| *address <= range.last()) {
                addresses.insert(address);
                next = match address {
                    IpAddr::V4(v4) => v4.to_bits().checked_add(1).map(|b| IpAddr::V4(b.into())),
                    IpAddr::V6(v6) => v6.to_bits().checked_add(1).map(|b| IpAddr::V6(b.into())),
                };
            }
        }
        addresses.retain(|a| !spec.avoid_buggy_ips || !matches!(last(a), 0 | 255));
        addresses
    }

    /// What another allocator has left of a pool.
    pub(crate) fn left(&self, pool: &str, family: Family) -> Option<u64> {
        match &self.pools.get(pool)?.source {
            Source::Here => None,
            Source::Elsewhere { free, .. } => {
                let contents = self.contents(pool);
                let all = contents.iter().filter(|a| Family::of(**a) == family).count() as u64;
                Some(all.min(*free.get(family)))
            }
        }
    }

    pub(crate) fn free(&self, pool: &str, family: Family) -> BTreeSet<IpAddr> {
        let mut free = self.contents(pool);
        let elsewhere = self.left(pool, family).is_some();
        free.retain(|a| !elsewhere && Family::of(*a) == family && !self.entries.contains_key(a));
        free
    }

    pub(crate) fn figures(&self, pool: &str) -> PoolFigures {
        let gone = !self.pools.contains_key(pool);
        let mut figures = PoolFigures { pool: pool.to_owned(), gone, ..PoolFigures::default() };
        let contents = self.contents(pool);
        for family in BOTH {
            let of = |a: &&IpAddr| Family::of(**a) == family;
            *figures.total.get_mut(family) = contents.iter().filter(of).count() as u128;
            let left = self.left(pool, family).map(u128::from);
            let available = left.unwrap_or_else(|| self.free(pool, family).len() as u128);
            *figures.available.get_mut(family) = available;
        }
        for (address, used) in &self.entries {
            let foreign = matches!(used.state, State::Foreign(_));
            if foreign && !self.touches(pool, *address) || !foreign && used.pool != pool {
                continue;
            }
            let count = match used.state {
                State::Assigned(_) => &mut figures.assigned,
                State::Resting { .. } => &mut figures.resting,
                State::Kept(_) => &mut figures.kept,
                State::Reserved(_) => &mut figures.reserved,
                State::Foreign(_) => &mut figures.foreign,
                State::Conflicting => &mut figures.conflicting,
            };
            *count.get_mut(Family::of(*address)) += 1;
        }
        for ((_, family), promise) in &self.promises {
            let here = *promise == Promise::Draw(pool.to_owned());
            *figures.drawing.get_mut(*family) += u64::from(here);
        }
        figures
    }

    /// Whether an address is in the ranges of a pool that counts, whether it gives it or not.
    fn touches(&self, pool: &str, address: IpAddr) -> bool {
        self.usable().contains(&pool) && self.pools[pool].contents().contains(address)
    }

    pub(crate) fn usage(&self, tenant: &str) -> TenantUsage {
        let mut usage = TenantUsage::default();
        let mut services = BTreeSet::new();
        for (address, used) in self.entries.iter().filter(|(_, used)| used.tenant == tenant) {
            services.extend(used.services().iter().cloned());
            let count = match used.state {
                State::Assigned(_) => &mut usage.addresses,
                State::Resting { .. } => &mut usage.resting,
                State::Kept(_) => &mut usage.kept,
                State::Reserved(_) => &mut usage.reserved,
                State::Foreign(_) | State::Conflicting => continue,
            };
            *count.get_mut(Family::of(*address)) += 1;
        }
        for ((who, family), promise) in self.promises.iter().filter(|((w, _), _)| w.0 == tenant) {
            if let Promise::Draw(_) = promise {
                services.insert(who.1.clone());
                *usage.drawing.get_mut(*family) += 1;
            }
        }
        usage.load_balancers = services.len() as u64;
        for service in services {
            usage.ports += self.ports(&(tenant.to_owned(), service)).len() as u64;
        }
        usage
    }

    pub(crate) fn rested(&self, now: u64) -> Vec<IpAddr> {
        let over = |used: &Use| matches!(used.state, State::Resting { until, .. } if until <= now);
        self.entries.iter().filter(|(_, used)| over(used)).map(|(address, _)| *address).collect()
    }

    pub(crate) fn withdraw(&mut self, service: &Service<'_>) {
        self.promises.retain(|(other, _), _| *other != who(service));
        self.follow();
    }

    pub(crate) fn forget(&mut self, address: IpAddr) {
        self.records.remove(&address);
        self.promises
            .retain(|_, promise| !matches!(promise, Promise::Address(a, _) if *a == address));
        self.follow();
    }

    pub(crate) fn release(
        &mut self,
        service: &Service<'_>,
        family: Family,
        then: Afterwards<'_>,
    ) -> Vec<IpAddr> {
        let us = who(service);
        let seat = self.seat(&us, family);
        let promise = self.promises.remove(&(us.clone(), family));
        let mut freed: Vec<IpAddr> = Vec::new();
        let all: BTreeSet<IpAddr> = self.records.keys().copied().chain(seat).collect();
        for address in all.into_iter().filter(|address| Family::of(*address) == family) {
            let mut named = seat == Some(address);
            let mut others = !self.promised(address).is_empty();
            if let Some(Written { tenant, owner: Own::Services(services, _), .. }) =
                self.records.get_mut(&address)
            {
                named |= *tenant == us.0 && services.remove(&us.1).is_some();
                others |= !services.is_empty();
            }
            if !named || others {
                continue;
            }
            let pool = match &promise {
                Some(Promise::Address(at, pool)) if *at == address => pool.clone(),
                _ => String::new(),
            };
            freed.push(address);
            let state = match then {
                Afterwards::Free => {
                    self.records.remove(&address);
                    continue;
                }
                Afterwards::Rest(until) => State::Resting { last: Some(us.1.clone()), until },
                Afterwards::Keep => State::Kept(us.1.clone()),
                Afterwards::Reserved(whom) => {
                    State::Reserved(whom.map(|(ns, n)| format!("{ns}/{n}")))
                }
            };
            let (tenant, owner) = (us.0.clone(), Own::Other(state));
            let record = self.records.entry(address);
            let record = record.or_insert_with(|| Written {
                pool,
                created: 0,
                tenant,
                owner: owner.clone(),
            });
            record.owner = owner;
        }
        freed.sort_by_key(|address| (Some(*address) != seat, *address));
        self.follow();
        freed
    }
}
