//! What the edges hand in.

use std::collections::BTreeSet;
use std::net::IpAddr;

use pools::{AddressRange, Labels};

use crate::ids::{NodeName, TenantName, Uid};
use crate::ovn::{OvnLink, RowChange};
use crate::service::{EndpointSlice, Service};
use crate::tenant::{Link, Node, Round, TenantSpec};
use crate::under::{
    self, Advertisement, Eip, Ip, Machine, OvnEip, Pool, Shield, Subnet, Unmanaged,
};

/// One thing that was observed.
#[derive(Clone, Debug)]
#[expect(clippy::large_enum_variant, reason = "each is moved once, into the world")]
pub enum Input {
    /// An object of the under cluster; `None` inside where it is gone.
    Under(UnderObject),
    /// A list of the under cluster begins: what it names replaces what is known, however old it
    /// says it is, for a restored etcd numbers anew.
    UnderListing(UnderKind),
    /// A list of the under cluster is complete: what it does not name is gone.
    UnderListed(UnderKind, BTreeSet<String>),
    /// A watch of the under cluster failed; it is repeated until a list completes.
    UnderLost(UnderKind),
    /// An object of a tenant; `None` inside where it is gone.
    Tenant(TenantName, TenantObject),
    /// A list of a tenant begins, as [`Input::UnderListing`].
    TenantListing(TenantName, TenantKind),
    /// A list of a tenant is complete: what it does not name is gone.
    TenantListed(TenantName, TenantKind, BTreeSet<String>),
    /// What the watch of a tenant's namespaces says, and the round it was begun for.
    Namespaces(TenantName, Round, NamespacesSeen),
    /// How a tenant's API server stands.
    TenantLink(TenantName, Link),
    /// Rows of the Northbound database.
    Rows(Vec<RowChange>),
    /// How the Northbound database stands.
    OvnLink(OvnLink),
}

/// The kinds watched on the under cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum UnderKind {
    /// `tenantclusters.cloud-provider-ovn.io`
    TenantCluster,
    /// `addresspools.cloud-provider-ovn.io`
    AddressPool,
    /// `l2advertisements.cloud-provider-ovn.io`
    L2Advertisement,
    /// `eips.cloud-provider-ovn.io`
    Eip,
    /// `ovn-eips.kubeovn.io`
    OvnEip,
    /// `ovn-dnat-rules.kubeovn.io`, the shield alone
    Shield,
    /// `subnets.kubeovn.io`
    Subnet,
    /// `vpcs.kubeovn.io`
    Vpc,
    /// `ips.kubeovn.io`
    Ip,
    /// `vips.kubeovn.io`
    Vip,
    /// `nodes`
    Node,
    /// `servicecidrs.networking.k8s.io`
    ServiceCidr,
    /// `virtualmachines.kubevirt.io`
    Machine,
    /// `virtualmachineinstances.kubevirt.io`
    Instance,
}

impl UnderKind {
    /// All of them: before each is listed once, nothing is decided.
    pub const ALL: [Self; 14] = [
        Self::TenantCluster,
        Self::AddressPool,
        Self::L2Advertisement,
        Self::Eip,
        Self::OvnEip,
        Self::Shield,
        Self::Subnet,
        Self::Vpc,
        Self::Ip,
        Self::Vip,
        Self::Node,
        Self::ServiceCidr,
        Self::Machine,
        Self::Instance,
    ];
}

/// An object of the under cluster, by name (namespaced ones by namespace and name).
#[derive(Clone, Debug)]
pub enum UnderObject {
    /// A `TenantCluster`.
    TenantCluster(TenantName, Option<TenantSpec>),
    /// A `TenantCluster` of a tenant that serves its Services itself.
    Unmanaged(TenantName, Unmanaged),
    /// An `AddressPool`.
    AddressPool(String, Option<Pool>),
    /// An `L2Advertisement`.
    L2Advertisement(String, Option<Advertisement>),
    /// An `Eip`.
    Eip(String, Option<Eip>),
    /// The `Eip` of this UID is gone; a namesake is not.
    EipGone(String, Uid),
    /// An `OvnEip`.
    OvnEip(String, Option<OvnEip>),
    /// The `OvnEip` of this UID is gone; a namesake is not.
    OvnEipGone(String, Uid),
    /// The shield.
    Shield(Shield),
    /// A `Subnet`.
    Subnet(String, Option<Subnet>),
    /// A `Vpc`: its router.
    Vpc(String, Option<String>),
    /// An `IP`.
    Ip(String, Option<Ip>),
    /// A Kube-OVN `Vip`: its addresses.
    Vip(String, Option<Vec<IpAddr>>),
    /// A node of the under cluster.
    Node(String, Option<under::Node>),
    /// A `ServiceCIDR`: from where the under cluster takes addresses for its own Services.
    ServiceCidr(String, Option<Vec<AddressRange>>),
    /// A `VirtualMachine`.
    Machine((String, String), Option<Machine>),
    /// A `VirtualMachineInstance`: whether it runs.
    Instance((String, String), Option<bool>),
}

/// The kinds that are always watched in a tenant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TenantKind {
    /// `services`
    Service,
    /// `nodes`
    Node,
    /// `endpointslices.discovery.k8s.io`
    EndpointSlice,
}

impl TenantKind {
    /// All of them: before each is listed once, an absent object proves nothing.
    pub const ALL: [Self; 3] = [Self::Service, Self::Node, Self::EndpointSlice];
}

/// An object of a tenant.
#[derive(Clone, Debug)]
pub enum TenantObject {
    /// A Service, by namespace and name.
    Service(String, String, Option<Box<Service>>),
    /// A Service as the answer to our patch of it has it. Answers are not in order with what the
    /// watch says, so one brings no Service back, and none in the place of another.
    Patched(String, String, Box<Service>),
    /// A Node.
    Node(NodeName, Option<Node>),
    /// An EndpointSlice, by namespace and name.
    Slice(String, String, Option<EndpointSlice>),
}

/// What the watch of a tenant's namespaces says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NamespacesSeen {
    /// The labels of a namespace; `None` where it is gone.
    One(String, Option<Labels>),
    /// A list is complete: what it does not name is gone.
    Listed(BTreeSet<String>),
    /// They cannot be read for now, for this reason. What is known of them stays.
    Unread(String),
    /// The API server does not let us read them, for this reason. What is known of them stays.
    Refused(String),
}
