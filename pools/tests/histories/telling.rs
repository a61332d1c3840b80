//! Records as they are told, and told again.

use std::collections::BTreeMap;
use std::net::IpAddr;

use pools::{Allocator, Bound, Family, Owner, PoolSpec, Port, Record, Service, Sharing, State};

use crate::naive::{BOTH, Naive, Own, Promise, Use, Who, Written, waits_for, who};

impl Naive {
    /// Takes a record, and whether it is one that cannot be right.
    pub(crate) fn restore(&mut self, record: &Record<'_>) -> bool {
        let (tenant, owner) = read(&record.owner);
        let (address, family) = (record.address, Family::of(record.address));
        let used = self.entries.get(&address).cloned();
        let ports: BTreeMap<Who, Vec<Port>> =
            (self.promises.keys()).map(|(who, _)| (who.clone(), self.ports(who))).collect();
        let stay = |who: &Who| {
            let used = used.as_ref();
            let Some(used) = used.filter(|used| used.tenant == tenant) else { return false };
            match &owner {
                Own::Services(services, key) => {
                    let free = |taken: &Vec<Port>| taken.iter().all(|p| !ports[who].contains(p));
                    let alike = key.is_some() && *key == used.sharing && !services.is_empty();
                    alike && !services.contains_key(&who.1) && services.values().all(free)
                }
                Own::Other(state) => {
                    let promised = self.promises.iter().filter(|(_, promise)| at(promise, address));
                    let mut promised = promised.map(|((who, _), _)| who);
                    promised.any(|who| waits_for(state, &who.1))
                }
            }
        };
        let gone: Vec<Who> = (self.promises.iter())
            .filter(|((who, _), promise)| at(promise, address) && !stay(who))
            .map(|((who, _), _)| who.clone())
            .collect();
        let key = used.and_then(|used| used.sharing);
        for who in gone {
            self.promises.remove(&(who, family));
        }
        if let Own::Services(services, _) = &owner {
            for service in services.keys() {
                let seat = ((tenant.clone(), service.clone()), family);
                if self.promises.get(&seat) == Some(&Promise::Draw(record.pool.to_owned())) {
                    self.promises.remove(&seat);
                }
            }
        }
        let empty = matches!(&owner, Own::Services(services, _) if services.is_empty());
        let (pool, created) = (record.pool.to_owned(), record.created);
        self.records.insert(address, Written { pool, created, tenant, owner });
        self.keys.insert(address, key);
        self.follow();
        empty || !self.entries[&address].vain.is_empty()
    }

    /// An allocator that is told all records in an order that the seed decides.
    pub(crate) fn rebuilt(&self, pools: &BTreeMap<String, PoolSpec>, seed: u64) -> Allocator {
        let mut allocator = Allocator::default();
        let mut facts: Vec<Option<IpAddr>> = self.records.keys().copied().map(Some).collect();
        facts.push(None);
        facts.sort_by_key(|fact| mixed(seed, fact));
        for fact in facts {
            match fact {
                None => allocator.set_pools(pools.clone()),
                Some(address) => {
                    let record = &self.records[&address];
                    told(address, record, |record| drop(allocator.restore(record)));
                }
            }
        }
        for (tenant, spec) in &self.tenants {
            allocator.set_tenant(tenant, spec.clone());
        }
        allocator
    }

    /// The records that are to be written for what is promised to a Service.
    pub(crate) fn pending(&self, service: &Service<'_>, created: u64) -> Vec<(IpAddr, Written)> {
        let us = who(service);
        let mut pending = Vec::new();
        for family in BOTH {
            let promise = self.promises.get(&(us.clone(), family));
            let Some((address, pool)) = promise.and_then(|promise| self.lands(promise, family))
            else {
                continue;
            };
            let used = self.entries.get(&address);
            let mut names = used.map(|used| used.services().to_vec()).unwrap_or_default();
            names.push(us.1.clone());
            let services: BTreeMap<String, Vec<Port>> = (names.into_iter())
                .map(|name| (name.clone(), self.ports(&(us.0.clone(), name))))
                .collect();
            let key = used.and_then(|used: &Use| used.sharing.clone());
            let (tenant, owner) = (us.0.clone(), Own::Services(services, key));
            pending.push((address, Written { pool, created, tenant, owner }));
        }
        pending
    }

