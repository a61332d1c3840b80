//! A Service that is to be served.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use pools::Family;

use super::address::{self, Address};
use super::holders::Holders;
use super::outcome::Report;
use super::{Plan, Since, Wait, release, vlan};
use super::{program, report};
use crate::assignments::Wish;
use crate::backends::{self, Resolved};
use crate::effect::{Effect, Notice, TenantEffect};
use crate::ids::ServiceKey;
use crate::ovn::OvnLink;
use crate::problem::{Problem, Severity};
use crate::request::{self, Request};
use crate::rows;
use crate::select;
use crate::service::{Port, Service};
use crate::tenant::{Mode, Reading, Tenant};
use crate::time::Now;
use crate::under::{Eip, OvnEip};
use crate::world::World;

/// A refused address is asked for again this often: nobody tells when it is free.
pub(super) const RETRY: Duration = Duration::from_secs(10);

/// One Service on its way to being served, and everything that is looked up for it once.
pub(super) struct Serving<'a> {
    pub(super) world: &'a World,
    pub(super) tenant: &'a Tenant,
    pub(super) key: &'a ServiceKey,
    pub(super) service: &'a Service,
    pub(super) now: Now,
    pub(super) holders: Holders<'a>,
    /// The `Eip`s that give it its addresses: one in overlay mode, one of each family in VLAN mode.
    pub(super) eips: Vec<(&'a String, &'a Eip)>,
    /// The name of the `OvnEip` that holds its address, or is to.
    pub(super) ovn_eip: String,
    pub(super) resolved: Resolved,
}

/// Plans a Service that is to be served.
pub(super) fn serve(
    world: &World,
    tenant: &Tenant,
    key: &ServiceKey,
    service: &Service,
    since: &Since,
    now: Now,
) -> Plan {
    let mut plan = Plan::default();
    let holders = Holders { world, tenant, key };
    let resolved = backends::resolve(tenant, &world.under, key, service, now);
    let (eips, ovn_eip) = (holders.lives(), String::new());
    let mut serving =
        Serving { world, tenant, key, service, now, holders, eips, ovn_eip, resolved };
    serving.ovn_eip = serving.which_ovn_eip();
    if !service.finalizer {
        plan.effects.push(report::add_finalizer(&serving));
        plan.effects
            .push(serving.good_news("EnsuringLoadBalancer", "Ensuring load balancer".to_owned()));
        return plan;
    }
    let mut report = Report { served: vlan::served(&serving), ..Report::default() };
    match request::read(service, tenant.spec.mode()) {
        Ok((request, warnings)) => {
            match &tenant.spec.vlan {
                None => serving.place(&request, since, &mut plan, &mut report),
                Some(on) => vlan::place(&serving, on, &request, since, &mut plan, &mut report),
            }
            // Behind what the network says: that is graver.
            report.problems.extend(warnings);
        }
        Err(problem) => {
            report.addresses = match tenant.spec.mode() {
                Mode::Overlay => {
                    address::keep(&serving, &mut plan).map(IpAddr::V4).into_iter().collect()
                }
                Mode::Vlan => vlan::keep(&serving, &mut plan),
            };
            serving.refuse(problem, &mut plan, &mut report);
        }
    }
    serving.tidy(&mut plan);
    // What is nobody's may be another's in a moment.
    report.silent &= !serving.shows_a_strangers_address();
    serving.tell(&report, &mut plan);
    plan
}

