//! What objects and rows say of an address.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::net::IpAddr;

use pools::{
    Bound, Families, Labels, Owner, Port, Protocol, Record, Refusal, Request, Service, Sharing,
};

use super::{Assignments, Claim};
use cpo_api::EipSharing;

use crate::ids::{ServiceKey, TenantName};
use crate::ovn::{self, LoadBalancer};
use crate::plan::is_ovn_eip_of;
use crate::service::Protocol as Transport;
use crate::under::{Eip, OvnEip, Under};
use crate::world::World;

/// What a Service wishes of the pools.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wish {
    /// The Service.
    pub key: ServiceKey,
    /// Its labels.
    pub labels: Labels,
    /// Those of its namespace, as far as they are known.
    pub namespace_labels: Option<Labels>,
    /// Which families it wants.
    pub families: Families,
    /// The addresses it asks for, at most one of a family.
    pub addresses: Vec<IpAddr>,
    /// The pool it asks for.
    pub pool: Option<String>,
    /// Its ports.
    pub ports: Vec<Port>,
    /// With whom it shares its addresses, if it does.
    pub sharing: Option<EipSharing>,
    /// The pools whose addresses reach it, as far as that is known: unasked, it gets one of these.
    pub near: BTreeSet<String>,
}

impl Wish {
    /// Asks the allocator: of the pools that are near, and where none of them is open of all.
    pub(super) fn ask<T>(
        &self,
        mut ask: impl FnMut(&Request<'_>) -> Result<T, Refusal>,
    ) -> Result<T, Refusal> {
        let request = Request {
            service: Service {
                tenant: self.key.tenant().as_str(),
                namespace: self.key.namespace(),
                name: self.key.name(),
            },
            labels: &self.labels,
            namespace_labels: self.namespace_labels.as_ref(),
            families: self.families,
            addresses: &self.addresses,
            pool: self.pool.as_deref(),
            ports: &self.ports,
            sharing: self.sharing.as_ref().map(shares),
            among: Some(&self.near).filter(|near| !near.is_empty()),
        };
        match ask(&request) {
            // Of pools on other networks, the refusal at the router tells why they do not do.
            Err(Refusal::NoPool { .. }) => ask(&Request { among: None, ..request }),
            answer => answer,
        }
    }
}

/// Sharing as the allocator counts it.
fn shares(sharing: &EipSharing) -> Sharing<'_> {
    Sharing { key: &sharing.key, backends: &sharing.backends }
}

/// A port as the allocator counts it.
pub(crate) const fn port(protocol: Transport, number: u16) -> Port {
    let protocol = match protocol {
        Transport::Tcp => Protocol::Tcp,
        Transport::Udp => Protocol::Udp,
        Transport::Sctp => Protocol::Sctp,
    };
    Port { protocol, number }
}

impl World {
    /// Tells the allocator anew what is known of an address.
    pub(crate) fn reckon(&mut self, address: IpAddr) {
        let mut assignments = std::mem::take(&mut self.assignments);
        assignments.reckon(self, address);
        self.assignments = assignments;
    }

    /// Tells the allocator everything anew. What was promised is forgotten.
    pub(crate) fn reckon_all(&mut self) {
        let mut assignments = Assignments::default();
        for (address, claim) in claims(self) {
            assignments.claim(address, claim, true);
        }
        self.assignments = assignments;
        for name in self.tenants.keys().cloned().collect::<Vec<_>>() {
            self.reckon_tenant(&name);
        }
        self.reckon_pools();
    }

    /// Notes that something uses an address beside an `Eip`, or no longer does.
    pub(crate) fn claim(&mut self, address: Option<IpAddr>, claim: Claim, there: bool) {
        if let Some(address) = address {
            self.assignments.claim(address, claim, there);
            self.reckon(address);
        }
    }

    /// Notes that something uses another address than before.
    pub(crate) fn reclaim(&mut self, before: Option<IpAddr>, after: Option<IpAddr>, claim: &Claim) {
        if before != after {
            self.claim(before, claim.clone(), false);
            self.claim(after, claim.clone(), true);
        }
    }

