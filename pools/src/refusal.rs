//! Why a Service gets no address.

use std::fmt;
use std::net::IpAddr;

use crate::{Family, PerFamily, Port};

/// Why a Service gets no address, with the figures behind it. The text is for the provider's
/// operator: it may name what the tenant must not learn.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Two addresses of one family, or more than two, are asked for.
    #[error("{0} and {1} are of one family: ask for at most one address of each")]
    OneFamily(IpAddr, IpAddr),
    /// The pool that is asked for does not exist.
    #[error("pool {0:?} does not exist")]
    UnknownPool(String),
    /// The pool that is asked for is not open to the Service.
    #[error("pool {pool:?} is not open to the Service: {why}")]
    PoolClosed {
        /// The pool.
        pool: String,
        /// Why it is closed.
        why: Closed,
    },
    /// No pool gives addresses to the Service by itself.
    #[error("no pool of {pools} is open to the Service and assigns addresses by itself")]
    NoPool {
        /// How many pools there are.
        pools: usize,
    },
    /// The pools that are open to the Service have no address left.
    #[error("no {wanted} address is free in {}", Listed(pools, *wanted))]
    Exhausted {
        /// What is missing.
        wanted: Wanted,
        /// The first of the pools that were looked at, by name.
        pools: Vec<PoolFigures>,
    },
    /// The address that is asked for cannot be had.
    #[error("{address} cannot be given: {why}")]
    Unavailable {
        /// The address.
        address: IpAddr,
        /// Why.
        why: Unavailable,
    },
    /// The tenant has what it may have.
    #[error("the tenant's quota of {limit} {resource} leaves no room: {used}")]
    Quota {
        /// Of what.
        resource: Resource,
        /// How many it may have.
        limit: u64,
        /// How many it has.
        used: Used,
    },
}

/// What counts against a quota.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Used {
    /// What Services have; addresses also that they draw.
    pub assigned: u64,
    /// Addresses that rest since their release.
    pub resting: u64,
    /// Addresses that are kept for Services.
    pub kept: u64,
}

impl Used {
    /// All of it.
    #[must_use]
    pub const fn all(&self) -> u64 {
        self.assigned.saturating_add(self.resting).saturating_add(self.kept)
    }
}

impl fmt::Display for Used {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} in use", self.assigned)?;
        if self.resting > 0 {
            write!(f, ", {} resting since their release", self.resting)?;
        }
        if self.kept > 0 {
            write!(f, ", {} kept for Services that are gone", self.kept)?;
        }
        Ok(())
    }
}

/// Why a pool is closed to a Service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Closed {
    /// It belongs to other tenants.
    #[error("it is bound to other tenants")]
    Tenant,
    /// The tenant is registered for other pools.
    #[error("the TenantCluster names other pools")]
    NotListed,
    /// It is for other Services: by namespace, or by labels.
    #[error("its serviceAllocation selects other Services")]
    Service,
    /// It is none of those the Service asks for an address from.
    #[error("its addresses do not reach the Service")]
    OutOfReach,
    /// It is being drained.
    #[error("it is being drained")]
    Drained,
    /// It is left to a tenant's own controller.
    #[error("it is delegated to a tenant's own MetalLB")]
    Delegated,
    /// It is deleted.
    #[error("it is deleted")]
    Gone,
    /// Something is wrong with it.
    #[error("it is not ready: see its condition")]
    Broken,
    /// It overlaps an older pool.
    #[error("it overlaps an older pool")]
    Conflicting,
}

