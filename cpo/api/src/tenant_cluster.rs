//! `TenantCluster`: one guest cluster and its owner.

use std::collections::BTreeMap;

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Condition, Vlan};

/// What is wanted of one tenant: where its kubeconfig lies, which Services are ours, and where
/// its virtual machines are found on the under cluster.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "cloud-provider-ovn.io",
    version = "v1alpha1",
    kind = "TenantCluster",
    shortname = "tcl",
    category = "cloud-provider-ovn",
    status = "TenantClusterStatus",
    derive = "PartialEq",
    doc = "A guest cluster whose Services of type LoadBalancer are served.",
    printcolumn(name = "MODE", type_ = "string", json_path = ".spec.mode"),
    printcolumn(
        name = "CONNECTED",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Connected\")].status"
    ),
    printcolumn(name = "SERVICES", type_ = "integer", json_path = ".status.services"),
    printcolumn(name = "EIPS", type_ = "integer", json_path = ".status.eips"),
    printcolumn(
        name = "READY",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].status"
    ),
    printcolumn(name = "AGE", type_ = "date", json_path = ".metadata.creationTimestamp"),
    validation = Rule::new("self.metadata.name.size() <= 63")
        .message("the name must have at most 63 characters: it is used as a label"),
    validation = Rule::new("(self.spec.mode == 'Vlan') == has(self.spec.vlan)")
        .message("spec.vlan must be set with mode Vlan, and with no other"),
    validation = Rule::new("self.spec.inCluster != has(self.spec.kubeconfig)")
        .message("spec.kubeconfig must be set, unless spec.inCluster is: then it must not"),
    validation = Rule::new("self.spec.inCluster == (self.spec.backends.namespace == '')")
        .message("spec.backends.namespace must be set, unless spec.inCluster is: then there are no virtual machines"),
    validation = Rule::new("!self.spec.inCluster || self.spec.mode == 'Vlan'")
        .message("spec.inCluster takes mode Vlan"),
    validation = Rule::new("!has(self.spec.vlan) || self.spec.inCluster != has(self.spec.vlan.subnets)")
        .message("spec.vlan.subnets must be set, unless spec.inCluster is: then there are no virtual machines"),
    validation = Rule::new("self.spec.inCluster == oldSelf.spec.inCluster")
        .message("a TenantCluster does not become another cluster: delete it, and make another"),
    validation = Rule::new("(self.spec.mode == 'Vlan') == (oldSelf.spec.mode == 'Vlan')")
        .message("a TenantCluster does not change to or from mode Vlan: delete it with cleanupPolicy Delete, and make another")
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TenantClusterSpec {
    /// Where the tenant's kubeconfig is kept. It is untrusted: only inline credentials over
    /// https are accepted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kubeconfig: Option<KubeconfigRef>,
    /// It is the under cluster itself, whose own Services are served: read and written with our
    /// own ServiceAccount, announced by its nodes and delivered to them. One object at most.
    #[serde(default)]
    pub in_cluster: bool,
    /// How addresses of this tenant are served.
    #[serde(default)]
    pub mode: TenantMode,
    /// The `spec.loadBalancerClass` values that are ours; empty means
    /// `cloud-provider-ovn.io/default`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub load_balancer_classes: Vec<String>,
    /// Whether Services without a class are ours too.
    #[serde(default = "yes")]
    pub claim_classless: bool,
    /// The pools this tenant may draw from; empty means every pool open to all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pools: Vec<String>,
    /// Overlay mode's settings.
    #[serde(default)]
    pub overlay: Overlay,
    /// VLAN mode's settings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vlan: Option<Vlan>,
    /// Where the addresses of the tenant's nodes come from.
    #[serde(default)]
    pub backends: Backends,
    /// What this tenant may have at most. Lowering a limit blocks what is new, and takes nothing
    /// away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quota: Option<Quota>,
    /// What becomes of addresses and load balancers when this object is deleted.
    #[serde(default)]
    pub cleanup_policy: CleanupPolicy,
    /// Freeze: nothing of this tenant is changed while it is set.
    #[serde(default)]
    pub suspend: bool,
}

const fn yes() -> bool {
    true
}

/// What a tenant may have at most; an unset field is no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Quota {
    /// Services with an address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub load_balancers: Option<u32>,
    /// Addresses of each family: those of Services, and those that rest or are kept after one.
    #[serde(default)]
    pub addresses: AddressQuota,
    /// Ports of all Services.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ports: Option<u32>,
    /// Nodes behind one Service; further ones get no traffic.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub backends_per_service: Option<u32>,
}

/// How many addresses of each family a tenant may have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AddressQuota {
    /// IPv4 addresses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ipv4: Option<u32>,
    /// IPv6 addresses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ipv6: Option<u32>,
}

/// Where a tenant's kubeconfig is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct KubeconfigRef {
    /// The Secret and the key in it.
    pub secret_ref: SecretKeyRef,
}

/// One key of one Secret on the under cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SecretKeyRef {
    /// Namespace of the Secret.
    pub namespace: String,
    /// Name of the Secret.
    pub name: String,
    /// Key in its `data`.
    #[serde(default = "value")]
    pub key: String,
}

fn value() -> String {
    "value".to_owned()
}

/// How addresses of a tenant are served.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum TenantMode {
    /// A Kube-OVN `OvnEip` and an OVN load balancer on the VPC's router.
    #[default]
    Overlay,
    /// Announced on the tenant's VLAN, and delivered to its machines as it stands.
    Vlan,
    /// The tenant serves its Services itself; nothing is watched or written there.
    Unmanaged,
}

/// Overlay mode's settings of one tenant.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Overlay {
    /// The Kube-OVN VPC the tenant's machines are in; unset means the VPC of their subnets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vpc: Option<String>,
    /// The subnets of that VPC backends may lie in; empty means all of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub subnets: Vec<String>,
}

/// Where the addresses of a tenant's nodes come from: never from the tenant.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Backends {
    /// The kind of under-cluster object that holds them.
    #[serde(default)]
    pub source: BackendSource,
    /// Namespace of the tenant's virtual machines.
    #[serde(default)]
    pub namespace: String,
    /// Labels a virtual machine must carry to count as this tenant's; unset means
    /// `cluster.x-k8s.io/cluster-name=<name of this object>`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub match_labels: BTreeMap<String, String>,
}

/// The kind of under-cluster object that holds the addresses of a tenant's machines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum BackendSource {
    /// Kube-OVN's `IP` objects.
    #[default]
    KubeOvnIP,
}

/// What becomes of a tenant's addresses when its `TenantCluster` is deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum CleanupPolicy {
    /// They keep working and stay recorded.
    #[default]
    Retain,
    /// They are withdrawn and released.
    Delete,
}

/// What was observed of one tenant.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TenantClusterStatus {
    /// `Connected`, `Synced` and `Ready`.
    #[serde(default)]
    pub conditions: Vec<Condition>,
    /// Services of the tenant that are ours to serve.
    #[serde(default)]
    pub services: i64,
    /// Addresses assigned to the tenant, quarantined ones included.
    #[serde(default)]
    pub eips: i64,
    /// RFC 3339 time at which the kubeconfig's client certificate expires.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kubeconfig_expires: Option<String>,
    /// Version the tenant's API server reports.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kubernetes_version: Option<String>,
}
