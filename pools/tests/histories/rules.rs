//! Who gets what, said in the simplest way: by going through all there is.

use std::net::IpAddr;

use pools::{Assigned, Families, Family, Given, Request, Service, State};

use crate::naive::{BOTH, Naive, Pair, Use, name};

impl Naive {
    fn admits(&self, pool: &str, request: &Request<'_>) -> bool {
        let Some(spec) = self.pools.get(pool) else { return false };
        let Service { tenant, namespace, .. } = request.service;
        let bound = spec.tenants.as_ref().is_none_or(|tenants| tenants.contains(tenant));
        let listed = self
            .tenants
            .get(tenant)
            .is_none_or(|tenant| tenant.pools.is_empty() || tenant.pools.contains(pool));
        let selected = spec.allocation.as_ref().is_none_or(|allocation| {
            let selectors = &allocation.service_selectors;
            (allocation.namespaces.is_empty() || allocation.namespaces.contains(namespace))
                && (selectors.is_empty() || selectors.iter().any(|s| s.matches(request.labels)))
        });
        let open = !spec.drain && !spec.delegated && self.usable().contains(pool);
        bound && listed && selected && open
    }

    /// Whether a Service may be one of those that have an address.
    fn may_share(&self, used: &Use, request: &Request<'_>) -> bool {
        let us = name(&request.service);
        let mut others = used.services().iter().filter(|service| **service != us).peekable();
        if others.peek().is_none() {
            return true;
        }
        let sharing = shares(request);
        let alike = match &sharing {
            Some(_) => sharing == used.sharing,
            None => used.sharing.is_none() && used.services().contains(&us),
        };
        let ports = |other: &String| &self.ports[&(used.tenant.clone(), other.clone())];
        alike && others.all(|other| ports(other).iter().all(|port| !request.ports.contains(port)))
    }

    fn room(&self, request: &Request<'_>, new: &[IpAddr]) -> bool {
        let tenant = request.service.tenant;
        let Some(quota) = self.tenants.get(tenant).map(|tenant| tenant.quota) else { return true };
        let usage = self.usage(tenant);
        let has = self.of(&request.service).is_some();
        let key = (tenant.to_owned(), name(&request.service));
        let before = if has { self.ports[&key].len() } else { 0 };
        let within = |limit: Option<u64>, used: u64, more: usize| {
            more == 0 || limit.is_none_or(|limit| used + more as u64 <= limit)
        };
        let addresses = BOTH.into_iter().all(|family| {
            let more = new.iter().filter(|a| Family::of(**a) == family).count();
            within(*quota.addresses.get(family), *usage.addresses.get(family), more)
        });
        addresses
            && within(quota.load_balancers, usage.load_balancers, usize::from(!has))
            && within(quota.ports, usage.ports, request.ports.len().saturating_sub(before))
    }

    pub(crate) fn assign(&mut self, request: &Request<'_>) -> Option<Assigned> {
        let mut wish = Pair::default();
        for address in request.addresses {
            let before = wish.get_mut(Family::of(*address)).replace(*address);
            if before.is_some_and(|before| before != *address) {
                return None;
            }
        }
        let Some(given) = self.of(&request.service) else {
            let given = self.anew(request, wish)?;
            self.bind(request, &given);
            return Some(Assigned::New(given));
        };
        let has = |family: Family| given.addresses.get(family).is_some();
        let satisfied = request.pool.is_none_or(|pool| *pool == *given.pool)
            && BOTH
                .iter()
                .all(|f| wish.get(*f).is_none() || wish.get(*f) == given.addresses.get(*f))
            && match request.families {
                Families::Only(family) => has(family) && !has(family.other()),
                Families::Prefer(_) => true,
                Families::Both => has(Family::V4) && has(Family::V6),
            };
        if !satisfied {
            let to = self.anew(request, wish)?;
            return Some(Assigned::Move { from: given, to });
        }
        let mut own = given.addresses.v4.iter().chain(&given.addresses.v6);
        if !own.all(|a| self.may_share(&self.entries[a], request)) || !self.room(request, &[]) {
            return None;
        }
        let more = self.second(request, &given);
        self.bind(request, more.as_ref().unwrap_or(&given));
        Some(more.map_or(Assigned::Kept(given), Assigned::New))
    }

