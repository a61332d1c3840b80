//! What became of a Service in a plan: what is told of it follows from this.

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::ovn::LoadBalancer;
use crate::problem::{Problem, Severity};
use crate::router::Site;
use crate::service::Protocol;

/// What became of a Service in this plan.
#[derive(Clone, Debug, Default)]
pub(super) struct Report {
    /// Something is under way: tell nothing yet.
    pub(super) silent: bool,
    /// The addresses it holds.
    pub(super) addresses: Vec<IpAddr>,
    /// Its rows are committed, and seen; or all its addresses are announced.
    pub(super) programmed: bool,
    /// What stands against it, whatever its address.
    pub(super) problems: Vec<Problem>,
    /// By what it is served.
    pub(super) served: Served,
}

/// By what an address is served.
#[derive(Clone, Debug)]
pub(super) enum Served {
    /// By rows on the router: the chassis that announces it, and the protocols that have a row.
    Rows { chassis: Option<String>, protocols: Vec<String> },
    /// By speakers.
    Speakers(Vec<Announced>),
}

/// How an address stands with speakers.
#[derive(Clone, Debug)]
pub(super) struct Announced {
    /// The address.
    pub(super) address: IpAddr,
    /// The nodes that announce it.
    pub(super) nodes: Vec<String>,
    /// They do so by the present orders.
    pub(super) programmed: bool,
    /// The ports that are published; without any the address is not.
    pub(super) ports: Vec<(u16, Protocol)>,
    /// What stands against this address alone.
    pub(super) problems: Vec<Problem>,
}

impl Announced {
    /// An address of which nothing is known yet.
    pub(super) fn at(address: IpAddr) -> Self {
        let (nodes, ports, problems) = (Vec::new(), Vec::new(), Vec::new());
        Self { address, nodes, programmed: false, ports, problems }
    }
}

impl Default for Served {
    fn default() -> Self {
        Self::Rows { chassis: None, protocols: Vec::new() }
    }
}

impl Report {
    /// Notes where the rows are.
    pub(super) fn site(&mut self, site: &Site<'_>, rows: &BTreeMap<Protocol, LoadBalancer>) {
        self.served = Served::Rows {
            chassis: site.gateway.chassis.first().cloned(),
            protocols: rows.keys().map(ToString::to_string).collect(),
        };
    }

    /// All that stands against it, the gravest first; what is told alike counts once.
    pub(super) fn all(&self) -> Vec<&Problem> {
        let of_addresses = self.announced().iter().flat_map(|announced| &announced.problems);
        gravest_first(self.problems.iter().chain(of_addresses))
    }

    /// What stands against one of its addresses, the gravest first.
    pub(super) fn of(&self, address: IpAddr) -> Vec<&Problem> {
        let this = self.announced().iter().filter(|announced| announced.address == address);
        gravest_first(self.problems.iter().chain(this.flat_map(|this| &this.problems)))
    }

    pub(super) fn announced(&self) -> &[Announced] {
        match &self.served {
            Served::Rows { .. } => &[],
            Served::Speakers(announced) => announced,
        }
    }
}

fn gravest_first<'p>(problems: impl Iterator<Item = &'p Problem>) -> Vec<&'p Problem> {
    let mut all: Vec<&Problem> = Vec::new();
    for problem in problems {
        if !all.iter().any(|other| told(other) == told(problem)) {
            all.push(problem);
        }
    }
    all.sort_by_key(|problem| std::cmp::Reverse(problem.severity));
    all
}

/// The first of them that is more than a warning.
pub(super) fn refusal<'p>(problems: &[&'p Problem]) -> Option<&'p Problem> {
    problems.iter().find(|problem| problem.severity > Severity::Warning).copied()
}

/// Reason and text as the tenant may read them.
pub(super) fn told(problem: &Problem) -> (&'static str, &str) {
    (problem.reason.for_tenant().as_str(), &problem.message)
}
