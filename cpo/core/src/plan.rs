//! What is to be done for one Service now. Pure: the same world at the same time gives the same
//! plan, byte for byte.
//!
//! A plan holds the next step of the order of effects, never more: finalizer, `OvnEip`, `Eip`,
//! rows, status on the way in; rows emptied, `Eip` released, finalizer on the way out. When its
//! effects are seen in the world, the next plan holds the next step. So a process killed between
//! any two of them goes on where it was.

mod address;
mod advertisements;
mod counts;
mod holders;
mod metallb;
mod outcome;
mod program;
mod release;
mod report;
mod reserved;
mod serve;
mod vlan;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use crate::assignments::Wish;
use crate::effect::Effect;
use crate::ids::ServiceKey;
use crate::problem::Problem;
use crate::time::Now;
use crate::world::World;

pub use advertisements::advertisement_status;
pub(crate) use counts::not_shown;
pub use counts::{pool_status, tenant_status};
pub(crate) use holders::Holders;
pub use holders::{is_ovn_eip_of, ovn_eip_name, reserved_ovn_eip_name};
pub use metallb::{nothing as render_nothing, render as render_metallb};
pub use report::notice;
pub use reserved::step as reserved_step;

/// What is to be done for one Service, and what stands against it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// Effects that may run side by side; when all are done, plan again.
    pub effects: Vec<Effect>,
    /// Everything that stands against the Service, most severe first.
    pub problems: Vec<Problem>,
    /// States that are tolerated for a while: remembered from one plan to the next.
    pub waits: BTreeSet<Wait>,
    /// When to plan again though nothing happens (monotonic).
    pub wake: Option<Duration>,
    /// What becomes of what the Service was promised of the pools.
    pub promise: Promise,
    /// An address that Kube-OVN does not grant: it is left out for a while.
    pub ungranted: Option<Ipv4Addr>,
    /// It is refused for what others have: plan again when something of that is given back.
    pub hungry: bool,
}

/// What was given to a Service before the record says so.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Promise {
    /// Nothing changes.
    #[default]
    Unchanged,
    /// It is given what it wishes, so that nobody else is meanwhile.
    Made(Box<Wish>),
    /// It gives up what it has for these addresses, which nobody else gets meanwhile.
    Moving(BTreeSet<IpAddr>),
    /// It is given nothing any more.
    Withdrawn,
}

/// A state that is tolerated for a while before it has a consequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Wait {
    /// Kube-OVN has not granted the address asked for.
    Grant,
    /// The shield of our rows is not up.
    Shield,
    /// An address is recorded on the `OvnEip`, and Kube-OVN has not told that it is granted.
    Untold,
    /// Kube-OVN grants another address than it recorded.
    Inconsistent,
    /// The `OvnEip` of a live address is gone or not ready.
    Lost,
    /// A precondition of a live Service fails.
    Precondition,
    /// The labels of its namespace are not known.
    Namespace,
    /// Others wait for Kube-OVN as well, and nothing younger is granted: it may be away.
    Away,
    /// No speaker announces the address.
    Silence,
}

impl Wait {
    /// How long the state is tolerated.
    #[must_use]
    pub const fn patience(self) -> Duration {
        match self {
            Self::Grant | Self::Untold | Self::Shield | Self::Silence => Duration::from_secs(5),
            Self::Inconsistent => Duration::from_secs(30),
            Self::Lost => Duration::from_secs(2),
            Self::Precondition | Self::Namespace => Duration::from_secs(10),
            Self::Away => Duration::from_secs(60),
        }
    }
}

/// Since when each tolerated state lasts (monotonic).
pub type Since = BTreeMap<Wait, Duration>;

impl Plan {
    /// Notes that a tolerated state lasts, and tells whether patience is at an end.
    fn overdue(&mut self, wait: Wait, since: &Since, now: Now) -> bool {
        self.waits.insert(wait);
        let due = since.get(&wait).copied().unwrap_or(now.mono) + wait.patience();
        if now.mono >= due {
            return true;
        }
        self.wake_at(due);
        false
    }

    fn wake_at(&mut self, at: Duration) {
        self.wake = Some(self.wake.map_or(at, |wake| wake.min(at)));
    }
}

/// Plans one Service.
#[must_use]
pub fn plan(world: &World, key: &ServiceKey, since: &Since, now: Now) -> Plan {
    let Some(tenant) = world.tenants.get(key.tenant()) else { return Plan::default() };
    if tenant.spec.suspended {
        return Plan::default();
    }
    if tenant.spec.deleting {
        return release::of_tenant(world, tenant, key, now);
    }
    if !tenant.synced {
        return Plan::default();
    }
    match tenant.services.get(key) {
        Some(service) if !service.deleting && tenant.spec.claims(service) => {
            serve::serve(world, tenant, key, service, since, now)
        }
        None if tenant.braked.contains(key) => Plan::default(),
        service => release::release(world, tenant, key, service, now),
    }
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
