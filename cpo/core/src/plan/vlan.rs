//! A Service in VLAN mode: speakers announce its addresses on the tenant's VLAN, and their packets
//! come to the tenant's machines as clients sent them.
//!
//! ```text
//! in:  Eips with orders ─► a speaker says that it announces ─► status
//! out: orders taken back ─► no speaker says that it announces ─► Eips released
//! ```
//! A Service has an address of each family it wants, and each has an `Eip` of its own. Services that
//! share an address share its `Eip`: it says the same whichever of them is looked at.

mod orders;
mod speakers;
mod withdrawal;

use std::collections::BTreeSet;
use std::net::IpAddr;

use cpo_api::Reason;
use pools::{Assigned, Given, Target};

use super::address::{self, Address, bind, differs, spec};
use super::outcome::Report;
use super::serve::{RETRY, Serving};
use super::{Plan, Promise, Since, Wait, release};
use crate::assignments::Wish;
use crate::effect::{Effect, UnderEffect};
use crate::problem::Problem;
use crate::request::Request;
use crate::select;
use crate::tenant::Vlan;
use crate::under::Eip;
pub(super) use orders::{of as orders_of, part, service_of};
pub(super) use speakers::served;
use withdrawal::withdraw;
pub(super) use withdrawal::{Withdrawal, withdraw_all, withdrawing};

/// How far a Service has come to its addresses.
enum Step {
    /// Something is under way; there is nothing to tell yet.
    Waiting,
    /// It has addresses, by its `Eip`s; perhaps not as it wishes.
    Held(Option<Problem>),
    /// It gets none, or what it has cannot be changed for now.
    Refused(Problem),
}

/// Takes the next step towards the addresses of a Service, and tells how they stand.
pub(super) fn place(
    serving: &Serving<'_>,
    vlan: &Vlan,
    request: &Request,
    since: &Since,
    plan: &mut Plan,
    report: &mut Report,
) {
    match step(serving, vlan, request, since, plan) {
        Step::Waiting => report.silent = true,
        Step::Held(problem) => {
            if problem.is_some() {
                plan.wake_at(serving.now.mono + RETRY);
            }
            report.problems.extend(problem);
            report.addresses = addresses(serving);
            speakers::announce(serving, since, plan, report);
        }
        Step::Refused(problem) => {
            plan.wake_at(serving.now.mono + RETRY);
            report.addresses = addresses(serving);
            report.problems.push(problem);
        }
    }
}

/// Keeps the addresses of a Service whose wishes cannot be read.
pub(super) fn keep(serving: &Serving<'_>, plan: &mut Plan) -> Vec<IpAddr> {
    let addresses = addresses(serving);
    if addresses.is_empty() || serving.world.assignments.moves(serving.key) {
        plan.promise = Promise::Withdrawn;
    }
    addresses
}

/// The addresses that the Service has.
fn addresses(serving: &Serving<'_>) -> Vec<IpAddr> {
    let eips = serving.eips.iter().filter(|(_, eip)| !eip.deleting);
    eips.filter_map(|(_, eip)| eip.address()).collect()
}

fn step(
    serving: &Serving<'_>,
    vlan: &Vlan,
    request: &Request,
    since: &Since,
    plan: &mut Plan,
) -> Step {
    if serving.eips.iter().any(|(_, eip)| eip.deleting) {
        return Step::Waiting;
    }
    let none = serving.eips.is_empty();
    if none && serving.namespace_unread() {
        return match address::unread(serving, since, plan) {
            Address::Refused(_, problem) => Step::Refused(problem),
            _ => Step::Waiting,
        };
    }
    if none && address::gave_up(serving, request, plan) {
        return Step::Waiting;
    }
    if serving.world.assignments.moves(serving.key) {
        // Unless it goes on wishing for it.
        plan.promise = Promise::Withdrawn;
    }
    let wish = serving.wish(request, none);
    let on_link = |given: &Given| each(given).all(|address| vlan.addresses.contains(address));
    match select::choose(serving.world, &wish) {
        Ok(Assigned::Kept(given)) => hold(serving, &given, request, wish, plan),
        Ok(Assigned::New(Target::These(given))) if on_link(&given) => {
            hold(serving, &given, request, wish, plan)
        }
        Ok(Assigned::Move { to: Target::These(given), .. }) if on_link(&given) => {
            give_up(serving, &given, since, plan)
        }
        Ok(Assigned::New(to) | Assigned::Move { to, .. }) => {
            let problem = off_link(serving, request, &to);
            refuse(serving, request, problem, plan)
        }
        Err(problem) => {
            plan.hungry = true;
            refuse(serving, request, problem, plan)
        }
    }
}

fn each(given: &Given) -> impl Iterator<Item = IpAddr> + use<> {
    [given.addresses.v4, given.addresses.v6].into_iter().flatten()
}

/// The Service may have these addresses: what it has of them follows its wishes, and what it has
/// not is bound to it.
fn hold(
    serving: &Serving<'_>,
    given: &Given,
    request: &Request,
    wish: Wish,
    plan: &mut Plan,
) -> Step {
    let (mut new, mut changed) = (Vec::new(), false);
    for address in each(given) {
        match serving.eips.iter().find(|(_, eip)| eip.address() == Some(address)) {
            Some((name, eip)) => {
                let spec = spec(serving, Some(eip), address, &eip.spec.pool, request);
                if differs(&eip.spec, &spec) {
                    changed = true;
                    bind(name, eip, spec, plan);
                }
            }
            None => {
                if obtain(serving, address, &given.pool, request, plan) {
                    new.push(address.to_string());
                }
            }
        }
    }
    let waits = each(given).any(|address| !has(serving, address));
    if waits || changed {
        plan.promise = Promise::Made(Box::new(wish));
    }
    if !new.is_empty() {
        let text = format!("Assigned IP [{}]", new.join(", "));
        plan.effects.push(serving.good_news("IPAllocated", text));
    }
    if waits { Step::Waiting } else { Step::Held(None) }
}

