//! A Service that is no longer to be served, or is gone: withdraw, release, let go.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use cpo_api::{CleanupPolicy, EipSpec, EipStatus, EipVlan};
use jiff::Timestamp;

use super::holders::Holders;
use super::{Plan, Promise, report, vlan};
use crate::effect::{Effect, Notice, Purpose, TenantEffect, UnderEffect};
use crate::ids::ServiceKey;
use crate::ovn::OvnLink;
use crate::rows;
use crate::service::Service;
use crate::tenant::{Link, Mode, Tenant};
use crate::time::Now;
use crate::under::Eip;
use crate::world::World;

/// Plans a Service of a tenant whose `TenantCluster` is being deleted.
pub(super) fn of_tenant(world: &World, tenant: &Tenant, key: &ServiceKey, now: Now) -> Plan {
    match tenant.spec.cleanup {
        CleanupPolicy::Retain => Plan { promise: Promise::Withdrawn, ..Plan::default() },
        CleanupPolicy::Delete => {
            // What is written into a tenant that does not answer would hold up its end for ever.
            let answers = matches!(tenant.link, Link::Up { .. });
            let service = tenant.services.get(key).filter(|_| answers);
            release(world, tenant, key, service, now)
        }
    }
}

/// Plans a Service that is deleted, gone, or no longer ours.
pub(super) fn release(
    world: &World,
    tenant: &Tenant,
    key: &ServiceKey,
    service: Option<&Service>,
    now: Now,
) -> Plan {
    // What it has by a record stays until that is withdrawn.
    let mut plan = Plan { promise: Promise::Withdrawn, ..Plan::default() };
    let holders = Holders { world, tenant, key };
    let shares = |(_, eip): &(&String, &Eip)| eip.released().is_none() && eip.owners.len() > 1;
    let (shared, eips): (Vec<_>, Vec<_>) = holders.eips().partition(shares);
    for (name, eip) in shared.iter().filter(|(_, eip)| !eip.deleting) {
        plan.effects.push(vlan::part(world, tenant, key, (name, eip), now));
    }
    if !shared.is_empty() {
        return plan;
    }
    let off = match tenant.spec.mode() {
        Mode::Overlay => withdraw(world, key, &mut plan),
        Mode::Vlan => vlan::withdraw_all(world, &eips, now, &mut plan),
    };
    if !off {
        if plan.effects.iter().any(|effect| !effect.tells()) {
            let text = "Deleting load balancer";
            plan.effects.extend(news(key, service, "DeletingLoadBalancer", text));
        }
        return plan;
    }
    for (name, eip) in eips.iter().filter(|(_, eip)| eip.released().is_none() && !eip.deleting) {
        plan.effects.push(leave(name, eip, now));
    }
    // What never became an Eip. The Eip of an earlier tenant of this name keeps its OvnEip.
    let all = world.under.ovn_eips_of.get(key).filter(|_| !world.under.eips_of.contains_key(key));
    let drawn = holders.unrecorded().chain(all.into_iter().flatten());
    let drawn: BTreeSet<&String> = drawn.collect();
    plan.effects.extend(drawn.into_iter().filter_map(|name| holders.delete(name)));
    if !plan.effects.is_empty() {
        return plan;
    }
    let ours = |s: &Service| {
        let held = eips.iter().flat_map(|(_, eip)| &eip.spec.services);
        tenant.spec.claims(s) || held.into_iter().any(|held| held.uid == s.uid.as_str())
    };
    if let Some(service) = service.filter(|s| report::holds_traces(s, ours(s))) {
        plan.effects.push(report::let_go(key, service));
        plan.effects.extend(news(
            key,
            Some(service).filter(|s| s.finalizer),
            "DeletedLoadBalancer",
            "Deleted load balancer",
        ));
        return plan;
    }
    for (name, eip) in eips {
        expire(holders, name, eip, now, &mut plan);
    }
    plan
}

/// Empties the rows of a Service; whether it is off the network.
fn withdraw(world: &World, key: &ServiceKey, plan: &mut Plan) -> bool {
    if world.ovn.link != OvnLink::Up {
        return false;
    }
    let live = rows::withdraw(&world.ovn, key);
    if live.is_empty() {
        return true;
    }
    plan.effects.push(Effect::Ovn(live));
    false
}

fn news(
    key: &ServiceKey,
    service: Option<&Service>,
    reason: &str,
    message: &str,
) -> Option<Effect> {
    service.map(|service| {
        Effect::Tenant(TenantEffect::Event(Notice {
            key: key.clone(),
            uid: service.uid.clone(),
            warning: false,
            reason: reason.to_owned(),
            message: message.to_owned(),
        }))
    })
}

