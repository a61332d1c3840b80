//! How a Service comes to its address, keeps it, and changes it on request alone.

mod grant;
mod record;

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};

use cpo_api::Reason;
use pools::{Assigned, Given, PoolName, Target};

use super::serve::Serving;
use super::{Plan, Promise, Since, Wait, holders, release, reserved_ovn_eip_name};
use crate::assignments::Wish;
use crate::effect::{Effect, Purpose, UnderEffect};
use crate::ovn::OvnLink;
use crate::problem::Problem;
use crate::request::Request;
use crate::rows;
use crate::select;
use crate::tenant::Reading;
use crate::under::{Eip, OvnEip, Pool};
use grant::granted;
pub(super) use record::{bind, differs, kept_by_others, spec};

/// How far a Service has come to its address.
#[derive(Debug)]
pub(super) enum Address {
    /// Assigned and granted: it may be programmed.
    Held(Ipv4Addr),
    /// Something is under way; there is nothing to tell yet.
    Waiting,
    /// Whether rows serve it already is not known yet.
    Unseen,
    /// Assigned and granted, and it stays: the wish for another is refused.
    Kept(Ipv4Addr, Problem),
    /// Assigned and granted, and its ports of before are served: more of them is refused.
    Limited(Ipv4Addr, Problem),
    /// It has none; or, with an address, the one it had is lost.
    Refused(Option<Ipv4Addr>, Problem),
}

/// Takes the next step towards the address.
pub(super) fn step(
    serving: &Serving<'_>,
    request: &Request,
    since: &Since,
    plan: &mut Plan,
) -> Address {
    let under = &serving.world.under;
    let drawn = || under.ovn_eips.get(&serving.ovn_eip);
    if let Some(live) = serving.served_address() {
        let recorded = match serving.eip() {
            Some((_, eip)) => eip.deleting || eip.address() == Some(live.into()),
            None => drawn().is_some_and(|eip| eip.deleting || eip.address() == Some(live)),
        };
        if !recorded {
            return unrecorded(serving, live, request, plan);
        }
    }
    match serving.eip() {
        Some((_, eip)) if eip.deleting => Address::Waiting,
        Some((name, eip)) => assigned(serving, name, eip, request, since, plan),
        // A row that is not seen yet may serve it already.
        None if !serving.world.ovn.known() => Address::Unseen,
        None => match drawn() {
            Some(ovn_eip) => granted(serving, ovn_eip, request, since, plan),
            // Which pools are for it is not known yet.
            None if serving.namespace_unread() => unread(serving, since, plan),
            None => draw(serving, request, plan),
        },
    }
}

/// Pools select by the labels of its namespace, which are not known.
pub(super) fn unread(serving: &Serving<'_>, since: &Since, plan: &mut Plan) -> Address {
    if !plan.overdue(Wait::Namespace, since, serving.now) {
        return Address::Waiting;
    }
    let why = match &serving.tenant.namespaces.reading {
        Reading::Unread(why) if !why.is_empty() => why.as_str(),
        _ => "no complete list of them yet",
    };
    let text = "the labels of its namespace, by which pools are chosen, cannot be read yet; this \
                goes on by itself";
    let problem = Problem::refused(Reason::TenantUnreachable, text);
    Address::Refused(None, problem.for_operator(format!("namespaces of the tenant: {why}")))
}

