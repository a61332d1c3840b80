//! What is so, kept in the simplest way: a map that is gone through.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use pools::{
    AddressSet, Afterwards, Allocator, Bound, Entry, Family, Given, Owner, PerFamily, PoolFigures,
    PoolSpec, Port, Record, Service, Sharing, State, TenantSpec, TenantUsage,
};

pub(crate) const BOTH: [Family; 2] = [Family::V4, Family::V6];

pub(crate) type Pair = PerFamily<Option<IpAddr>>;
type Ports = BTreeMap<(String, String), Vec<Port>>;

#[derive(Default)]
pub(crate) struct Naive {
    pub(crate) pools: BTreeMap<String, PoolSpec>,
    pub(crate) tenants: BTreeMap<&'static str, TenantSpec>,
    pub(crate) entries: BTreeMap<IpAddr, Use>,
    /// Of every Service that was ever bound, by tenant and name.
    pub(crate) ports: Ports,
}

#[derive(Clone)]
pub(crate) struct Use {
    pub(crate) pool: String,
    pub(crate) tenant: String,
    pub(crate) state: State,
    pub(crate) sharing: Option<(String, String)>,
}

pub(crate) fn name(service: &Service<'_>) -> String {
    format!("{}/{}", service.namespace, service.name)
}

impl Use {
    pub(crate) fn services(&self) -> &[String] {
        match &self.state {
            State::Assigned(services) => services,
            _ => &[],
        }
    }

    pub(crate) fn awaits(&self, service: &Service<'_>) -> bool {
        let ours = self.tenant == service.tenant;
        ours && match &self.state {
            State::Resting { last, .. } => *last == Some(name(service)),
            State::Kept(whose) => *whose == name(service),
            State::Reserved(last) => last.as_ref().is_none_or(|last| *last == name(service)),
            State::Assigned(_) | State::Foreign(_) | State::Conflicting => false,
        }
    }
}

impl Naive {
    pub(crate) fn entries(&self) -> Vec<Entry> {
        let entry = |(address, used): (&IpAddr, &Use)| {
            let Use { pool, tenant, state, .. } = used.clone();
            let (pool, tenant) = (Some(pool), Some(tenant));
            Entry { address: *address, pool, tenant, state, promised: false }
        };
        self.entries.iter().map(entry).collect()
    }

    pub(crate) fn of(&self, service: &Service<'_>) -> Option<Given> {
        let mut given: Option<Given> = None;
        for (address, used) in &self.entries {
            if used.tenant == service.tenant && used.services().contains(&name(service)) {
                let pool = used.pool.as_str().into();
                let addresses = PerFamily::default();
                let given = given.get_or_insert(Given { pool, addresses });
                *given.addresses.get_mut(Family::of(*address)) = Some(*address);
            }
        }
        given
    }

    /// The pools that overlap none that is older, or of the same age and before them by name.
    pub(crate) fn usable(&self) -> BTreeSet<&str> {
        let mut order: Vec<_> = self.pools.iter().collect();
        order.sort_by_key(|(name, spec)| (spec.created, *name));
        let (mut usable, mut taken) = (BTreeSet::new(), Vec::<AddressSet>::new());
        for (name, spec) in order {
            if taken.iter().all(|other| other.overlap(&spec.contents()).is_none()) {
                usable.insert(name.as_str());
                taken.push(spec.contents());
            }
        }
        usable
    }

