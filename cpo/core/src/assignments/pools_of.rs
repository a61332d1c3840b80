//! Pools as the allocator takes them: what their objects say, with what no pool may give taken
//! out or named as a fault.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use ipnet::Ipv4Net;
use pools::{AddressRange, AddressSet, Labels, PerFamily, PoolSpec, Quota, Source, TenantSpec};

use super::Reserved;
use crate::ids::TenantName;
use crate::tenant::Vlan;
use crate::under::{Pool, PoolSource, Subnet, Under};
use crate::world::World;

/// VPC of the under cluster's own pods (Kube-OVN's default).
pub(crate) const OWN_VPC: &str = "ovn-cluster";

/// What is wrong with a pool: it gives nothing while it is so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// CamelCase reason of its condition.
    pub reason: &'static str,
    /// For an operator: the range, its problem, the remedy.
    pub message: String,
}

impl Fault {
    const fn new(reason: &'static str, message: String) -> Self {
        Self { reason, message }
    }
}

impl World {
    /// Tells the allocator what a tenant may have.
    pub(crate) fn reckon_tenant(&mut self, name: &TenantName) {
        let Some(tenant) = self.tenants.get(name) else {
            self.assignments.allocator.remove_tenant(name.as_str());
            return;
        };
        let quota = &tenant.spec.quota;
        let spec = TenantSpec {
            quota: Quota {
                load_balancers: quota.load_balancers.map(u64::from),
                addresses: PerFamily {
                    v4: quota.addresses.ipv4.map(u64::from),
                    v6: quota.addresses.ipv6.map(u64::from),
                },
                ports: quota.ports.map(u64::from),
            },
            pools: tenant.spec.pools.iter().cloned().collect(),
        };
        self.assignments.allocator.set_tenant(name.as_str(), spec);
    }

    /// Tells the allocator which pools there are, and what is in use of what they hold now.
    pub(crate) fn reckon_pools(&mut self) {
        let others = Others::of(self);
        let mut faults = BTreeMap::new();
        let mut specs = BTreeMap::new();
        for (name, pool) in &self.under.pools {
            let (spec, wrong) = self.pool_spec(pool, &others);
            if !wrong.is_empty() {
                faults.insert(name.clone(), wrong);
            }
            specs.insert(name.clone(), spec);
        }
        self.assignments.faults = faults;
        self.assignments.allocator.set_pools(specs);
        let eips = self.under.eips.values().filter_map(crate::under::Eip::address);
        let used: BTreeSet<IpAddr> = eips.chain(self.assignments.claims.keys().copied()).collect();
        used.into_iter().for_each(|address| self.reckon(address));
    }

    /// Tells the allocator how many addresses a Subnet has left.
    pub(crate) fn reckon_available(&mut self, subnet: &str) {
        let Some(available) = self.under.subnets.get(subnet).map(|s| s.available) else { return };
        let pools = self.under.pools.iter().filter(|(_, pool)| pool.subnet() == Some(subnet));
        for (name, _) in pools {
            let free = PerFamily { v4: available, v6: 0 };
            self.assignments.allocator.set_free(name, free);
        }
    }

    fn pool_spec(&self, pool: &Pool, others: &Others) -> (PoolSpec, Vec<Fault>) {
        let mut faults: Vec<_> =
            pool.broken.iter().map(|why| Fault::new("Invalid", why.clone())).collect();
        let mut spec = PoolSpec {
            excludes: pool.excludes.clone(),
            avoid_buggy_ips: pool.avoid_buggy_ips,
            auto_assign: pool.auto_assign,
            drain: pool.drain,
            delegated: pool.delegated,
            tenants: pool.tenants.as_ref().map(|tenants| self.selected(tenants)),
            allocation: pool.allocation.clone(),
            created: pool.created,
            ..PoolSpec::default()
        };
        match &pool.source {
            PoolSource::Subnet(name) => faults.extend(self.of_subnet(name, others, &mut spec)),
            PoolSource::Ranges(ranges) => {
                spec.addresses.clone_from(ranges);
                spec.tenants = self.on_its_vlan(ranges, spec.tenants);
                spec.excludes.extend(self.under.underlays().flat_map(|(_, s)| edges(s)));
                spec.excludes.extend(self.vlan_edges());
                let ports = self.ovn.ports.values().flat_map(|port| &port.networks);
                let ports = ports.map(|net| AddressRange::single(net.addr().into()));
                spec.excludes.extend(ports);
                let forbidden = spec.forbidden(others.near(ranges));
                faults
                    .extend(forbidden.iter().map(|f| Fault::new("RangeForbidden", f.to_string())));
                faults.extend(ranges.iter().filter_map(|range| self.off_network(range)));
            }
        }
        faults.extend(self.left_to_several(pool));
        spec.broken = !faults.is_empty();
        (spec, faults)
    }

