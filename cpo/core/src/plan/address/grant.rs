//! An `OvnEip` was made for the Service: Kube-OVN grants it, or does not.

use cpo_api::Reason;

use super::super::serve::Serving;
use super::super::{Plan, Promise, Since, Wait};
use super::record::spec;
use super::{Address, delete_ovn_eip};
use crate::effect::{Effect, UnderEffect};
use crate::problem::Problem;
use crate::request::Request;
use crate::select;
use crate::under::{OvnEip, Pool};

/// An `OvnEip` and no `Eip`: wait for the grant, then assign.
pub(super) fn granted(
    serving: &Serving<'_>,
    ovn_eip: &OvnEip,
    request: &Request,
    since: &Since,
    plan: &mut Plan,
) -> Address {
    if ovn_eip.deleting {
        return Address::Waiting;
    }
    let other_wish = request.v4().is_some_and(|wish| ovn_eip.spec_v4 != Some(wish));
    let world = serving.world;
    let other_pool = request.pool.as_ref().is_some_and(|wish| {
        let fits = |pool: &&Pool| select::is_of(world, wish, pool, ovn_eip);
        let pool = world.under.pools.get(wish).filter(fits);
        !pool.is_some_and(|pool| select::open(world, wish, pool, &serving.tenant.spec))
    });
    // What is served already is recorded first, and then moved in the order of effects.
    let served = serving.served_address().is_some();
    if !served && (other_wish || other_pool) {
        plan.effects.push(delete_ovn_eip(serving, ovn_eip));
        return Address::Waiting;
    }
    if ovn_eip.address().is_none() {
        // It counts though nobody knows the address: a restart forgets who is drawing.
        let wish = serving.wish(request, true);
        match select::choose(world, &wish) {
            Err(problem) if problem.reason == Reason::QuotaExceeded => {
                plan.effects.push(delete_ovn_eip(serving, ovn_eip));
                plan.hungry = true;
                return Address::Refused(None, problem);
            }
            _ => plan.promise = Promise::Made(Box::new(wish)),
        }
    }
    let Some(address) = ovn_eip.granted() else {
        return ungranted(serving, ovn_eip, request, since, plan);
    };
    if let Some(holder) = serving.world.under.eips.get(&address.to_string()) {
        let leaving = holder.deleting || holder.released().is_some();
        if plan.overdue(Wait::Grant, since, serving.now) {
            // Whose it is may be waiting for it: leave it to him and draw another.
            plan.effects.push(delete_ovn_eip(serving, ovn_eip));
        } else if leaving {
            return Address::Waiting;
        }
        let text = "the address drawn for the Service is taken; the provider's operator was told";
        let why = format!(
            "OvnEip {} was granted {address}, which Eip {address} says belongs to {}",
            serving.ovn_eip,
            holder.owner().map_or_else(|| "nobody".to_owned(), ToString::to_string)
        );
        let problem = Problem::refused(Reason::AddressConflict, text).for_operator(why);
        return Address::Refused(None, problem);
    }
    let pool = serving.pool_of(ovn_eip, request);
    let spec = spec(serving, None, address.into(), &pool, request);
    plan.effects.push(Effect::Under(UnderEffect::CreateEip { spec }));
    plan.effects.push(serving.good_news("IPAllocated", format!("Assigned IP [{address}]")));
    Address::Waiting
}

fn ungranted(
    serving: &Serving<'_>,
    ovn_eip: &OvnEip,
    request: &Request,
    since: &Since,
    plan: &mut Plan,
) -> Address {
    if ovn_eip.ready && ovn_eip.status_v4.is_some() && ovn_eip.status_v4 != ovn_eip.spec_v4 {
        if !plan.overdue(Wait::Inconsistent, since, serving.now) {
            return Address::Waiting;
        }
        plan.effects.push(delete_ovn_eip(serving, ovn_eip));
        let problem = Problem::refused(
            Reason::OvnEipStatusInconsistent,
            "the provider's network granted no usable address yet; another is being drawn",
        );
        return Address::Refused(
            None,
            problem.for_operator(format!(
                "OvnEip {} is ready, but status.v4Ip differs from spec.v4Ip",
                serving.ovn_eip
            )),
        );
    }
    if !plan.overdue(Wait::Grant, since, serving.now) {
        return Address::Waiting;
    }
    if may_be_away(serving, ovn_eip) && !plan.overdue(Wait::Away, since, serving.now) {
        return pending(serving);
    }
    let Some(address) = request.v4() else {
        let untold = ovn_eip.spec_v4.is_some() && ovn_eip.status_v4.is_none();
        if untold && plan.overdue(Wait::Untold, since, serving.now) {
            // Made for a wish that is no more, and that is not granted. Kube-OVN itself records
            // what it grants a moment before it tells.
            plan.ungranted = ovn_eip.spec_v4;
            plan.effects.push(delete_ovn_eip(serving, ovn_eip));
            return Address::Waiting;
        }
        return pending(serving);
    };
    plan.ungranted = Some(address);
    plan.effects.push(delete_ovn_eip(serving, ovn_eip));
    let text =
        format!("address {address} is not available to this cluster; ask for another, or none");
    let why = format!("Kube-OVN did not grant {address} to OvnEip {}", serving.ovn_eip);
    Address::Refused(None, Problem::refused(Reason::AddressInUse, text).for_operator(why))
}

/// Others wait for Kube-OVN as well, and nothing younger was granted: that it grants this address
/// to nobody is not known then.
fn may_be_away(serving: &Serving<'_>, ovn_eip: &OvnEip) -> bool {
    let others = || serving.world.under.ovn_eips.iter().filter(|(n, _)| **n != serving.ovn_eip);
    let waits = |eip: &OvnEip| eip.service.is_some() && !eip.deleting && eip.granted().is_none();
    let younger = |eip: &OvnEip| eip.granted().is_some() && eip.created > ovn_eip.created;
    others().any(|(_, eip)| waits(eip)) && !others().any(|(_, eip)| younger(eip))
}

fn pending(serving: &Serving<'_>) -> Address {
    let text = "the provider's network has not granted an address yet; this goes on by itself";
    let why = format!(
        "OvnEip {} is not ready: look at its events and at the log of kube-ovn-controller",
        serving.ovn_eip
    );
    Address::Refused(None, Problem::refused(Reason::OvnEipPending, text).for_operator(why))
}
