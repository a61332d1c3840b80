//! What a pool is.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::selector::Labels;
use crate::{AddressRange, AddressSet, Closed, PerFamily, Request, Selector};

/// A pool, as its `AddressPool` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolSpec {
    /// Its addresses.
    pub addresses: Vec<AddressRange>,
    /// What of them is never given.
    pub excludes: Vec<AddressRange>,
    /// Whether IPv4 addresses that end in 0 or 255 are left out.
    pub avoid_buggy_ips: bool,
    /// Whether Services that name neither pool nor address draw from it.
    pub auto_assign: bool,
    /// Whether it gives nothing any more.
    pub drain: bool,
    /// Whether it is left to a tenant's own controller.
    pub delegated: bool,
    /// Whether something is wrong with it, by what its maker knows beside; it then gives nothing. A
    /// pool that holds what [no pool may hold](Self::forbidden) gives nothing anyway.
    pub broken: bool,
    /// The tenants that may draw from it; `None` is all of them.
    pub tenants: Option<BTreeSet<String>>,
    /// For which Services it is, and how soon it comes; `None` is for all, last.
    pub allocation: Option<ServiceAllocation>,
    /// Who hands its addresses out.
    pub source: Source,
    /// When it was made, in seconds of Unix time: of two pools that overlap, the older one counts.
    pub created: u64,
}

impl Default for PoolSpec {
    fn default() -> Self {
        Self {
            addresses: Vec::new(),
            excludes: Vec::new(),
            avoid_buggy_ips: false,
            auto_assign: true,
            drain: false,
            delegated: false,
            broken: false,
            tenants: None,
            allocation: None,
            source: Source::Here,
            created: 0,
        }
    }
}

/// Who hands out the free addresses of a pool.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Source {
    /// This allocator.
    #[default]
    Here,
    /// Another one, such as Kube-OVN for a Subnet: a Service gets told the pool, and draws there.
    Elsewhere {
        /// Which one. Pools of the same one may have the same addresses.
        name: Arc<str>,
        /// How many addresses it has left, by what it says.
        free: PerFamily<u64>,
    },
}

/// For which Services a pool is. MetalLB's field of that name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServiceAllocation {
    /// The lower, the sooner; 0 is last.
    pub priority: u32,
    /// Namespaces by name; a namespace is in by its name or by its labels.
    pub namespaces: BTreeSet<String>,
    /// Namespaces by their labels.
    pub namespace_selectors: Vec<Selector>,
    /// Services by their labels: one of these must match.
    pub service_selectors: Vec<Selector>,
}

/// The order in which pools are tried: those for certain Services first, by priority.
pub(crate) type Rank = (bool, u32);

impl PoolSpec {
    /// The addresses it may give.
    #[must_use]
    pub fn contents(&self) -> AddressSet {
        let addresses: AddressSet = self.addresses.iter().copied().collect();
        addresses.minus(&self.excludes.iter().copied().collect())
    }

    /// How many addresses another allocator says it has left, if one hands them out.
    pub(crate) const fn free_elsewhere(&self) -> Option<PerFamily<u64>> {
        match self.source {
            Source::Here => None,
            Source::Elsewhere { free, .. } => Some(free),
        }
    }

    /// Sets what another allocator has left; whether one hands the addresses out.
    pub(crate) const fn set_free(&mut self, left: PerFamily<u64>) -> bool {
        match &mut self.source {
            Source::Here => false,
            Source::Elsewhere { free, .. } => {
                *free = left;
                true
            }
        }
    }

    /// Whether another pool is as this one, but for what another allocator has left.
    pub(crate) fn differs_in_free_at_most(&self, other: &mut Self) -> bool {
        let (Some(mine), Some(theirs)) = (self.free_elsewhere(), other.free_elsewhere()) else {
            return self == other;
        };
        other.set_free(mine);
        let same = self == other;
        other.set_free(theirs);
        same
    }

    pub(crate) fn rank(&self) -> Rank {
        let priority = self.allocation.as_ref().map_or(0, |allocation| allocation.priority);
        // 0 is behind all others.
        (self.allocation.is_none(), priority.wrapping_sub(1))
    }

    /// Whether it gives addresses to every Service of every tenant.
    pub(crate) const fn is_for_all(&self) -> bool {
        let closed = self.delegated || self.drain || self.broken;
        self.tenants.is_none() && self.allocation.is_none() && !closed
    }

    /// Whether it gives an address to this Service; which one is another question.
    pub(crate) fn admit(&self, request: &Request<'_>) -> Result<(), Closed> {
        if self.tenants.as_ref().is_some_and(|t| !t.contains(request.service.tenant)) {
            return Err(Closed::Tenant);
        }
        if self.delegated {
            return Err(Closed::Delegated);
        }
        if self.drain {
            return Err(Closed::Drained);
        }
        if self.broken {
            return Err(Closed::Broken);
        }
        let for_it = self.allocation.as_ref().is_none_or(|allocation| allocation.selects(request));
        for_it.then_some(()).ok_or(Closed::Service)
    }
}

impl ServiceAllocation {
    fn selects(&self, request: &Request<'_>) -> bool {
        let any = |selectors: &[Selector], labels: &Labels| {
            selectors.iter().any(|selector| selector.matches(labels))
        };
        let everywhere = self.namespaces.is_empty() && self.namespace_selectors.is_empty();
        let in_namespace = everywhere
            || self.namespaces.contains(request.service.namespace)
            || request.namespace_labels.is_some_and(|known| any(&self.namespace_selectors, known));
        let every_service = self.service_selectors.is_empty();
        in_namespace && (every_service || any(&self.service_selectors, request.labels))
    }
}