    /// Two that announce the same range by themselves would give it twice.
    fn left_to_several(&self, pool: &Pool) -> Option<Fault> {
        let tenants = pool.tenants.as_ref().filter(|_| pool.delegated)?;
        let selects =
            |labels: &Labels| tenants.selector.as_ref().is_some_and(|all| all.matches(labels));
        let unmanaged = self.under.unmanaged.iter().filter(|(_, tenant)| selects(&tenant.labels));
        let unmanaged = unmanaged.map(|(name, _)| name.to_string());
        let of: BTreeSet<String> = self.selected(tenants).into_iter().chain(unmanaged).collect();
        (of.len() > 1).then(|| {
            let of = of.into_iter().collect::<Vec<_>>().join(", ");
            let text = format!(
                "spec.delegated leaves the addresses to one tenant, and spec.tenants is {of}: name \
                 one of them"
            );
            Fault::new("DelegatedToSeveral", text)
        })
    }

    /// Fills in a pool that Kube-OVN hands out.
    fn of_subnet(&self, name: &str, others: &Others, spec: &mut PoolSpec) -> Option<Fault> {
        let Some(subnet) = self.under.subnets.get(name) else {
            return Some(Fault::new("SubnetNotFound", format!("no Subnet {name} exists")));
        };
        let Some(cidr) = subnet.cidr else {
            return Some(Fault::new(
                "SubnetUnusable",
                format!("Subnet {name} has no IPv4 cidrBlock"),
            ));
        };
        let whole = AddressRange::from(ipnet::IpNet::V4(cidr));
        spec.addresses = vec![whole];
        spec.excludes.extend(others.within(&whole));
        spec.excludes.extend(edges(subnet));
        spec.excludes.extend(subnet.excludes.ranges().copied());
        let inside = |address: &IpAddr| matches!(address, IpAddr::V4(v4) if cidr.contains(v4));
        let ports = self.ovn.ports.values().flat_map(|port| &port.networks);
        let ports = ports.map(|network| IpAddr::V4(network.addr()));
        let taken = subnet.gateways.iter().copied().chain(ports).filter(inside);
        spec.excludes.extend(taken.map(AddressRange::single));
        let free = PerFamily { v4: subnet.available, v6: 0 };
        spec.source = Source::Elsewhere { name: Arc::from(name), free };
        None
    }

    /// What of a range neither a provider network nor a tenant's VLAN carries. IPv6 is not looked at
    /// where no VLAN has it: no network of overlay mode carries it yet.
    fn off_network(&self, range: &AddressRange) -> Option<Fault> {
        let mut vlans = self.tenants.values().filter_map(|tenant| tenant.spec.vlan.as_ref());
        if vlans.any(|vlan| vlan.holds(range)) {
            return None;
        }
        let (IpAddr::V4(first), IpAddr::V4(last)) = (range.first(), range.last()) else {
            return None;
        };
        let carries = |cidr: &Ipv4Net| cidr.contains(&first) && cidr.contains(&last);
        let mut networks = self.under.underlays().filter_map(|(_, subnet)| subnet.cidr);
        (!networks.any(|cidr| carries(&cidr))).then(|| {
            let text = format!(
                "{range} is neither inside one Subnet of a provider network (a Subnet with spec.vlan) \
                 nor inside spec.vlan.cidrs of a TenantCluster: make that Subnet, add the prefix \
                 there, or take the range out"
            );
            Fault::new("SubnetNotFound", text)
        })
    }

    /// Of these tenants (none is all) those that may draw from a pool of these ranges: where it is on
    /// a VLAN, those on it.
    fn on_its_vlan(
        &self,
        ranges: &[AddressRange],
        tenants: Option<BTreeSet<String>>,
    ) -> Option<BTreeSet<String>> {
        let on_it: BTreeSet<String> =
            self.sharing_link(ranges).map(TenantName::to_string).collect();
        match tenants {
            _ if ranges.is_empty() || on_it.is_empty() => tenants,
            None => Some(on_it),
            Some(tenants) => Some(tenants.intersection(&on_it).cloned().collect()),
        }
    }

    /// The tenants on whose VLAN all of these ranges are.
    fn sharing_link(&self, ranges: &[AddressRange]) -> impl Iterator<Item = &TenantName> {
        let holds = |vlan: &Vlan| ranges.iter().all(|range| vlan.holds(range));
        let tenants = self.tenants.iter();
        let on_it = tenants.filter(move |(_, t)| t.spec.vlan.as_ref().is_some_and(holds));
        on_it.map(|(name, _)| name)
    }

    /// Whether all addresses of a pool are on the VLAN of a tenant.
    pub(crate) fn is_on_a_vlan(&self, pool: &Pool) -> bool {
        match &pool.source {
            PoolSource::Subnet(_) => false,
            PoolSource::Ranges(ranges) => self.sharing_link(ranges).next().is_some(),
        }
    }

