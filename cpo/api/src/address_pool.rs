//! `AddressPool`: a named set of addresses and who may draw from it.

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Condition, LabelSelector};

/// Each is an address, a CIDR or a range.
const IS_RANGE: &str = "self.all(a, isIP(a) || isCIDR(a) || \
    (a.split('-').size() == 2 && a.split('-').all(e, isIP(e.trim()))))";
/// The ends of each range are of one family. Cheap: the API server bounds what a rule may cost.
const ONE_FAMILY: &str = "self.all(a, !(a.contains('.') && a.contains(':')))";
/// Each CIDR is a network, and not all addresses there are.
const IS_MASKED: &str = "self.all(a, !isCIDR(a) || \
    (cidr(a).prefixLength() > 0 && cidr(a) == cidr(a).masked()))";
/// The ends of each range may be a host's.
const IS_UNICAST: &str = "self.all(a, (!isIP(a) || ip(a).isGlobalUnicast()) && \
    (!isCIDR(a) || cidr(a).ip().isGlobalUnicast()) && \
    (!a.contains('-') || a.split('-').all(e, !isIP(e.trim()) || ip(e.trim()).isGlobalUnicast())))";

/// A set of addresses: ranges of which we hand out single ones, or a subnet of Kube-OVN, which
/// then hands them out. Field names are those of MetalLB's `IPAddressPool` where the meaning is.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "cloud-provider-ovn.io",
    version = "v1alpha1",
    kind = "AddressPool",
    shortname = "apool",
    category = "cloud-provider-ovn",
    status = "AddressPoolStatus",
    derive = "PartialEq",
    doc = "A named set of external addresses and the tenants that may draw from it.",
    printcolumn(name = "SUBNET", type_ = "string", json_path = ".spec.ovnSubnet"),
    printcolumn(name = "ADDRESSES", type_ = "string", json_path = ".spec.addresses"),
    printcolumn(name = "ASSIGNED", type_ = "integer", json_path = ".status.assigned"),
    printcolumn(name = "AVAILABLE", type_ = "integer", json_path = ".status.available"),
    printcolumn(name = "DRAIN", type_ = "boolean", json_path = ".spec.drain", priority = 1),
    printcolumn(
        name = "READY",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].status"
    ),
    printcolumn(
        name = "REASON",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].reason"
    ),
    printcolumn(name = "AGE", type_ = "date", json_path = ".metadata.creationTimestamp"),
    validation = Rule::new("has(self.spec.ovnSubnet) != has(self.spec.addresses)")
        .message("exactly one of spec.addresses and spec.ovnSubnet must be set"),
    validation = Rule::new(
        "has(self.spec.ovnSubnet) == has(oldSelf.spec.ovnSubnet) && \
         (!has(self.spec.ovnSubnet) || self.spec.ovnSubnet == oldSelf.spec.ovnSubnet)"
    )
    .message("a pool keeps its ovnSubnet: make another pool")
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AddressPoolSpec {
    /// The addresses: single, `first-last` or CIDR, IPv4 and IPv6 mixed. May be changed at any
    /// time: what is assigned stays, whether it is still inside or not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128), inner(length(max = 91)))]
    #[x_kube(validation = Rule::new(IS_RANGE).message("each must be an IP address, first-last or a CIDR"))]
    #[x_kube(validation = Rule::new(ONE_FAMILY).message("the ends of a range must be of one family"))]
    #[x_kube(validation = Rule::new(IS_MASKED).message("a CIDR must not be /0 nor have host bits set: write 198.51.100.0/24, not 198.51.100.7/24"))]
    #[x_kube(validation = Rule::new(IS_UNICAST).message("must not hold multicast, loopback, link-local, unspecified or broadcast addresses"))]
    pub addresses: Option<Vec<String>>,
    /// The Kube-OVN Subnet of the provider network whose addresses these are; Kube-OVN is then
    /// the allocator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("self.size() > 0").message("must name a Kube-OVN Subnet"))]
    pub ovn_subnet: Option<String>,
    /// Addresses of these that are never given: single, `first-last` or CIDR. Of a Kube-OVN
    /// Subnet, its own `excludeIps` and gateway are excluded besides.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 128), inner(length(max = 91)))]
    #[x_kube(validation = Rule::new(IS_RANGE).message("each must be an IP address, first-last or a CIDR"))]
    #[x_kube(validation = Rule::new(ONE_FAMILY).message("the ends of a range must be of one family"))]
    pub excludes: Vec<String>,
    /// Whether IPv4 addresses that end in `.0` or `.255` are left out; only with `addresses`.
    #[serde(default, rename = "avoidBuggyIPs")]
    pub avoid_buggy_ips: bool,
    /// Whether Services that name neither pool nor address may draw from this one.
    #[serde(default = "yes")]
    pub auto_assign: bool,
    /// Who may draw; unset means every tenant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenants: Option<PoolTenants>,
    /// The Services it is for; unset means all of them, after the pools that are for certain ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_allocation: Option<ServiceAllocation>,
    /// Hand out nothing new; what is assigned stays.
    #[serde(default)]
    pub drain: bool,
    /// Reserved for a tenant's own MetalLB: nothing is handed out here.
    #[serde(default)]
    pub delegated: bool,
    /// Seconds a released address rests before another Service may get it.
    #[serde(default = "minute")]
    #[schemars(range(min = 0, max = 86_400))]
    pub quarantine_seconds: u32,
}