/// Why an address cannot be given.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unavailable {
    /// No pool holds it.
    #[error("it is in no pool, or excluded there")]
    NotInPool,
    /// It is in another pool than the one asked for.
    #[error("it is in pool {0:?}")]
    OtherPool(String),
    /// Its pool is closed to the Service.
    #[error("pool {pool:?} is closed: {why}")]
    PoolClosed {
        /// The pool.
        pool: String,
        /// Why.
        why: Closed,
    },
    /// Its family is not wanted.
    #[error("the Service wants no {0}")]
    Family(Family),
    /// Others have it.
    #[error("it belongs to {0}")]
    Taken(String),
    /// Others of the tenant have it, and share it not at all, or otherwise.
    #[error("{0} has it under another sharing key, or for other backends")]
    NotShared(String),
    /// Others of the tenant have it, and the port.
    #[error("{service} has port {port} of it")]
    Port {
        /// The port.
        port: Port,
        /// Who has it.
        service: String,
    },
    /// It rests since it was released.
    #[error("it rests until {0} (Unix time) since its release")]
    Resting(u64),
    /// Records say different things of it.
    #[error("its records contradict each other")]
    Conflicting,
    /// It is kept for somebody else.
    #[error("it is reserved for {0}")]
    Reserved(String),
}

/// What of a quota is used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resource {
    /// Services with an address.
    LoadBalancers,
    /// Addresses of a family.
    Addresses(Family),
    /// Ports.
    Ports,
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LoadBalancers => f.write_str("load balancers"),
            Self::Addresses(family) => write!(f, "{family} addresses"),
            Self::Ports => f.write_str("ports"),
        }
    }
}

/// Which addresses a pool must have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// One of this family.
    One(Family),
    /// One of each, in one pool.
    Pair,
}

impl fmt::Display for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::One(family) => family.fmt(f),
            Self::Pair => f.write_str("IPv4 and IPv6"),
        }
    }
}

/// What a pool has, and what became of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PoolFigures {
    /// The pool.
    pub pool: String,
    /// Addresses in its ranges; `u128::MAX` also stands for one more.
    pub total: PerFamily<u128>,
    /// Addresses of Services that were drawn from it; some may no longer be in its ranges.
    pub assigned: PerFamily<u64>,
    /// Addresses that rest since their release.
    pub resting: PerFamily<u64>,
    /// Addresses that their tenants keep for Services.
    pub kept: PerFamily<u64>,
    /// Addresses that an operator reserved.
    pub reserved: PerFamily<u64>,
    /// Addresses that Services draw from who hands out this pool; nobody knows them yet.
    pub drawing: PerFamily<u64>,
    /// Addresses whose records contradict each other.
    pub conflicting: PerFamily<u64>,
    /// Addresses in its ranges that something else than a Service uses.
    pub foreign: PerFamily<u64>,
    /// Addresses in its ranges that nobody has, or as many as who hands them out says are left.
    pub available: PerFamily<u128>,
    /// Whether it is deleted, and there only for the addresses of it that are in use.
    pub gone: bool,
}

/// Pools with their figures of the families that are wanted, for a sentence.
struct Listed<'p>(&'p [PoolFigures], Wanted);

impl fmt::Display for Listed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, pool) in self.0.iter().enumerate() {
            write!(f, "{}{:?} (", if number == 0 { "" } else { ", " }, pool.pool)?;
            for (number, family) in self.1.families().iter().enumerate() {
                write!(f, "{}", if number == 0 { "" } else { "; " })?;
                pool.tell(*family, f)?;
            }
            f.write_str(")")?;
        }
        Ok(())
    }
}

impl Wanted {
    const fn families(self) -> &'static [Family] {
        match self {
            Self::One(Family::V4) => &[Family::V4],
            Self::One(Family::V6) => &[Family::V6],
            Self::Pair => &[Family::V4, Family::V6],
        }
    }
}

impl PoolFigures {
    /// "IPv4: 0 of 4 free, 3 assigned, 1 resting".
    fn tell(&self, family: Family, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (available, total) = (self.available.get(family), self.total.get(family));
        if *total == 0 {
            return write!(f, "{family}: none");
        }
        write!(f, "{family}: {available} of {total} free")?;
        for (count, what) in [
            (self.assigned, "assigned"),
            (self.drawing, "being drawn"),
            (self.resting, "resting"),
            (self.kept, "kept"),
            (self.reserved, "reserved"),
            (self.conflicting, "with conflicting records"),
            (self.foreign, "used by others than Services"),
        ] {
            let count = count.get(family);
            if *count > 0 {
                write!(f, ", {count} {what}")?;
            }
        }
        Ok(())
    }
}