    /// Where a promise comes true: for one who draws, at an address of the pool that is not in use.
    fn lands(&self, promise: &Promise, family: Family) -> Option<(IpAddr, String)> {
        match promise {
            Promise::Address(address, pool) => Some((*address, pool.clone())),
            Promise::Draw(pool) => {
                let mut free = self.contents(pool).into_iter();
                let unused = |a: &IpAddr| Family::of(*a) == family && !self.entries.contains_key(a);
                free.find(unused).map(|address| (address, pool.clone()))
            }
        }
    }

    /// The records that do not count, with the Service and what it has instead.
    pub(crate) fn conflicts(&self) -> Vec<(IpAddr, String, Option<IpAddr>)> {
        let mut conflicts = Vec::new();
        for (address, used) in &self.entries {
            for name in &used.vain {
                let who = (used.tenant.clone(), name.clone());
                let other = self.seat(&who, Family::of(*address));
                conflicts.push((*address, format!("{}/{name}", used.tenant), other));
            }
        }
        conflicts
    }
}

fn at(promise: &Promise, address: IpAddr) -> bool {
    matches!(promise, Promise::Address(other, _) if *other == address)
}

fn read(owner: &Owner<'_>) -> (String, Own) {
    let text = |(namespace, name): (&str, &str)| format!("{namespace}/{name}");
    match *owner {
        Owner::Services { tenant, services, sharing } => {
            let bound =
                |bound: &Bound<'_>| (text((bound.namespace, bound.name)), bound.ports.to_vec());
            let sharing = sharing.filter(|sharing| !sharing.key.is_empty());
            let key = sharing.map(|s| (s.key.to_owned(), s.backends.to_owned()));
            (tenant.to_owned(), Own::Services(services.iter().map(bound).collect(), key))
        }
        Owner::Resting { tenant, last, until } => {
            (tenant.to_owned(), Own::Other(State::Resting { last: last.map(text), until }))
        }
        Owner::Kept { tenant, namespace, name } => {
            (tenant.to_owned(), Own::Other(State::Kept(text((namespace, name)))))
        }
        Owner::Reserved { tenant, service } => {
            (tenant.to_owned(), Own::Other(State::Reserved(service.map(text))))
        }
        Owner::Foreign(what) => (String::new(), Own::Other(State::Foreign(what.to_owned()))),
    }
}

/// A record as an allocator is told it.
pub(crate) fn told<T>(address: IpAddr, of: &Written, then: impl FnOnce(&Record<'_>) -> T) -> T {
    let Written { pool, created, tenant, owner } = of;
    let split = |name: &'_ String| {
        let (namespace, name) = name.split_once('/').unwrap();
        (namespace.to_owned(), name.to_owned())
    };
    let tell = |owner| then(&Record { address, pool, created: *created, owner });
    match owner {
        Own::Services(services, key) => {
            let names: Vec<_> = services.keys().map(split).collect();
            let bound = names.iter().zip(services.values());
            let bound: Vec<Bound<'_>> =
                bound.map(|((namespace, name), ports)| Bound { namespace, name, ports }).collect();
            let sharing = key.as_ref().map(|(key, backends)| Sharing { key, backends });
            tell(Owner::Services { tenant, services: &bound, sharing })
        }
        Own::Other(State::Resting { last, until }) => {
            let last = last.as_ref().map(split);
            let last = last.as_ref().map(|(namespace, name)| (&**namespace, &**name));
            tell(Owner::Resting { tenant, last, until: *until })
        }
        Own::Other(State::Kept(whose)) => {
            let (namespace, name) = &split(whose);
            tell(Owner::Kept { tenant, namespace, name })
        }
        Own::Other(State::Reserved(whom)) => {
            let whom = whom.as_ref().map(split);
            let service = whom.as_ref().map(|(namespace, name)| (&**namespace, &**name));
            tell(Owner::Reserved { tenant, service })
        }
        Own::Other(State::Foreign(what)) => tell(Owner::Foreign(what)),
        Own::Other(State::Assigned(_) | State::Conflicting) => unreachable!("no record says so"),
    }
}

fn mixed(seed: u64, fact: &Option<IpAddr>) -> u64 {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let mut hasher = DefaultHasher::new();
    (seed, fact).hash(&mut hasher);
    hasher.finish()
}