const fn yes() -> bool {
    true
}

const fn minute() -> u32 {
    60
}

/// The tenants that may draw from a pool: those named, and those selected.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[x_kube(validation = Rule::new("has(self.names) || has(self.selector)").message("names or selector must be set; leave tenants out to open the pool to all"))]
pub struct PoolTenants {
    /// Names of `TenantCluster` objects.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub names: Option<Vec<String>>,
    /// Labels of `TenantCluster` objects.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<LabelSelector>,
}

/// The Services a pool is for, and how soon it is tried.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ServiceAllocation {
    /// The lower, the sooner it is tried; 0 is last.
    #[serde(default)]
    pub priority: u32,
    /// Namespaces of the tenant, by name; all, if none is named or selected.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub namespaces: Vec<String>,
    /// Namespaces of the tenant by their labels, beside those by name. Reading them takes a right of
    /// its own in the tenant: `manifests/tenant-rbac-namespaces.yaml`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub namespace_selectors: Vec<LabelSelector>,
    /// Services by their labels: one of these must match; empty means all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub service_selectors: Vec<LabelSelector>,
}

/// What was observed of one pool.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AddressPoolStatus {
    /// `Ready` and `Conflicting`.
    #[serde(default)]
    pub conditions: Vec<Condition>,
    /// Addresses of Services, of both families.
    #[serde(default)]
    pub assigned: i64,
    /// Addresses that can still be given, of both families.
    #[serde(default)]
    pub available: i64,
    /// IPv4 alone.
    #[serde(default)]
    pub ipv4: PoolCounts,
    /// IPv6 alone.
    #[serde(default)]
    pub ipv6: PoolCounts,
    /// On a VLAN, the addresses that are given next, a few of each family: speakers ask ahead whether
    /// another host has them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub next: Vec<String>,
}

/// The addresses of one family of a pool. Numbers beyond 2^63-1 are shown as that.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PoolCounts {
    /// In its ranges.
    #[serde(default)]
    pub total: i64,
    /// Of Services that drew from it; some may no longer be in its ranges.
    #[serde(default)]
    pub assigned: i64,
    /// Released, and not free yet.
    #[serde(default)]
    pub resting: i64,
    /// Reserved by an operator, or kept for a Service to return.
    #[serde(default)]
    pub reserved: i64,
    /// Can still be given.
    #[serde(default)]
    pub available: i64,
}
