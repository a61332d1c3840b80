//! What the under cluster's API server says: Kube-OVN's, KubeVirt's and our own objects.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use cpo_api::{Delivery, EipMode, EipSpec, EipStatus, L2AdvertisementStatus, Probe};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use jiff::Timestamp;
use pools::{AddressRange, AddressSet, Labels, Selector, ServiceAllocation};

use crate::ids::{ServiceKey, TenantName, Uid, Version};

/// A Kube-OVN `OvnEip`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OvnEip {
    /// `metadata.uid`.
    pub uid: Uid,
    /// `metadata.resourceVersion`.
    pub version: Version,
    /// `metadata.deletionTimestamp` is set.
    pub deleting: bool,
    /// `metadata.creationTimestamp`.
    pub created: Option<Timestamp>,
    /// The Service it was made for, if it is ours.
    pub service: Option<ServiceKey>,
    /// The reserved address it was made for, if it is ours.
    pub reserved: Option<Ipv4Addr>,
    /// Our labels and annotations are all present.
    pub labelled: bool,
    /// The `AddressPool` it was drawn from, by our annotation.
    pub pool: Option<String>,
    /// `spec.externalSubnet`.
    pub subnet: String,
    /// `spec.v4Ip`.
    pub spec_v4: Option<Ipv4Addr>,
    /// `status.v4Ip`.
    pub status_v4: Option<Ipv4Addr>,
    /// `status.ready`.
    pub ready: bool,
}

impl OvnEip {
    /// The address it holds, or is to hold.
    #[must_use]
    pub fn address(&self) -> Option<Ipv4Addr> {
        self.status_v4.or(self.spec_v4)
    }

    /// The address Kube-OVN granted, once it is granted beyond doubt.
    #[must_use]
    pub fn granted(&self) -> Option<Ipv4Addr> {
        self.status_v4.filter(|v4| self.ready && self.spec_v4 == Some(*v4) && !self.deleting)
    }
}

/// A Kube-OVN `Subnet`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subnet {
    /// `spec.vpc`.
    pub vpc: String,
    /// The IPv4 part of `spec.cidrBlock`.
    pub cidr: Option<Ipv4Net>,
    /// The IPv6 part of it.
    pub cidr6: Option<Ipv6Net>,
    /// The gateways in `spec.gateway`.
    pub gateways: Vec<IpAddr>,
    /// `spec.excludeIps`.
    pub excludes: AddressSet,
    /// `status.v4availableIPs`.
    pub available: u64,
    /// `spec.vlan` is set: its addresses live on a provider network.
    pub underlay: bool,
}

impl Subnet {
    /// Whether an address is of the subnet.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        match address {
            IpAddr::V4(v4) => self.cidr.is_some_and(|cidr| cidr.contains(&v4)),
            IpAddr::V6(v6) => self.cidr6.is_some_and(|cidr| cidr.contains(&v6)),
        }
    }

    /// Its prefixes, one of each family at most.
    pub fn prefixes(&self) -> impl Iterator<Item = IpNet> + use<> {
        [self.cidr.map(IpNet::V4), self.cidr6.map(IpNet::V6)].into_iter().flatten()
    }
}

/// A Kube-OVN `IP`: the addresses of one port of a pod or virtual machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ip {
    /// `spec.podName`: for a virtual machine, its name.
    pub machine: String,
    /// `spec.namespace`.
    pub namespace: String,
    /// `spec.subnet`.
    pub subnet: String,
    /// `spec.v4IpAddress`.
    pub v4: Option<Ipv4Addr>,
    /// `spec.v6IpAddress`.
    pub v6: Option<Ipv6Addr>,
    /// `spec.macAddress`.
    pub mac: Option<String>,
    /// `spec.podType` is `VirtualMachine`.
    pub of_machine: bool,
}

impl Ip {
    /// Its addresses, one of each family at most.
    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> + use<> {
        [self.v4.map(IpAddr::V4), self.v6.map(IpAddr::V6)].into_iter().flatten()
    }
}

/// An `AddressPool`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pool {
    /// `metadata.generation`.
    pub generation: i64,
    /// `metadata.labels`: advertisements may select pools by them.
    pub labels: Labels,
    /// `metadata.creationTimestamp` in seconds of Unix time: of two that overlap, the older counts.
    pub created: u64,
    /// Where its addresses come from.
    pub source: PoolSource,
    /// Addresses of these that are never given.
    pub excludes: Vec<AddressRange>,
    /// IPv4 addresses that end in 0 or 255 are left out.
    pub avoid_buggy_ips: bool,
    /// Open to Services that name neither pool nor address.
    pub auto_assign: bool,
    /// Who may draw; `None` means every tenant.
    pub tenants: Option<PoolTenants>,
    /// The Services it is for, and how soon it is tried.
    pub allocation: Option<ServiceAllocation>,
    /// It hands out nothing new.
    pub drain: bool,
    /// It is left to a tenant's own controller.
    pub delegated: bool,
    /// Seconds a released address rests.
    pub quarantine_seconds: u32,
    /// Why the object cannot be used, if it cannot.
    pub broken: Option<String>,
    /// What its status holds.
    pub status: cpo_api::AddressPoolStatus,
}

