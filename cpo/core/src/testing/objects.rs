//! The world most tests begin with, and its parts.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use cpo_api::{AddressPoolStatus, names};
use jiff::Timestamp;
use pools::AddressRange;
use uuid::Uuid;

use super::{key, router, tenant};
use crate::ids::NodeName;
use crate::ovn::{LoadBalancer, OvnLink, Policy, RouterPort, RowChange};
use crate::service::{Endpoint, EndpointSlice, Service};
use crate::tenant::{Link, Node, Tenant};
use crate::under::{Ip, Machine, Pool, PoolSource, PoolTenants, Shield, Subnet};
use crate::world::World;

/// `_uuid` of the router `vpc-a`.
pub(crate) const ROUTER: Uuid = Uuid::from_u128(0xa0);
/// `_uuid` of its gateway port.
pub(crate) const GATEWAY: Uuid = Uuid::from_u128(0xa1);
/// `_uuid` of its reroute policy.
pub(crate) const POLICY: Uuid = Uuid::from_u128(0xa2);

/// A Subnet of `vpc`, with what it excludes as `excludeIps` writes it (`first..last`).
pub(crate) fn subnet(vpc: &str, cidr: &str, gateway: &str, excludes: &[&str]) -> Subnet {
    let range = |text: &&str| text.replace("..", "-").parse::<AddressRange>().unwrap();
    Subnet {
        vpc: vpc.into(),
        cidr: Some(cidr.parse().unwrap()),
        cidr6: None,
        gateways: vec![gateway.parse::<IpAddr>().unwrap()],
        excludes: excludes.iter().map(range).collect(),
        available: 100,
        underlay: vpc == "ovn-cluster",
    }
}

/// A pool on a subnet, open to all.
pub(crate) fn pool(subnet: &str) -> Pool {
    pool_of(PoolSource::Subnet(subnet.into()))
}

/// A pool of ranges, open to all.
pub(crate) fn ranges(ranges: &[&str]) -> Pool {
    pool_of(PoolSource::Ranges(ranges.iter().map(|range| range.parse().unwrap()).collect()))
}

fn pool_of(source: PoolSource) -> Pool {
    Pool {
        generation: 1,
        labels: BTreeMap::new(),
        created: 0,
        source,
        excludes: Vec::new(),
        avoid_buggy_ips: false,
        auto_assign: true,
        tenants: None,
        allocation: None,
        drain: false,
        delegated: false,
        quarantine_seconds: 60,
        broken: None,
        status: AddressPoolStatus::default(),
    }
}

/// The tenants of these names alone.
pub(crate) fn only(names: &[&str]) -> Option<PoolTenants> {
    let names = names.iter().map(|name| (*name).to_owned()).collect();
    Some(PoolTenants { names, selector: None })
}

/// A ready Node that says it is machine `machine` and lists one address.
pub(crate) fn node(machine: &str, address: &str) -> Node {
    Node {
        machine: machine.into(),
        excluded: false,
        ready: true,
        ready_since: Some(Timestamp::UNIX_EPOCH),
        addresses: [address.parse().unwrap()].into(),
    }
}

/// A node of the under cluster.
pub(crate) fn under_node(address: &str) -> crate::under::Node {
    let addresses = vec![address.parse().unwrap()];
    crate::under::Node { addresses, out_of_service: false }
}

/// A machine with the label of a Cluster API cluster.
pub(crate) fn machine(cluster: &str) -> Machine {
    Machine { labels: [(names::LABEL_CAPI_CLUSTER.to_owned(), cluster.to_owned())].into() }
}

/// A ready endpoint on a node; an empty name is none.
pub(crate) fn endpoint(node: &str) -> Endpoint {
    Endpoint { node: node.parse().ok(), ready: true, serving: true, terminating: false }
}

/// A slice of a Service.
fn slice(service: &str, endpoints: &[Endpoint]) -> EndpointSlice {
    let family = Some(pools::Family::V4);
    EndpointSlice { family, service: service.into(), endpoints: endpoints.to_vec() }
}

/// One row of a Service that is live, if there is exactly one.
pub(crate) fn row_of<'w>(world: &'w World, service: &str) -> Option<(Uuid, &'w LoadBalancer)> {
    let key = key(service);
    let mut rows = crate::rows::rows_of(&world.ovn, &key).filter(|(_, row)| !row.is_tombstone());
    let row = rows.next();
    row.filter(|_| rows.next().is_none())
}

/// Tenant `a`, synced, with nodes `vm1` and `vm2` at 10.0.0.2 and 10.0.0.3 in VPC `vpc-a`; pool
/// `public` on the provider network 198.51.100.0/24, to which the router has its gateway port;
/// the Northbound database connected; the shield up; no Service.
pub(crate) fn world() -> World {
    let mut world = World::new("default".parse().unwrap());
    let under = &mut world.under;
    under.vpcs.insert("vpc-a".into(), "vpc-a".into());
    under
        .subnets
        .insert("tenant-a".into(), subnet("vpc-a", "10.0.0.0/24", "10.0.0.1", &["10.0.0.1"]));
    let reserved = &["198.51.100.1..198.51.100.9", "198.51.100.200..198.51.100.254"];
    let external = subnet("ovn-cluster", "198.51.100.0/24", "198.51.100.254", reserved);
    under.subnets.insert("external".into(), external);
    under.pools.insert("public".into(), pool("external"));
    under.shield = Shield::Up;
    let spec = tenant("a");
    let mut tenant = Tenant::new(spec);
    tenant.synced = true;
    tenant.link = Link::Up { version: Some("v1.33.0".into()), expires: None };
    world.tenants.insert("a".parse().unwrap(), tenant);
    world.ovn.link = OvnLink::Up;
    world
        .with_machine("vm1", "10.0.0.2")
        .with_machine("vm2", "10.0.0.3")
        .with_row(RowChange::Port(GATEWAY, Some(gateway_port("198.51.100.9/24"))))
        .with_row(RowChange::Policy(POLICY, Some(reroute_policy())))
        .with_router(|router| {
            router.ports.insert(GATEWAY);
            router.policies.insert(POLICY);
        })
}

