//! The custom resources of cloud-provider-ovn and every name that is written into a cluster.
//!
//! Group `cloud-provider-ovn.io`, version `v1alpha1`, all cluster-scoped. The YAML in
//! `manifests/crds/` is generated from these types (`cpo crds`).

// The derives expand to an inner copy of each struct, public in name only, and to repeated
// `type_ = "string"` of the printed columns.
#![allow(unreachable_pub, clippy::duplicated_attributes)]

mod address_pool;
mod condition;
mod eip;
mod l2_advertisement;
pub mod names;
mod reason;
mod remedy;
mod selector;
mod tenant_cluster;
mod vlan;

pub use address_pool::{
    AddressPool, AddressPoolSpec, AddressPoolStatus, PoolCounts, PoolTenants, ServiceAllocation,
};
pub use condition::{Condition, ConditionStatus, conditions_differ, merge_conditions};
pub use eip::{
    BackendCount, Eip, EipMode, EipOverlay, EipPort, EipService, EipSharing, EipSpec, EipStatus,
    EipTenant, OvnStatus,
};
pub use l2_advertisement::{L2Advertisement, L2AdvertisementSpec, L2AdvertisementStatus};
pub use reason::Reason;
pub use selector::{LabelExpression, LabelOperator, LabelSelector};
pub use tenant_cluster::{
    AddressQuota, BackendSource, Backends, CleanupPolicy, KubeconfigRef, Overlay, Quota,
    SecretKeyRef, TenantCluster, TenantClusterSpec, TenantClusterStatus, TenantMode,
};
pub use vlan::{
    Announce, AnnouncementState, Delivery, EipAnnouncement, EipProbe, EipVlan, InterfaceKind,
    NextHop, Probe, SpeakerAddresses, Vlan, VlanInterface,
};

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;

/// Every custom resource definition of this group, in the order of their kinds' names.
#[must_use]
pub fn definitions() -> Vec<CustomResourceDefinition> {
    vec![AddressPool::crd(), Eip::crd(), L2Advertisement::crd(), TenantCluster::crd()]
}
