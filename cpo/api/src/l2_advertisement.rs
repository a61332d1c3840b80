//! `L2Advertisement`: which addresses are announced by ARP and NDP, and from where.

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Condition, Delivery, LabelSelector, Probe};

/// Which addresses are announced on their VLAN by ARP and NDP, and from which nodes. Fields are
/// those of MetalLB's `L2Advertisement` where the meaning is.
#[derive(CustomResource, KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "cloud-provider-ovn.io",
    version = "v1alpha1",
    kind = "L2Advertisement",
    plural = "l2advertisements",
    shortname = "l2adv",
    category = "cloud-provider-ovn",
    status = "L2AdvertisementStatus",
    derive = "PartialEq",
    doc = "Addresses that are announced on their VLAN by ARP and NDP.",
    printcolumn(name = "POOLS", type_ = "string", json_path = ".spec.ipAddressPools"),
    printcolumn(name = "DELIVERY", type_ = "string", json_path = ".spec.delivery"),
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
pub struct L2AdvertisementSpec {
    /// The `AddressPool`s whose addresses it announces, by name; with none named or selected, all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ip_address_pools: Vec<String>,
    /// Beside those, `AddressPool`s by their labels.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ip_address_pool_selectors: Vec<LabelSelector>,
    /// The nodes that may announce, by their labels: any of these; none is all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub node_selectors: Vec<LabelSelector>,
    /// The interfaces over which is announced, by the names they have on their nodes; none is all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub interfaces: Vec<String>,
    /// The Services whose addresses are announced, by their labels: any of these; none is all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub service_selectors: Vec<LabelSelector>,
    /// How packets come to the tenant's machines. Of several that say otherwise of the same pool and
    /// Service the oldest counts, and those that differ from it are not followed for that Service.
    #[serde(default)]
    #[x_kube(validation = Rule::new("self != 'Local'").message("must be Routed or Direct: Services of the under cluster are delivered locally by themselves"))]
    pub delivery: Delivery,
    /// Whether speakers ask the machines if they take connections, and leave those out that do not.
    /// Of several that say otherwise, as with `delivery`.
    #[serde(default)]
    pub probe: Probe,
    /// Seconds after which an address is announced anew.
    #[serde(default = "minute")]
    #[schemars(range(min = 5, max = 3_600))]
    pub refresh_seconds: u32,
}

const fn minute() -> u32 {
    60
}

/// What was observed of one advertisement.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct L2AdvertisementStatus {
    /// `Ready`: nothing is wrong with it.
    #[serde(default)]
    pub conditions: Vec<Condition>,
}