    fn anew(&self, request: &Request<'_>, wish: Pair) -> Option<Given> {
        if request.pool.is_some_and(|pool| !self.known(pool)) || !self.room(request, &[]) {
            return None;
        }
        let (pool, addresses) = if wish == Pair::default() {
            let found = self.waiting(request).or_else(|| self.shared(request));
            found.or_else(|| self.fresh(request))?
        } else {
            self.wished(request, wish)?
        };
        let chosen = addresses.v4.into_iter().chain(addresses.v6);
        let held = |a: &IpAddr| self.entries.get(a).is_some_and(|used| !used.services().is_empty());
        let mut new: Vec<IpAddr> = chosen.filter(|a| !held(a)).collect();
        // What it has alone is given up.
        let alone = |a: &IpAddr| self.entries[a].services().len() == 1;
        let has = self.of(&request.service).map(|given| given.addresses).unwrap_or_default();
        let freed: Vec<IpAddr> = has.v4.into_iter().chain(has.v6).filter(alone).collect();
        new.retain(|new| !freed.iter().any(|freed| Family::of(*freed) == Family::of(*new)));
        let given = self.room(request, &new).then_some(Given { pool: pool.into(), addresses })?;
        Some(self.second(request, &given).unwrap_or(given))
    }

    fn second(&self, request: &Request<'_>, given: &Given) -> Option<Given> {
        let Families::Prefer(_) = request.families else { return None };
        let missing = BOTH.into_iter().find(|f| given.addresses.get(*f).is_none())?;
        let lowest = *self.free(&given.pool, missing).first()?;
        let may = self.admits(&given.pool, request) && self.room(request, &[lowest]);
        let mut given = given.clone();
        *given.addresses.get_mut(missing) = Some(lowest);
        may.then_some(given)
    }

    fn wished(&self, request: &Request<'_>, wish: Pair) -> Option<(String, Pair)> {
        let mut pool: Option<String> = None;
        for address in wish.v4.into_iter().chain(wish.v6) {
            if let Families::Only(family) = request.families
                && family != Family::of(address)
            {
                return None;
            }
            let of = self.obtainable(request, address)?;
            if pool.get_or_insert_with(|| of.clone()) != &of {
                return None;
            }
        }
        let (pool, mut wish) = (pool?, wish);
        if request.families == Families::Both {
            for family in BOTH {
                let place = wish.get_mut(family);
                if place.is_none() && !self.admits(&pool, request) {
                    return None;
                }
                *place = place.or_else(|| self.free(&pool, family).first().copied());
                (*place)?;
            }
        }
        Some((pool, wish))
    }

    /// The pool of an address that a Service can have for the asking.
    fn obtainable(&self, request: &Request<'_>, address: IpAddr) -> Option<String> {
        let used = self.entries.get(&address);
        if let Some(used) = used.filter(|used| used.awaits(&request.service)) {
            let asked = request.pool.is_none_or(|pool| pool == used.pool);
            return (asked && self.awaited(address, used, request)).then(|| used.pool.clone());
        }
        let pool = match used {
            Some(used) => {
                let held = used.tenant == request.service.tenant && !used.services().is_empty();
                let inside = self.contents(&used.pool).contains(&address);
                (held && inside && self.may_share(used, request)).then(|| used.pool.clone())?
            }
            None => {
                self.pools.keys().find(|pool| self.contents(pool).contains(&address)).cloned()?
            }
        };
        let asked = request.pool.is_none_or(|wanted| wanted == pool);
        (asked && self.admits(&pool, request)).then_some(pool)
    }

    fn enough(&self, request: &Request<'_>, pool: &str, mut pair: Pair) -> Option<(String, Pair)> {
        let enough = match request.families {
            Families::Only(family) => {
                *pair.get_mut(family.other()) = None;
                pair.get(family).is_some()
            }
            Families::Prefer(_) => true,
            Families::Both => pair.v4.is_some() && pair.v6.is_some(),
        };
        let asked = request.pool.is_none_or(|wanted| wanted == pool);
        (enough && asked).then(|| (pool.to_owned(), pair))
    }

    fn known(&self, pool: &str) -> bool {
        self.pools.contains_key(pool) || self.entries.values().any(|used| used.pool == pool)
    }

    /// Whether what waits can be had: what rests only of a pool that would give it anew.
    fn awaited(&self, address: IpAddr, used: &Use, request: &Request<'_>) -> bool {
        let rests = matches!(used.state, State::Resting { .. });
        let inside = self.contents(&used.pool).contains(&address);
        !rests || (inside && self.admits(&used.pool, request))
    }

