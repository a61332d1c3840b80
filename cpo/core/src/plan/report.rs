//! What is told of a Service: its status and conditions, Events, the `Eip`'s status. Only what
//! differs is written.

use std::net::IpAddr;

use cpo_api::{
    BackendCount, Condition, EipStatus, OvnStatus, Reason, conditions_differ, merge_conditions,
    names,
};
use pools::Family;
use serde_json::{Value, json};

use super::outcome::{Report, Served, refusal, told};
use super::serve::Serving;
use crate::effect::{Effect, Notice, TenantEffect, UnderEffect};
use crate::ids::ServiceKey;
use crate::problem::Problem;
use crate::rows;
use crate::service::{Ingress, Protocol, Service};
use crate::time::Now;
use crate::under::Eip;
use crate::world::World;

/// The patch that adds our finalizer. It comes with our conditions: the finalizer is the one every
/// cloud provider uses, so the conditions tell later whether it was ours.
pub(super) fn add_finalizer(serving: &Serving<'_>) -> Effect {
    let pending = conditions(serving, &Report::default());
    let pending = merge_conditions(&serving.service.status.conditions, pending);
    let mut patch = json!({"metadata": {
        "uid": serving.service.uid.as_str(),
        "finalizers": [names::SERVICE_FINALIZER],
    }});
    if serving.service.status.conditions.is_empty() {
        merge(&mut patch, json!({"status": {"conditions": pending}}));
    }
    Effect::Tenant(TenantEffect::PatchService { key: serving.key.clone(), patch })
}

/// Whether a Service that is not to be served carries anything we wrote. Its finalizer alone
/// proves nothing, unless the Service is known as `ours` otherwise: every provider uses it.
pub(super) fn holds_traces(service: &Service, ours: bool) -> bool {
    let told = !service.status.conditions.is_empty();
    if service.deleting {
        service.finalizer && (told || ours)
    } else {
        told || (ours && service.finalizer)
    }
}

/// The patch that removes everything of ours from a Service.
pub(super) fn let_go(key: &ServiceKey, service: &Service) -> Effect {
    let mut metadata = json!({"uid": service.uid.as_str()});
    if service.finalizer {
        let ours = json!({"$deleteFromPrimitiveList/finalizers": [names::SERVICE_FINALIZER]});
        merge(&mut metadata, ours);
    }
    let mut patch = json!({"metadata": metadata});
    if !service.deleting {
        let gone = service.status.conditions.iter();
        let gone: Vec<_> = gone.map(|c| json!({"$patch": "delete", "type": c.type_})).collect();
        let mut status = json!({"conditions": gone});
        if !service.status.ingress.is_empty() {
            merge(&mut status, json!({"loadBalancer": {"ingress": null}}));
        }
        merge(&mut patch, json!({"status": status}));
    }
    Effect::Tenant(TenantEffect::PatchService { key: key.clone(), patch })
}

/// Adds the fields of one mapping to another.
fn merge(into: &mut Value, fields: Value) {
    if let (Some(into), Value::Object(fields)) = (into.as_object_mut(), fields) {
        into.extend(fields);
    }
}

/// Everything that is to be told, as far as it is not told already.
pub(super) fn effects(serving: &Serving<'_>, report: &Report) -> Vec<Effect> {
    let mut effects = Vec::new();
    let service = serving.service;
    let ingress = ingress(serving, report);
    let conditions = merge_conditions(&service.status.conditions, conditions(serving, report));
    let changed = conditions_differ(&service.status.conditions, &conditions);
    if changed || service.status.ingress != ingress {
        effects.push(publish(serving, &ingress, &conditions));
        let published = !ingress.is_empty() && service.status.ingress != ingress;
        if published && report.programmed {
            effects
                .push(serving.good_news("EnsuredLoadBalancer", "Ensured load balancer".to_owned()));
        }
    }
    if changed {
        effects.extend(complaints(serving, report));
    }
    // Of those that share an address the first tells how it stands.
    let speaks = |eip: &Eip| eip.owner().is_none_or(|first| first == serving.key);
    for (name, eip) in serving.eips.iter().filter(|(_, eip)| speaks(eip)) {
        let status = eip_status(serving, report, eip);
        if differs(&eip.status, &status) {
            let (name, uid, version) = ((*name).clone(), eip.uid.clone(), None);
            let patch = UnderEffect::PatchEipStatus { name, uid, version, status };
            effects.push(Effect::Under(patch));
        }
    }
    effects
}