    /// The same for what uses several.
    pub(crate) fn reclaim_all(
        &mut self,
        before: &BTreeSet<IpAddr>,
        after: &BTreeSet<IpAddr>,
        claim: &Claim,
    ) {
        for gone in before.difference(after) {
            self.claim(Some(*gone), claim.clone(), false);
        }
        for new in after.difference(before) {
            self.claim(Some(*new), claim.clone(), true);
        }
    }

    /// The tenant that the allocator knows the owner of an `Eip` by. A tenant of the name that is
    /// another one by now has no part in it.
    fn owner_of<'e>(&self, eip: &'e Eip) -> Cow<'e, str> {
        let (name, uid) = (&eip.spec.tenant.name, &eip.spec.tenant.uid);
        let known = name.parse::<TenantName>().ok().and_then(|name| self.tenants.get(&name));
        match known {
            Some(tenant) if !uid.is_empty() && tenant.spec.uid.as_str() != uid => {
                Cow::Owned(format!("{name}#{uid}"))
            }
            _ => Cow::Borrowed(name),
        }
    }
}

/// Everything that uses an address beside `Eip`s.
fn claims(world: &World) -> Vec<(IpAddr, Claim)> {
    let under = &world.under;
    let eips = under.ovn_eips.iter();
    let eips = eips.filter_map(|(n, eip)| Some((eip.address()?.into(), Claim::OvnEip(n.clone()))));
    let install = world.install.as_str();
    let rows = world.ovn.load_balancers.iter().filter(|(_, row)| row.service(install).is_some());
    let rows = rows.filter_map(|(uuid, row)| Some((row.address()?.into(), Claim::Row(*uuid))));
    let ips = under.ips.iter();
    let ips = ips.flat_map(|(n, ip)| ip.addresses().map(|at| (at, Claim::Ip(n.clone()))));
    let vips = under.vips.iter();
    let vips = vips.flat_map(|(n, all)| all.iter().map(|at| (*at, Claim::Vip(n.clone()))));
    let nat = world.ovn.nat.iter().map(|(uuid, v4)| ((*v4).into(), Claim::Nat(*uuid)));
    eips.chain(rows).chain(ips).chain(vips).chain(nat).collect()
}

impl Assignments {
    pub(super) fn reckon(&mut self, world: &World, address: IpAddr) {
        if let Some(eip) = world.under.eip(address) {
            self.eip(world, address, eip);
            return;
        }
        let claim = self.claims.get(&address).and_then(|claims| claims.first()).cloned();
        match claim {
            Some(claim) => {
                self.claimed(world, address, &claim);
            }
            // What was promised has no record, and stays.
            None if self.recorded.remove(&address) => {
                self.allocator.forget(address);
                self.note_freed();
            }
            None => {}
        }
    }

    fn eip(&mut self, world: &World, address: IpAddr, eip: &Eip) {
        let spec = &eip.spec;
        let ports: Vec<Vec<Port>> = spec.services.iter().map(|s| ports(&s.ports)).collect();
        let services = spec.services.iter().zip(&ports);
        let bound: Vec<Bound<'_>> = services
            .filter_map(|(service, ports)| {
                let (namespace, name) = service.key.split_once('/')?;
                Some(Bound { namespace, name, ports })
            })
            .collect();
        let first = bound.first().map(|bound| (bound.namespace, bound.name));
        let tenant = &*world.owner_of(eip);
        let owner = match (eip.released(), first) {
            (None, None) if spec.reserved => Owner::Reserved { tenant, service: None },
            (None, None) => Owner::Foreign("an Eip without a Service"),
            (None, Some(_)) => {
                let sharing = spec.sharing.as_ref().map(shares);
                Owner::Services { tenant, services: &bound, sharing }
            }
            (Some(_), _) if spec.reserved => Owner::Reserved { tenant, service: None },
            (Some(_), Some((namespace, name))) if spec.keep => {
                Owner::Kept { tenant, namespace, name }
            }
            (Some(released), last) => {
                let rest = world.under.rest_of(&spec.pool);
                let until = released.as_second().saturating_add(rest.into());
                Owner::Resting { tenant, last, until: until.try_into().unwrap_or_default() }
            }
        };
        // An operator may leave the pool out.
        let at = self.pool_at(address).filter(|_| spec.pool.is_empty()).map(str::to_owned);
        let pool = at.as_deref().unwrap_or(&spec.pool);
        let created = eip.created;
        self.restore(address, pool, owner, created);
    }

