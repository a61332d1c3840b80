//! Foreign kinds of the under cluster, as far as they concern us. Kube-OVN writes empty strings
//! for what is absent; every field may be missing.

use kube::CustomResource;
use serde::{Deserialize, Serialize};

/// Spec of Kube-OVN's `OvnEip`.
#[derive(CustomResource, Clone, Debug, Default, Serialize, Deserialize)]
#[kube(
    group = "kubeovn.io",
    version = "v1",
    kind = "OvnEip",
    plural = "ovn-eips",
    status = "OvnEipStatus",
    schema = "disabled"
)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct OvnEipSpec {
    pub(crate) external_subnet: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) v4_ip: String,
    #[serde(rename = "type")]
    pub(crate) type_: String,
}

/// Status of Kube-OVN's `OvnEip`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct OvnEipStatus {
    pub(crate) v4_ip: String,
    pub(crate) ready: bool,
}

/// Spec of Kube-OVN's `OvnDnatRule`: ours stays empty.
#[derive(CustomResource, Clone, Debug, Default, Serialize, Deserialize)]
#[kube(
    group = "kubeovn.io",
    version = "v1",
    kind = "OvnDnatRule",
    plural = "ovn-dnat-rules",
    status = "OvnDnatRuleStatus",
    schema = "disabled"
)]
#[serde(default)]
pub(crate) struct OvnDnatRuleSpec {}

/// Status of Kube-OVN's `OvnDnatRule`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct OvnDnatRuleStatus {
    pub(crate) ready: bool,
    pub(crate) v4_ip: String,
}

/// Spec of Kube-OVN's `Subnet`.
#[derive(CustomResource, Clone, Debug, Default, Serialize, Deserialize)]
#[kube(
    group = "kubeovn.io",
    version = "v1",
    kind = "Subnet",
    plural = "subnets",
    status = "SubnetStatus",
    schema = "disabled"
)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct SubnetSpec {
    pub(crate) vpc: String,
    pub(crate) cidr_block: String,
    pub(crate) gateway: String,
    pub(crate) exclude_ips: Vec<String>,
    pub(crate) vlan: String,
}

/// Status of Kube-OVN's `Subnet`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct SubnetStatus {
    #[serde(rename = "v4availableIPs")]
    pub(crate) v4_available: f64,
}

/// Spec of Kube-OVN's `Vpc`.
#[derive(CustomResource, Clone, Debug, Default, Serialize, Deserialize)]
#[kube(
    group = "kubeovn.io",
    version = "v1",
    kind = "Vpc",
    plural = "vpcs",
    status = "VpcStatus",
    schema = "disabled"
)]
#[serde(default)]
pub(crate) struct VpcSpec {}

/// Status of Kube-OVN's `Vpc`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct VpcStatus {
    pub(crate) router: String,
}

/// Spec of Kube-OVN's `IP`.
#[derive(CustomResource, Clone, Debug, Default, Serialize, Deserialize)]
#[kube(
    group = "kubeovn.io",
    version = "v1",
    kind = "IP",
    plural = "ips",
    root = "Ip",
    schema = "disabled"
)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct IpSpec {
    pub(crate) pod_name: String,
    pub(crate) namespace: String,
    pub(crate) subnet: String,
    pub(crate) v4_ip_address: String,
    pub(crate) v6_ip_address: String,
    pub(crate) mac_address: String,
    pub(crate) pod_type: String,
}

/// Spec of Kube-OVN's `Vip`.
#[derive(CustomResource, Clone, Debug, Default, Serialize, Deserialize)]
#[kube(
    group = "kubeovn.io",
    version = "v1",
    kind = "Vip",
    plural = "vips",
    status = "VipStatus",
    schema = "disabled"
)]
#[serde(default)]
pub(crate) struct VipSpec {}

/// Status of Kube-OVN's `Vip`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct VipStatus {
    pub(crate) v4ip: String,
    pub(crate) v6ip: String,
}

/// Spec of KubeVirt's `VirtualMachine`: only its labels count.
#[derive(CustomResource, Clone, Debug, Default, Serialize, Deserialize)]
#[kube(
    group = "kubevirt.io",
    version = "v1",
    kind = "VirtualMachine",
    plural = "virtualmachines",
    namespaced,
    schema = "disabled"
)]
#[serde(default)]
pub(crate) struct VirtualMachineSpec {}

/// Spec of KubeVirt's `VirtualMachineInstance`.
#[derive(CustomResource, Clone, Debug, Default, Serialize, Deserialize)]
#[kube(
    group = "kubevirt.io",
    version = "v1",
    kind = "VirtualMachineInstance",
    plural = "virtualmachineinstances",
    namespaced,
    status = "VirtualMachineInstanceStatus",
    schema = "disabled"
)]
#[serde(default)]
pub(crate) struct VirtualMachineInstanceSpec {}

/// Status of KubeVirt's `VirtualMachineInstance`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct VirtualMachineInstanceStatus {
    pub(crate) phase: String,
}