fn ingress(serving: &Serving<'_>, report: &Report) -> Vec<Ingress> {
    if let Served::Speakers(announced) = &report.served {
        let of = |family| announced.iter().filter(move |a| Family::of(a.address) == family);
        let published = serving.service.wanted_families().flat_map(of);
        let published = published.filter(|announced| !announced.ports.is_empty());
        return published.map(|a| at(a.address, a.ports.clone())).collect();
    }
    if !serving.world.ovn.known() {
        // What was published before a restart stands until the rows can be looked at.
        return serving.service.status.ingress.clone();
    }
    let Some(address) = report.addresses.first() else { return Vec::new() };
    let live = rows::rows_of(&serving.world.ovn, serving.key).filter(|(_, r)| !r.is_tombstone());
    let mut ports: Vec<_> = live
        .flat_map(|(_, row)| row.vips.keys().map(move |vip| (vip, row.protocol)))
        .filter_map(|(vip, protocol)| Some((vip.rsplit_once(':')?.1.parse().ok()?, protocol)))
        .collect();
    if ports.is_empty() {
        return Vec::new();
    }
    ports.sort_unstable();
    vec![at(*address, ports)]
}

fn at(address: IpAddr, ports: Vec<(u16, Protocol)>) -> Ingress {
    Ingress { ip: address.to_string(), ports, ..Ingress::default() }
}

fn publish(serving: &Serving<'_>, ingress: &[Ingress], conditions: &[Condition]) -> Effect {
    let ingress: Vec<_> = ingress
        .iter()
        .map(|i| {
            let ports: Vec<_> = i
                .ports
                .iter()
                .map(|(port, protocol)| json!({"port": port, "protocol": protocol.upper()}))
                .collect();
            json!({"ip": i.ip, "ipMode": "VIP", "ports": ports})
        })
        .collect();
    let ingress = if ingress.is_empty() { Value::Null } else { Value::from(ingress) };
    let patch = json!({
        "metadata": {"uid": serving.service.uid.as_str()},
        "status": {"loadBalancer": {"ingress": ingress}, "conditions": conditions},
    });
    Effect::Tenant(TenantEffect::PatchService { key: serving.key.clone(), patch })
}

pub(super) fn condition(
    type_: &str,
    holds: bool,
    reason: &str,
    message: &str,
    now: Now,
) -> Condition {
    Condition {
        type_: type_.to_owned(),
        status: holds.into(),
        reason: reason.to_owned(),
        message: message.to_owned(),
        last_transition_time: now.rfc3339(),
        observed_generation: None,
    }
}

fn conditions(serving: &Serving<'_>, report: &Report) -> Vec<Condition> {
    let now = serving.now;
    let problems = report.all();
    let refusal = refusal(&problems);
    let assigned = match (report.addresses.as_slice(), refusal) {
        ([first, more @ ..], _) => {
            let text = match more.first() {
                None => format!("{first} is assigned to this Service"),
                Some(second) => format!("{first} and {second} are assigned to this Service"),
            };
            condition(names::ADDRESS_ASSIGNED, true, "Assigned", &text, now)
        }
        ([], problem) => {
            let (reason, text) = problem.map_or(("Pending", ""), told);
            condition(names::ADDRESS_ASSIGNED, false, reason, text, now)
        }
    };
    let messages: Vec<_> = problems.iter().map(|problem| problem.message.as_str()).collect();
    let messages = messages.join("; ");
    let programmed = match (refusal, problems.first()) {
        (Some(problem), _) => condition(names::PROGRAMMED, false, told(problem).0, &messages, now),
        (None, Some(warning)) => {
            let reason = told(warning).0;
            condition(names::PROGRAMMED, report.programmed, reason, &messages, now)
        }
        (None, None) if report.programmed => {
            condition(names::PROGRAMMED, true, "Programmed", "", now)
        }
        (None, None) => condition(names::PROGRAMMED, false, "Pending", "", now),
    };
    vec![assigned, programmed]
}

fn complaints(serving: &Serving<'_>, report: &Report) -> Vec<Effect> {
    let told_before = |(rank, problem): &(usize, &Problem)| {
        let mut conditions = serving.service.status.conditions.iter();
        let (reason, text) = told(problem);
        // Several reasons share a text; the first of the problems gives the condition its reason.
        conditions.any(|c| c.message.contains(text) && (*rank > 0 || c.reason == reason))
    };
    let ranked = report.all().into_iter().enumerate();
    let fresh = ranked.filter(|problem| !told_before(problem));
    fresh.map(|(_, problem)| notice(serving.key, &serving.service.uid, problem)).collect()
}

/// The Event a problem is worth.
#[must_use]
pub fn notice(key: &ServiceKey, uid: &crate::ids::Uid, problem: &Problem) -> Effect {
    let reason = match problem.reason {
        Reason::NoEligibleNodes => "UnAvailableLoadBalancer",
        reason => reason.for_tenant().as_str(),
    };
    Effect::Tenant(TenantEffect::Event(Notice {
        key: key.clone(),
        uid: uid.clone(),
        warning: true,
        reason: reason.to_owned(),
        message: problem.message.clone(),
    }))
}

