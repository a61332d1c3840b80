//! Who gets what, said in the simplest way: by going through all there is.

mod search;

use std::net::IpAddr;

use pools::{Assigned, Families, Family, Given, PerFamily, Request, Service, State, Target};

use crate::naive::{BOTH, Naive, Own, Pair, Promise, Use, name, who};

/// What a Service gets of a pool.
#[derive(Clone, PartialEq)]
struct Pick {
    pool: String,
    pair: Pair,
    draw: PerFamily<bool>,
}

impl Pick {
    fn of(pool: &str, pair: Pair) -> Self {
        Self { pool: pool.to_owned(), pair, draw: PerFamily::default() }
    }

    fn has(&self, family: Family) -> bool {
        self.pair.get(family).is_some() || *self.draw.get(family)
    }

    fn add(&mut self, family: Family, fresh: Option<IpAddr>) {
        match fresh {
            Some(address) => *self.pair.get_mut(family) = Some(address),
            None => *self.draw.get_mut(family) = true,
        }
    }
}

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
        let open = !spec.drain && !spec.delegated && self.usable().contains(&pool);
        bound && listed && selected && open
    }

    /// Whether a Service may be one of those that have an address.
    fn may_share(&self, address: &IpAddr, request: &Request<'_>) -> bool {
        let (us, used) = (name(&request.service), &self.entries[address]);
        let others: Vec<_> = used.services().iter().filter(|other| **other != us).collect();
        if others.is_empty() {
            return true;
        }
        let sharing = shares(request);
        let alike = match &sharing {
            Some(_) => sharing == used.sharing,
            None => used.sharing.is_none() && used.services().contains(&us),
        };
        let ports =
            others.iter().flat_map(|other| self.ports(&(used.tenant.clone(), (*other).clone())));
        let vain = used.vain.iter().filter(|other| **other != us);
        let mut ports = ports.chain(vain.flat_map(|other| self.told(address, other)));
        alike && ports.all(|port| !request.ports.contains(&port))
    }

    /// Whether the quota has room for so many addresses more, after so many less.
    fn room(&self, request: &Request<'_>, more: [(u64, u64); 2]) -> Result<(), No> {
        let (tenant, us) = (request.service.tenant, who(&request.service));
        let Some(quota) = self.tenants.get(tenant).map(|tenant| tenant.quota) else {
            return Ok(());
        };
        let usage = self.usage(tenant);
        let has = self.of(&request.service).is_some() || self.drawing(&us).is_some();
        let before = if has { self.ports(&us).len() as u64 } else { 0 };
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
            let all = [usage.addresses, usage.drawing, usage.resting, usage.kept];
            let used: u64 = all.iter().map(|of| *of.get(family)).sum();
            if !within(*quota.addresses.get(family), used - less, more) {
                return Err(No::Full(family));
            }
        }
        Ok(())
    }

    /// Whether the quota has room for these instead of what the Service has.
    fn affords(&self, request: &Request<'_>, pick: &Pick) -> Result<(), No> {
        let has = self.of(&request.service).map(|given| given.addresses).unwrap_or_default();
        let draws = self.drawing(&who(&request.service));
        let more = BOTH.map(|family| {
            let address = *pick.pair.get(family);
            let takes = match address.map(|a| self.entries.get(&a).map(|used| &used.state)) {
                None => u64::from(*pick.draw.get(family)),
                Some(None | Some(State::Reserved(_))) => 1,
                Some(Some(_)) => 0,
            };
            let rests = |(other, used): (&IpAddr, &Use)| {
                let rests = matches!(used.state, State::Resting { .. });
                let ours = rests && used.awaits(&request.service);
                ours && Family::of(*other) == family && Some(*other) != address
            };
            let draws = draws.as_ref().is_some_and(|(_, families)| *families.get(family));
            let frees = match has.get(family) {
                Some(address) => self.entries[address].services().len() == 1,
                None => draws || self.entries.iter().any(rests),
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
        let given = self.of(&request.service);
        let has = given.as_ref().map(|given| given.addresses).unwrap_or_default();
        let (pick, assigned) = self.outcome(request, wish, given).ok()?;
        if !matches!(assigned, Assigned::Move { .. }) {
            let draws = matches!(assigned, Assigned::New(Target::Draw { .. }));
            let pair = if draws { has } else { pick.pair };
            let draw = if draws { pick.draw } else { PerFamily::default() };
            self.bind(request, &Pick { pair, draw, ..pick });
        }
        Some(assigned)
    }

    fn outcome(
        &self,
        request: &Request<'_>,
        wish: Pair,
        given: Option<Given>,
    ) -> Result<(Pick, Assigned), No> {
        let has = given.as_ref().map(|given| given.addresses).unwrap_or_default();
        if let Some(pick) = self.goes_on(request, wish, given.as_ref()) {
            if has.v4.iter().chain(&has.v6).any(|address| !self.may_share(address, request)) {
                return Err(No::Other);
            }
            self.room(request, [(0, 0); 2])?;
            let assigned = Assigned::New(target(&pick, has));
            return Ok((pick, assigned));
        }
        let Some(from) = given else {
            let pick = self.anew(request, wish)?;
            let assigned = Assigned::New(target(&pick, has));
            return Ok((pick, assigned));
        };
        let Some(pick) = self.around(request, wish, &from)? else {
            let pick = self.anew(request, wish)?;
            let to = target(&pick, Pair::default());
            return Ok((pick, Assigned::Move { from: from.into(), to }));
        };
        let loses = |f: &Family| has.get(*f).is_some() && has.get(*f) != pick.pair.get(*f);
        let to = target(&pick, has);
        let assigned = if BOTH.iter().any(loses) {
            Assigned::Move { from: from.into(), to }
        } else if pick == Pick::of(&from.pool, has) {
            Assigned::Kept(from)
        } else {
            Assigned::New(to)
        };
        Ok((pick, assigned))
    }

    /// What a Service draws, if it may and wants to go on.
    fn goes_on(&self, request: &Request<'_>, wish: Pair, given: Option<&Given>) -> Option<Pick> {
        let (pool, draw) = self.drawing(&who(&request.service))?;
        let pair = given.map(|given| given.addresses).unwrap_or_default();
        let pick = Pick { pool, pair, draw };
        let enough = match request.families {
            Families::Only(family) => pick.has(family) && !pick.has(family.other()),
            Families::Both => pick.has(Family::V4) && pick.has(Family::V6),
            Families::Prefer(_) => true,
        };
        let wishes = BOTH.iter().all(|f| wish.get(*f).is_none() || wish.get(*f) == pair.get(*f));
        let asked = request.pool.is_none_or(|pool| pool == pick.pool);
        let one = given.is_none_or(|given| *given.pool == *pick.pool);
        let goes = enough && wishes && asked && one && self.admits(&pick.pool, request);
        goes.then_some(pick)
    }

    /// What a Service that has addresses gets without giving up all of them.
    fn around(&self, request: &Request<'_>, wish: Pair, given: &Given) -> Result<Option<Pick>, No> {
        let mut to = Pick::of(&given.pool, given.addresses);
        for family in BOTH {
            let other = wish.get(family).is_some_and(|wish| *to.pair.get(family) != Some(wish));
            if other || !wants(request, family) {
                *to.pair.get_mut(family) = None;
            }
        }
        let elsewhere = request.pool.is_some_and(|pool| *pool != *given.pool);
        if elsewhere || to.pair == Pair::default() {
            return Ok(None);
        }
        let mut kept = to.pair.v4.iter().chain(&to.pair.v6);
        if !kept.all(|address| self.may_share(address, request)) {
            return Err(No::Other);
        }
        for family in BOTH {
            let Some(address) = *wish.get(family) else { continue };
            if to.pair.get(family).is_none() {
                let pool = self.wished_one(request, address).ok_or(No::Other)?;
                if pool != to.pool {
                    return Ok(None);
                }
                *to.pair.get_mut(family) = Some(address);
            }
        }
        self.complete(request, &mut to)?;
        self.affords(request, &to)?;
        Ok(Some(self.second(request, &to).unwrap_or(to)))
    }

    fn complete(&self, request: &Request<'_>, pick: &mut Pick) -> Result<(), No> {
        for family in BOTH {
            if pick.has(family) || request.families != Families::Both {
                continue;
            }
            if !self.admits(&pick.pool, request) {
                return Err(No::Other);
            }
            let fresh = self.beside(request, &pick.pool, family).ok_or(No::Other)?;
            pick.add(family, fresh);
        }
        Ok(())
    }

    /// What waits for a Service in a pool, or else the lowest that is free there; `None` in it is to
    /// be drawn.
    fn beside(&self, request: &Request<'_>, pool: &str, family: Family) -> Option<Option<IpAddr>> {
        let waits = self.waits(request).into_iter();
        let mut waits = waits.filter(|(a, used)| used.pool == pool && Family::of(**a) == family);
        let waits = waits.next().map(|(address, _)| Some(*address));
        waits.or_else(|| self.gives(pool, family))
    }

    fn gives(&self, pool: &str, family: Family) -> Option<Option<IpAddr>> {
        match self.left(pool, family) {
            Some(left) => (left > 0).then_some(None),
            None => self.free(pool, family).first().copied().map(Some),
        }
    }

    fn anew(&self, request: &Request<'_>, wish: Pair) -> Result<Pick, No> {
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

    fn granted(&self, request: &Request<'_>, wish: Pair) -> Result<Pick, No> {
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
        let pick = found.ok_or(No::Other)?;
        self.affords(request, &pick)?;
        Ok(self.second(request, &pick).unwrap_or(pick))
    }

    fn second(&self, request: &Request<'_>, pick: &Pick) -> Option<Pick> {
        let Families::Prefer(_) = request.families else { return None };
        let missing = BOTH.into_iter().find(|family| !pick.has(*family))?;
        let mut both = pick.clone();
        both.add(missing, self.beside(request, &pick.pool, missing)?);
        let may = self.admits(&pick.pool, request);
        (may && self.affords(request, &both).is_ok()).then_some(both)
    }

    fn wished_one(&self, request: &Request<'_>, address: IpAddr) -> Option<String> {
        let wants = wants(request, Family::of(address));
        wants.then(|| self.obtainable(request, address)).flatten()
    }

    fn wished(&self, request: &Request<'_>, wish: Pair) -> Option<Pick> {
        let mut pool: Option<String> = None;
        for address in wish.v4.into_iter().chain(wish.v6) {
            let of = self.wished_one(request, address)?;
            if pool.get_or_insert_with(|| of.clone()) != &of {
                return None;
            }
        }
        let mut pick = Pick::of(&pool?, wish);
        self.complete(request, &mut pick).ok()?;
        Some(pick)
    }

    /// The pool of an address that a Service can have for the asking.
    fn obtainable(&self, request: &Request<'_>, address: IpAddr) -> Option<String> {
        let asked = |pool: &str| request.pool.is_none_or(|wanted| wanted == pool);
        let open = |pool: &str| asked(pool) && self.admits(pool, request);
        let Some(used) = self.entries.get(&address) else {
            let mut pools = self.usable().into_iter();
            let pool = pools.find(|pool| self.contents(pool).contains(&address) && open(pool));
            return pool.map(str::to_owned);
        };
        if used.awaits(&request.service) {
            let awaited = self.awaited(address, used, request);
            return (asked(&used.pool) && awaited).then(|| used.pool.clone());
        }
        let held = used.tenant == request.service.tenant && !used.services().is_empty();
        let inside = self.contents(&used.pool).contains(&address);
        let may = held && inside && self.may_share(&address, request) && open(&used.pool);
        may.then(|| used.pool.clone())
    }

    fn bind(&mut self, request: &Request<'_>, pick: &Pick) {
        let us = who(&request.service);
        let key = shares(request);
        for family in BOTH {
            let place = (us.clone(), family);
            let seat = self.seat(&us, family);
            match *pick.pair.get(family) {
                Some(address) if seat != Some(address) => {
                    let promise = Promise::Address(address, pick.pool.clone());
                    self.promises.insert(place, promise);
                }
                Some(_) => {}
                None if *pick.draw.get(family) => {
                    self.promises.insert(place, Promise::Draw(pick.pool.clone()));
                }
                None => drop(self.promises.remove(&place)),
            }
            let Some(address) = *pick.pair.get(family) else { continue };
            self.keys.insert(address, key.clone());
            let record = self.records.get_mut(&address).map(|record| &mut record.owner);
            if let Some(Own::Services(services, with)) = record {
                // So its record will say.
                with.clone_from(&key);
                if let Some(ports) = services.get_mut(&us.1) {
                    *ports = request.ports.to_vec();
                }
            }
        }
        self.wished.insert(us, request.ports.to_vec());
        self.follow();
    }
}

/// What is told: addresses before those that are to be drawn.
fn target(pick: &Pick, has: Pair) -> Target {
    let new = |f: &Family| pick.pair.get(*f).is_some() && pick.pair.get(*f) != has.get(*f);
    let (pool, draws) = (pick.pool.as_str().into(), pick.draw.v4 || pick.draw.v6);
    if draws && !BOTH.iter().any(new) {
        return Target::Draw { pool, families: pick.draw };
    }
    Target::These(Given { pool, addresses: pick.pair })
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
