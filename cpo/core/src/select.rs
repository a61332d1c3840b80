//! What a Service gets of the pools, and the refusals as people read them.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};

use cpo_api::{Reason, names};
use pools::{Assigned, Closed, Labels, PoolFigures, Refusal, Resource, Unavailable, Used};

use crate::assignments::{Wish, port};
use crate::ids::{ServiceKey, TenantName};
use crate::problem::Problem;
use crate::request::Request;
use crate::service::Service;
use crate::tenant::{TenantSpec, Vlan};
use crate::under::{Eip, OvnEip, Pool, PoolSource};
use crate::world::World;

/// What a Service gets, keeps, or could have instead.
///
/// # Errors
/// A [`Problem`]: no pool, none with a free address, a quota that is used up, or an address that
/// cannot be given. A tenant reads the same text whoever holds the address.
pub fn choose(world: &World, wish: &Wish) -> Result<Assigned, Problem> {
    world.assignments.choose(wish).map_err(|refusal| problem(world, wish, &refusal))
}

/// What a Service wishes of the pools. `near` are those whose addresses would answer, as far as that
/// is known: unasked, the Service gets one of these.
#[must_use]
pub fn wish(
    world: &World,
    key: &ServiceKey,
    service: &Service,
    request: &Request,
    near: impl FnOnce() -> BTreeSet<String>,
) -> Wish {
    let asks = !request.addresses.is_empty() || request.pool.is_some();
    Wish {
        key: key.clone(),
        labels: service.labels.clone(),
        namespace_labels: namespace_labels(world, key).cloned(),
        families: request.families,
        addresses: request.addresses.clone(),
        pool: request.pool.clone(),
        ports: request.ports.iter().map(|(p, _)| port(p.protocol, p.port)).collect(),
        sharing: request.sharing.clone(),
        near: if asks { BTreeSet::new() } else { near() },
    }
}

fn namespace_labels<'w>(world: &'w World, key: &ServiceKey) -> Option<&'w Labels> {
    world.tenants.get(key.tenant())?.namespaces.labels.get(key.namespace())
}

/// The pools whose addresses lie on an external network of a VPC's router.
pub(crate) fn near_router(world: &World, vpc: &str) -> BTreeSet<String> {
    let Ok(site) = crate::router::site(&world.ovn, &world.under, vpc) else {
        return BTreeSet::new();
    };
    let networks = &site.gateway.networks;
    let on_network = |pool: &&Pool| match &pool.source {
        PoolSource::Subnet(name) => {
            let cidr = world.under.subnets.get(name).and_then(|subnet| subnet.cidr);
            networks.iter().any(|net| cidr.is_some_and(|cidr| cidr.contains(&net.addr())))
        }
        PoolSource::Ranges(ranges) => ranges.iter().any(|range| match range.first() {
            IpAddr::V4(first) => networks.iter().any(|net| net.contains(&first)),
            IpAddr::V6(_) => false,
        }),
    };
    let pools = world.under.pools.iter().filter(|(_, pool)| on_network(pool));
    pools.map(|(name, _)| name.clone()).collect()
}

/// The pools whose addresses lie on a VLAN.
pub(crate) fn near_vlan(world: &World, vlan: &Vlan) -> BTreeSet<String> {
    let on_link = |pool: &&Pool| match &pool.source {
        PoolSource::Ranges(ranges) => ranges.iter().all(|range| vlan.holds(range)),
        PoolSource::Subnet(_) => false,
    };
    let pools = world.under.pools.iter().filter(|(_, pool)| on_link(pool));
    pools.map(|(name, _)| name.clone()).collect()
}

/// Whether a tenant may draw from a pool at all.
pub(crate) fn open(world: &World, name: &str, pool: &Pool, spec: &TenantSpec) -> bool {
    is_for(name, pool, spec) && pool.broken.is_none() && world.assignments.faults(name).is_empty()
}

