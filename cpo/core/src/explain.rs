//! Why a Service is served or not, for a person: the chain of effects, step by step, with the
//! first thing that stands in its way and what to do about it.
//!
//! Nothing here guesses at rules: what stands against the Service is asked of the planner, on what
//! was found, and compared with what the controller wrote into objects.

mod address;
mod namespaces;
mod steps;
mod trouble;

use crate::ids::ServiceKey;
use crate::time::Now;
use crate::world::World;

use trouble::Trouble;

/// What was found.
#[derive(Clone, Debug)]
pub struct Facts<'f> {
    /// The Service that is asked about.
    pub key: &'f ServiceKey,
    /// Its TenantCluster is there, and not ours to serve.
    pub unmanaged: bool,
    /// Why the tenant's own objects were not read; nothing where they were, and a Service that is
    /// not in the world is not there.
    pub unread: Option<String>,
    /// Everything that was read. The Northbound database counts where its link is up.
    pub world: &'f World,
    /// When it was read.
    pub now: Now,
}

/// A step on the way to a Service that is served, in the order of effects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// The tenant is registered.
    Tenant,
    /// Its API server answers.
    Connected,
    /// The labels of its namespaces are known, where pools select by them.
    Namespaces,
    /// The Service is there and ours to serve.
    Service,
    /// What it asks for can be read and given.
    Wish,
    /// A pool has an address for it, and the quota room.
    Pool,
    /// Kube-OVN grants the address.
    OvnEip,
    /// The address is recorded as the Service's.
    Eip,
    /// The load balancer's rows are on the router.
    Rows,
    /// A speaker announces the address, in VLAN mode.
    Announced,
    /// The address is published.
    Status,
}

impl Step {
    /// The step in one word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Tenant => "tenant",
            Self::Connected => "connected",
            Self::Namespaces => "namespaces",
            Self::Service => "service",
            Self::Wish => "wish",
            Self::Pool => "pool",
            Self::OvnEip => "ovn-eip",
            Self::Eip => "eip",
            Self::Rows => "rows",
            Self::Announced => "announced",
            Self::Status => "status",
        }
    }
}

/// How a step stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// As it should be.
    Ok,
    /// Done, with a limitation.
    Warning,
    /// Not done.
    No,
    /// Not looked at.
    Unknown,
}

impl Mark {
    /// The mark in one word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::No => "no",
            Self::Unknown => "unknown",
        }
    }
}

/// How one step stands, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The step.
    pub step: Step,
    /// How it stands.
    pub mark: Mark,
    /// What was found, in words.
    pub text: String,
    /// What to do about it; empty where nothing is to be done.
    pub remedy: String,
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// Whether the Service is served.
    pub served: bool,
    /// The steps, in the order of effects.
    pub findings: Vec<Finding>,
    /// What stands in the way, in one line.
    pub cause: String,
    /// What to do, in one line.
    pub remedy: String,
}

const UNDER_WAY: &str = "wait some seconds and ask again; if it stays so, see that a cpo leads \
                         (`kubectl -n cloud-provider-ovn get lease`) and read its log";

/// Explains what was found.
#[must_use]
pub fn explain(facts: &Facts<'_>) -> Explanation {
    let mut chain = Chain { facts, troubles: trouble::all(facts), findings: Vec::new() };
    chain.walk();
    let served = chain.served();
    let (cause, remedy) = verdict(served, &chain.findings);
    Explanation { served, findings: chain.findings, cause, remedy }
}

/// Cause and remedy, in one line each.
fn verdict(served: bool, findings: &[Finding]) -> (String, String) {
    let first = |marks: &[Mark]| findings.iter().find(|f| marks.contains(&f.mark));
    let (cause, remedy) = match (served, first(&[Mark::No, Mark::Warning])) {
        (true, None) => ("none: the Service is served".to_owned(), "nothing".to_owned()),
        (true, Some(f)) => (format!("the Service is served, but: {}", f.text), f.remedy.clone()),
        (false, _) => first(&[Mark::No]).map_or_else(
            || {
                let text = "nothing that was looked at stands against it: it is under way";
                (text.to_owned(), UNDER_WAY.to_owned())
            },
            |f| (f.text.clone(), f.remedy.clone()),
        ),
    };
    (one_line(&cause), one_line(&remedy))
}

/// Texts of API servers may have several lines.
fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The walk along the chain.
struct Chain<'f> {
    facts: &'f Facts<'f>,
    troubles: Vec<Trouble>,
    findings: Vec<Finding>,
}

impl Chain<'_> {
    fn add(&mut self, step: Step, mark: Mark, text: impl Into<String>, remedy: impl Into<String>) {
        let text = one_line(&text.into());
        self.findings.push(Finding { step, mark, text, remedy: remedy.into() });
    }

    fn ok(&mut self, step: Step, text: impl Into<String>) {
        self.add(step, Mark::Ok, text, "");
    }

    fn no(&mut self, step: Step, text: impl Into<String>, remedy: impl Into<String>) {
        self.add(step, Mark::No, text, remedy);
    }

    /// Something in the way was found: what is missing behind it needs no mention.
    fn blocked(&self) -> bool {
        self.findings.iter().any(|finding| finding.mark == Mark::No)
    }

    /// Adds what stands against the Service at a step; tells whether that is in the way.
    fn troubled(&mut self, step: Step) -> bool {
        let here: Vec<_> = self.troubles.iter().filter(|t| t.step() == step).cloned().collect();
        for trouble in &here {
            let mark = if trouble.blocks { Mark::No } else { Mark::Warning };
            self.add(step, mark, trouble.text(), trouble.reason.remedy());
        }
        here.iter().any(|trouble| trouble.blocks)
    }
}

#[cfg(test)]
#[path = "explain_tests.rs"]
mod tests;