pub(crate) fn gateway_port(network: &str) -> RouterPort {
    RouterPort {
        name: "vpc-a-external".into(),
        networks: vec![network.parse().unwrap()],
        gateway: true,
        chassis: vec!["gw1".into()],
    }
}

fn reroute_policy() -> Policy {
    Policy {
        priority: 100,
        matches: "ip4.src == 10.0.0.0/24 && ip4.dst != 10.0.0.0/24".into(),
        action: "reroute".into(),
        nexthops: vec!["198.51.100.254".into()],
    }
}

/// Changes of the world that tests speak of.
impl World {
    /// With one row of the Northbound database changed.
    pub(crate) fn with_row(mut self, change: RowChange) -> Self {
        self.put_row(change);
        self
    }

    /// With the router `vpc-a` changed.
    pub(crate) fn with_router(self, change: impl FnOnce(&mut crate::ovn::Router)) -> Self {
        let mut row = self.ovn.routers.get(&ROUTER).cloned().unwrap_or_else(|| router("vpc-a"));
        change(&mut row);
        self.with_row(RowChange::Router(ROUTER, Some(row)))
    }

    /// With a virtual machine of tenant `a` in subnet `tenant-a`, running, and its Node.
    pub(crate) fn with_machine(mut self, name: &str, address: &str) -> Self {
        let id = ("tenant-a".to_owned(), name.to_owned());
        self.under.machines.insert(id.clone(), machine("a"));
        self.under.instances.insert(id, true);
        self.put_ip(&format!("{name}.tenant-a"), Some(ip(name, "tenant-a", address)));
        let tenant = self.tenant_a();
        tenant.nodes.insert(name.parse().unwrap(), node(name, address));
        self
    }

    /// With one more Kube-OVN `IP` of a machine in namespace `tenant-a`.
    pub(crate) fn with_ip(mut self, name: &str, machine: &str, subnet: &str, v4: &str) -> Self {
        self.put_ip(name, Some(ip(machine, subnet, v4)));
        self
    }

    /// With a Service.
    pub(crate) fn with_service(mut self, key: &str, service: Service) -> Self {
        self.put_service(key, Some(service));
        self
    }

    /// Stores or forgets a Service.
    pub(crate) fn put_service(&mut self, key: &str, service: Option<Service>) {
        let key = super::key(key);
        let tenant = self.tenants.get_mut(key.tenant()).unwrap();
        match service {
            Some(service) => tenant.services.insert(key, service),
            None => tenant.services.remove(&key),
        };
    }

    /// A Service there is.
    pub(crate) fn service(&mut self, key: &str) -> &mut Service {
        let key = super::key(key);
        let tenant = self.tenants.get_mut(key.tenant()).unwrap();
        tenant.services.get_mut(&key).unwrap()
    }

    /// The tenant `a`.
    pub(crate) fn tenant_a(&mut self) -> &mut Tenant {
        self.tenants.get_mut(&"a".parse().unwrap()).unwrap()
    }

    /// A Node of the tenant `a`.
    pub(crate) fn node(&mut self, name: &str) -> &mut Node {
        let name: NodeName = name.parse().unwrap();
        self.tenant_a().nodes.get_mut(&name).unwrap()
    }

    /// With the endpoints of Service `default/web` of tenant `a`.
    pub(crate) fn with_endpoints(mut self, endpoints: &[Endpoint]) -> Self {
        let slice = slice("web", endpoints);
        self.tenant_a().put_slice("default", "web-1", Some(slice));
        self
    }
}

fn ip(machine: &str, subnet: &str, v4: &str) -> Ip {
    Ip {
        machine: machine.into(),
        namespace: "tenant-a".into(),
        subnet: subnet.into(),
        v4: v4.parse::<Ipv4Addr>().ok(),
        v6: None,
        mac: None,
        of_machine: true,
    }
}

/// The Services, rows and addresses as somebody from outside sees them: what must be the same
/// whichever way it came about.
pub(crate) fn seen_from_outside(world: &World) -> BTreeMap<String, Vec<String>> {
    let mut seen: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (key, service) in world.tenants.values().flat_map(|t| &t.services) {
        let ingress = service.status.ingress.iter().map(|i| format!("{} {:?}", i.ip, i.ports));
        let conditions = service.status.conditions.iter();
        let conditions = conditions.map(|c| format!("{}={:?} {}", c.type_, c.status, c.reason));
        let all = ingress.chain(conditions).chain([format!("finalizer={}", service.finalizer)]);
        seen.insert(format!("service {key}"), all.collect());
    }
    for (uuid, row) in world.ovn.load_balancers.iter().filter(|(_, row)| !row.is_tombstone()) {
        let routers = world.ovn.attached_to(*uuid).count();
        let vips =
            row.vips.iter().map(|(vip, to)| format!("{}/{vip}={to}@{routers}", row.protocol));
        let owner = row.external_id(crate::ovn::OWNER).unwrap_or_default();
        seen.entry(format!("row {owner}")).or_default().extend(vips);
    }
    for (name, eip) in &world.under.eips {
        let released = eip.released().is_some();
        let text = format!("{:?} released={released}", eip.spec);
        seen.insert(format!("eip {name}"), vec![text]);
    }
    for (name, eip) in &world.under.ovn_eips {
        seen.insert(format!("ovn-eip {name}"), vec![format!("{:?}", eip.granted())]);
    }
    seen
}