/// Rows of ours serve the Service at an address of which it has no record: an Eip was deleted, or
/// the under cluster's etcd was set back. It stays there, and the record is made anew, unless
/// another has the address by his.
fn unrecorded(
    serving: &Serving<'_>,
    live: Ipv4Addr,
    request: &Request,
    plan: &mut Plan,
) -> Address {
    let world = serving.world;
    let own = serving.holders.eips().find(|(_, eip)| eip.address() == Some(live.into()));
    if let (None, Some((name, eip))) = (serving.eip(), own.filter(|(_, eip)| !eip.deleting)) {
        // Its record says that it rests: that is of before.
        return bind(
            name,
            eip,
            spec(serving, Some(eip), live.into(), &eip.spec.pool, request),
            plan,
        );
    }
    let wish = Wish { addresses: Vec::new(), pool: None, ..serving.wish(request, false) };
    let kept = match (serving.eip(), select::choose(world, &wish)) {
        (None, Ok(Assigned::Kept(given))) => v4(&given) == Some(live),
        _ => false,
    };
    if kept && !world.under.ovn_eips.contains_key(&serving.ovn_eip) {
        let pool = world.assignments.pool_at(live.into()).unwrap_or_default();
        let subnet = world.under.subnet_for(pool, live);
        plan.effects.extend(subnet.map(|s| create_ovn_eip(serving, pool, s, Some(live))));
        return Address::Waiting;
    }
    plan.hungry = true;
    // A reservation that was deleted while it was bound, and is made again.
    let reserved = world.under.eips.get_key_value(&live.to_string()).filter(|(_, eip)| {
        eip.spec.reserved
            && eip.spec.services.is_empty()
            && eip.spec.tenant.uid == serving.tenant.spec.uid.as_str()
    });
    if let Some((name, eip)) = reserved.filter(|_| serving.eip().is_none()) {
        return bind(
            name,
            eip,
            spec(serving, Some(eip), live.into(), &eip.spec.pool, request),
            plan,
        );
    }
    let holder = world.under.eips.get(&live.to_string()).and_then(Eip::owner);
    let own = serving.eip().map(|(name, _)| format!("; its own is Eip {name}"));
    let why = format!(
        "load balancer rows serve it at {live}, {}{}: nothing of it is changed until that is put \
         right (docs/addresses.md)",
        holder.map_or_else(
            || "of which no Eip tells".to_owned(),
            |holder| format!("which Eip {live} says belongs to {holder}")
        ),
        own.unwrap_or_default()
    );
    let text = format!(
        "address {live} goes on being served, but the provider's record of it is lost; the \
         provider's operator was told"
    );
    Address::Refused(Some(live), Problem::refused(Reason::AddressConflict, text).for_operator(why))
}

/// What a Service without an address gets: the pool, and the address where it is known.
fn choose(
    serving: &Serving<'_>,
    request: &Request,
    plan: &mut Plan,
) -> Result<(PoolName, Option<Ipv4Addr>), Address> {
    if gave_up(serving, request, plan) {
        return Err(Address::Waiting);
    }
    let wish = serving.wish(request, true);
    let target = match select::choose(serving.world, &wish) {
        Ok(Assigned::New(target) | Assigned::Move { to: target, .. }) => target,
        Ok(Assigned::Kept(given)) => Target::These(given),
        Err(problem) => {
            plan.promise = Promise::Withdrawn;
            plan.hungry = true;
            return Err(Address::Refused(None, problem));
        }
    };
    plan.promise = Promise::Made(Box::new(wish));
    Ok(match target {
        Target::Draw { pool, .. } => (pool, None),
        Target::These(given) => (given.pool.clone(), v4(&given)),
    })
}

/// Whether a Service was on its way to another address and wishes for none any more: it gets one
/// as anybody else.
pub(super) fn gave_up(serving: &Serving<'_>, request: &Request, plan: &mut Plan) -> bool {
    let moves = serving.world.assignments.moves(serving.key);
    let gave_up = moves && request.addresses.is_empty() && request.pool.is_none();
    if gave_up {
        plan.promise = Promise::Withdrawn;
        plan.wake_at(serving.now.mono);
    }
    gave_up
}

