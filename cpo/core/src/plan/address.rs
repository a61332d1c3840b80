//! How a Service comes to its address, keeps it, and changes it on request alone.

use std::net::Ipv4Addr;

use cpo_api::{EipMode, EipOverlay, EipPort, EipService, EipSpec, EipTenant, Reason};

use super::serve::Serving;
use super::{Plan, Since, Wait};
use crate::effect::{Effect, UnderEffect};
use crate::ovn::OvnLink;
use crate::problem::Problem;
use crate::request::Request;
use crate::rows;
use crate::select::{self, Draw};
use crate::under::{Eip, OvnEip};

/// How far a Service has come to its address.
#[derive(Debug)]
pub(super) enum Address {
    /// Assigned and granted: it may be programmed.
    Held(Ipv4Addr),
    /// Something is under way; there is nothing to tell yet.
    Waiting,
    /// Assigned and granted, and it stays: the wish for another is refused.
    Kept(Ipv4Addr, Problem),
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
    match serving.eip() {
        Some((_, eip)) if eip.deleting => Address::Waiting,
        Some((name, eip)) => assigned(serving, name, eip, request, since, plan),
        None => match under.ovn_eips.get(&serving.ovn_eip) {
            None => draw(serving, request, plan),
            Some(ovn_eip) => granted(serving, ovn_eip, request, since, plan),
        },
    }
}

/// No `Eip`, no `OvnEip`: draw one.
fn draw(serving: &Serving<'_>, request: &Request, plan: &mut Plan) -> Address {
    match choose(serving, request) {
        Ok(Draw { subnet, address, .. }) => {
            plan.effects.push(create_ovn_eip(serving, subnet, address));
            Address::Waiting
        }
        Err(problem) => Address::Refused(None, problem),
    }
}

fn choose(serving: &Serving<'_>, request: &Request) -> Result<Draw, Problem> {
    let world = serving.world;
    let vpc = serving.vpc();
    select::draw(
        &world.under,
        &world.ovn,
        &serving.tenant.spec,
        request,
        &serving.ovn_eip,
        vpc.as_deref(),
    )
}

fn create_ovn_eip(serving: &Serving<'_>, subnet: String, v4: Option<Ipv4Addr>) -> Effect {
    let (name, service) = (serving.ovn_eip.clone(), serving.key.clone());
    Effect::Under(UnderEffect::CreateOvnEip { name, service, subnet, v4 })
}

fn delete_ovn_eip(serving: &Serving<'_>, ovn_eip: &OvnEip) -> Effect {
    let name = serving.ovn_eip.clone();
    Effect::Under(UnderEffect::DeleteOvnEip { name, uid: ovn_eip.uid.clone() })
}

/// An `OvnEip` and no `Eip`: wait for the grant, then assign.
fn granted(
    serving: &Serving<'_>,
    ovn_eip: &OvnEip,
    request: &Request,
    since: &Since,
    plan: &mut Plan,
) -> Address {
    if ovn_eip.deleting {
        return Address::Waiting;
    }
    let other_wish = request.address.is_some_and(|wish| ovn_eip.spec_v4 != Some(wish));
    let other_pool = request.pool.as_ref().is_some_and(|wish| {
        let pool = serving.world.under.pools.get(wish);
        !pool.is_some_and(|pool| {
            pool.subnet == ovn_eip.subnet && select::open(wish, pool, &serving.tenant.spec)
        })
    });
    if other_wish || other_pool {
        plan.effects.push(delete_ovn_eip(serving, ovn_eip));
        return Address::Waiting;
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
            holder.owner.as_ref().map_or_else(|| "nobody".to_owned(), ToString::to_string)
        );
        let problem = Problem::refused(Reason::AddressConflict, text).for_operator(why);
        return Address::Refused(None, problem);
    }
    let pool = serving.pool_of(&ovn_eip.subnet, request);
    let spec = spec(serving, address, pool, request);
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
    let Some(address) = request.address else {
        let untold = ovn_eip.spec_v4.is_some() && ovn_eip.status_v4.is_none();
        if untold && plan.overdue(Wait::Untold, since, serving.now) {
            // Made for a wish that is no more, and that is not granted. Kube-OVN itself records
            // what it grants a moment before it tells.
            plan.effects.push(delete_ovn_eip(serving, ovn_eip));
            return Address::Waiting;
        }
        let text = "the provider's network has not granted an address yet; this goes on by itself";
        let why = format!(
            "OvnEip {} is not ready: look at its events and at the log of kube-ovn-controller",
            serving.ovn_eip
        );
        return Address::Refused(
            None,
            Problem::refused(Reason::OvnEipPending, text).for_operator(why),
        );
    };
    plan.effects.push(delete_ovn_eip(serving, ovn_eip));
    let text =
        format!("address {address} is not available to this cluster; ask for another, or none");
    let why = format!("Kube-OVN did not grant {address} to OvnEip {}", serving.ovn_eip);
    Address::Refused(None, Problem::refused(Reason::AddressInUse, text).for_operator(why))
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
    let Some(address) = eip.address() else { return Address::Waiting };
    let other_address = request.address.is_some_and(|wish| wish != address);
    let other_pool = request.pool.as_ref().is_some_and(|wish| *wish != eip.spec.pool);
    let other = (other_address || other_pool).then(|| choose(serving, request));
    let refused = match other {
        // The old address may be on the network still: without sight of the rows it stays.
        Some(Ok(_)) if serving.world.ovn.link == OvnLink::Up => {
            return give_up(serving, name, eip, plan);
        }
        Some(Err(problem)) => Some(problem),
        Some(Ok(_)) | None => None,
    };
    let bound = spec(serving, address, eip.spec.pool.clone(), request);
    if eip.released().is_some() || differs(&eip.spec, &bound) {
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
    let Some((_, eip)) = serving.eip() else {
        // Drawn, and not assigned: another may need it meanwhile.
        let drawn = serving.world.under.ovn_eips.get(&serving.ovn_eip).filter(|e| !e.deleting);
        plan.effects.extend(drawn.map(|ovn_eip| delete_ovn_eip(serving, ovn_eip)));
        return None;
    };
    if eip.deleting || eip.released().is_some() {
        return None;
    }
    let address = eip.address()?;
    hold(serving, eip, address, plan);
    Some(address)
}

