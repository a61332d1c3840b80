//! The rows of a Service on the router of its tenant's VPC.

use std::net::Ipv4Addr;

use cpo_api::Reason;

use super::outcome::Report;
use super::serve::Serving;
use super::{Plan, Since, Wait};
use crate::effect::{Effect, LbEdit, RouterRef};
use crate::ids::Install;
use crate::ovn::OvnLink;
use crate::problem::{Problem, Severity};
use crate::request::Request;
use crate::router::{self, Site};
use crate::rows;
use crate::under::Shield;

impl Serving<'_> {
    /// The address is held: put the rows on the router.
    pub(super) fn program(
        &self,
        address: Ipv4Addr,
        request: &Request,
        since: &Since,
        plan: &mut Plan,
        report: &mut Report,
    ) {
        report.addresses = vec![address.into()];
        if !self.world.ovn.known() {
            // Connecting after a start is no news for a while.
            report.silent = !plan.overdue(Wait::Precondition, since, self.now);
            report.problems.push(unavailable());
            return;
        }
        report.problems.extend(self.resolved.problems.iter().cloned());
        if let Some(wake) = self.resolved.wake {
            plan.wake_at(wake);
        }
        let backends = &self.resolved.backends;
        let world = self.world;
        let tenant = &self.tenant.spec.uid;
        let rows = rows::compile(&world.install, tenant, self.key, address, request, backends);
        let site = self.site();
        let against = match &site {
            Ok(site) => {
                let under = &world.under;
                router::check(&world.ovn, under, site, address, rows.values(), backends)
            }
            Err(problem) => vec![problem.clone()],
        };
        let blocked = against.iter().any(|p| p.severity > Severity::Warning);
        let live = rows::rows_of(&world.ovn, self.key).any(|(_, row)| !row.is_tombstone());
        // Kube-OVN rebuilds routes and policies for a moment now and then: that is no news.
        let served = live && (blocked || !self.service.status.ingress.is_empty());
        if !against.is_empty() && served && !plan.overdue(Wait::Precondition, since, self.now) {
            report.silent = true;
            if blocked {
                return;
            }
        }
        report.problems.extend(against);
        let Ok(site) = site else { return };
        report.site(&site, &rows);
        if blocked {
            return;
        }
        let router = RouterRef { uuid: site.uuid, name: site.router.name.clone() };
        let edits = rows::diff(&world.ovn, self.key, &rows, &router);
        report.programmed = edits.is_empty();
        if !edits.is_empty() {
            self.write(edits, live, since, plan, report);
        }
    }

    fn write(
        &self,
        edits: Vec<LbEdit>,
        live: bool,
        since: &Since,
        plan: &mut Plan,
        report: &mut Report,
    ) {
        match &self.world.ovn.link {
            OvnLink::Up => {}
            OvnLink::Connecting | OvnLink::Down(_) => {
                report.problems.push(unavailable());
                return;
            }
        }
        let inserts = edits.iter().any(|edit| matches!(edit, LbEdit::Insert { .. }));
        if inserts && self.world.under.shield != Shield::Up {
            match plan.overdue(Wait::Shield, since, self.now) {
                true => report.problems.push(unshielded(&self.world.install)),
                false => report.silent = true,
            }
            return;
        }
        report.silent = true;
        plan.effects.push(Effect::Ovn(edits));
        if live {
            plan.effects.push(self.good_news(
                "UpdatedLoadBalancer",
                format!(
                    "Updated load balancer: {} of {} nodes receive traffic",
                    self.resolved.backends.len(),
                    self.resolved.total
                ),
            ));
        }
    }

    fn site(&self) -> Result<Site<'_>, Problem> {
        let vpcs = &self.resolved.vpcs;
        let pinned = self.tenant.spec.vpc.is_some();
        if vpcs.len() > 1 && !pinned {
            let names: Vec<_> = vpcs.iter().map(String::as_str).collect();
            return Err(Problem::refused(
                Reason::BackendsSpanVPCs,
                "the cluster's nodes lie in several networks; the provider's operator was told",
            )
            .for_operator(format!(
                "nodes of tenant {} lie in VPCs {}: name one in spec.overlay.vpc",
                self.tenant.spec.name,
                names.join(", ")
            )));
        }
        let vpc = self.vpc().ok_or_else(|| {
            Problem::refused(
                Reason::NoEligibleNodes,
                "no node of the cluster is known to the provider yet: the load balancer is set up \
                 when one is",
            )
        })?;
        router::site(&self.world.ovn, &self.world.under, &vpc)
    }
}

pub(super) fn unavailable() -> Problem {
    let text = "the provider's network cannot be reached; the change is made when it can";
    Problem::refused(Reason::OVNUnavailable, text)
        .for_operator("the Northbound database cannot be reached: see the log and ovn-nb endpoints")
}

fn unshielded(install: &Install) -> Problem {
    let text = "the provider's network is being made ready; the change is made when it is";
    Problem::refused(Reason::ShieldMissing, text).for_operator(format!(
        "OvnDnatRule {} cannot be made ready, so Kube-OVN would delete our rows: see the log for \
         the call that fails",
        rows::row_name(install)
    ))
}