/// Nothing is under way: take an address that rests or was set aside for it, or draw one.
fn draw(serving: &Serving<'_>, request: &Request, plan: &mut Plan) -> Address {
    let (pool, address) = match choose(serving, request, plan) {
        Ok(chosen) => chosen,
        Err(address) => return address,
    };
    let under = &serving.world.under;
    let waits = address.and_then(|v4| under.eips.get_key_value(&v4.to_string()));
    if let (Some((name, eip)), Some(address)) = (waits, address) {
        let holder = under.ovn_eips.get(&serving.holders.of(eip));
        if eip.deleting || holder.is_some_and(|holder| holder.deleting) {
            return Address::Waiting;
        }
        return bind(name, eip, spec(serving, Some(eip), address.into(), &pool, request), plan);
    }
    let subnet = match address {
        Some(address) => under.subnet_for(&pool, address),
        None => under.pools.get(&*pool).and_then(Pool::subnet).map(str::to_owned),
    };
    let Some(subnet) = subnet else {
        // Its addresses are on a VLAN.
        plan.promise = Promise::Withdrawn;
        let text = match (address, &request.pool) {
            (Some(address), None) => select::not_available(address.into()),
            (_, Some(pool)) => select::no_such_pool(pool),
            (None, None) => select::nothing_open(),
        };
        let why = format!("no Subnet of a provider network holds addresses of AddressPool {pool}");
        return Address::Refused(
            None,
            Problem::refused(Reason::PoolNotAllowed, text).for_operator(why),
        );
    };
    plan.effects.push(create_ovn_eip(serving, &pool, subnet, address));
    Address::Waiting
}

/// The IPv4 address of what is given.
fn v4(given: &Given) -> Option<Ipv4Addr> {
    match given.addresses.v4 {
        Some(IpAddr::V4(v4)) => Some(v4),
        Some(IpAddr::V6(_)) | None => None,
    }
}

/// What a Service on its way to a target is promised: the address, where it is known.
fn moving(to: &Target) -> Promise {
    let address = match to {
        Target::These(given) => v4(given),
        Target::Draw { .. } => None,
    };
    let moving = |v4| Promise::Moving(BTreeSet::from([IpAddr::V4(v4)]));
    address.map_or(Promise::Withdrawn, moving)
}

fn create_ovn_eip(
    serving: &Serving<'_>,
    pool: &str,
    subnet: String,
    v4: Option<Ipv4Addr>,
) -> Effect {
    let (name, purpose) = (serving.ovn_eip.clone(), purpose(serving, v4));
    let pool = pool.to_owned();
    Effect::Under(UnderEffect::CreateOvnEip { name, purpose, pool, subnet, v4 })
}

fn delete_ovn_eip(serving: &Serving<'_>, ovn_eip: &OvnEip) -> Effect {
    Effect::Under(holders::delete_ovn_eip(&serving.ovn_eip, ovn_eip))
}

/// The Service has an `Eip`: keep it, unless another is asked for and can be had.
fn assigned(
    serving: &Serving<'_>,
    name: &str,
    eip: &Eip,
    request: &Request,
    since: &Since,
    plan: &mut Plan,
) -> Address {
    let Some(IpAddr::V4(address)) = eip.address() else { return Address::Waiting };
    let wish = serving.wish(request, false);
    let up = serving.world.ovn.link == OvnLink::Up;
    if serving.world.assignments.moves(serving.key) {
        // Unless it goes on wishing for it.
        plan.promise = Promise::Withdrawn;
    }
    let refused = match select::choose(serving.world, &wish) {
        // The old address may be on the network still: without sight of the rows it stays.
        Ok(Assigned::Move { to, .. }) if up => {
            plan.promise = moving(&to);
            return give_up(serving, name, eip, plan);
        }
        Ok(_) => None,
        Err(problem) => {
            plan.hungry = true;
            Some(problem)
        }
    };
    // Ports beyond the quota are not served; the address and what is served stay.
    if let Some(problem) = refused.as_ref().filter(|p| p.reason == Reason::QuotaExceeded) {
        hold(serving, eip, address, plan);
        return Address::Limited(address, problem.clone());
    }
    let bound = spec(serving, Some(eip), address.into(), &eip.spec.pool, request);
    if differs(&eip.spec, &bound) {
        plan.promise = Promise::Made(Box::new(wish));
        return bind(name, eip, bound, plan);
    }
    let lost = !hold(serving, eip, address, plan);
    if lost && plan.overdue(Wait::Lost, since, serving.now) {
        let text = format!("address {address} was lost; it is taken back as soon as it can be");
        let why = format!("OvnEip {} no longer holds {address}", serving.ovn_eip);
        let problem = Problem::withdrawn(Reason::AddressConflict, text).for_operator(why);
        return Address::Refused(Some(address), problem);
    }
    match refused {
        Some(problem) => Address::Kept(address, problem),
        None => Address::Held(address),
    }
}