/// Where the addresses of a pool come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PoolSource {
    /// We choose among these.
    Ranges(Vec<AddressRange>),
    /// The Kube-OVN Subnet of this name hands them out.
    Subnet(String),
}

/// The tenants that may draw from a pool: those named, and those selected.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PoolTenants {
    /// By name.
    pub names: BTreeSet<String>,
    /// By the labels of their `TenantCluster`.
    pub selector: Option<Selector>,
}

impl Pool {
    /// The Kube-OVN Subnet that hands out its addresses, if one does.
    #[must_use]
    pub fn subnet(&self) -> Option<&str> {
        match &self.source {
            PoolSource::Subnet(name) => Some(name),
            PoolSource::Ranges(_) => None,
        }
    }

    /// Whether the labels of Services' namespaces count for it.
    #[must_use]
    pub fn selects_namespaces(&self) -> bool {
        self.allocation.as_ref().is_some_and(|a| !a.namespace_selectors.is_empty())
    }
}

/// An `L2Advertisement`, as far as it decides which addresses are announced.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Advertisement {
    /// `metadata.generation`.
    pub generation: i64,
    /// `metadata.creationTimestamp` in seconds of Unix time: of two that contradict each other, the
    /// older counts.
    pub created: u64,
    /// Pools by name.
    pub pools: BTreeSet<String>,
    /// Pools by their labels, beside those.
    pub pool_selectors: Vec<Selector>,
    /// Services by their labels: any of these; none is all.
    pub service_selectors: Vec<Selector>,
    /// How packets come to the tenant's machines.
    pub delivery: Delivery,
    /// What of a machine is asked whether it takes connections.
    pub probe: Probe,
    /// The interfaces over which is announced; speakers resolve them.
    pub interfaces: BTreeSet<String>,
    /// Which of its selectors cannot be meant so, if one cannot.
    pub broken: Option<String>,
    /// What its status holds.
    pub status: L2AdvertisementStatus,
}

impl Advertisement {
    /// Whether it announces addresses of a pool for a Service with these labels.
    #[must_use]
    pub fn covers(&self, name: &str, pool: &Labels, service: &Labels) -> bool {
        let selected = self.service_selectors.iter().any(|s| s.matches(service));
        self.has_pool(name, pool) && (self.service_selectors.is_empty() || selected)
    }

    /// Whether it announces addresses of a pool, for some Services at least.
    #[must_use]
    pub fn has_pool(&self, name: &str, pool: &Labels) -> bool {
        let all = self.pools.is_empty() && self.pool_selectors.is_empty();
        let selected = || self.pool_selectors.iter().any(|s| s.matches(pool));
        all || self.pools.contains(name) || selected()
    }
}

/// A tenant that serves its Services itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unmanaged {
    /// `metadata.uid`.
    pub uid: Uid,
    /// `metadata.labels`: pools may select tenants by them.
    pub labels: Labels,
    /// The namespace of its kubeconfig's Secret.
    pub namespace: String,
}

/// A node of the under cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Node {
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
    /// Taint `node.kubernetes.io/out-of-service`: an operator says that nothing runs there.
    pub out_of_service: bool,
}

/// An `Eip`.
#[derive(Clone, Debug, PartialEq)]
pub struct Eip {
    /// `metadata.uid`.
    pub uid: Uid,
    /// `metadata.resourceVersion`.
    pub version: Version,
    /// `metadata.generation`.
    pub generation: i64,
    /// `metadata.creationTimestamp` in seconds of Unix time.
    pub created: u64,
    /// `metadata.deletionTimestamp` is set, or our deletion of it was accepted.
    pub deleting: bool,
    /// The Services that own it, as its spec lists them: several share it.
    pub owners: Vec<ServiceKey>,
    /// Nodes of which an operator says that their speakers are silent.
    pub silenced: BTreeSet<String>,
    /// When the speaker of each node said last what it says, in seconds of Unix time: by the API
    /// server's clock, which is the same for all.
    pub said: BTreeMap<String, u64>,
    /// Its spec.
    pub spec: EipSpec,
    /// Its status.
    pub status: EipStatus,
}

