//! What speakers say of the addresses of a Service, and what follows for it.

use std::cmp::Reverse;

use cpo_api::{AnnouncementState, EipAnnouncement, Reason};
use pools::Family;

use super::super::outcome::{Announced, Report, Served};
use super::super::serve::Serving;
use super::super::{Plan, Since, Wait};
use super::withdrawal::counts;
use crate::problem::{Problem, Severity};
use crate::service::{Ingress, Protocol};
use crate::tenant::Mode;
use crate::under::Eip;
use crate::world::World;

/// What is known of a Service's addresses before anything is decided: what was published stays.
pub(in crate::plan) fn served(serving: &Serving<'_>) -> Served {
    if serving.tenant.spec.mode() == Mode::Overlay {
        return Served::default();
    }
    let announced = serving.eips.iter().filter_map(|(_, eip)| {
        let (ports, nodes) = (published(serving, eip), announced_by(serving.world, eip));
        Some(Announced { ports, nodes, ..Announced::at(eip.address()?) })
    });
    Served::Speakers(announced.collect())
}

/// The addresses are held: each is served where a speaker says that it announces it.
pub(super) fn announce(serving: &Serving<'_>, since: &Since, plan: &mut Plan, report: &mut Report) {
    report.problems.extend(serving.resolved.problems.iter().cloned());
    if let Some(wake) = serving.resolved.wake {
        plan.wake_at(wake);
    }
    let mut all = Vec::new();
    for (name, eip) in &serving.eips {
        let Some(address) = eip.address() else { continue };
        let ordered = plan.effects.iter().any(|effect| effect.binds_eip(name));
        let mut announced = Announced::at(address);
        announced.nodes = announced_by(serving.world, eip);
        announced.programmed = !announced.nodes.is_empty() && !ordered;
        announced.problems.extend(conflict(serving.world, eip));
        let free = announced.problems.is_empty();
        let unserved = serving.resolved.of(Family::of(address)).next().is_none();
        report.silent |= ordered;
        let mut troubles = report.problems.iter().chain(&announced.problems);
        if announced.nodes.is_empty() && !troubles.any(holds_back) {
            match eip.is_ordered() {
                false => announced.problems.push(unadvertised(eip)),
                true if plan.overdue(Wait::Silence, since, serving.now) => {
                    announced.problems.push(unspoken(serving, eip));
                }
                // One is elected within that time, and takes over.
                true => report.silent |= !unserved,
            }
        }
        if announced.programmed || (free && unserved) {
            announced.ports = ports(serving, eip);
        } else {
            announced.ports = published(serving, eip);
        }
        all.push(announced);
    }
    report.programmed = !all.is_empty() && all.iter().all(|announced| announced.programmed);
    report.served = Served::Speakers(all);
}

fn holds_back(problem: &Problem) -> bool {
    !matches!(problem.severity, Severity::Warning)
}

/// The ports of this Service that an `Eip` records, if the address was published.
fn published(serving: &Serving<'_>, eip: &Eip) -> Vec<(u16, Protocol)> {
    let is_at = |ingress: &Ingress| ingress.ip == eip.spec.address;
    match serving.service.status.ingress.iter().any(is_at) {
        true => ports(serving, eip),
        false => Vec::new(),
    }
}

/// The ports of this Service that an `Eip` records.
fn ports(serving: &Serving<'_>, eip: &Eip) -> Vec<(u16, Protocol)> {
    let ours = serving.key.in_tenant();
    let own = eip.spec.services.iter().filter(|service| service.key == ours);
    let all = own.flat_map(|service| &service.ports);
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

/// The nodes whose speakers say that they announce an address. Who said so last comes first: the
/// others ended without a word, or cannot take it back, and it took over from them.
fn announced_by(world: &World, eip: &Eip) -> Vec<String> {
    let answers = |by: &&EipAnnouncement| match by.state {
        AnnouncementState::Announced | AnnouncementState::Contested => true,
        AnnouncementState::Conflict | AnnouncementState::Unable => false,
    };
    let mut nodes: Vec<String> =
        says(world, eip).filter(answers).map(|by| by.node.clone()).collect();
    nodes.sort_by_key(|node| (Reverse(eip.said.get(node).copied()), node.clone()));
    nodes
}

/// Another host on the link has the address.
fn conflict(world: &World, eip: &Eip) -> Option<Problem> {
    let other_host = |by: &&EipAnnouncement| match by.state {
        AnnouncementState::Conflict | AnnouncementState::Contested => true,
        AnnouncementState::Announced | AnnouncementState::Unable => false,
    };
    let by = says(world, eip).find(other_host)?;
    let text =
        "another host on the network answers for the address; the provider's operator was told";
    let why = format!("{}: {} ({})", eip.spec.address, by.message, by.node);
    let problem = match by.state {
        AnnouncementState::Contested => Problem::warning(Reason::AddressConflict, text),
        AnnouncementState::Conflict | AnnouncementState::Announced | AnnouncementState::Unable => {
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
    let unable = says(serving.world, eip).filter(|by| by.state == AnnouncementState::Unable);
    let unable: Vec<_> = unable.map(|by| format!("{}: {}", by.node, by.message)).collect();
    if !unable.is_empty() {
        let why = format!("nobody can announce {}. {}", eip.spec.address, unable.join("; "));
        return Problem::refused(Reason::NoSpeaker, text).for_operator(why);
    }
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