/// The Service has the address no more.
pub(super) fn leave(name: &str, eip: &Eip, now: Now) -> Effect {
    match eip.spec.reserved {
        true => set_aside(name, eip),
        false => quarantine(name, eip, now),
    }
}

/// The address rests: it answers no more, and nobody else may get it yet.
fn quarantine(name: &str, eip: &Eip, now: Now) -> Effect {
    let status = EipStatus {
        conditions: report::resting(eip, now),
        announced_by: None,
        // What stands there is of speakers that are gone for good.
        announcements: Vec::new(),
        backends: None,
        ovn: None,
        released_at: Some(now.rfc3339()),
    };
    Effect::Under(UnderEffect::PatchEipStatus {
        name: name.to_owned(),
        uid: eip.uid.clone(),
        version: Some(eip.version),
        status,
    })
}

/// A reserved address is set aside again for whoever of the tenant asks for it.
fn set_aside(name: &str, eip: &Eip) -> Effect {
    let vlan = eip.spec.vlan.as_ref().map(|_| EipVlan::default());
    let spec = EipSpec { services: Vec::new(), vlan, ..eip.spec.clone() };
    let (name, version) = (name.to_owned(), eip.version);
    Effect::Under(UnderEffect::BindEip { name, version, spec })
}

/// An address whose Service has another one by now is not kept for it.
pub(super) fn keep_no_more(name: &str, eip: &Eip) -> Effect {
    let spec = EipSpec { keep: false, ..eip.spec.clone() };
    let (name, version) = (name.to_owned(), eip.version);
    Effect::Under(UnderEffect::BindEip { name, version, spec })
}

/// Ends a quarantine that is over: the `OvnEip` first, the record of the address last.
pub(super) fn expire(holders: Holders<'_>, name: &str, eip: &Eip, now: Now, plan: &mut Plan) {
    let Some(released) = eip.released().filter(|_| !eip.deleting) else { return };
    let rest = Duration::from_secs(holders.world.under.rest_of(&eip.spec.pool).into());
    // A wish to keep an address does not outlive the tenant.
    let kept = eip.spec.keep && !holders.tenant.spec.deleting;
    if released > now.wall && !kept {
        // The clock was set back, or another leader's ran ahead: the rest begins now. What speakers
        // say is not forgotten by that.
        let status = EipStatus { released_at: Some(now.rfc3339()), ..eip.status.clone() };
        let (name, uid, version) = (name.to_owned(), eip.uid.clone(), Some(eip.version));
        plan.effects.push(Effect::Under(UnderEffect::PatchEipStatus {
            name,
            uid,
            version,
            status,
        }));
        return;
    }
    let left = left(released, rest, now);
    if kept || left.is_some() {
        if let Some(left) = left.filter(|_| !kept) {
            plan.wake_at(now.mono + left);
        }
        plan.effects.extend(hold(holders, eip));
        return;
    }
    if let Some(under_way) = vlan::withdrawing(holders.world, name, eip, now) {
        plan.effects.extend(under_way.into_effect());
        return;
    }
    let ovn_eip = holders.of(eip);
    if holders.world.under.ovn_eips.contains_key(&ovn_eip) {
        plan.effects.extend(holders.delete(&ovn_eip));
        return;
    }
    plan.effects.push(Effect::Under(UnderEffect::DeleteEip {
        name: name.to_owned(),
        uid: eip.uid.clone(),
        version: eip.version,
    }));
}

/// Sees to it that Kube-OVN gives an address that waits to nobody else.
fn hold(holders: Holders<'_>, eip: &Eip) -> Option<Effect> {
    if eip.on_vlan() {
        return None;
    }
    let (under, name) = (&holders.world.under, holders.of(eip));
    if under.ovn_eips.contains_key(&name) {
        return None;
    }
    let Some(IpAddr::V4(address)) = eip.address() else { return None };
    let pool = eip.spec.pool.clone();
    let subnet = under.subnet_for(&pool, address)?;
    Some(Effect::Under(UnderEffect::CreateOvnEip {
        name,
        purpose: Purpose::Service(holders.key.clone()),
        pool,
        subnet,
        v4: Some(address),
    }))
}

/// What is left of a rest that began at `from`; `None` when it is over.
fn left(from: Timestamp, rest: Duration, now: Now) -> Option<Duration> {
    let passed = Duration::try_from(now.wall.duration_since(from)).unwrap_or_default();
    rest.checked_sub(passed).filter(|left| !left.is_zero())
}
