//! What speakers are told of an address. It follows from all Services that share it, whichever of
//! them is looked at: the first by key speaks for their machines.

use std::borrow::Cow;
use std::net::IpAddr;

use cpo_api::{Announce, Delivery, EipProbe, EipService, EipSpec, EipVlan, NextHop, Probe};
use pools::Family;

use super::super::address::kept_by_others;
use super::super::advertisements::followed;
use super::super::serve::Serving;
use crate::backends::{self, Resolved};
use crate::effect::{Effect, UnderEffect};
use crate::ids::ServiceKey;
use crate::service::{Service, TrafficPolicy};
use crate::tenant::Tenant;
use crate::time::Now;
use crate::under::{Advertisement, Eip, Pool};
use crate::world::World;

/// Where kube-proxy says that it is alive (`--healthz-bind-address`).
const KUBE_PROXY: u16 = 10_256;

/// The orders for an address of the Service that is looked at, and of those that share it.
pub(in crate::plan) fn of(
    serving: &Serving<'_>,
    eip: Option<&Eip>,
    address: IpAddr,
    pool: &str,
    services: &[EipService],
) -> EipVlan {
    let sharers = Sharers { world: serving.world, tenant: serving.tenant, services };
    let first = sharers.known().next();
    let resolved = match first {
        Some((key, service)) if key != *serving.key => {
            let under = &serving.world.under;
            Cow::Owned(backends::resolve(serving.tenant, under, &key, service, serving.now))
        }
        _ => Cow::Borrowed(&serving.resolved),
    };
    sharers.orders(eip, address, pool, &resolved)
}

/// Takes a Service out of an `Eip` that it shares with others.
pub(in crate::plan) fn part(
    world: &World,
    tenant: &Tenant,
    key: &ServiceKey,
    (name, eip): (&str, &Eip),
    now: Now,
) -> Effect {
    let others = eip.spec.services.iter().filter(|service| service.key != key.in_tenant());
    let services: Vec<_> = others.cloned().collect();
    let sharers = Sharers { world, tenant, services: &services };
    let first = sharers.known().next();
    let resolved =
        first.map(|(key, service)| backends::resolve(tenant, &world.under, &key, service, now));
    let vlan = match (resolved, eip.address()) {
        (Some(resolved), Some(address)) => {
            Some(sharers.orders(Some(eip), address, &eip.spec.pool, &resolved))
        }
        // Nothing is known of the others: their own plans tell.
        _ => eip.spec.vlan.clone(),
    };
    let keep = kept_by_others(tenant, key, &services);
    let spec = EipSpec { services, vlan, keep, ..eip.spec.clone() };
    let (name, version) = (name.to_owned(), eip.version);
    Effect::Under(UnderEffect::BindEip { name, version, spec })
}

/// A Service of a tenant, by its namespace and name.
pub(in crate::plan) fn service_of<'t>(
    tenant: &'t Tenant,
    in_tenant: &str,
) -> Option<(ServiceKey, &'t Service)> {
    let (namespace, name) = in_tenant.split_once('/')?;
    let key = ServiceKey::new(&tenant.spec.name, namespace, name).ok()?;
    let service = tenant.services.get(&key)?;
    Some((key, service))
}

/// The Services that share an address, by key.
struct Sharers<'a> {
    world: &'a World,
    tenant: &'a Tenant,
    services: &'a [EipService],
}

impl<'a> Sharers<'a> {
    /// Those that are known, and of this very incarnation.
    fn known(&self) -> impl Iterator<Item = (ServiceKey, &'a Service)> {
        self.services.iter().filter_map(|bound| {
            let found = service_of(self.tenant, &bound.key);
            found.filter(|(_, service)| service.uid.as_str() == bound.uid && !service.deleting)
        })
    }

    /// Where the pool is gone, they announce as they were told before: that is no word about what
    /// is assigned.
    fn orders(&self, eip: Option<&Eip>, at: IpAddr, pool: &str, resolved: &Resolved) -> EipVlan {
        let hops = resolved.of(Family::of(at)).map(|backend| NextHop {
            address: backend.address.to_string(),
            mac: backend.mac.clone(),
            vm: backend.machine.clone(),
        });
        let next_hops = hops.collect();
        let told = eip.and_then(|eip| eip.spec.vlan.clone());
        if let Some(told) = told.filter(|_| !self.world.under.pools.contains_key(pool)) {
            return EipVlan { next_hops, ..told };
        }
        let by = self.advertised(pool);
        // The under cluster's nodes serve their own Services.
        let probe = by.first().map(|(_, by)| by.probe);
        let probe = probe.filter(|_| !self.tenant.spec.is_under_cluster()).unwrap_or_default();
        EipVlan {
            probe: self.known().next().and_then(|(_, service)| probe_of(service, probe)),
            delivery: match by.first() {
                _ if self.tenant.spec.is_under_cluster() => Delivery::Local,
                Some((_, by)) => by.delivery,
                None => Delivery::default(),
            },
            announce: Announce { l2: by.into_iter().map(|(name, _)| name.clone()).collect() },
            next_hops,
        }
    }

    /// The advertisements of a pool for any of them that are followed, by name.
    fn advertised(&self, pool: &str) -> Vec<(&'a String, &'a Advertisement)> {
        let under = &self.world.under;
        let labels = under.pools.get(pool).map(|pool: &Pool| pool.labels.clone());
        let labels = labels.unwrap_or_default();
        let services: Vec<_> = self.known().map(|(_, service)| &service.labels).collect();
        let covers =
            |by: &Advertisement| services.iter().any(|service| by.covers(pool, &labels, service));
        followed(under.advertisements.iter().filter(|(_, by)| covers(by)).collect())
    }
}

/// How machines are asked whether they take a Service's connections, as an advertisement has it.
fn probe_of(service: &Service, probe: Probe) -> Option<EipProbe> {
    let kube_proxy = EipProbe { kind: Probe::KubeProxy, port: KUBE_PROXY };
    match (probe, service.policy, service.health_check_node_port) {
        (Probe::None, ..) => None,
        (Probe::HealthCheckNodePort, TrafficPolicy::Local, Some(port)) => {
            Some(EipProbe { kind: Probe::HealthCheckNodePort, port })
        }
        (Probe::KubeProxy | Probe::HealthCheckNodePort, ..) => Some(kube_proxy),
    }
}
