//! `AddressPool`: a named set of addresses and who may draw from it.

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Condition;

/// A set of addresses that Kube-OVN hands out from one of its subnets.
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
    printcolumn(name = "ASSIGNED", type_ = "integer", json_path = ".status.assigned"),
    printcolumn(name = "AVAILABLE", type_ = "integer", json_path = ".status.available"),
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
    printcolumn(name = "AGE", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AddressPoolSpec {
    /// The Kube-OVN Subnet of the provider network whose addresses these are; Kube-OVN is the
    /// allocator.
    #[x_kube(validation = Rule::new("self.size() > 0").message("must name a Kube-OVN Subnet"))]
    #[x_kube(validation = Rule::new("self == oldSelf").message("a pool keeps its subnet: make another pool"))]
    pub ovn_subnet: String,
    /// Addresses never given on request: single, `first-last` or CIDR. The subnet's own
    /// `excludeIps` and gateway are excluded besides.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub excludes: Vec<String>,
    /// Whether Services that name no pool may draw from this one.
    #[serde(default = "yes")]
    pub auto_assign: bool,
    /// Who may draw; unset means every tenant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenants: Option<PoolTenants>,
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

/// The tenants that may draw from a pool.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PoolTenants {
    /// Names of `TenantCluster` objects.
    pub names: Vec<String>,
}

/// What was observed of one pool.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AddressPoolStatus {
    /// `Ready`.
    #[serde(default)]
    pub conditions: Vec<Condition>,
    /// Addresses bound to Services or in quarantine.
    #[serde(default)]
    pub assigned: i64,
    /// Addresses Kube-OVN can still give.
    #[serde(default)]
    pub available: i64,
}
