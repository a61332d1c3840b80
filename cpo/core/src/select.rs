//! Which pool a Service draws from, and whether a requested address may be given.

use std::net::Ipv4Addr;

use cpo_api::{Reason, names};

use crate::ids::TenantName;
use crate::ovn::Ovn;
use crate::problem::Problem;
use crate::request::Request;
use crate::tenant::TenantSpec;
use crate::under::{Pool, Subnet, Under};

/// Where an address is to be drawn from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draw {
    /// The `AddressPool`.
    pub pool: String,
    /// The Kube-OVN Subnet behind it.
    pub subnet: String,
    /// The very address, where one is asked for.
    pub address: Option<Ipv4Addr>,
}

type Candidate<'a> = (&'a String, &'a Pool, &'a Subnet);

/// Chooses a pool, and checks a requested address against everything that may hold it. `own` is
/// the `OvnEip` the Service has already; `vpc` the one its machines are in, if that is known.
///
/// # Errors
/// A [`Problem`]: no pool, none with a free address, or the address cannot be given. A tenant
/// reads the same text whoever holds the address.
pub fn draw(
    under: &Under,
    ovn: &Ovn,
    spec: &TenantSpec,
    request: &Request,
    own: &str,
    vpc: Option<&str>,
) -> Result<Draw, Problem> {
    let pools = candidates(under, spec, request)?;
    let (name, pool, _) = match request.address {
        Some(address) => requested(under, ovn, &pools, address, own)?,
        None => any(ovn, under, &pools, vpc)?,
    };
    Ok(Draw { pool: name.clone(), subnet: pool.subnet.clone(), address: request.address })
}

/// Whether a tenant may draw from a pool at all.
pub(crate) fn open(name: &str, pool: &Pool, spec: &TenantSpec) -> bool {
    let bound = pool.tenants.as_ref().is_none_or(|t| t.contains(spec.name.as_str()));
    bound && (spec.pools.is_empty() || spec.pools.iter().any(|p| p == name))
}

fn candidates<'a>(
    under: &'a Under,
    spec: &TenantSpec,
    request: &Request,
) -> Result<Vec<Candidate<'a>>, Problem> {
    let usable = |(name, pool): (&'a String, &'a Pool)| {
        let subnet = under.subnets.get(&pool.subnet)?;
        (open(name, pool, spec) && pool.broken.is_none()).then_some((name, pool, subnet))
    };
    let all: Vec<_> = under.pools.iter().filter_map(usable).collect();
    if let Some(wanted) = &request.pool {
        let named: Vec<_> = all.into_iter().filter(|(name, ..)| *name == wanted).collect();
        if named.is_empty() {
            return Err(pool_refused(&spec.name, wanted, under.pools.contains_key(wanted)));
        }
        return Ok(named);
    }
    // An address that is asked for names its pool as well as the annotation would.
    let asked = |pool: &Pool| pool.auto_assign || request.address.is_some();
    let all: Vec<_> = all.into_iter().filter(|(_, pool, _)| asked(pool)).collect();
    if all.is_empty() {
        return Err(Problem::refused(
            Reason::PoolNotFound,
            format!(
                "no address pool is open to this cluster; name one with annotation {}, or ask the \
                 provider's operator",
                names::ANNOTATION_POOL
            ),
        )
        .for_operator(format!(
            "no AddressPool with autoAssign and an existing Subnet is open to tenant {}",
            spec.name
        )));
    }
    Ok(all)
}

fn pool_refused(tenant: &TenantName, wanted: &str, exists: bool) -> Problem {
    let reason = if exists { Reason::PoolNotAllowed } else { Reason::PoolNotFound };
    let why = if exists { "is not open to it, or unusable" } else { "does not exist" };
    Problem::refused(
        reason,
        format!(
            "annotation {} names pool {wanted:?}, which this cluster cannot draw from",
            names::ANNOTATION_POOL
        ),
    )
    .for_operator(format!("tenant {tenant} asks for pool {wanted:?}, which {why}"))
}

