//! May a load balancer be put on this router, and will it work? The preconditions.

use std::net::Ipv4Addr;

use cpo_api::Reason;
use ipnet::Ipv4Net;
use uuid::Uuid;

use crate::backends::Backend;
use crate::ovn::{self, LoadBalancer, Ovn, Router, RouterPort};
use crate::problem::Problem;
use crate::return_path;
use crate::under::Under;

/// A router that can carry load balancers.
#[derive(Clone, Copy, Debug)]
pub struct Site<'a> {
    /// `_uuid` of the row.
    pub uuid: Uuid,
    /// The row.
    pub router: &'a Router,
    /// Its one distributed gateway port.
    pub gateway: &'a RouterPort,
}

const TELL_OPERATOR: &str = "the provider's network is not ready for this cluster; the address is \
                             kept and the provider's operator has been told";

fn refused(reason: Reason, operator: String) -> Problem {
    Problem::refused(reason, TELL_OPERATOR).for_operator(operator)
}

/// The router of a VPC, if it is one, of Kube-OVN's, and has exactly one gateway port.
///
/// # Errors
/// The [`Problem`] that stands against it.
pub fn site<'a>(ovn: &'a Ovn, under: &Under, vpc: &str) -> Result<Site<'a>, Problem> {
    let missing = |what: String| refused(Reason::RouterNotFound, what);
    let name = under.vpcs.get(vpc).filter(|name| !name.is_empty());
    let name = name.ok_or_else(|| missing(format!("Vpc {vpc} does not exist or has no router")))?;
    let mut named = ovn.routers.iter().filter(|(_, router)| router.name == *name);
    let Some((uuid, router)) = named.next() else {
        return Err(missing(format!("no Logical_Router is named {name} (Vpc {vpc})")));
    };
    if named.next().is_some() {
        let text = format!("several Logical_Routers are named {name}: remove the stray ones");
        return Err(refused(Reason::RouterAmbiguous, text));
    }
    if !router.of_kube_ovn {
        let text = format!("Logical_Router {name} is not marked vendor=kube-ovn");
        return Err(missing(text));
    }
    let gateways: Vec<&RouterPort> =
        router.ports.iter().filter_map(|p| ovn.ports.get(p)).filter(|p| p.gateway).collect();
    match gateways.as_slice() {
        [gateway] => Ok(Site { uuid: *uuid, router, gateway }),
        [] => Err(refused(
            Reason::NoGatewayPort,
            format!(
                "Logical_Router {name} has no port with a gateway chassis: set enableExternal on \
                 Vpc {vpc} and label a node ovn.kubernetes.io/external-gw=true"
            ),
        )),
        several => Err(refused(Reason::MultiDGPUnsupported, several_gateways(ovn, name, several))),
    }
}

fn several_gateways(ovn: &Ovn, name: &str, ports: &[&RouterPort]) -> String {
    let names: Vec<_> = ports.iter().map(|p| p.name.as_str()).collect();
    format!(
        "Logical_Router {name} has {} gateway ports ({}); load balancers of such a router fail on \
         OVN {}: leave one external subnet on the VPC",
        names.len(),
        names.join(", "),
        ovn.northd.as_deref().unwrap_or("of unknown version"),
    )
}

/// What stands against serving `address` with these rows on a usable router.
#[must_use]
pub fn check<'r>(
    ovn: &Ovn,
    under: &Under,
    site: &Site<'_>,
    address: Ipv4Addr,
    rows: impl Iterator<Item = &'r LoadBalancer>,
    backends: &[Backend],
) -> Vec<Problem> {
    let mut problems = Vec::new();
    if !site.gateway.networks.iter().any(|net| net.contains(&address)) {
        let networks: Vec<_> = site.gateway.networks.iter().map(Ipv4Net::to_string).collect();
        let text = format!(
            "{address} is outside {} of gateway port {} on Logical_Router {}: draw from a pool \
             whose subnet the VPC is attached to",
            networks.join(", "),
            site.gateway.name,
            site.router.name
        );
        problems.push(refused(Reason::EIPNotOnRouter, text));
    }
    problems.extend(conflict(ovn, address, rows));
    let mut subnets: Vec<&str> = backends.iter().map(|b| b.subnet.as_str()).collect();
    subnets.dedup();
    let lost = subnets.iter().find(|name| {
        let cidr = under.subnets.get(**name).and_then(|subnet| subnet.cidr);
        cidr.is_some_and(|cidr| !return_path::exists(ovn, site, cidr))
    });
    if let Some(subnet) = lost {
        problems.push(
            Problem::warning(
                Reason::ReturnPathMissing,
                "clients outside the provider network may get no answer; the provider's operator \
                 has been told",
            )
            .for_operator(format!(
                "replies from subnet {subnet} have no route to the gateway port {} of \
                 Logical_Router {}: add to the Vpc a policyRoute with action reroute from the \
                 subnet to the external gateway",
                site.gateway.name, site.router.name
            )),
        );
    }
    problems
}

/// What makes a row one of ours, and whose.
fn identity(row: &LoadBalancer) -> [Option<&str>; 3] {
    [ovn::VENDOR, ovn::INSTALL, ovn::OWNER].map(|key| row.external_id(key))
}

/// A row of somebody else, or a NAT rule, that holds one of the Vips. Who came first keeps it: a
/// Vip of ours that is live stays, a new one is not programmed.
fn conflict<'r>(
    ovn: &Ovn,
    address: Ipv4Addr,
    rows: impl Iterator<Item = &'r LoadBalancer>,
) -> Option<Problem> {
    let text = "the address cannot be used on this port; the provider's operator has been told";
    if let Some((uuid, _)) = ovn.nat.iter().find(|(_, external)| **external == address) {
        let why = format!("{address} is the external_ip of NAT rule {uuid}");
        return Some(Problem::refused(Reason::EIPPortConflict, text).for_operator(why));
    }
    for row in rows {
        for vip in row.vips.keys() {
            let other = ovn.holding(vip).find(|(uuid, other)| {
                other.protocol == row.protocol
                    && identity(other) != identity(row)
                    && ovn.attached_to(*uuid).next().is_some()
            });
            if let Some((uuid, other)) = other {
                let why = format!(
                    "{vip}/{} is held by Load_Balancer {uuid} named {:?}",
                    row.protocol, other.name
                );
                return Some(Problem::refused(Reason::EIPPortConflict, text).for_operator(why));
            }
        }
    }
    None
}

#[cfg(test)]
#[path = "router_tests.rs"]
mod tests;