    fn waiting(&self, request: &Request<'_>) -> Option<(String, Pair)> {
        let until = |used: &Use| match &used.state {
            State::Resting { until, .. } => Some(*until),
            _ => None,
        };
        let named = |used: &Use| match &used.state {
            State::Resting { last, .. } | State::Reserved(last) => last.is_some(),
            _ => false,
        };
        let waits = |(address, used): &(&IpAddr, &Use)| {
            let ours = named(used) && used.awaits(&request.service);
            ours && self.awaited(**address, used, request)
        };
        let mut waiting: Vec<(&IpAddr, &Use)> = self.entries.iter().filter(waits).collect();
        waiting.sort_by_key(|(address, used)| {
            (until(used).is_some(), std::cmp::Reverse(until(used)), **address)
        });
        let mut pools: Vec<&String> = waiting.iter().map(|(_, used)| &used.pool).collect();
        let mut seen = std::collections::BTreeSet::new();
        pools.retain(|pool| seen.insert((*pool).clone()));
        pools.into_iter().find_map(|pool| {
            let mut pair = Pair::default();
            for (address, _) in waiting.iter().filter(|(_, used)| used.pool == *pool) {
                pair.get_mut(Family::of(**address)).get_or_insert(**address);
            }
            self.enough(request, pool, pair)
        })
    }

    fn shared(&self, request: &Request<'_>) -> Option<(String, Pair)> {
        let wanted = Some(shares(request)?);
        let tenant = request.service.tenant;
        let open = |(address, used): (&IpAddr, &Use)| {
            let ours = used.tenant == tenant && used.sharing == wanted;
            let inside = self.contents(&used.pool).contains(address);
            let may = ours && inside && self.may_share(used, request);
            let may = may && self.admits(&used.pool, request);
            if !may {
                return None;
            }
            let (namespace, name) = used.services().first()?.split_once('/')?;
            let both = self.of(&Service { tenant, namespace, name })?.addresses;
            let mut pair = both.v4.iter().chain(&both.v6);
            let all = pair.all(|a| self.may_share(&self.entries[a], request));
            let mut single = Pair::default();
            *single.get_mut(Family::of(*address)) = Some(*address);
            let pair = self.enough(request, &used.pool, both).filter(|_| all);
            pair.or_else(|| self.enough(request, &used.pool, single))
        };
        self.entries.iter().find_map(open)
    }

    fn fresh(&self, request: &Request<'_>) -> Option<(String, Pair)> {
        let mut order: Vec<_> = self.pools.iter().collect();
        order.sort_by_key(|(name, spec)| {
            let priority = spec.allocation.as_ref().map_or(0, |allocation| allocation.priority);
            (spec.allocation.is_none(), priority.wrapping_sub(1), *name)
        });
        order.retain(|(name, spec)| match request.pool {
            Some(pool) => *name == pool && self.admits(name, request),
            None => spec.auto_assign && self.admits(name, request),
        });
        let first = |wanted: &[Family], given: &[Family]| {
            let has = |pool: &str| wanted.iter().all(|f| !self.free(pool, *f).is_empty());
            let (pool, _) = order.iter().find(|(name, _)| has(name))?;
            let mut pair = Pair::default();
            for family in given {
                *pair.get_mut(*family) = self.free(pool, *family).first().copied();
            }
            Some(((*pool).clone(), pair))
        };
        match request.families {
            Families::Only(family) => first(&[family], &[family]),
            Families::Both => first(&BOTH, &BOTH),
            Families::Prefer(family) => first(&BOTH, &[family])
                .or_else(|| first(&[family], &[family]))
                .or_else(|| first(&[family.other()], &[family.other()])),
        }
    }

    fn bind(&mut self, request: &Request<'_>, given: &Given) {
        let (tenant, service) = (request.service.tenant.to_owned(), name(&request.service));
        for address in given.addresses.v4.into_iter().chain(given.addresses.v6) {
            let used = self.entries.entry(address).or_insert_with(|| Use {
                pool: given.pool.to_string(),
                tenant: tenant.clone(),
                state: State::Assigned(Vec::new()),
                sharing: None,
            });
            let mut services = used.services().to_vec();
            services.push(service.clone());
            services.sort();
            services.dedup();
            used.state = State::Assigned(services);
            // Several without a key stay so; who comes later has one, or is alone.
            used.sharing = shares(request);
        }
        self.ports.insert((tenant, service), request.ports.to_vec());
    }
}

/// An empty key is none.
fn shares(request: &Request<'_>) -> Option<(String, String)> {
    let sharing = request.sharing.filter(|sharing| !sharing.key.is_empty())?;
    Some((sharing.key.to_owned(), sharing.backends.to_owned()))
}