fn eip_status(serving: &Serving<'_>, report: &Report, eip: &Eip) -> EipStatus {
    let (now, before) = (serving.now, &eip.status);
    let problems = eip.address().map(|address| report.of(address)).unwrap_or_default();
    let refusal = refusal(&problems);
    let headline = refusal.or_else(|| problems.first().copied());
    let unserved = problems.iter().any(|p| p.reason == Reason::NoEligibleNodes);
    let announced = report.announced().iter().find(|a| Some(a.address) == eip.address());
    let programmed = announced.map_or(report.programmed, |announced| announced.programmed);
    let ready = programmed && refusal.is_none() && !unserved;
    let (reason, text) = headline.map_or(("Programmed", String::new()), |problem| {
        let all: Vec<_> = problems.iter().map(|problem| problem.operator_text()).collect();
        (problem.reason.as_str(), all.join("; "))
    });
    let word = if ready && headline.is_none() { "Ready" } else { reason };
    let conditions = vec![
        assigned(serving.world, eip, now),
        condition("Programmed", programmed, reason, &text, now),
        condition("Ready", ready, word, &text, now),
    ];
    let (announced_by, ovn) = match &report.served {
        Served::Rows { chassis, protocols } => {
            let rows = OvnStatus { load_balancers: protocols.clone() };
            let rows = Some(rows).filter(|_| !protocols.is_empty());
            let chassis = chassis.clone().or_else(|| before.announced_by.clone());
            (chassis, rows.or_else(|| before.ovn.clone()))
        }
        Served::Speakers(_) => {
            let nodes = announced.map(|announced| announced.nodes.join(",")).unwrap_or_default();
            (Some(nodes).filter(|nodes| !nodes.is_empty()), None)
        }
    };
    let family = eip.address().map_or(Family::V4, Family::of);
    let (ready, total) = (serving.resolved.of(family).count(), serving.resolved.total);
    EipStatus {
        conditions: merge_conditions(&before.conditions, observed(eip.generation, conditions)),
        announced_by,
        announcements: before.announcements.clone(),
        backends: Some(BackendCount {
            ready: i64::try_from(ready).unwrap_or(i64::MAX),
            total: i64::try_from(total).unwrap_or(i64::MAX),
            summary: format!("{ready}/{total}"),
        }),
        ovn,
        released_at: None,
    }
}

/// That the address is the Service's, and whether its pool still holds it.
fn assigned(world: &World, eip: &Eip, now: Now) -> Condition {
    let pool = &eip.spec.pool;
    let holds = eip.address().is_some_and(|at| world.assignments.holds(pool, at));
    if holds {
        return condition("Assigned", true, "Assigned", "", now);
    }
    let text = match world.under.pools.contains_key(pool) {
        true => {
            format!("AddressPool {pool} no longer holds the address; it stays with its Service")
        }
        false => format!("there is no AddressPool {pool}; the address stays with its Service"),
    };
    condition("Assigned", true, "OutsidePool", &text, now)
}

fn differs(observed: &EipStatus, desired: &EipStatus) -> bool {
    let rest = |s: &EipStatus| {
        let conditions = Vec::new();
        EipStatus { conditions, ..s.clone() }
    };
    conditions_differ(&observed.conditions, &desired.conditions) || rest(observed) != rest(desired)
}

/// Conditions of an address in quarantine.
pub(super) fn resting(eip: &Eip, now: Now) -> Vec<Condition> {
    let (reason, text) = if eip.spec.keep {
        ("Kept", "kept for the Service of that name to return")
    } else {
        ("Quarantined", "released; deleted when the pool's quarantineSeconds are over")
    };
    let conditions = vec![
        condition("Assigned", false, reason, text, now),
        condition("Programmed", false, reason, text, now),
        condition("Ready", false, reason, text, now),
    ];
    merge_conditions(&eip.status.conditions, observed(eip.generation, conditions))
}

/// Conditions of a reserved address that no Service has.
pub(super) fn unbound(generation: i64, reason: &str, text: &str, now: Now) -> Vec<Condition> {
    let all = ["Assigned", "Programmed", "Ready"];
    observed(generation, all.map(|type_| condition(type_, false, reason, text, now)).into())
}

/// Conditions, with the generation of the spec they were computed from.
pub(super) fn observed(generation: i64, mut conditions: Vec<Condition>) -> Vec<Condition> {
    for condition in &mut conditions {
        condition.observed_generation = Some(generation);
    }
    conditions
}