fn has(serving: &Serving<'_>, address: IpAddr) -> bool {
    serving.eips.iter().any(|(_, eip)| eip.address() == Some(address))
}

/// Binds an address to the Service that it has not; whether nobody had it before.
fn obtain(
    serving: &Serving<'_>,
    address: IpAddr,
    pool: &str,
    request: &Request,
    plan: &mut Plan,
) -> bool {
    let name = cpo_api::Eip::name_of(address);
    let waits = serving.world.under.eips.get(&name);
    let spec = spec(serving, waits, address, pool, request);
    match waits {
        Some(eip) if eip.deleting => false,
        Some(eip) => {
            bind(&name, eip, spec, plan);
            false
        }
        None => {
            plan.effects.push(Effect::Under(UnderEffect::CreateEip { spec }));
            true
        }
    }
}

/// The wish is refused: the Service keeps what it has. Ports that it has not by now are not served
/// where its quota, or who shares its address, leaves no room for them.
fn refuse(serving: &Serving<'_>, request: &Request, problem: Problem, plan: &mut Plan) -> Step {
    if serving.eips.is_empty() {
        plan.promise = Promise::Withdrawn;
        return Step::Refused(problem);
    }
    // Nobody asked for others what it wants of an address that is theirs as well.
    let with_others = serving.eips.iter().any(|(_, eip)| eip.owners.len() > 1);
    let may_share = serving.eips.iter().any(|(_, eip)| eip.spec.sharing.is_some());
    let limited = match problem.reason {
        Reason::QuotaExceeded => true,
        Reason::SharingConflict => may_share,
        _ => with_others,
    };
    let before = serving.as_before(request);
    let request = if limited { &before } else { request };
    let mut made = false;
    for (name, eip) in &serving.eips {
        let Some(address) = eip.address() else { continue };
        let sharing = eip.spec.sharing.clone().filter(|_| limited);
        let request =
            Request { sharing: sharing.or_else(|| request.sharing.clone()), ..request.clone() };
        let spec = spec(serving, Some(eip), address, &eip.spec.pool, &request);
        if differs(&eip.spec, &spec) {
            made = !limited;
            bind(name, eip, spec, plan);
        }
    }
    if made {
        plan.promise = Promise::Made(Box::new(serving.wish(request, false)));
    }
    Step::Held(Some(problem))
}

/// Lets go of those addresses that the Service has and is not to have, so that it can have others.
fn give_up(serving: &Serving<'_>, to: &Given, since: &Since, plan: &mut Plan) -> Step {
    let wanted: BTreeSet<IpAddr> = each(to).filter(|address| !has(serving, *address)).collect();
    plan.promise = match wanted.is_empty() {
        true => Promise::Withdrawn,
        false => Promise::Moving(wanted),
    };
    let mut waits = Vec::new();
    let leaves = |eip: &Eip| eip.address().is_some_and(|address| each(to).all(|to| to != address));
    for (name, eip) in serving.eips.iter().filter(|(_, eip)| leaves(eip)) {
        if eip.owners.len() > 1 {
            let (world, tenant, key) = (serving.world, serving.tenant, serving.key);
            plan.effects.push(part(world, tenant, key, (name, eip), serving.now));
            continue;
        }
        match withdraw(serving.world, name, eip, serving.now) {
            // What it leaves for another address it does not keep.
            Withdrawal::Done if eip.spec.keep => {
                plan.effects.push(release::keep_no_more(name, eip));
            }
            Withdrawal::Done => plan.effects.push(release::leave(name, eip, serving.now)),
            Withdrawal::Waits => waits.push(eip.spec.address.clone()),
            Withdrawal::Next(effect) => plan.effects.push(*effect),
        }
    }
    if !waits.is_empty() && plan.overdue(Wait::Silence, since, serving.now) {
        let text = format!(
            "the address is changed as soon as the provider has taken back {}",
            waits.join(", ")
        );
        let why = "a speaker has not said that it is silent: the Eip says which (Releasing)";
        return Step::Refused(Problem::refused(Reason::NoSpeaker, text).for_operator(why));
    }
    Step::Waiting
}

/// To the tenant it reads as any other refusal of what it asked for.
fn off_link(serving: &Serving<'_>, request: &Request, to: &Target) -> Problem {
    let (pool, what) = match to {
        Target::These(given) => {
            let all: Vec<_> = each(given).map(|address| address.to_string()).collect();
            (&given.pool, all.join(", "))
        }
        Target::Draw { pool, .. } => (pool, "its addresses".to_owned()),
    };
    let text = match (request.addresses.first(), &request.pool) {
        (Some(address), _) => select::not_available(*address),
        (None, Some(pool)) => select::no_such_pool(pool),
        (None, None) => select::nothing_open(),
    };
    Problem::refused(Reason::PoolNotInVlan, text).for_operator(format!(
        "AddressPool {pool}: {what} would not be on the link of TenantCluster {}: see its \
         spec.vlan.cidrs",
        serving.tenant.spec.name
    ))
}
