//! What stands against a Service, by the planner's word and by the controller's.

use std::time::Duration;

use cpo_api::{Condition, ConditionStatus, Reason};

use super::{Facts, Step};
use crate::ovn::OvnLink;
use crate::plan::{self, Since, Wait};
use crate::problem::{Problem, Severity};
use crate::time::Now;

/// One thing that stands against a Service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Trouble {
    pub(super) reason: Reason,
    /// It holds the Service back; else it is a limitation.
    pub(super) blocks: bool,
    detail: String,
}

impl Trouble {
    pub(super) fn text(&self) -> String {
        match self.detail.is_empty() {
            true => self.reason.to_string(),
            false => format!("{}: {}", self.reason, self.detail),
        }
    }

    /// The step it is in the way of.
    pub(super) const fn step(&self) -> Step {
        match self.reason {
            Reason::KubeconfigRejected => Step::Connected,
            // Of a Service, it is said of the labels of its namespace alone.
            Reason::TenantUnreachable => Step::Namespaces,
            Reason::ContendedService => Step::Service,
            Reason::AddressInUse
            | Reason::AddressNotInPool
            | Reason::AffinityClamped
            | Reason::IPFamilyUnsupported
            | Reason::NodePortRequired
            | Reason::RequestConflict
            | Reason::SharingConflict
            | Reason::SourceRangesUnsupported => Step::Wish,
            Reason::PoolExhausted
            | Reason::PoolNotAllowed
            | Reason::PoolNotFound
            | Reason::PoolNotInVlan
            | Reason::QuotaExceeded => Step::Pool,
            Reason::AddressConflict | Reason::OvnEipPending | Reason::OvnEipStatusInconsistent => {
                Step::OvnEip
            }
            Reason::BackendForeign
            | Reason::BackendsSpanVPCs
            | Reason::EIPNotOnRouter
            | Reason::EIPPortConflict
            | Reason::EndpointWithoutNode
            | Reason::MultiDGPUnsupported
            | Reason::NoEligibleNodes
            | Reason::NoGatewayPort
            | Reason::NodePortUnreachable
            | Reason::OVNUnavailable
            | Reason::ReturnPathMissing
            | Reason::RouterAmbiguous
            | Reason::RouterNotFound
            | Reason::ShieldMissing => Step::Rows,
            Reason::NoAdvertisement | Reason::NoSpeaker => Step::Announced,
            Reason::SyncLoadBalancerFailed => Step::Status,
        }
    }
}

/// All of it: what the planner says of what was read, and what the controller wrote besides.
pub(super) fn all(facts: &Facts<'_>) -> Vec<Trouble> {
    let mut all: Vec<Trouble> = planned(facts).iter().map(of_problem).collect();
    for trouble in reported(facts) {
        // A tenant reads some reasons under another word.
        let told = |known: &Trouble| {
            known.reason == trouble.reason || known.reason.for_tenant() == trouble.reason
        };
        if !all.iter().any(told) {
            all.push(trouble);
        }
    }
    all
}

fn of_problem(problem: &Problem) -> Trouble {
    let blocks = problem.severity > Severity::Warning || problem.reason == Reason::NoEligibleNodes;
    Trouble { reason: problem.reason, blocks, detail: problem.operator_text().to_owned() }
}

/// The planner's word: what it would tell once its patience is at an end. Nothing is done.
fn planned(facts: &Facts<'_>) -> Vec<Problem> {
    let Some(tenant) = facts.world.tenants.get(facts.key.tenant()) else { return Vec::new() };
    let service = tenant.services.get(facts.key).filter(|s| tenant.spec.claims(s) && !s.deleting);
    if facts.unread.is_some() || service.is_none() || tenant.spec.deleting {
        return Vec::new();
    }
    let mut world = facts.world.clone();
    if let Some(tenant) = world.tenants.get_mut(facts.key.tenant()) {
        tenant.synced = true;
        tenant.spec.suspended = false;
        // Without it the first step would be the finalizer, and nothing else be looked at.
        tenant.services.entry(facts.key.clone()).and_modify(|service| service.finalizer = true);
    }
    let waits = [
        Wait::Grant,
        Wait::Shield,
        Wait::Untold,
        Wait::Inconsistent,
        Wait::Lost,
        Wait::Precondition,
        Wait::Namespace,
        Wait::Silence,
    ];
    let since: Since = waits.map(|wait| (wait, Duration::ZERO)).into();
    let now = Now { mono: Duration::from_secs(3_600), ..facts.now };
    let mut problems = plan::plan(&world, facts.key, &since, now).problems;
    if !world.ovn.known() {
        // The database was not looked at: that is our choice, and no trouble. The controller does:
        // what it would say before it comes to the rows is what stands against the Service.
        problems.retain(|problem| problem.reason != Reason::OVNUnavailable);
        world.ovn.link = OvnLink::Up;
        let seen = plan::plan(&world, facts.key, &since, now).problems;
        let before_rows =
            seen.into_iter().filter(|problem| of_problem(problem).step() < Step::Rows);
        let new: Vec<_> = before_rows.filter(|problem| !problems.contains(problem)).collect();
        problems.extend(new);
    }
    problems
}

/// The controller's word: the condition of the Eip, which has the operator's text, then those of
/// the Service.
fn reported(facts: &Facts<'_>) -> Vec<Trouble> {
    let eip = facts.eip().filter(|eip| eip.released().is_none());
    let ready = eip.into_iter().flat_map(|eip| &eip.status.conditions);
    let ready = ready.filter(|condition| condition.type_ == "Ready");
    let service = facts.service().into_iter().flat_map(|s| &s.status.conditions);
    ready.chain(service).filter_map(of_condition).collect()
}

fn of_condition(condition: &Condition) -> Option<Trouble> {
    let reason = Reason::parse(&condition.reason)?;
    let blocks = condition.status != ConditionStatus::True;
    Some(Trouble { reason, blocks, detail: condition.message.clone() })
}
