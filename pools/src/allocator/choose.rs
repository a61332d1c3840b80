//! Which address a Service gets.

mod obtain;
mod quota;
mod search;

use std::net::IpAddr;

use super::catalog::{Fresh, Pool, PoolId};
use super::holder::{Holder, HolderId, NameHash};
use super::tenants::Tenant;
use super::tenants::TenantId;
use super::{Allocator, BOTH};
use crate::{
    Assigned, Closed, Families, Family, Given, PerFamily, Refusal, Request, Resource, Target,
    Unavailable, Wanted,
};

/// Addresses of one pool, some of which are to be drawn.
#[derive(Clone, Copy)]
struct Choice {
    pool: PoolId,
    addresses: PerFamily<Option<IpAddr>>,
    draw: PerFamily<bool>,
}

#[derive(Clone, Copy)]
struct Chooser<'c> {
    allocator: &'c Allocator,
    request: &'c Request<'c>,
    families: Families,
    hash: NameHash,
    tenant: Option<(TenantId, &'c Tenant)>,
    /// The Service itself, if it has an address, or draws one.
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
    /// The Service, if it has an address, or draws one.
    pub(super) own: Option<HolderId>,
    /// Of the Service's name.
    pub(super) hash: NameHash,
}

pub(super) fn choose(allocator: &Allocator, request: &Request<'_>) -> Result<Chosen, Refusal> {
    let tenant = allocator.tenants.find(request.service.tenant);
    let hash = allocator.table.hash(&request.service);
    let own = tenant.and_then(|tenant| allocator.table.find(tenant, &request.service, hash));
    let chooser = Chooser {
        allocator,
        request,
        families: request.families,
        hash,
        tenant: tenant.and_then(|id| Some((id, allocator.tenants.get(id)?))),
        own: own.and_then(|id| Some((id, allocator.table.holder(id)?))),
        wish: wish(request.addresses)?,
        asked: request.pool.and_then(|name| allocator.catalog.named(name)),
    };
    let (pool, assigned) = chooser.decide()?;
    Ok(Chosen { assigned, pool, tenant, own, hash })
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

impl Choice {
    fn of(pool: PoolId) -> Self {
        Self { pool, addresses: PerFamily::default(), draw: PerFamily::default() }
    }

    fn add(&mut self, family: Family, fresh: Fresh) {
        match fresh {
            Fresh::Address(address) => *self.addresses.get_mut(family) = Some(address),
            Fresh::Draw => *self.draw.get_mut(family) = true,
        }
    }

    /// What of it is of this family.
    fn only(mut self, family: Family) -> Self {
        *self.addresses.get_mut(family.other()) = None;
        *self.draw.get_mut(family.other()) = false;
        self
    }

    fn lacks(&self, family: Family) -> bool {
        self.addresses.get(family).is_none() && !self.draw.get(family)
    }
}

impl Chooser<'_> {
    fn decide(&self) -> Result<(PoolId, Assigned), Refusal> {
        let given = self.own.and_then(|(_, holder)| self.allocator.given(holder));
        if let Some(choice) = self.still_drawing(given.as_ref()) {
            self.joinable_all(&choice)?;
            self.room(PerFamily::default())?;
            return Ok((choice.pool, Assigned::New(self.target(&choice, given.as_ref()))));
        }
        match given {
            Some((pool, given)) => self.again(pool, given),
            None => {
                let choice = self.anew()?;
                Ok((choice.pool, Assigned::New(self.target(&choice, None))))
            }
        }
    }

    /// What it draws, if that is what it wants.
    fn still_drawing(&self, given: Option<&(PoolId, Given)>) -> Option<Choice> {
        let (id, holder) = self.own.filter(|(_, holder)| holder.draws())?;
        let id = *self.allocator.draws.get(&id)?;
        let pool = self.allocator.catalog.get(id).filter(|pool| self.admit(pool).is_ok())?;
        let addresses = given.map(|(_, given)| given.addresses).unwrap_or_default();
        let choice = Choice { pool: id, addresses, draw: holder.drawing };
        let families = match self.families {
            Families::Only(family) => !choice.lacks(family) && choice.lacks(family.other()),
            Families::Both => BOTH.iter().all(|family| !choice.lacks(*family)),
            Families::Prefer(_) => true,
        };
        let asked = self.request.pool.is_none_or(|wanted| *wanted == *pool.name);
        let one_pool = given.is_none_or(|(of, _)| *of == id);
        (families && asked && one_pool && self.grants_wishes(&addresses)).then_some(choice)
    }

    fn grants_wishes(&self, addresses: &PerFamily<Option<IpAddr>>) -> bool {
        let granted = |family: &Family| {
            self.wish.get(*family).is_none_or(|wish| *addresses.get(*family) == Some(wish))
        };
        BOTH.iter().all(granted)
    }

    /// For a Service that has addresses: those that it still wants, and what it wants beside.
    fn again(&self, pool: PoolId, given: Given) -> Result<(PoolId, Assigned), Refusal> {
        let Some(choice) = self.around(pool, &given)? else {
            let choice = self.anew()?;
            let to = self.target(&choice, None);
            return Ok((choice.pool, Assigned::Move { from: given.into(), to }));
        };
        let has = |family: &Family| given.addresses.get(*family).is_some();
        let stays = |f: &Family| !has(f) || given.addresses.get(*f) == choice.addresses.get(*f);
        let same = |f: &Family| stays(f) && has(f) != choice.lacks(*f);
        let assigned = if BOTH.iter().all(same) {
            Assigned::Kept(given)
        } else if BOTH.iter().all(stays) {
            Assigned::New(self.target(&choice, Some(&(pool, given))))
        } else {
            let to = self.target(&choice, Some(&(pool, given.clone())));
            Assigned::Move { from: given.into(), to }
        };
        Ok((pool, assigned))
    }

    /// What it keeps of these addresses, with what it wants beside them from their pool; nothing
    /// if it cannot keep any.
    fn around(&self, pool: PoolId, given: &Given) -> Result<Option<Choice>, Refusal> {
        if self.request.pool.is_some_and(|wanted| *wanted != *given.pool) {
            return Ok(None);
        }
        let mut choice = Choice::of(pool);
        for family in BOTH {
            let wanted = !matches!(self.families, Families::Only(only) if only != family);
            let wish = *self.wish.get(family);
            let kept = given.addresses.get(family).filter(|a| wish.is_none_or(|wish| wish == *a));
            *choice.addresses.get_mut(family) = kept.filter(|_| wanted);
        }
        if BOTH.iter().all(|family| choice.lacks(*family)) {
            return Ok(None);
        }
        self.joinable_all(&choice)?;
        for family in BOTH {
            let Some(address) = self.wish.get(family).filter(|_| choice.lacks(family)) else {
                continue;
            };
            if self.wished_one(family, address)? != pool {
                return Ok(None);
            }
            *choice.addresses.get_mut(family) = Some(address);
        }
        self.complete(&mut choice)?;
        self.give(&choice)?;
        self.prefer(&mut choice);
        Ok(Some(choice))
    }

    /// Adds the family that is missing where both are required.
    fn complete(&self, choice: &mut Choice) -> Result<(), Refusal> {
        let missing = BOTH.into_iter().find(|family| choice.lacks(*family));
        let Some(family) = missing.filter(|_| self.families == Families::Both) else {
            return Ok(());
        };
        let pool = self.allocator.catalog.get(choice.pool);
        pool.map_or(Ok(()), |pool| self.open(pool))?;
        let fresh = self.beside(choice.pool, family);
        choice.add(family, fresh.ok_or_else(|| exhausted(Wanted::One(family), pool.into_iter()))?);
        Ok(())
    }

    /// Adds the family that a Service prefers to have as well, if the pool has it.
    fn prefer(&self, choice: &mut Choice) {
        let missing = BOTH.into_iter().find(|family| choice.lacks(*family));
        let (Some(family), Families::Prefer(_)) = (missing, self.families) else { return };
        let pool = self.allocator.catalog.get(choice.pool);
        if pool.is_none_or(|pool| self.admit(pool).is_err()) {
            return;
        }
        let mut both = *choice;
        let Some(fresh) = self.beside(choice.pool, family) else { return };
        both.add(family, fresh);
        if self.give(&both).is_ok() {
            *choice = both;
        }
    }

    /// What a pool gives this Service beside what it has of it.
    fn beside(&self, pool: PoolId, family: Family) -> Option<Fresh> {
        let waits = self.awaiting().into_iter();
        let mut waits =
            waits.filter(|slot| slot.pool == pool && Family::of(slot.address) == family);
        let waiting = waits.next().map(|slot| Fresh::Address(slot.address));
        waiting.or_else(|| self.allocator.catalog.get(pool)?.fresh(family))
    }

    /// Whether it may keep what is chosen of what it has.
    fn joinable_all(&self, choice: &Choice) -> Result<(), Refusal> {
        for address in [choice.addresses.v4, choice.addresses.v6].into_iter().flatten() {
            if let Some((_, slot)) = self.allocator.table.at(address) {
                self.joinable(slot)?;
            }
        }
        Ok(())
    }

    /// What it would get if it had nothing.
    fn anew(&self) -> Result<Choice, Refusal> {
        match (self.granted(), self.families) {
            // Where the quota has no room for one family, the other is better than none.
            (Err(Refusal::Quota { resource, limit, used }), Families::Prefer(_))
                if self.wish == PerFamily::default() =>
            {
                let full = Refusal::Quota { resource, limit, used };
                let Resource::Addresses(family) = resource else { return Err(full) };
                let other = Self { families: Families::Only(family.other()), ..*self };
                other.granted().map_err(|_| full)
            }
            (granted, _) => granted,
        }
    }

    fn granted(&self) -> Result<Choice, Refusal> {
        // First what needs no search: a tenant that has what it may have asks again and again.
        let limited = self.has_quota();
        if limited {
            self.room(PerFamily::default())?;
        }
        let mut choice = self.choice()?;
        if limited {
            self.give(&choice)?;
        }
        if let Families::Prefer(_) = self.families {
            self.prefer(&mut choice);
        }
        Ok(choice)
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
        for family in BOTH {
            let Some(address) = *self.wish.get(family) else { continue };
            let pool = self.wished_one(family, address)?;
            let choice = choice.get_or_insert_with(|| Choice::of(pool));
            if choice.pool != pool {
                let other = self.allocator.catalog.get(pool).map_or("", |pool| &pool.name);
                let why = Unavailable::OtherPool(other.to_owned());
                return Err(Refusal::Unavailable { address, why });
            }
            *choice.addresses.get_mut(family) = Some(address);
        }
        let Some(mut choice) = choice else { return self.free() };
        self.complete(&mut choice)?;
        Ok(choice)
    }

    /// The pool of an address that is asked for.
    fn wished_one(&self, family: Family, address: IpAddr) -> Result<PoolId, Refusal> {
        let refuse = |why| Refusal::Unavailable { address, why };
        match self.families {
            Families::Only(other) if other != family => Err(refuse(Unavailable::Family(family))),
            Families::Only(_) | Families::Prefer(_) | Families::Both => {
                self.available(address).map_err(refuse)
            }
        }
    }

    /// A choice as it is told to a Service that has these addresses.
    fn target(&self, choice: &Choice, given: Option<&(PoolId, Given)>) -> Target {
        let pool = self.allocator.catalog.get(choice.pool).map(|pool| pool.name.clone());
        let pool = pool.unwrap_or_default();
        let has = given.map(|(_, given)| given.addresses).unwrap_or_default();
        let new = |f: &Family| choice.addresses.get(*f).is_some_and(|a| *has.get(*f) != Some(a));
        let draws = choice.draw.v4 || choice.draw.v6;
        if draws && !BOTH.iter().any(new) {
            return Target::Draw { pool, families: choice.draw };
        }
        Target::These(Given { pool, addresses: choice.addresses })
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
        if !pool.is_open() {
            pool.spec.as_ref().ok_or(Closed::Gone)?.admit(self.request)?;
        }
        if self.tenant.is_some_and(|(_, tenant)| !tenant.lists(&pool.name)) {
            return Err(Closed::NotListed);
        }
        if self.request.among.is_some_and(|among| !among.contains(&*pool.name)) {
            return Err(Closed::OutOfReach);
        }
        if pool.forbidden {
            return Err(Closed::Broken);
        }
        if pool.conflict.is_some() {
            return Err(Closed::Conflicting);
        }
        Ok(())
    }
}

/// How many pools a refusal tells the figures of.
const TOLD: usize = 8;

fn exhausted<'p>(wanted: Wanted, pools: impl Iterator<Item = &'p Pool>) -> Refusal {
    Refusal::Exhausted { wanted, pools: pools.take(TOLD).map(Pool::figures).collect() }
}
