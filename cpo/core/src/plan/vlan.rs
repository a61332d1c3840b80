//! A Service in VLAN mode: speakers announce its address on the tenant's VLAN, and its packets come
//! to the tenant's machines as clients sent them.
//!
//! ```text
//! in:  Eip with orders ─► a speaker says that it announces ─► status
//! out: orders taken back ─► no speaker says that it announces ─► Eip released
//! ```

mod withdrawal;

use std::net::Ipv4Addr;

use cpo_api::{Announce, AnnouncementState, EipAnnouncement, EipVlan, NextHop, Reason};
use pools::Assigned;

use super::address::{self, Address, bind, differs, spec};
use super::report::{Report, Served};
use super::serve::Serving;
use super::{Plan, Promise, Since, Wait, release};
use crate::effect::{Effect, UnderEffect};
use crate::problem::{Problem, Severity};
use crate::request::Request;
use crate::select;
use crate::service::{Ingress, Protocol};
use crate::tenant::{Mode, Vlan};
use crate::under::{Advertisement, Eip, Pool};
use crate::world::World;
use withdrawal::counts;
use withdrawal::withdraw;
pub(super) use withdrawal::{Withdrawal, withdraw_all, withdrawing};

/// Takes the next step towards the address.
pub(super) fn step(
    serving: &Serving<'_>,
    vlan: &Vlan,
    request: &Request,
    since: &Since,
    plan: &mut Plan,
) -> Address {
    match serving.eip() {
        Some((_, eip)) if eip.deleting => Address::Waiting,
        Some((name, eip)) => assigned(serving, vlan, (name, eip), request, since, plan),
        None if serving.namespace_unread() => address::unread(serving, since, plan),
        None => draw(serving, vlan, request, plan),
    }
}

/// Takes an address that rests or was set aside for the Service, or a free one.
fn draw(serving: &Serving<'_>, vlan: &Vlan, request: &Request, plan: &mut Plan) -> Address {
    let (pool, address) = match address::choose(serving, request, plan) {
        Ok(chosen) => chosen,
        Err(address) => return address,
    };
    let Some(address) = address.filter(|v4| vlan.addresses.contains((*v4).into())) else {
        plan.promise = Promise::Withdrawn;
        return Address::Refused(None, off_link(serving, request, &pool, address));
    };
    let waits = serving.world.under.eips.get_key_value(&address.to_string());
    let spec = spec(serving, waits.map(|(_, eip)| eip), address, &pool, request);
    match waits {
        Some((_, eip)) if eip.deleting => Address::Waiting,
        Some((name, eip)) => bind(name, eip, spec, plan),
        None => {
            plan.effects.push(Effect::Under(UnderEffect::CreateEip { spec }));
            let text = format!("Assigned IP [{address}]");
            plan.effects.push(serving.good_news("IPAllocated", text));
            Address::Waiting
        }
    }
}

/// The Service has an `Eip`: keep it, unless another is asked for and can be had.
fn assigned(
    serving: &Serving<'_>,
    vlan: &Vlan,
    (name, eip): (&str, &Eip),
    request: &Request,
    since: &Since,
    plan: &mut Plan,
) -> Address {
    let Some(address) = eip.address() else { return Address::Waiting };
    let wish = serving.wish(request, false);
    if serving.world.assignments.wanted(serving.key).is_some() {
        // Unless it goes on wishing for it.
        plan.promise = Promise::Withdrawn;
    }
    let refused = match select::choose(serving.world, &wish) {
        Ok(Assigned::Move { to, .. }) => {
            let other = address::address_of(&to);
            if other.is_some_and(|v4| vlan.addresses.contains(v4.into())) {
                plan.promise = address::moving(&to);
                return give_up(serving, (name, eip), since, plan);
            }
            let pool = request.pool.as_deref().unwrap_or_default();
            Some(off_link(serving, request, pool, other))
        }
        Ok(_) => None,
        Err(problem) => {
            plan.hungry = true;
            Some(problem)
        }
    };
    // Ports beyond the quota are not served; the address and what is served stay.
    let limited = refused.as_ref().is_some_and(|p| p.reason == Reason::QuotaExceeded);
    let before = serving.as_before(request);
    let request = if limited { &before } else { request };
    let bound = spec(serving, Some(eip), address, &eip.spec.pool, request);
    if differs(&eip.spec, &bound) {
        if !limited {
            plan.promise = Promise::Made(Box::new(wish));
        }
        bind(name, eip, bound, plan);
    }
    match refused {
        Some(problem) if limited => Address::Limited(address, problem),
        Some(problem) => Address::Kept(address, problem),
        None => Address::Held(address),
    }
}