/// Sees to it that the `OvnEip` holds an assigned address; tells whether it does.
fn hold(serving: &Serving<'_>, eip: &Eip, address: Ipv4Addr, plan: &mut Plan) -> bool {
    let under = &serving.world.under;
    match under.ovn_eips.get(&serving.ovn_eip) {
        None => {
            let subnet = under.pools.get(&eip.spec.pool).map(|pool| pool.subnet.clone());
            plan.effects.extend(subnet.map(|s| create_ovn_eip(serving, s, Some(address))));
            false
        }
        Some(ovn_eip) if ovn_eip.granted() == Some(address) => {
            plan.effects.extend((!ovn_eip.labelled).then(|| label(serving)));
            true
        }
        Some(ovn_eip) => {
            let other = !ovn_eip.deleting && ovn_eip.spec_v4.is_some_and(|v4| v4 != address);
            plan.effects.extend(other.then(|| delete_ovn_eip(serving, ovn_eip)));
            false
        }
    }
}

fn label(serving: &Serving<'_>) -> Effect {
    let (name, service) = (serving.ovn_eip.clone(), serving.key.clone());
    Effect::Under(UnderEffect::LabelOvnEip { name, service })
}

/// Lets go of the present address so that another can be drawn: rows, `OvnEip`, `Eip`.
fn give_up(serving: &Serving<'_>, name: &str, eip: &Eip, plan: &mut Plan) -> Address {
    let live = rows::withdraw(&serving.world.ovn, serving.key);
    if !live.is_empty() {
        plan.effects.push(Effect::Ovn(live));
        return Address::Waiting;
    }
    match serving.world.under.ovn_eips.get(&serving.ovn_eip) {
        Some(ovn_eip) if ovn_eip.deleting => {}
        Some(ovn_eip) => plan.effects.push(delete_ovn_eip(serving, ovn_eip)),
        None => plan.effects.push(Effect::Under(UnderEffect::DeleteEip {
            name: name.to_owned(),
            uid: eip.uid.clone(),
            version: eip.version,
        })),
    }
    Address::Waiting
}

/// Binds an `Eip` of this Service's name to this incarnation of it.
fn bind(name: &str, eip: &Eip, mut spec: EipSpec, plan: &mut Plan) -> Address {
    spec.overlay = match (spec.overlay, &eip.spec.overlay) {
        (Some(new), Some(old)) => {
            Some(EipOverlay { router: new.router.or_else(|| old.router.clone()), ..new })
        }
        (new, _) => new,
    };
    let name = name.to_owned();
    let effect = if differs(&eip.spec, &spec) {
        UnderEffect::BindEip { name, version: eip.version, spec }
    } else {
        let status = cpo_api::EipStatus { released_at: None, ..eip.status.clone() };
        UnderEffect::PatchEipStatus { name, uid: eip.uid.clone(), status }
    };
    plan.effects.push(Effect::Under(effect));
    Address::Waiting
}

/// Whether the parts of a spec differ that follow the Service; the router follows the rows.
fn differs(observed: &EipSpec, desired: &EipSpec) -> bool {
    let router = |spec: &EipSpec| spec.overlay.as_ref().and_then(|o| o.router.clone());
    let same_router = router(desired).is_none() || router(desired) == router(observed);
    let ovn_eip = |spec: &EipSpec| spec.overlay.as_ref().map(|o| o.ovn_eip.clone());
    !(same_router
        && ovn_eip(observed) == ovn_eip(desired)
        && observed.services == desired.services
        && observed.keep == desired.keep
        && observed.tenant == desired.tenant)
}

fn spec(serving: &Serving<'_>, address: Ipv4Addr, pool: String, request: &Request) -> EipSpec {
    let mut ports: Vec<_> = request
        .ports
        .iter()
        .map(|(p, _)| EipPort { protocol: p.protocol.upper().to_owned(), port: p.port })
        .collect();
    ports.sort();
    let tenant = &serving.tenant.spec;
    EipSpec {
        address: address.to_string(),
        mode: EipMode::Overlay,
        pool,
        tenant: EipTenant { name: tenant.name.to_string(), uid: tenant.uid.to_string() },
        services: vec![EipService {
            key: serving.key.in_tenant(),
            uid: serving.service.uid.to_string(),
            ports,
        }],
        keep: request.keep,
        overlay: Some(EipOverlay {
            ovn_eip: serving.ovn_eip.clone(),
            router: serving.router_name(),
        }),
    }
}