    fn claimed(&mut self, world: &World, address: IpAddr, claim: &Claim) {
        let text = match claim {
            Claim::OvnEip(name) => {
                let eip = world.under.ovn_eips.get(name);
                if let Some((eip, key)) = eip.and_then(|eip| Some((eip, ours(world, name, eip)?))) {
                    let created = eip.created.map(|created| created.as_second());
                    let created = created.and_then(|seconds| seconds.try_into().ok());
                    self.bound(world, address, key, eip.pool.as_deref(), created);
                    return;
                }
                format!("OvnEip {name}")
            }
            Claim::Row(uuid) => {
                let row = world.ovn.load_balancers.get(uuid);
                if let Some(key) = row.and_then(|row| served(world, row)) {
                    self.bound(world, address, &key, None, None);
                    return;
                }
                format!("Load_Balancer {uuid} of a tenant that is gone")
            }
            Claim::Wanted(key) => {
                let (tenant, service) =
                    (key.tenant().as_str(), Some((key.namespace(), key.name())));
                let owner = Owner::Reserved { tenant, service };
                let pool = self.pool_at(address).unwrap_or_default().to_owned();
                self.restore(address, &pool, owner, 0);
                return;
            }
            Claim::Ungranted => "something that Kube-OVN knows: it did not grant it".to_owned(),
            Claim::Ip(name) => format!("IP {name}"),
            Claim::Vip(name) => format!("Vip {name}"),
            Claim::Nat(uuid) => format!("NAT rule {uuid}"),
        };
        let owner = Owner::Foreign(&text);
        self.restore(address, "", owner, 0);
    }

    /// An address of a Service that has no `Eip`, drawn from this pool at this time, if known.
    fn bound(
        &mut self,
        world: &World,
        address: IpAddr,
        key: &ServiceKey,
        pool: Option<&str>,
        created: Option<u64>,
    ) {
        let service = world.tenants.get(key.tenant()).and_then(|t| t.services.get(key));
        let ports = service.map(|s| s.ports.as_slice()).unwrap_or_default();
        let ports: Vec<_> = ports.iter().map(|p| port(p.protocol, p.port)).collect();
        let bound = [Bound { namespace: key.namespace(), name: key.name(), ports: &ports }];
        let pool = pool.or_else(|| self.pool_at(address)).unwrap_or_default().to_owned();
        let tenant = key.tenant().as_str();
        let owner = Owner::Services { tenant, services: &bound, sharing: None };
        // What is known by no Eip counts after what is.
        let created = created.unwrap_or(u64::MAX);
        self.restore(address, &pool, owner, created);
    }

    fn restore(&mut self, address: IpAddr, pool: &str, owner: Owner<'_>, created: u64) {
        // What was a Service's leaves room in a quota, or waits for somebody.
        let known = !self.recorded.insert(address);
        self.freed |= known && !matches!(owner, Owner::Services { .. });
        // Records that contradict each other are told by the state of the address.
        let _ = self.allocator.restore(&Record { address, pool, owner, created });
    }
}

/// The Service an `OvnEip` was made for, if it still is that one's.
fn ours<'e>(world: &World, name: &str, eip: &'e OvnEip) -> Option<&'e ServiceKey> {
    let key = eip.service.as_ref()?;
    let tenant = world.tenants.get(key.tenant())?;
    is_ovn_eip_of(name, &world.install, &tenant.spec.uid, key).then_some(key)
}

/// The Service a live row of ours serves, if its tenant still is the one it was made for.
fn served(world: &World, row: &LoadBalancer) -> Option<ServiceKey> {
    let key = row.service(world.install.as_str())?;
    let tenant = world.tenants.get(key.tenant())?;
    let owner = row.external_id(ovn::OWNER)?.split('/').next()?;
    (owner == tenant.spec.uid.as_str()).then_some(key)
}

fn ports(ports: &[cpo_api::EipPort]) -> Vec<Port> {
    let read = |p: &cpo_api::EipPort| Some(port(Transport::parse(&p.protocol)?, p.port));
    ports.iter().filter_map(read).collect()
}

impl Under {
    /// How long an address of a pool rests after its release, in seconds.
    #[must_use]
    pub fn rest_of(&self, pool: &str) -> u32 {
        self.pools.get(pool).map_or(60, |pool| pool.quarantine_seconds)
    }
}