impl Eip {
    /// The address.
    #[must_use]
    pub fn address(&self) -> Option<IpAddr> {
        self.spec.address.parse().ok()
    }

    /// When it was released, if it was.
    #[must_use]
    pub fn released(&self) -> Option<Timestamp> {
        self.status.released_at.as_deref().map(|t| t.parse().unwrap_or(Timestamp::MIN))
    }

    /// The first of the Services that own it, which speaks for all of them.
    #[must_use]
    pub fn owner(&self) -> Option<&ServiceKey> {
        self.owners.first()
    }

    /// Whether speakers are told to announce it.
    #[must_use]
    pub fn is_ordered(&self) -> bool {
        self.spec.vlan.as_ref().is_some_and(|vlan| !vlan.announce.l2.is_empty())
    }

    /// Whether speakers serve it.
    #[must_use]
    pub const fn on_vlan(&self) -> bool {
        matches!(self.spec.mode, EipMode::Vlan)
    }

    /// The tenant it belongs to.
    #[must_use]
    pub fn tenant(&self) -> Option<TenantName> {
        self.spec.tenant.name.parse().ok()
    }
}

/// A virtual machine: whether its owner's label is there is asked of [`Machine::labels`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Machine {
    /// Labels of the `VirtualMachine`.
    pub labels: BTreeMap<String, String>,
}

/// Everything the under cluster said.
#[derive(Clone, Debug, Default)]
pub struct Under {
    /// `OvnEip` by name.
    pub ovn_eips: BTreeMap<String, OvnEip>,
    /// `Subnet` by name.
    pub subnets: BTreeMap<String, Subnet>,
    /// `Vpc` by name: the router's name.
    pub vpcs: BTreeMap<String, String>,
    /// `IP` by name.
    pub ips: BTreeMap<String, Ip>,
    /// Kube-OVN `Vip` addresses by name.
    pub vips: BTreeMap<String, Vec<IpAddr>>,
    /// The under cluster's nodes, by name.
    pub nodes: BTreeMap<String, Node>,
    /// Tenants that serve their Services themselves, by name.
    pub unmanaged: BTreeMap<TenantName, Unmanaged>,
    /// `L2Advertisement` by name.
    pub advertisements: BTreeMap<String, Advertisement>,
    /// Ranges of the under cluster's own Services, by the name of their `ServiceCIDR`.
    pub service_cidrs: BTreeMap<String, Vec<AddressRange>>,
    /// `VirtualMachine` by namespace and name.
    pub machines: BTreeMap<(String, String), Machine>,
    /// `VirtualMachineInstance` by namespace and name: whether it runs.
    pub instances: BTreeMap<(String, String), bool>,
    /// `AddressPool` by name.
    pub pools: BTreeMap<String, Pool>,
    /// `Eip` by name.
    pub eips: BTreeMap<String, Eip>,
    /// The `OvnDnatRule` that shields our rows is there and marked ready.
    pub shield: Shield,
    /// `OvnEip`s and `Eip`s that are gone.
    pub gone: Gone,
    /// `IP` names by namespace and machine.
    pub ips_of: BTreeMap<(String, String), BTreeSet<String>>,
    /// `Eip` names by owner.
    pub eips_of: BTreeMap<ServiceKey, BTreeSet<String>>,
    /// `OvnEip` names by the Service they were made for.
    pub ovn_eips_of: BTreeMap<ServiceKey, BTreeSet<String>>,
}

impl Under {
    /// The `Eip` of an address.
    #[must_use]
    pub fn eip(&self, address: IpAddr) -> Option<&Eip> {
        self.eips.get(&cpo_api::Eip::name_of(address))
    }
}

/// Objects that are gone, the last of them: what a call that was under way gives back later is
/// older than their end.
#[derive(Clone, Debug, Default)]
pub struct Gone(VecDeque<Uid>);

impl Gone {
    /// How many are remembered: far more than calls are under way at a time.
    const REMEMBERED: usize = 1024;

    pub(crate) fn remember(&mut self, uid: Uid) {
        if self.0.len() >= Self::REMEMBERED {
            self.0.pop_front();
        }
        self.0.push_back(uid);
    }

    pub(crate) fn holds(&self, uid: &Uid) -> bool {
        self.0.contains(uid)
    }

    /// A list that is older than an object lacks it, too.
    pub(crate) fn forget(&mut self) {
        self.0.clear();
    }
}

/// State of the `OvnDnatRule` whose name keeps Kube-OVN's collector off our rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Shield {
    /// There is none.
    #[default]
    Missing,
    /// It is there, not yet marked ready.
    Unready,
    /// It is there and ready.
    Up,
}