/// Keeps the address of a Service whose wishes cannot be read.
pub(super) fn keep(serving: &Serving<'_>, plan: &mut Plan) -> Option<Ipv4Addr> {
    if let Some(live) = serving.served_address().filter(|_| serving.eip().is_none()) {
        return Some(live);
    }
    let Some((_, eip)) = serving.eip() else {
        // Drawn, and not assigned: another may need it meanwhile.
        let drawn = serving.world.under.ovn_eips.get(&serving.ovn_eip).filter(|e| !e.deleting);
        plan.effects.extend(drawn.map(|ovn_eip| delete_ovn_eip(serving, ovn_eip)));
        plan.promise = Promise::Withdrawn;
        return None;
    };
    if eip.deleting {
        return None;
    }
    let Some(IpAddr::V4(address)) = eip.address() else { return None };
    if serving.world.assignments.moves(serving.key) {
        plan.promise = Promise::Withdrawn;
    }
    hold(serving, eip, address, plan);
    Some(address)
}

/// Sees to it that the `OvnEip` holds an assigned address; tells whether it does.
fn hold(serving: &Serving<'_>, eip: &Eip, address: Ipv4Addr, plan: &mut Plan) -> bool {
    let under = &serving.world.under;
    match under.ovn_eips.get(&serving.ovn_eip) {
        None => {
            let pool = &eip.spec.pool;
            let subnet = under.subnet_for(pool, address);
            plan.effects.extend(subnet.map(|s| create_ovn_eip(serving, pool, s, Some(address))));
            false
        }
        Some(ovn_eip) if ovn_eip.granted() == Some(address) => {
            plan.effects.extend((!ovn_eip.labelled).then(|| label(serving, address)));
            true
        }
        Some(ovn_eip) => {
            let other = !ovn_eip.deleting && ovn_eip.spec_v4.is_some_and(|v4| v4 != address);
            plan.effects.extend(other.then(|| delete_ovn_eip(serving, ovn_eip)));
            false
        }
    }
}

/// What the `OvnEip` of the Service is for: one that holds a reserved address outlives it.
fn purpose(serving: &Serving<'_>, address: Option<Ipv4Addr>) -> Purpose {
    let install = &serving.world.install;
    match address.filter(|v4| serving.ovn_eip == reserved_ovn_eip_name(install, (*v4).into())) {
        Some(address) => {
            Purpose::Reserved { address, tenant: serving.tenant.spec.name.to_string() }
        }
        None => Purpose::Service(serving.key.clone()),
    }
}

fn label(serving: &Serving<'_>, address: Ipv4Addr) -> Effect {
    let (name, purpose) = (serving.ovn_eip.clone(), purpose(serving, Some(address)));
    Effect::Under(UnderEffect::LabelOvnEip { name, purpose })
}

/// Lets go of the present address so that another can be drawn: first the rows, then the `Eip`,
/// whose address rests then.
fn give_up(serving: &Serving<'_>, name: &str, eip: &Eip, plan: &mut Plan) -> Address {
    let live = rows::withdraw(&serving.world.ovn, serving.key);
    plan.effects.push(if !live.is_empty() {
        Effect::Ovn(live)
    } else if eip.spec.keep {
        // What it leaves for another address it does not keep.
        release::keep_no_more(name, eip)
    } else {
        release::leave(name, eip, serving.now)
    });
    Address::Waiting
}