/// The first pool with a free address, those on the VPC's own external network before others.
fn any<'a>(
    ovn: &Ovn,
    under: &Under,
    pools: &[Candidate<'a>],
    vpc: Option<&str>,
) -> Result<Candidate<'a>, Problem> {
    let site = vpc.and_then(|vpc| crate::router::site(ovn, under, vpc).ok());
    let near = |subnet: &Subnet| {
        let networks = site.iter().flat_map(|site| &site.gateway.networks);
        networks.into_iter().any(|n| subnet.cidr.is_some_and(|cidr| cidr.contains(&n.addr())))
    };
    let free = || pools.iter().filter(|(_, _, subnet)| subnet.available > 0);
    free().find(|(_, _, subnet)| near(subnet)).or_else(|| free().next()).copied().ok_or_else(|| {
        let names: Vec<_> = pools.iter().map(|(name, ..)| name.as_str()).collect();
        Problem::refused(
            Reason::PoolExhausted,
            format!(
                "no free address is left in pool {}: delete an unused Service of type LoadBalancer, \
                 or ask the provider's operator for more addresses",
                names.join(", ")
            ),
        )
    })
}

fn requested<'a>(
    under: &Under,
    ovn: &Ovn,
    pools: &[Candidate<'a>],
    address: Ipv4Addr,
    own: &str,
) -> Result<Candidate<'a>, Problem> {
    let refuse = |reason, why: String| {
        Problem::refused(
            reason,
            format!("address {address} is not available to this cluster; ask for another, or none"),
        )
        .for_operator(why)
    };
    let inside =
        |(_, _, subnet): &&Candidate<'a>| subnet.cidr.is_some_and(|c| c.contains(&address));
    let Some(found) = pools.iter().find(inside) else {
        let why = format!("{address} is in none of the pools open to the tenant");
        return Err(refuse(Reason::AddressNotInPool, why));
    };
    if let Some(why) = reserved(ovn, found, address) {
        return Err(refuse(Reason::AddressNotInPool, format!("{address} {why}")));
    }
    if let Some(holder) = held(under, ovn, address, own) {
        return Err(refuse(Reason::AddressInUse, format!("{address} is held by {holder}")));
    }
    Ok(*found)
}

/// Why an address of a pool's subnet is never given, if so. Kube-OVN itself would give them.
fn reserved(ovn: &Ovn, (name, pool, subnet): &Candidate<'_>, address: Ipv4Addr) -> Option<String> {
    let cidr = subnet.cidr?;
    if address == cidr.network() || address == cidr.broadcast() {
        return Some(format!("is the network or broadcast address of subnet {}", pool.subnet));
    }
    if subnet.gateways.contains(&address.into()) {
        return Some(format!("is the gateway of subnet {}", pool.subnet));
    }
    if subnet.excludes.contains(address.into()) {
        return Some(format!("is in excludeIps of subnet {}", pool.subnet));
    }
    if pool.excludes.contains(address.into()) {
        return Some(format!("is in excludes of pool {name}"));
    }
    let port = ovn.ports.values().find(|p| p.networks.iter().any(|net| net.addr() == address))?;
    Some(format!("is the address of router port {}", port.name))
}

/// What holds an address already, if anything does.
fn held(under: &Under, ovn: &Ovn, address: Ipv4Addr, own: &str) -> Option<String> {
    let some = Some(address);
    let eip = under
        .ovn_eips
        .iter()
        .find(|(name, eip)| name.as_str() != own && (eip.status_v4 == some || eip.spec_v4 == some));
    if let Some((name, _)) = eip {
        return Some(format!("OvnEip {name}"));
    }
    if let Some(eip) = under.eips.get(&address.to_string())
        && eip.spec.overlay.as_ref().is_none_or(|o| o.ovn_eip != own)
    {
        return Some(format!("Eip {address}"));
    }
    if let Some((name, _)) = under.ips.iter().find(|(_, ip)| ip.v4 == some) {
        return Some(format!("IP {name}"));
    }
    if let Some((name, _)) = under.vips.iter().find(|(_, v4)| **v4 == address) {
        return Some(format!("Vip {name}"));
    }
    let nat = ovn.nat.iter().find(|(_, external)| **external == address)?;
    Some(format!("NAT rule {}", nat.0))
}

#[cfg(test)]
#[path = "select_tests.rs"]
mod tests;