    /// The first and the last address of each prefix of a VLAN, which are no host's.
    fn vlan_edges(&self) -> impl Iterator<Item = AddressRange> {
        let vlans = self.tenants.values().filter_map(|tenant| tenant.spec.vlan.as_ref());
        let prefixes = vlans.flat_map(|vlan| vlan.addresses.ranges());
        prefixes.flat_map(|range| [range.first(), range.last()].map(AddressRange::single))
    }

    fn selected(&self, tenants: &crate::under::PoolTenants) -> BTreeSet<String> {
        let selector = tenants.selector.as_ref();
        let by_label = self.tenants.iter().filter(|(_, tenant)| {
            selector.is_some_and(|selector| selector.matches(&tenant.spec.labels))
        });
        let by_label = by_label.map(|(name, _)| name.to_string());
        tenants.names.iter().cloned().chain(by_label).collect()
    }
}

/// What no pool of ranges may hold: addresses that have another use already.
struct Others {
    each: Reserved,
    all: AddressSet,
}

impl Others {
    fn of(world: &World) -> Self {
        let mut each = world.reserved.clone();
        let mut add = |ranges: &[AddressRange], what: String| {
            each.push((ranges.iter().copied().collect(), what));
        };
        for (name, subnet) in &world.under.subnets {
            if subnet.underlay {
                let gateways: Vec<_> =
                    subnet.gateways.iter().copied().map(AddressRange::single).collect();
                add(&gateways, format!("the gateway of Subnet {name}"));
            } else if subnet.vpc == OWN_VPC {
                let ranges: Vec<_> = subnet.prefixes().map(AddressRange::from).collect();
                add(&ranges, format!("Subnet {name} of the under cluster's own pods"));
            }
        }
        for (name, tenant) in &world.tenants {
            let gateways = tenant.spec.vlan.iter().flat_map(|vlan| &vlan.gateways);
            let gateways: Vec<_> = gateways.copied().map(AddressRange::single).collect();
            add(&gateways, format!("a gateway or a speaker in spec.vlan of TenantCluster {name}"));
        }
        for (name, node) in &world.under.nodes {
            let addresses = node.addresses.iter().copied();
            let addresses: Vec<_> = addresses.map(AddressRange::single).collect();
            add(&addresses, format!("the address of Node {name}"));
        }
        for (name, ranges) in &world.under.service_cidrs {
            add(ranges, format!("ServiceCIDR {name} of the under cluster's own Services"));
        }
        let all = each.iter().flat_map(|(set, _)| set.ranges()).copied().collect();
        Self { each, all }
    }

    /// What of them lies in the range of a whole Subnet. What holds all of it is the Subnet itself.
    fn within(&self, range: &AddressRange) -> Vec<AddressRange> {
        let within = |other: &&AddressRange| {
            let whole = other.first() <= range.first() && range.last() <= other.last();
            other.first() <= range.last() && range.first() <= other.last() && !whole
        };
        self.each.iter().flat_map(|(set, _)| set.ranges()).filter(within).copied().collect()
    }

    /// Those that these ranges may touch.
    fn near(&self, ranges: &[AddressRange]) -> &Reserved {
        static NONE: Reserved = Reserved::new();
        let ranges: AddressSet = ranges.iter().copied().collect();
        if ranges.overlap(&self.all).is_some() { &self.each } else { &NONE }
    }
}

/// The network's own address and its broadcast address.
fn edges(subnet: &Subnet) -> impl Iterator<Item = AddressRange> + use<> {
    let edges = subnet.cidr.map(|cidr| [cidr.network(), cidr.broadcast()]);
    edges.into_iter().flatten().map(|v4| AddressRange::single(v4.into()))
}

impl Under {
    /// The Subnets of provider networks.
    pub(crate) fn underlays(&self) -> impl Iterator<Item = (&String, &Subnet)> {
        self.subnets.iter().filter(|(_, subnet)| subnet.underlay)
    }

    /// Whether an address is of some pool, whatever else is the matter with it.
    pub(crate) fn in_a_pool(&self, address: IpAddr) -> bool {
        self.pools.values().any(|pool| match &pool.source {
            PoolSource::Ranges(ranges) => ranges.iter().any(|range| range.contains(address)),
            PoolSource::Subnet(name) => {
                self.subnets.get(name).is_some_and(|subnet| subnet.contains(address))
            }
        })
    }

    /// The Kube-OVN Subnet from which an address of a pool is to be had.
    pub(crate) fn subnet_for(&self, pool: &str, address: Ipv4Addr) -> Option<String> {
        let of_pool = self.pools.get(pool).and_then(Pool::subnet).map(str::to_owned);
        let around = || {
            let mut networks = self.underlays();
            networks.find(|(_, s)| s.cidr.is_some_and(|cidr| cidr.contains(&address)))
        };
        of_pool.or_else(|| around().map(|(name, _)| name.clone()))
    }
}