    pub(crate) fn contents(&self, pool: &str) -> BTreeSet<IpAddr> {
        let spec = self.pools.get(pool).filter(|_| self.usable().contains(pool));
        let Some(spec) = spec else { return BTreeSet::new() };
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

    pub(crate) fn free(&self, pool: &str, family: Family) -> BTreeSet<IpAddr> {
        let mut free = self.contents(pool);
        free.retain(|a| Family::of(*a) == family && !self.entries.contains_key(a));
        free
    }

    pub(crate) fn figures(&self, pool: &str) -> PoolFigures {
        let mut figures = PoolFigures { pool: pool.to_owned(), ..PoolFigures::default() };
        for family in BOTH {
            let of = |a: &&IpAddr| Family::of(**a) == family;
            *figures.total.get_mut(family) = self.contents(pool).iter().filter(of).count() as u128;
            *figures.available.get_mut(family) = self.free(pool, family).len() as u128;
        }
        for (address, used) in self.entries.iter().filter(|(_, used)| used.pool == pool) {
            let count = match used.state {
                State::Assigned(_) => &mut figures.assigned,
                State::Resting { .. } => &mut figures.resting,
                State::Kept(_) => &mut figures.kept,
                State::Reserved(_) => &mut figures.reserved,
                State::Foreign(_) | State::Conflicting => unreachable!("left out"),
            };
            *count.get_mut(Family::of(*address)) += 1;
        }
        figures
    }

    pub(crate) fn usage(&self, tenant: &str) -> TenantUsage {
        let mut usage = TenantUsage::default();
        let mut services = BTreeSet::new();
        for (address, used) in self.entries.iter().filter(|(_, used)| used.tenant == tenant) {
            let count = match used.state {
                State::Assigned(_) => &mut usage.addresses,
                State::Resting { .. } => &mut usage.resting,
                State::Kept(_) => &mut usage.kept,
                State::Reserved(_) => &mut usage.reserved,
                State::Foreign(_) | State::Conflicting => unreachable!("left out"),
            };
            *count.get_mut(Family::of(*address)) += 1;
            services.extend(used.services());
        }
        usage.load_balancers = services.len() as u64;
        for service in services {
            usage.ports += self.ports[&(tenant.to_owned(), service.clone())].len() as u64;
        }
        usage
    }

    pub(crate) fn release(&mut self, service: &Service<'_>, then: Afterwards<'_>) -> Vec<IpAddr> {
        let mut freed = Vec::new();
        for (address, used) in &mut self.entries {
            let mut services = used.services().to_vec();
            let us = services.iter().position(|other| *other == name(service));
            let Some(us) = us.filter(|_| used.tenant == service.tenant) else { continue };
            services.remove(us);
            if !services.is_empty() {
                used.state = State::Assigned(services);
                continue;
            }
            let last = Some(name(service));
            used.state = match then {
                Afterwards::Rest(until) => State::Resting { last, until },
                Afterwards::Keep => State::Kept(name(service)),
                Afterwards::Reserved(whom) => {
                    State::Reserved(whom.map(|(ns, n)| format!("{ns}/{n}")))
                }
            };
            used.sharing = None;
            freed.push(*address);
        }
        freed
    }

    pub(crate) fn rested(&self, now: u64) -> Vec<IpAddr> {
        let over = |used: &Use| matches!(used.state, State::Resting { until, .. } if until <= now);
        self.entries.iter().filter(|(_, used)| over(used)).map(|(address, _)| *address).collect()
    }

    /// Whether no Service of a record has another address of the family.
    pub(crate) fn fits(&self, record: &Record<'_>) -> bool {
        let Owner::Services { services, tenant, .. } = record.owner else { return true };
        services.iter().all(|Bound { namespace, name, .. }| {
            let given = self.of(&Service { tenant, namespace, name });
            let has = given.and_then(|given| *given.addresses.get(Family::of(record.address)));
            has.is_none_or(|has| has == record.address)
        })
    }

    pub(crate) fn restore(&mut self, record: &Record<'_>) {
        let last = |last: Option<(&str, &str)>| last.map(|(ns, name)| format!("{ns}/{name}"));
        let mut sharing = None;
        let (tenant, state) = match record.owner {
            Owner::Services { services, tenant, sharing: with } => {
                let mut names = Vec::new();
                for Bound { namespace, name, ports } in services {
                    let service = format!("{namespace}/{name}");
                    let key = (tenant.to_owned(), service.clone());
                    self.ports.insert(key, ports.to_vec());
                    names.push(service);
                }
                names.sort();
                names.dedup();
                let with = with.filter(|sharing| !sharing.key.is_empty());
                sharing = with.map(|s| (s.key.to_owned(), s.backends.to_owned()));
                (tenant, State::Assigned(names))
            }
            Owner::Resting { tenant, last: whose, until } => {
                (tenant, State::Resting { last: last(whose), until })
            }
            Owner::Kept { tenant, namespace, name } => {
                (tenant, State::Kept(format!("{namespace}/{name}")))
            }
            Owner::Reserved { tenant, service } => (tenant, State::Reserved(last(service))),
            Owner::Foreign(_) => unreachable!("left out"),
        };
        let (pool, tenant) = (record.pool.to_owned(), tenant.to_owned());
        self.entries.insert(record.address, Use { pool, tenant, state, sharing });
    }

    /// An allocator that is told all of this in an order that the seed decides.
    pub(crate) fn rebuilt(&self, pools: &BTreeMap<String, PoolSpec>, seed: u64) -> Allocator {
        let mut allocator = Allocator::default();
        let mut facts: Vec<Option<IpAddr>> = self.entries.keys().copied().map(Some).collect();
        facts.push(None);
        facts.sort_by_key(|fact| mixed(seed, fact));
        for fact in facts {
            match fact {
                None => allocator.set_pools(pools.clone()),
                Some(address) => self.retell(&mut allocator, address),
            }
        }
        for (tenant, spec) in &self.tenants {
            allocator.set_tenant(tenant, spec.clone());
        }
        allocator
    }

    pub(crate) fn retell(&self, allocator: &mut Allocator, address: IpAddr) {
        let Some(Use { pool, tenant, state, sharing }) = self.entries.get(&address) else { return };
        let split = |name: &'static str| name.split_once('/').unwrap();
        let leak = |name: &String| split(String::leak(name.clone()));
        let bound = |name: &String| {
            let (namespace, service) = leak(name);
            let ports = &self.ports[&(tenant.clone(), name.clone())];
            Bound { namespace, name: service, ports }
        };
        let services: Vec<Bound<'_>> =
            self.entries[&address].services().iter().map(bound).collect();
        let sharing = sharing.as_ref().map(|(key, backends)| Sharing { key, backends });
        let owner = match state {
            State::Assigned(_) => Owner::Services { tenant, services: &services, sharing },
            State::Resting { last, until } => {
                Owner::Resting { tenant, last: last.as_ref().map(leak), until: *until }
            }
            State::Kept(whose) => {
                let (namespace, name) = leak(whose);
                Owner::Kept { tenant, namespace, name }
            }
            State::Reserved(last) => Owner::Reserved { tenant, service: last.as_ref().map(leak) },
            State::Foreign(_) | State::Conflicting => unreachable!("left out"),
        };
        allocator.restore(&Record { address, pool, created: 0, owner }).unwrap();
    }
}

fn mixed(seed: u64, fact: &Option<IpAddr>) -> u64 {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let mut hasher = DefaultHasher::new();
    (seed, fact).hash(&mut hasher);
    hasher.finish()
}