/// Lets go of the present address so that another can be had.
fn give_up(
    serving: &Serving<'_>,
    (name, eip): (&str, &Eip),
    since: &Since,
    plan: &mut Plan,
) -> Address {
    let under_way = withdraw(serving.world, name, eip, serving.now);
    let waits = matches!(under_way, Withdrawal::Waits);
    let step = match under_way {
        // What it leaves for another address it does not keep.
        Withdrawal::Done if eip.spec.keep => Some(release::keep_no_more(name, eip)),
        Withdrawal::Done => Some(release::leave(name, eip, serving.now)),
        under_way => under_way.into_effect(),
    };
    plan.effects.extend(step);
    if waits && plan.overdue(Wait::Silence, since, serving.now) {
        let text = format!(
            "the address is changed as soon as the provider has taken back {}",
            eip.spec.address
        );
        let problem = Problem::refused(Reason::NoSpeaker, text);
        let why = "a speaker has not said that it is silent: the Eip says which (Releasing)";
        return Address::Refused(eip.address(), problem.for_operator(why));
    }
    Address::Waiting
}

/// What speakers are to do for an address of a pool. Where the pool is gone, as they were told
/// before: that is no word about what is assigned.
pub(super) fn orders(serving: &Serving<'_>, eip: Option<&Eip>, pool: &str) -> EipVlan {
    let hops = serving.resolved.backends.iter().map(|backend| NextHop {
        address: backend.address.to_string(),
        mac: backend.mac.clone(),
        vm: backend.machine.clone(),
    });
    let next_hops = hops.collect();
    let told = eip.and_then(|eip| eip.spec.vlan.clone());
    if let Some(told) = told.filter(|_| !serving.world.under.pools.contains_key(pool)) {
        return EipVlan { next_hops, ..told };
    }
    let by = advertised(serving, pool);
    EipVlan {
        delivery: by.first().map(|(_, by)| by.delivery).unwrap_or_default(),
        announce: Announce { l2: by.into_iter().map(|(name, _)| name.clone()).collect() },
        next_hops,
    }
}

/// The advertisements of a pool for this Service, by name.
fn advertised<'a>(serving: &Serving<'a>, pool: &str) -> Vec<(&'a String, &'a Advertisement)> {
    let under = &serving.world.under;
    let found = under.pools.get(pool).map(|pool: &Pool| pool.labels.clone()).unwrap_or_default();
    let all = under.advertisements.iter();
    all.filter(|(_, by)| by.covers(pool, &found, &serving.service.labels)).collect()
}

/// What is known of a Service's address before anything is decided: what was published stays.
pub(super) fn served(serving: &Serving<'_>) -> Served {
    if serving.tenant.spec.mode() == Mode::Overlay {
        return Served::default();
    }
    let Some((_, eip)) = serving.eip() else {
        return Served::Speakers { nodes: Vec::new(), ports: Vec::new() };
    };
    let is_at = |ingress: &Ingress| ingress.ip == eip.spec.address;
    let published = serving.service.status.ingress.iter().any(is_at);
    let ports = if published { ports(eip) } else { Vec::new() };
    Served::Speakers { nodes: announced_by(serving.world, eip), ports }
}

/// The address is held: it is served where a speaker says that it announces it.
pub(super) fn announce(serving: &Serving<'_>, since: &Since, plan: &mut Plan, report: &mut Report) {
    let Some((name, eip)) = serving.eip() else { return };
    report.problems.extend(serving.resolved.problems.iter().cloned());
    if let Some(wake) = serving.resolved.wake {
        plan.wake_at(wake);
    }
    let ordered = plan.effects.iter().any(|effect| effect.binds_eip(name));
    report.silent |= ordered;
    let nodes = announced_by(serving.world, eip);
    report.programmed = !nodes.is_empty() && !ordered;
    let conflict = conflict(serving.world, eip);
    let free = conflict.is_none();
    report.problems.extend(conflict);
    let unannounced = nodes.is_empty() && report.problems.iter().all(|p| !holds_back(p));
    if unannounced {
        match eip.is_ordered() {
            false => report.problems.push(unadvertised(eip)),
            true if plan.overdue(Wait::Silence, since, serving.now) => {
                report.problems.push(unspoken(serving, eip));
            }
            // One is elected within that time, and takes over.
            true => report.silent |= !serving.resolved.backends.is_empty(),
        }
    }
    if report.programmed || (free && serving.resolved.backends.is_empty()) {
        report.served = Served::Speakers { nodes, ports: ports(eip) };
    }
}

