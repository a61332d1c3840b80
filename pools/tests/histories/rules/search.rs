//! Addresses for who asks for none by name.

use std::net::IpAddr;

use pools::{Families, Family, Request, Service, State};

use super::{Pick, shares};
use crate::naive::{BOTH, Naive, Pair, Promise, Use};

impl Naive {
    pub(super) fn enough(&self, request: &Request<'_>, pool: &str, mut pair: Pair) -> Option<Pick> {
        let enough = match request.families {
            Families::Only(family) => {
                *pair.get_mut(family.other()) = None;
                pair.get(family).is_some()
            }
            Families::Prefer(_) => true,
            Families::Both => pair.v4.is_some() && pair.v6.is_some(),
        };
        let asked = request.pool.is_none_or(|wanted| wanted == pool);
        (enough && asked).then(|| Pick::of(pool, pair))
    }

    pub(crate) fn known(&self, pool: &str) -> bool {
        let draws = |promise: &Promise| *promise == Promise::Draw(pool.to_owned());
        let foreign = |used: &Use| matches!(used.state, State::Foreign(_));
        self.pools.contains_key(pool)
            || self.entries.values().any(|used| used.pool == pool && !foreign(used))
            || self.promises.values().any(draws)
    }

    /// Whether what waits can be had: what rests only of a pool that would give it anew.
    pub(super) fn awaited(&self, address: IpAddr, used: &Use, request: &Request<'_>) -> bool {
        let rests = matches!(used.state, State::Resting { .. });
        let inside = self.contents(&used.pool).contains(&address);
        !rests || (inside && self.admits(&used.pool, request))
    }

    /// What waits for a Service, the most wanted first.
    pub(super) fn waits(&self, request: &Request<'_>) -> Vec<(&IpAddr, &Use)> {
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

    pub(super) fn waiting(&self, request: &Request<'_>) -> Option<Pick> {
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

    pub(super) fn shared(&self, request: &Request<'_>) -> Option<Pick> {
        let wanted = Some(shares(request)?);
        let tenant = request.service.tenant;
        let open = |(address, used): (&IpAddr, &Use)| {
            let ours = used.tenant == tenant && used.sharing == wanted;
            let inside = self.contents(&used.pool).contains(address);
            let may = ours && inside && self.may_share(address, request);
            let may = may && self.admits(&used.pool, request);
            if !may {
                return None;
            }
            let (namespace, name) = used.services().first()?.split_once('/')?;
            let both = self.of(&Service { tenant, namespace, name })?.addresses;
            let mut pair = both.v4.iter().chain(&both.v6);
            let all = pair.all(|address| self.may_share(address, request));
            let mut single = Pair::default();
            *single.get_mut(Family::of(*address)) = Some(*address);
            let pair = self.enough(request, &used.pool, both).filter(|_| all);
            pair.or_else(|| self.enough(request, &used.pool, single))
        };
        self.entries.iter().find_map(open)
    }

    pub(super) fn fresh(&self, request: &Request<'_>) -> Option<Pick> {
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
            let has = |pool: &str| wanted.iter().all(|f| self.gives(pool, *f).is_some());
            let (pool, _) = order.iter().find(|(name, _)| has(name))?;
            let mut pick = Pick::of(pool, Pair::default());
            for family in given {
                pick.add(*family, self.gives(pool, *family)?);
            }
            Some(pick)
        };
        match request.families {
            Families::Only(family) => first(&[family], &[family]),
            Families::Both => first(&BOTH, &BOTH),
            Families::Prefer(family) => first(&BOTH, &[family])
                .or_else(|| first(&[family], &[family]))
                .or_else(|| first(&[family.other()], &[family.other()])),
        }
    }
}
