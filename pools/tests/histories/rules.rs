//! Who gets what, said in the simplest way: by going through all there is.

use std::net::IpAddr;

use pools::{Assigned, Families, Family, Given, Request, Service, State, Target};

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

    /// Whether the quota has room for so many addresses more, after so many less.
    fn room(&self, request: &Request<'_>, more: [(u64, u64); 2]) -> Result<(), No> {
        let tenant = request.service.tenant;
        let Some(quota) = self.tenants.get(tenant).map(|tenant| tenant.quota) else {
            return Ok(());
        };
        let usage = self.usage(tenant);
        let has = self.of(&request.service).is_some();
        let key = (tenant.to_owned(), name(&request.service));
        let before = if has { self.ports[&key].len() as u64 } else { 0 };
        let within = |limit: Option<u64>, used: u64, more: u64| {
            more == 0 || limit.is_none_or(|limit| used + more <= limit)
        };
        let ports = (request.ports.len() as u64).saturating_sub(before);
        if !within(quota.load_balancers, usage.load_balancers, u64::from(!has))
            || !within(quota.ports, usage.ports, ports)
        {
            return Err(No::Other);
        }
        for (family, (more, less)) in BOTH.into_iter().zip(more) {
            let all = [usage.addresses, usage.resting, usage.kept];
            let used: u64 = all.iter().map(|of| *of.get(family)).sum();
            if !within(*quota.addresses.get(family), used - less, more) {
                return Err(No::Full(family));
            }
        }
        Ok(())
    }

    /// Whether the quota has room for these instead of what the Service has.
    fn affords(&self, request: &Request<'_>, pair: &Pair) -> Result<(), No> {
        let has = self.of(&request.service).map(|given| given.addresses).unwrap_or_default();
        let more = BOTH.map(|family| {
            let Some(address) = *pair.get(family) else { return (0, 0) };
            let takes = match self.entries.get(&address).map(|used| &used.state) {
                None | Some(State::Reserved(_)) => 1,
                Some(_) => 0,
            };
            let rests = |(other, used): (&IpAddr, &Use)| {
                let rests = matches!(used.state, State::Resting { .. });
                let ours = rests && used.awaits(&request.service);
                ours && Family::of(*other) == family && *other != address
            };
            let frees = match has.get(family) {
                Some(address) => self.entries[address].services().len() == 1,
                None => self.entries.iter().any(rests),
            };
            (takes, u64::from(frees))
        });
        self.room(request, more)
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
            let given = self.anew(request, wish).ok()?;
            self.bind(request, &given);
            return Some(Assigned::New(Target::These(given)));
        };
        let around = self.around(request, wish, &given).ok()?;
        let Some(to) = around else {
            let to = Target::These(self.anew(request, wish).ok()?);
            return Some(Assigned::Move { from: given, to });
        };
        let loses = |f: &Family| {
            let has = given.addresses.get(*f);
            has.is_some() && has != to.addresses.get(*f)
        };
        if BOTH.iter().any(loses) {
            return Some(Assigned::Move { from: given, to: Target::These(to) });
        }
        self.bind(request, &to);
        let new = to != given;
        Some(if new { Assigned::New(Target::These(to)) } else { Assigned::Kept(given) })
    }

    /// What a Service that has addresses gets without giving up all of them.
    fn around(
        &self,
        request: &Request<'_>,
        wish: Pair,
        given: &Given,
    ) -> Result<Option<Given>, No> {
        let mut to = given.clone();
        for family in BOTH {
            let other =
                wish.get(family).is_some_and(|wish| *to.addresses.get(family) != Some(wish));
            if other || !wants(request, family) {
                *to.addresses.get_mut(family) = None;
            }
        }
        let elsewhere = request.pool.is_some_and(|pool| *pool != *given.pool);
        if elsewhere || to.addresses == Pair::default() {
            return Ok(None);
        }
        let mut kept = to.addresses.v4.iter().chain(&to.addresses.v6);
        if !kept.all(|a| self.may_share(&self.entries[a], request)) {
            return Err(No::Other);
        }
        for family in BOTH {
            let Some(address) = *wish.get(family) else { continue };
            if to.addresses.get(family).is_none() {
                let pool = self.wished_one(request, address).ok_or(No::Other)?;
                if *pool != *to.pool {
                    return Ok(None);
                }
                *to.addresses.get_mut(family) = Some(address);
            }
        }
        self.complete(request, &mut to)?;
        self.affords(request, &to.addresses)?;
        Ok(Some(self.second(request, &to).unwrap_or(to)))
    }

    fn complete(&self, request: &Request<'_>, given: &mut Given) -> Result<(), No> {
        for family in BOTH {
            if given.addresses.get(family).is_some() || request.families != Families::Both {
                continue;
            }
            if !self.admits(&given.pool, request) {
                return Err(No::Other);
            }
            let beside = self.beside(request, &given.pool, family).ok_or(No::Other)?;
            *given.addresses.get_mut(family) = Some(beside);
        }
        Ok(())
    }

    /// What waits for a Service in a pool, or else the lowest that is free there.
    fn beside(&self, request: &Request<'_>, pool: &str, family: Family) -> Option<IpAddr> {
        let waits = self.waits(request).into_iter();
        let mut waits = waits.filter(|(a, used)| used.pool == pool && Family::of(**a) == family);
        let waits = waits.next().map(|(address, _)| *address);
        waits.or_else(|| self.free(pool, family).first().copied())
    }

    fn anew(&self, request: &Request<'_>, wish: Pair) -> Result<Given, No> {
        let given = self.granted(request, wish);
        let (Err(No::Full(family)), Families::Prefer(_)) = (&given, request.families) else {
            return given;
        };
        if wish != Pair::default() {
            return given;
        }
        let families = Families::Only(family.other());
        self.granted(&Request { families, ..*request }, wish)
    }

    fn granted(&self, request: &Request<'_>, wish: Pair) -> Result<Given, No> {
        if request.pool.is_some_and(|pool| !self.known(pool)) {
            return Err(No::Other);
        }
        self.room(request, [(0, 0); 2])?;
        let found = if wish == Pair::default() {
            let found = self.waiting(request).or_else(|| self.shared(request));
            found.or_else(|| self.fresh(request))
        } else {
            self.wished(request, wish)
        };
        let (pool, addresses) = found.ok_or(No::Other)?;
        self.affords(request, &addresses)?;
        let given = Given { pool: pool.into(), addresses };
        Ok(self.second(request, &given).unwrap_or(given))
    }

    fn second(&self, request: &Request<'_>, given: &Given) -> Option<Given> {
        let Families::Prefer(_) = request.families else { return None };
        let missing = BOTH.into_iter().find(|f| given.addresses.get(*f).is_none())?;
        let mut both = given.clone();
        *both.addresses.get_mut(missing) = Some(self.beside(request, &given.pool, missing)?);
        let may = self.admits(&given.pool, request);
        (may && self.affords(request, &both.addresses).is_ok()).then_some(both)
    }

    fn wished_one(&self, request: &Request<'_>, address: IpAddr) -> Option<String> {
        let wants = wants(request, Family::of(address));
        wants.then(|| self.obtainable(request, address)).flatten()
    }

    fn wished(&self, request: &Request<'_>, wish: Pair) -> Option<(String, Pair)> {
        let mut pool: Option<String> = None;
        for address in wish.v4.into_iter().chain(wish.v6) {
            let of = self.wished_one(request, address)?;
            if pool.get_or_insert_with(|| of.clone()) != &of {
                return None;
            }
        }
        let pool = pool?;
        let mut given = Given { pool: pool.as_str().into(), addresses: wish };
        self.complete(request, &mut given).ok()?;
        Some((pool, given.addresses))
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

    /// What waits for a Service, the most wanted first.
    fn waits(&self, request: &Request<'_>) -> Vec<(&IpAddr, &Use)> {
        let until = |used: &Use| match &used.state {
            State::Resting { until, .. } => Some(*until),
            _ => None,
        };
        let waits = |(address, used): &(&IpAddr, &Use)| {
            let asked = matches!(used.state, State::Reserved(None));
            let ours = !asked && used.awaits(&request.service);
            ours && self.awaited(**address, used, request)
        };
        let mut waiting: Vec<(&IpAddr, &Use)> = self.entries.iter().filter(waits).collect();
        waiting.sort_by_key(|(address, used)| {
            (until(used).is_some(), std::cmp::Reverse(until(used)), **address)
        });
        waiting
    }

    fn waiting(&self, request: &Request<'_>) -> Option<(String, Pair)> {
        let waiting = self.waits(request);
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

/// Why not: the quota of a family is used up, or something else.
enum No {
    Full(Family),
    Other,
}

fn wants(request: &Request<'_>, family: Family) -> bool {
    !matches!(request.families, Families::Only(only) if only != family)
}

/// An empty key is none.
fn shares(request: &Request<'_>) -> Option<(String, String)> {
    let sharing = request.sharing.filter(|sharing| !sharing.key.is_empty())?;
    Some((sharing.key.to_owned(), sharing.backends.to_owned()))
}
