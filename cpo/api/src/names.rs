//! Labels, annotations, finalizers and class names.

use std::collections::BTreeMap;

/// API group of our custom resources, and prefix of our annotations and conditions.
pub const GROUP: &str = "cloud-provider-ovn.io";

/// The `loadBalancerClass` a tenant without classes of its own answers to.
pub const DEFAULT_CLASS: &str = "cloud-provider-ovn.io/default";

/// Finalizer on a tenant's Service: the one every cloud provider uses
/// (`k8s.io/cloud-provider`, `service/helpers`).
pub const SERVICE_FINALIZER: &str = "service.kubernetes.io/load-balancer-cleanup";

/// Our finalizer on a `TenantCluster` with `cleanupPolicy: Delete`.
pub const TENANT_FINALIZER: &str = "cloud-provider-ovn.io/cleanup";

/// Source component of the Events written into a tenant.
pub const EVENT_SOURCE: &str = "cloud-provider-ovn";

/// Condition on a Service: it owns an address.
pub const ADDRESS_ASSIGNED: &str = "cloud-provider-ovn.io/AddressAssigned";
/// Condition on a Service: its address answers at the load balancer.
pub const PROGRAMMED: &str = "cloud-provider-ovn.io/Programmed";

/// Label on Kube-OVN objects we made: the installation that owns them.
pub const LABEL_INSTALL: &str = "cloud-provider-ovn.io/install";
/// Label on objects we made for a tenant: the name of its `TenantCluster`.
pub const LABEL_TENANT: &str = "cloud-provider-ovn.io/tenant";
/// Annotation on an `OvnEip`: `<tenant>/<namespace>/<name>` of the Service it serves.
pub const ANNOTATION_SERVICE: &str = "cloud-provider-ovn.io/service";

/// Annotation on an `OvnEip`: the reserved address it holds, for an `Eip` without a Service.
pub const ANNOTATION_EIP: &str = "cloud-provider-ovn.io/eip";

/// Service annotation: requested addresses, a comma list.
pub const ANNOTATION_ADDRESSES: &str = "cloud-provider-ovn.io/load-balancer-ips";
/// Service annotation: the pool to draw from. On an `OvnEip`: the pool it was drawn from.
pub const ANNOTATION_POOL: &str = "cloud-provider-ovn.io/address-pool";
/// Service annotation: sharing key.
pub const ANNOTATION_SHARE: &str = "cloud-provider-ovn.io/allow-shared-ip";
/// Service annotation: the address outlives the Service.
pub const ANNOTATION_KEEP: &str = "cloud-provider-ovn.io/keep-address";

/// `TenantCluster` annotation: the number of vanished Services an operator agrees to release.
pub const ANNOTATION_ACKNOWLEDGE: &str = "cloud-provider-ovn.io/acknowledge-deletions";

/// Foreign spellings of [`ANNOTATION_ADDRESSES`], in order of precedence behind ours.
pub const ALIASES_ADDRESSES: &[&str] = &[
    "metallb.io/loadBalancerIPs",
    "metallb.universe.tf/loadBalancerIPs",
    "lbipam.cilium.io/ips",
    "kube-vip.io/loadbalancerIPs",
];
/// Foreign spellings of [`ANNOTATION_POOL`].
pub const ALIASES_POOL: &[&str] = &["metallb.io/address-pool", "metallb.universe.tf/address-pool"];
/// Foreign spellings of [`ANNOTATION_SHARE`].
pub const ALIASES_SHARE: &[&str] = &[
    "metallb.io/allow-shared-ip",
    "metallb.universe.tf/allow-shared-ip",
    "lbipam.cilium.io/sharing-key",
];

/// `Eip` annotation: the nodes, a comma list, of which an operator says that their speakers answer
/// for the address no more.
pub const ANNOTATION_WITHDRAWN: &str = "cloud-provider-ovn.io/acknowledge-withdrawal";

/// The speaker of a node writes into `Eip`s by this name; that of the node follows.
pub const SPEAKER_WRITER: &str = "ccm-proxy-";

/// Taint of a node of which an operator says that nothing runs there (`k8s.io/api/core/v1`).
pub const TAINT_OUT_OF_SERVICE: &str = "node.kubernetes.io/out-of-service";

/// Node label that keeps a node out of external load balancers (`k8s.io/api/core/v1`).
pub const EXCLUDE_NODE: &str = "node.kubernetes.io/exclude-from-external-load-balancers";

/// Whether [`EXCLUDE_NODE`] is among the labels of a node, with a value that is not one of false.
#[must_use]
pub fn excludes_node(labels: &BTreeMap<String, String>) -> bool {
    let no = ["false", "False", "FALSE", "0", "f", "F"];
    labels.get(EXCLUDE_NODE).is_some_and(|value| !no.contains(&value.as_str()))
}

/// Taint of a node the cluster autoscaler is about to remove.
pub const TAINT_TO_BE_DELETED: &str = "ToBeDeletedByClusterAutoscaler";
/// Cluster API's label: the cluster a machine's objects belong to.
pub const LABEL_CAPI_CLUSTER: &str = "cluster.x-k8s.io/cluster-name";