const fn holds_back(problem: &Problem) -> bool {
    !matches!(problem.severity, Severity::Warning)
}

/// The ports that an `Eip` records.
fn ports(eip: &Eip) -> Vec<(u16, Protocol)> {
    let all = eip.spec.services.iter().flat_map(|service| &service.ports);
    let mut ports: Vec<_> =
        all.filter_map(|port| Some((port.port, Protocol::parse(&port.protocol)?))).collect();
    ports.sort_unstable();
    ports
}

/// What speakers say of this very `Eip`, as far as it counts.
fn says<'e>(world: &'e World, eip: &'e Eip) -> impl Iterator<Item = &'e EipAnnouncement> {
    let all = eip.status.announcements.iter().filter(|by| by.uid == eip.uid.as_str());
    all.filter(|by| counts(world, eip, &by.node))
}

fn announced_by(world: &World, eip: &Eip) -> Vec<String> {
    let answers = |by: &&EipAnnouncement| match by.state {
        AnnouncementState::Announced | AnnouncementState::Contested => true,
        AnnouncementState::Conflict => false,
    };
    says(world, eip).filter(answers).map(|by| by.node.clone()).collect()
}

/// Another host on the link has the address.
fn conflict(world: &World, eip: &Eip) -> Option<Problem> {
    let by = says(world, eip).find(|by| by.state != AnnouncementState::Announced)?;
    let text =
        "another host on the network answers for the address; the provider's operator was told";
    let why = format!("{}: {} ({})", eip.spec.address, by.message, by.node);
    let problem = match by.state {
        AnnouncementState::Contested => Problem::warning(Reason::AddressConflict, text),
        AnnouncementState::Conflict | AnnouncementState::Announced => {
            Problem::refused(Reason::AddressConflict, text)
        }
    };
    Some(problem.for_operator(why))
}

fn unadvertised(eip: &Eip) -> Problem {
    let text = "the address is assigned, and not announced by the provider yet";
    Problem::refused(Reason::NoAdvertisement, text).for_operator(format!(
        "no L2Advertisement announces addresses of AddressPool {} for this Service: see its \
         ipAddressPools, ipAddressPoolSelectors and serviceSelectors",
        eip.spec.pool
    ))
}

fn unspoken(serving: &Serving<'_>, eip: &Eip) -> Problem {
    let text = "the address is assigned, and not announced by the provider yet";
    let by = eip.spec.vlan.iter().flat_map(|vlan| &vlan.announce.l2).cloned().collect::<Vec<_>>();
    Problem::refused(Reason::NoSpeaker, text).for_operator(format!(
        "no speaker says that it announces {}: see that ccm-proxy runs on a node that \
         spec.vlan.interfaces of TenantCluster {} and L2Advertisement {} select, and what `ccm-proxy \
         status` says there",
        eip.spec.address,
        serving.tenant.spec.name,
        by.join(", ")
    ))
}

/// To the tenant it reads as any other refusal of what it asked for.
fn off_link(
    serving: &Serving<'_>,
    request: &Request,
    pool: &str,
    address: Option<Ipv4Addr>,
) -> Problem {
    let what = address.map_or_else(|| "its addresses".to_owned(), |v4| v4.to_string());
    let text = match (request.address, &request.pool) {
        (Some(address), _) => select::not_available(address.into()),
        (None, Some(pool)) => select::no_such_pool(pool),
        (None, None) => select::nothing_open(),
    };
    Problem::refused(Reason::PoolNotInVlan, text).for_operator(format!(
        "AddressPool {pool}: {what} would not be on the link of TenantCluster {}: see its \
         spec.vlan.cidrs",
        serving.tenant.spec.name
    ))
}