/// Whether a pool is for a tenant, whatever else is the matter with it.
fn is_for(name: &str, pool: &Pool, spec: &TenantSpec) -> bool {
    let bound = pool.tenants.as_ref().is_none_or(|tenants| {
        tenants.names.contains(spec.name.as_str())
            || tenants.selector.as_ref().is_some_and(|s| s.matches(&spec.labels))
    });
    bound && (spec.pools.is_empty() || spec.pools.iter().any(|listed| listed == name))
}

impl World {
    /// Whether a pool for this tenant selects by the labels of namespaces: then they are read.
    #[must_use]
    pub fn asks_namespaces(&self, tenant: &TenantSpec) -> bool {
        self.under.pools.keys().any(|name| self.asks_namespaces_for(name, tenant))
    }

    /// Whether this pool does.
    pub(crate) fn asks_namespaces_for(&self, pool: &str, tenant: &TenantSpec) -> bool {
        let found = self.under.pools.get(pool);
        found.is_some_and(|found| found.selects_namespaces() && is_for(pool, found, tenant))
    }
}

/// Whether what an `OvnEip` holds, or is to hold, is of a pool.
pub(crate) fn is_of(world: &World, name: &str, pool: &Pool, eip: &OvnEip) -> bool {
    match &pool.source {
        PoolSource::Subnet(subnet) => *subnet == eip.subnet,
        PoolSource::Ranges(_) => {
            eip.address().is_some_and(|v4| world.assignments.holds(name, v4.into()))
        }
    }
}

fn problem(world: &World, wish: &Wish, refusal: &Refusal) -> Problem {
    let tenant = wish.key.tenant();
    match refusal {
        Refusal::UnknownPool(pool) => {
            pool_refused(Reason::PoolNotFound, tenant, pool, "does not exist")
        }
        Refusal::PoolClosed { pool, why } => {
            let why = why_closed(world, pool, *why);
            pool_refused(Reason::PoolNotAllowed, tenant, pool, &format!("is closed: {why}"))
        }
        Refusal::NoPool { pools } => no_pool(tenant, *pools),
        Refusal::Exhausted { pools, .. } => exhausted(pools, refusal),
        Refusal::Unavailable {
            address,
            why: why @ (Unavailable::NotShared(_) | Unavailable::Port { .. }),
        } if shares(world, wish, *address) => not_shared(*address, why),
        Refusal::Unavailable { address, why } => unavailable(world, *address, why),
        Refusal::Quota { resource, limit, used } => over_quota(tenant, *resource, *limit, *used),
        Refusal::OneFamily(..) => Problem::refused(Reason::RequestConflict, refusal.to_string()),
    }
}

/// To a tenant, of a pool that it asks for.
pub(crate) fn no_such_pool(wanted: &str) -> String {
    format!(
        "annotation {} names pool {wanted:?}, which this cluster cannot draw from",
        names::ANNOTATION_POOL
    )
}

/// To a tenant that asks for nothing.
pub(crate) fn nothing_open() -> String {
    format!(
        "no address pool is open to this cluster; name one with annotation {}, or ask the \
         provider's operator",
        names::ANNOTATION_POOL
    )
}

/// To a tenant, of an address that it asks for.
pub(crate) fn not_available(address: IpAddr) -> String {
    format!("address {address} is not available to this cluster; ask for another, or none")
}

fn pool_refused(reason: Reason, tenant: &TenantName, wanted: &str, why: &str) -> Problem {
    Problem::refused(reason, no_such_pool(wanted))
        .for_operator(format!("tenant {tenant} asks for pool {wanted:?}, which {why}"))
}

fn why_closed(world: &World, pool: &str, why: Closed) -> String {
    match (why, world.assignments.faults(pool).first()) {
        (Closed::Broken, Some(fault)) => fault.message.clone(),
        _ => why.to_string(),
    }
}

fn no_pool(tenant: &TenantName, pools: usize) -> Problem {
    Problem::refused(Reason::PoolNotFound, nothing_open()).for_operator(format!(
        "of {pools} AddressPools, none that is Ready, not drained and has autoAssign is open to \
         tenant {tenant} and this Service: see its tenants and serviceAllocation, and pools of the \
         TenantCluster"
    ))
}

