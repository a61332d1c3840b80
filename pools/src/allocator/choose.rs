//! Which address a Service gets.

mod obtain;

use std::cmp::Reverse;
use std::net::IpAddr;

use super::catalog::{Pool, PoolId};
use super::table::{self, Holder, HolderId, Slot, TenantId};
use super::tenants::{Tenant, TenantUsage};
use super::{Allocator, Assigned, Given};
use crate::{Closed, Families, Family, PerFamily, Refusal, Request, Unavailable, Wanted};

/// Addresses, and the pool they are of.
type Choice = (PoolId, PerFamily<Option<IpAddr>>);

struct Chooser<'c> {
    allocator: &'c Allocator,
    request: &'c Request<'c>,
    tenant: Option<&'c Tenant>,
    /// The Service itself, if it has an address.
    own: Option<(HolderId, &'c Holder)>,
    wish: PerFamily<Option<IpAddr>>,
    /// The pool that is asked for, if it is known.
    asked: Option<(PoolId, &'c Pool)>,
}

/// What becomes of a request, and what was found on the way there.
pub(super) struct Chosen {
    pub(super) assigned: Assigned,
    /// The pool of what the Service gets or keeps.
    pub(super) pool: PoolId,
    pub(super) tenant: Option<TenantId>,
    /// The Service, if it has an address.
    pub(super) own: Option<HolderId>,
}

pub(super) fn choose(allocator: &Allocator, request: &Request<'_>) -> Result<Chosen, Refusal> {
    let tenant = allocator.tenants.find(request.service.tenant);
    let own = tenant.and_then(|tenant| allocator.table.find(tenant, &request.service));
    let chooser = Chooser {
        allocator,
        request,
        tenant: tenant.and_then(|id| allocator.tenants.get(id)),
        own: own.and_then(|id| Some((id, allocator.table.holder(id)?))),
        wish: wish(request.addresses)?,
        asked: request.pool.and_then(|name| allocator.catalog.named(name)),
    };
    let (pool, assigned) = match chooser.own.and_then(|(_, holder)| allocator.given(holder)) {
        Some((pool, given)) => (pool, chooser.again(pool, given)?),
        None => chooser.anew().map(|(pool, given)| (pool, Assigned::New(given)))?,
    };
    Ok(Chosen { assigned, pool, tenant, own })
}

/// The addresses that are asked for, by family.
fn wish(addresses: &[IpAddr]) -> Result<PerFamily<Option<IpAddr>>, Refusal> {
    let mut wish = PerFamily::default();
    for address in addresses {
        let place: &mut Option<IpAddr> = wish.get_mut(Family::of(*address));
        if let Some(other) = place.replace(*address).filter(|other| other != address) {
            return Err(Refusal::OneFamily(other, *address));
        }
    }
    Ok(wish)
}

impl Chooser<'_> {
    /// For a Service that has addresses: those, unless it asks for others.
    fn again(&self, pool: PoolId, given: Given) -> Result<Assigned, Refusal> {
        if !self.satisfied(&given) {
            return Ok(Assigned::Move { from: given, to: self.anew()?.1 });
        }
        for address in [given.addresses.v4, given.addresses.v6].into_iter().flatten() {
            if let Some((_, slot)) = self.allocator.table.at(address) {
                self.joinable(slot)?;
            }
        }
        self.room(PerFamily::default())?;
        Ok(match self.second(pool, &given) {
            Some(given) => Assigned::New(given),
            None => Assigned::Kept(given),
        })
    }

    fn satisfied(&self, given: &Given) -> bool {
        let has = |family| *given.addresses.get(family);
        let granted = |family| self.wish.get(family).is_none_or(|wish| has(family) == Some(wish));
        let families = match self.request.families {
            Families::Only(family) => has(family).is_some() && has(family.other()).is_none(),
            Families::Prefer(_) => true,
            Families::Both => has(Family::V4).is_some() && has(Family::V6).is_some(),
        };
        let pool = self.request.pool.is_none_or(|pool| *pool == *given.pool);
        families && pool && granted(Family::V4) && granted(Family::V6)
    }

    /// These addresses with the one of the other family that a Service prefers to have as well, if
    /// the pool has one.
    fn second(&self, pool: PoolId, given: &Given) -> Option<Given> {
        let Families::Prefer(_) = self.request.families else { return None };
        let missing = [Family::V4, Family::V6]
            .into_iter()
            .find(|family| given.addresses.get(*family).is_none())?;
        let pool = self.allocator.catalog.get(pool)?;
        self.admit(pool).ok()?;
        let mut more = PerFamily::default();
        *more.get_mut(missing) = 1;
        self.room(more).ok()?;
        let mut given = given.clone();
        *given.addresses.get_mut(missing) = Some(pool.lowest(missing)?);
        Some(given)
    }

    /// What it would get if it had nothing.
    fn anew(&self) -> Result<(PoolId, Given), Refusal> {
        // First what needs no search: a tenant that has what it may have asks again and again.
        self.room(PerFamily::default())?;
        let choice = self.choice()?;
        let given = self.give(choice)?;
        Ok((choice.0, self.second(choice.0, &given).unwrap_or(given)))
    }

    fn choice(&self) -> Result<Choice, Refusal> {
        if let Some(name) = self.request.pool
            && self.asked.is_none()
        {
            return Err(Refusal::UnknownPool(name.to_owned()));
        }
        if self.wish.v4.is_some() || self.wish.v6.is_some() {
            return self.wished();
        }
        if let Some(choice) = self.waiting().or_else(|| self.shared()) {
            return Ok(choice);
        }
        self.free()
    }

    /// The addresses that are asked for, and one of the other family if both are wanted.
    fn wished(&self) -> Result<Choice, Refusal> {
        let mut choice: Option<Choice> = None;
        for family in [Family::V4, Family::V6] {
            let Some(address) = *self.wish.get(family) else { continue };
            let refuse = |why| Refusal::Unavailable { address, why };
            if let Families::Only(other) = self.request.families
                && other != family
            {
                return Err(refuse(Unavailable::Family(family)));
            }
            let pool = self.available(address).map_err(refuse)?;
            let (first, addresses) = choice.get_or_insert_with(|| (pool, PerFamily::default()));
            if *first != pool {
                let other = self.allocator.catalog.get(pool).map_or("", |pool| &pool.name);
                return Err(refuse(Unavailable::OtherPool(other.to_owned())));
            }
            *addresses.get_mut(family) = Some(address);
        }
        let Some((id, mut addresses)) = choice else { return self.free() };
        let missing = [Family::V4, Family::V6].into_iter().find(|f| addresses.get(*f).is_none());
        if let (Some(family), Families::Both) = (missing, self.request.families) {
            let pool = self.allocator.catalog.get(id);
            pool.map_or(Ok(()), |pool| self.open(pool))?;
            let Some(lowest) = pool.and_then(|pool| pool.lowest(family)) else {
                return Err(exhausted(Wanted::Pair, pool.into_iter()));
            };
            *addresses.get_mut(family) = Some(lowest);
        }
        Ok((id, addresses))
    }

    /// The addresses that wait for this Service, if they are what it wants.
    fn waiting(&self) -> Option<Choice> {
        let name = table::name_of(&self.request.service);
        let slots = self.tenant?.waiting.get(&name)?;
        let slots = slots.iter().filter_map(|id| self.allocator.table.slot(*id));
        let mut slots: Vec<&Slot> = slots.filter(|slot| self.awaited(slot).is_ok()).collect();
        // What is reserved comes first, then what was had last.
        slots.sort_by_key(|slot| {
            let until = slot.rests_until();
            (until.is_some(), Reverse(until), slot.address)
        });
        let mut choices: Vec<Choice> = Vec::new();
        for slot in slots {
            let of_pool = choices.iter_mut().find(|(pool, _)| *pool == slot.pool);
            let family = Family::of(slot.address);
            match of_pool {
                Some((_, addresses)) => {
                    addresses.get_mut(family).get_or_insert(slot.address);
                }
                None => {
                    let mut addresses = PerFamily::default();
                    *addresses.get_mut(family) = Some(slot.address);
                    choices.push((slot.pool, addresses));
                }
            }
        }
        choices.into_iter().find_map(|choice| self.wanted(choice))
    }

    /// An address of other Services of the tenant, that they share with this one.
    fn shared(&self) -> Option<Choice> {
        let (tenant, sharing) = (self.tenant?, self.request.shares()?);
        let slots = tenant.shares(sharing).filter_map(|id| self.allocator.table.slot(id));
        let mut slots: Vec<&Slot> = slots.filter(|slot| self.share(slot).is_ok()).collect();
        slots.sort_by_key(|slot| slot.address);
        let open = |slot: &&Slot| self.in_open_pool(slot).is_ok();
        slots.into_iter().filter(open).find_map(|slot| {
            let mut addresses = PerFamily::default();
            *addresses.get_mut(Family::of(slot.address)) = Some(slot.address);
            let holders = slot.holders().iter().filter_map(|id| self.allocator.table.holder(*id));
            let both = holders
                .min_by_key(|holder| &holder.name)
                .map(|holder| self.allocator.table.addresses(holder));
            let pair = both.and_then(|both| {
                let shared = |a: &IpAddr| {
                    self.allocator.table.at(*a).is_some_and(|(_, s)| self.share(s).is_ok())
                };
                let all = both.v4.iter().chain(&both.v6).all(shared);
                self.wanted((slot.pool, both)).filter(|_| all)
            });
            pair.or_else(|| self.wanted((slot.pool, addresses)))
        })
    }

    /// What of a choice is wanted, if that is enough.
    fn wanted(&self, (pool, mut addresses): Choice) -> Option<Choice> {
        let name = &self.allocator.catalog.get(pool)?.name;
        if self.request.pool.is_some_and(|wanted| *wanted != **name) {
            return None;
        }
        match self.request.families {
            Families::Only(family) => {
                *addresses.get_mut(family.other()) = None;
                addresses.get(family).map(|_| (pool, addresses))
            }
            Families::Prefer(_) => Some((pool, addresses)),
            Families::Both => {
                (addresses.v4.is_some() && addresses.v6.is_some()).then_some((pool, addresses))
            }
        }
    }

    /// Free addresses of the first pool that has them.
    fn free(&self) -> Result<Choice, Refusal> {
        self.asked.map_or(Ok(()), |(_, pool)| self.open(pool))?;
        let one = |family| self.first(family, None);
        let found = match self.request.families {
            Families::Only(family) => one(family),
            Families::Both => self.first(Family::V4, Some(Family::V6)),
            // The second one comes from the same pool, if the quota has room for it.
            Families::Prefer(family) => self
                .first(family, Some(family.other()))
                .map(|(pool, addresses)| {
                    let mut first = PerFamily::default();
                    *first.get_mut(family) = *addresses.get(family);
                    (pool, first)
                })
                .or_else(|| one(family))
                .or_else(|| one(family.other())),
        };
        let wanted = match self.request.families {
            Families::Only(family) | Families::Prefer(family) => Wanted::One(family),
            Families::Both => Wanted::Pair,
        };
        found.ok_or_else(|| self.nothing(wanted))
    }

    fn first(&self, family: Family, other: Option<Family>) -> Option<Choice> {
        let catalog = &self.allocator.catalog;
        let has = |pool: &Pool| pool.has_free(family) && other.is_none_or(|o| pool.has_free(o));
        let (id, pool) = match self.request.pool {
            Some(_) => self.asked.filter(|(_, pool)| has(pool))?,
            None => catalog
                .candidates(family, self.request.service.tenant)
                .find(|(_, pool)| has(pool) && self.admit(pool).is_ok())?,
        };
        let mut addresses = PerFamily::default();
        *addresses.get_mut(family) = Some(pool.lowest(family)?);
        if let Some(other) = other {
            *addresses.get_mut(other) = Some(pool.lowest(other)?);
        }
        Some((id, addresses))
    }

    /// Why no pool has what is wanted.
    fn nothing(&self, wanted: Wanted) -> Refusal {
        let pools = || self.allocator.catalog.iter().map(|(_, pool)| pool);
        let open = |pool: &&Pool| match self.request.pool {
            Some(name) => *pool.name == *name,
            None => {
                pool.spec.as_ref().is_some_and(|spec| spec.auto_assign) && self.admit(pool).is_ok()
            }
        };
        match pools().any(|pool| open(&pool)) {
            true => exhausted(wanted, pools().filter(open)),
            false => Refusal::NoPool { pools: pools().count() },
        }
    }

    /// Whether a pool gives addresses to this Service, or the refusal that says why not.
    fn open(&self, pool: &Pool) -> Result<(), Refusal> {
        self.admit(pool).map_err(|why| Refusal::PoolClosed { pool: pool.name.to_string(), why })
    }

    /// Whether a pool gives addresses to this Service.
    fn admit(&self, pool: &Pool) -> Result<(), Closed> {
        let spec = pool.spec.as_ref().ok_or(Closed::Gone)?;
        spec.admit(self.request)?;
        if self.tenant.is_some_and(|tenant| !tenant.lists(&pool.name)) {
            return Err(Closed::NotListed);
        }
        if pool.forbidden {
            return Err(Closed::Broken);
        }
        if pool.conflict.is_some() {
            return Err(Closed::Conflicting);
        }
        Ok(())
    }

    /// A choice as it is told, if the quota has room for it.
    fn give(&self, (pool, addresses): Choice) -> Result<Given, Refusal> {
        let table = &self.allocator.table;
        let new = |address: Option<IpAddr>| {
            let shared =
                address.is_some_and(|a| table.at(a).is_some_and(|(_, s)| !s.holders().is_empty()));
            u64::from(address.is_some() && !shared)
        };
        // What it has alone is given up for these.
        let freed = |family| {
            let slot = self.own.and_then(|(_, holder)| table.slot(holder.slot(family)?));
            u64::from(slot.is_some_and(|slot| slot.holders().len() == 1))
        };
        self.room(PerFamily {
            v4: new(addresses.v4).saturating_sub(freed(Family::V4)),
            v6: new(addresses.v6).saturating_sub(freed(Family::V6)),
        })?;
        let pool = self.allocator.catalog.get(pool).map(|pool| pool.name.clone());
        Ok(Given { pool: pool.unwrap_or_default(), addresses })
    }

    /// Whether the tenant's quota has room for the Service's ports and for more addresses.
    fn room(&self, addresses: PerFamily<u64>) -> Result<(), Refusal> {
        let Some(tenant) = self.tenant else { return Ok(()) };
        let before = self.own.map_or(0, |(_, holder)| holder.ports.as_slice().len());
        tenant.room(&TenantUsage {
            load_balancers: u64::from(self.own.is_none()),
            addresses,
            ports: (self.request.ports.len() as u64).saturating_sub(before as u64),
        })
    }
}

/// How many pools a refusal tells the figures of.
const TOLD: usize = 8;

fn exhausted<'p>(wanted: Wanted, pools: impl Iterator<Item = &'p Pool>) -> Refusal {
    Refusal::Exhausted { wanted, pools: pools.take(TOLD).map(Pool::figures).collect() }
}