impl Serving<'_> {
    /// The `Eip` that gives this Service its address, in overlay mode.
    pub(super) fn eip(&self) -> Option<(&String, &Eip)> {
        self.eips.first().copied()
    }

    /// The name of the `OvnEip` that holds its address, or was drawn for it, or is to be.
    fn which_ovn_eip(&self) -> String {
        if let Some((_, eip)) = self.eip() {
            return self.holders.of(eip);
        }
        let served = self.served_address();
        let address = |name: &String| self.world.under.ovn_eips.get(name)?.address();
        let serves_not = |name: &&String| served.is_none() || address(name) != served;
        let drawn = self.holders.unrecorded().min_by_key(serves_not);
        drawn.cloned().unwrap_or_else(|| self.holders.next())
    }

    /// The address at which rows of ours serve it.
    pub(super) fn served_address(&self) -> Option<Ipv4Addr> {
        self.holders.served()
    }

    /// Its status shows an address on a VLAN that is not its own, as after an `Eip` was deleted by
    /// hand.
    fn shows_a_strangers_address(&self) -> bool {
        let own = |ip: &str| self.holders.eips().any(|(_, eip)| eip.spec.address == ip);
        let mut shown = self.service.status.ingress.iter();
        self.tenant.spec.mode() == Mode::Vlan && shown.any(|ingress| !own(&ingress.ip))
    }

    /// Ends the rest of addresses it had before, and removes what was drawn in vain; nothing that
    /// is served, or that it is on its way back to.
    fn tidy(&self, plan: &mut Plan) {
        if self.tenant.spec.mode() == Mode::Overlay && self.world.ovn.link != OvnLink::Up {
            return;
        }
        let served = self.served_address().map(IpAddr::V4);
        let needed: BTreeSet<IpAddr> =
            served.into_iter().chain(self.world.assignments.wanted(self.key)).collect();
        let needed =
            |address: Option<IpAddr>| address.is_some_and(|address| needed.contains(&address));
        for (name, eip) in self.holders.eips().filter(|(_, eip)| !needed(eip.address())) {
            if !plan.effects.iter().any(|effect| effect.binds_eip(name)) {
                self.part_with(name, eip, plan);
            }
        }
        let address = |name: &String| self.world.under.ovn_eips.get(name)?.address();
        let vain = self.holders.unrecorded().filter(|name| **name != self.ovn_eip);
        let vain = vain.filter(|name| !needed(address(name).map(IpAddr::V4)));
        plan.effects.extend(vain.filter_map(|name| self.holders.delete(name)));
    }

    /// The next step towards the end of an address that the Service does not use.
    fn part_with(&self, name: &str, eip: &Eip, plan: &mut Plan) {
        let family = |eip: &Eip| eip.address().map(Family::of);
        let live = self.eips.iter().find(|(_, live)| family(live) == family(eip));
        let Some((live, _)) = live.filter(|(live, _)| **live != *name && !eip.deleting) else {
            return release::expire(self.holders, name, eip, self.now, plan);
        };
        let served = self.served_address().is_some_and(|v4| **live == v4.to_string());
        match (eip.released().is_some(), eip.spec.keep) {
            // It waited for a Service that has another address now.
            (true, true) => plan.effects.push(release::keep_no_more(name, eip)),
            (true, false) => release::expire(self.holders, name, eip, self.now, plan),
            (false, _) if eip.owners.len() > 1 => {
                let step = vlan::part(self.world, self.tenant, self.key, (name, eip), self.now);
                plan.effects.push(step);
            }
            (false, _) if eip.on_vlan() => {
                let step = vlan::withdrawing(self.world, name, eip, self.now);
                let off = || Some(release::leave(name, eip, self.now));
                plan.effects.extend(step.map_or_else(off, vlan::Withdrawal::into_effect));
            }
            // A change that came late made a record of before a live one again.
            (false, _) if served => plan.effects.push(release::leave(name, eip, self.now)),
            (false, _) => {}
        }
    }

    /// The VPC of the machines, if it is certain.
    pub(super) fn vpc(&self) -> Option<String> {
        let pinned = self.tenant.spec.vpc.clone();
        let mut found = self.resolved.vpcs.iter();
        pinned.or_else(|| found.next().filter(|_| found.next().is_none()).cloned())
    }

    /// The name of the router the rows belong on, if it is certain.
    pub(super) fn router_name(&self) -> Option<String> {
        self.world.under.vpcs.get(&self.vpc()?).cloned().filter(|name| !name.is_empty())
    }

    /// The pool an `OvnEip` was drawn from.
    pub(super) fn pool_of(&self, eip: &OvnEip, request: &Request) -> String {
        let world = self.world;
        let of = || world.under.pools.iter().filter(|(n, pool)| select::is_of(world, n, pool, eip));
        let spec = &self.tenant.spec;
        let noted = eip.pool.clone().filter(|noted| of().any(|(name, _)| name == noted));
        let mut drawn =
            of().filter(|(n, pool)| pool.auto_assign && select::open(world, n, pool, spec));
        let name = || drawn.next().or_else(|| of().next()).map(|(name, _)| name.clone());
        request.pool.clone().or(noted).or_else(name).unwrap_or_default()
    }

    /// A pool may be for it by the labels of its namespace, which are not known yet.
    pub(super) fn namespace_unread(&self) -> bool {
        let namespaces = &self.tenant.namespaces;
        let unread = match &namespaces.reading {
            Reading::Unread(_) => true,
            // It comes by another watch than the Service, and may come later.
            Reading::Read => !namespaces.labels.contains_key(self.key.namespace()),
            Reading::Refused(_) => false,
        };
        unread && self.world.asks_namespaces(&self.tenant.spec)
    }

    /// What the Service wishes of the pools; with `near`, where it has no address yet.
    pub(super) fn wish(&self, request: &Request, near: bool) -> Wish {
        let pools = || match (&self.tenant.spec.vlan, self.vpc()) {
            _ if !near => BTreeSet::new(),
            (Some(vlan), _) => select::near_vlan(self.world, vlan),
            (None, Some(vpc)) => select::near_router(self.world, &vpc),
            (None, None) => BTreeSet::new(),
        };
        select::wish(self.world, self.key, self.service, request, pools)
    }

    /// An Event that is no complaint.
    pub(super) fn good_news(&self, reason: &str, message: String) -> Effect {
        Effect::Tenant(TenantEffect::Event(Notice {
            key: self.key.clone(),
            uid: self.service.uid.clone(),
            warning: false,
            reason: reason.to_owned(),
            message,
        }))
    }

    fn place(&self, request: &Request, since: &Since, plan: &mut Plan, report: &mut Report) {
        match address::step(self, request, since, plan) {
            Address::Held(address) => self.program(address, request, since, plan, report),
            Address::Waiting => report.silent = true,
            Address::Unseen => {
                // Connecting after a start is no news for a while.
                report.silent = !plan.overdue(Wait::Precondition, since, self.now);
                report.problems.push(program::unavailable());
            }
            Address::Kept(address, problem) => {
                plan.wake_at(self.now.mono + RETRY);
                report.problems.push(problem);
                self.program(address, request, since, plan, report);
            }
            Address::Limited(address, problem) => {
                plan.wake_at(self.now.mono + RETRY);
                report.problems.push(problem);
                self.program(address, &self.as_before(request), since, plan, report);
            }
            Address::Refused(address, problem) => {
                plan.wake_at(self.now.mono + RETRY);
                report.addresses = address.map(IpAddr::V4).into_iter().collect();
                self.refuse(problem, plan, report);
            }
        }
    }

    /// The request with the ports alone that the `Eip` records.
    pub(super) fn as_before(&self, request: &Request) -> Request {
        let own = self.key.in_tenant();
        let recorded = self.eips.iter().flat_map(|(_, eip)| &eip.spec.services);
        let recorded = recorded.filter(|service| service.key == own);
        let recorded: Vec<_> = recorded.flat_map(|service| &service.ports).collect();
        let known = |(port, _): &(Port, u16)| {
            recorded.iter().any(|p| p.port == port.port && p.protocol == port.protocol.upper())
        };
        let ports = request.ports.iter().filter(|port| known(port)).cloned().collect();
        Request { ports, ..request.clone() }
    }

    /// Notes a refusal; takes the Service off the network where it must not stay.
    fn refuse(&self, problem: Problem, plan: &mut Plan, report: &mut Report) {
        if problem.severity == Severity::Withdrawn {
            let live = rows::withdraw(&self.world.ovn, self.key);
            if !live.is_empty() && self.world.ovn.link == OvnLink::Up {
                plan.effects.push(Effect::Ovn(live));
                // Told when it is done.
                report.silent = true;
            }
        }
        report.problems.push(problem);
    }

    fn tell(&self, report: &Report, plan: &mut Plan) {
        if !report.silent {
            plan.effects.extend(report::effects(self, report));
        }
        plan.problems = report.all().into_iter().cloned().collect();
    }
}