fn exhausted(pools: &[PoolFigures], refusal: &Refusal) -> Problem {
    let names: Vec<_> = pools.iter().map(|pool| pool.pool.as_str()).collect();
    Problem::refused(
        Reason::PoolExhausted,
        format!(
            "no free address is left in pool {}: delete an unused Service of type LoadBalancer, \
             or ask the provider's operator for more addresses",
            names.join(", ")
        ),
    )
    .for_operator(refusal.to_string())
}

/// Whether a Service asks to share an address, or does so.
fn shares(world: &World, wish: &Wish, address: IpAddr) -> bool {
    let has = |eip: &Eip| eip.owners.contains(&wish.key);
    wish.sharing.is_some() || world.under.eip(address).is_some_and(has)
}

/// Those who have the address are of the same tenant, which may read who.
fn not_shared(address: IpAddr, why: &Unavailable) -> Problem {
    let text = match why {
        Unavailable::Port { port, service } => format!(
            "{service} has port {port} of address {address}: take another port, or another address"
        ),
        other => format!(
            "address {address} cannot be shared: {other}; all that share it need the same annotation \
             {}, and externalTrafficPolicy Cluster, or Local with the same selector",
            names::ANNOTATION_SHARE
        ),
    };
    Problem::refused(Reason::SharingConflict, text)
}

fn unavailable(world: &World, address: IpAddr, why: &Unavailable) -> Problem {
    let reason = match why {
        Unavailable::NotInPool
        | Unavailable::OtherPool(_)
        | Unavailable::PoolClosed { .. }
        | Unavailable::Family(_) => Reason::AddressNotInPool,
        Unavailable::Taken(_)
        | Unavailable::NotShared(_)
        | Unavailable::Port { .. }
        | Unavailable::Conflicting
        | Unavailable::Resting(_)
        | Unavailable::Reserved(_) => Reason::AddressInUse,
    };
    let network = match address {
        IpAddr::V4(v4) => set_aside(world, v4),
        IpAddr::V6(_) => None,
    };
    let why = network.unwrap_or_else(|| format!("cannot be given: {why}"));
    Problem::refused(reason, not_available(address)).for_operator(format!("{address} {why}"))
}

/// Why an address is never given, if it is one the network itself needs.
fn set_aside(world: &World, address: Ipv4Addr) -> Option<String> {
    let of_port = |net: &ipnet::Ipv4Net| net.addr() == address;
    if let Some(port) = world.ovn.ports.values().find(|p| p.networks.iter().any(of_port)) {
        return Some(format!("is the address of router port {}", port.name));
    }
    let (name, subnet) = world
        .under
        .subnets
        .iter()
        .filter(|(_, subnet)| subnet.underlay)
        .find(|(_, subnet)| subnet.cidr.is_some_and(|cidr| cidr.contains(&address)))?;
    let cidr = subnet.cidr?;
    if address == cidr.network() || address == cidr.broadcast() {
        return Some(format!("is the network or broadcast address of subnet {name}"));
    }
    if subnet.gateways.contains(&address.into()) {
        return Some(format!("is the gateway of subnet {name}"));
    }
    if world.assignments.pool_at(address.into()).is_some() {
        return None;
    }
    let excluded = subnet.excludes.contains(address.into());
    excluded.then(|| format!("is in excludeIps of subnet {name}"))
}

/// A tenant may read what of its quota is used up by itself.
fn over_quota(tenant: &TenantName, resource: Resource, limit: u64, used: Used) -> Problem {
    Problem::refused(
        Reason::QuotaExceeded,
        format!(
            "the cluster's quota of {limit} {resource} leaves no room: {used}; delete an unused \
             Service of type LoadBalancer, or ask the provider's operator for more"
        ),
    )
    .for_operator(format!("spec.quota of TenantCluster {tenant} allows {limit} {resource}: {used}"))
}

#[cfg(test)]
#[path = "select_tests.rs"]
mod tests;
