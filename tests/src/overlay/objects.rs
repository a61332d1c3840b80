//! The objects that a platform's operators, KubeVirt and kubelets would have written.

use std::net::IpAddr;

use serde_json::{Value, json};

use super::provider::Provider;
use crate::chassis::GATEWAY;

/// Subnet of every tenant.
pub(super) const TENANT_CIDR: &str = "10.0.0.0/24";
/// Router address of every tenant's subnet.
pub(super) const TENANT_GATEWAY: &str = "10.0.0.1";

/// The provider network and the external subnet that all VPCs share.
pub(super) fn external(provider: Provider) -> [Value; 3] {
    let kind = |kind: &str, name: &str, spec: Value| {
        json!({
            "apiVersion": "kubeovn.io/v1", "kind": kind,
            "metadata": {"name": name}, "spec": spec,
        })
    };
    [
        kind("ProviderNetwork", "external", json!({"defaultInterface": "eth1"})),
        kind("Vlan", "vlan0", json!({"id": 0, "provider": "external"})),
        kind(
            "Subnet",
            "external",
            json!({
                "protocol": "IPv4", "cidrBlock": provider.cidr, "gateway": provider.gateway,
                "vlan": "vlan0", "excludeIps": provider.excludes,
            }),
        ),
    ]
}

/// Namespace, VPC and subnet of a tenant.
pub(super) fn vpc(tenant: &str, provider: Provider) -> [Value; 3] {
    let gateway = provider.gateway.to_string();
    let (namespace, vpc) = (format!("tenant-{tenant}"), format!("vpc-{tenant}"));
    let outward = format!("ip4.src == {TENANT_CIDR} && ip4.dst != {TENANT_CIDR}");
    [
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}),
        json!({
            "apiVersion": "kubeovn.io/v1", "kind": "Vpc",
            "metadata": {"name": vpc},
            "spec": {
                "enableExternal": true,
                "namespaces": [namespace],
                "staticRoutes": [
                    {"cidr": "0.0.0.0/0", "nextHopIP": gateway, "policy": "policyDst"},
                ],
                // Kube-OVN's route by source for the subnet beats the default route on an OVN
                // without Kube-OVN's patches: clients behind the router would get no answer.
                "policyRoutes": [{
                    "priority": 100, "match": outward,
                    "action": "reroute", "nextHopIP": gateway,
                }],
            },
        }),
        json!({
            "apiVersion": "kubeovn.io/v1", "kind": "Subnet",
            "metadata": {"name": namespace},
            "spec": {
                "vpc": vpc, "protocol": "IPv4", "cidrBlock": TENANT_CIDR,
                "gateway": TENANT_GATEWAY, "namespaces": [namespace],
            },
        }),
    ]
}

/// KubeVirt's VirtualMachine: without it and its template Kube-OVN collects the VM's address.
pub(super) fn virtual_machine(tenant: &str, name: &str) -> Value {
    json!({
        "apiVersion": "kubevirt.io/v1", "kind": "VirtualMachine",
        "metadata": {
            "name": name, "namespace": format!("tenant-{tenant}"),
            "labels": {"cluster.x-k8s.io/cluster-name": tenant},
        },
        "spec": {"running": true, "template": {
            "metadata": {"labels": {"cluster.x-k8s.io/cluster-name": tenant}},
            "spec": {"domain": {"devices": {}}},
        }},
    })
}

/// KubeVirt's VirtualMachineInstance.
pub(super) fn instance(tenant: &str, name: &str, owner: &str) -> Value {
    json!({
        "apiVersion": "kubevirt.io/v1", "kind": "VirtualMachineInstance",
        "metadata": {
            "name": name, "namespace": format!("tenant-{tenant}"),
            "labels": {"cluster.x-k8s.io/cluster-name": tenant},
            "ownerReferences": [{
                "apiVersion": "kubevirt.io/v1", "kind": "VirtualMachine",
                "name": name, "uid": owner, "controller": true,
            }],
        },
        "spec": {"domain": {"devices": {}}},
    })
}

/// Name of a VM's launcher pod.
pub(super) fn launcher_name(name: &str) -> String {
    format!("virt-launcher-{name}-abcde")
}

/// KubeVirt's launcher pod; its owner makes Kube-OVN name the IP object and the logical port after
/// the VM.
pub(super) fn launcher(tenant: &str, name: &str, owner: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "name": launcher_name(name), "namespace": format!("tenant-{tenant}"),
            "labels": {
                "kubevirt.io": "virt-launcher", "vm.kubevirt.io/name": name,
                "cluster.x-k8s.io/cluster-name": tenant,
            },
            "annotations": {"ovn.kubernetes.io/logical_switch": format!("tenant-{tenant}")},
            "ownerReferences": [{
                "apiVersion": "kubevirt.io/v1", "kind": "VirtualMachineInstance",
                "name": name, "uid": owner, "controller": true,
            }],
        },
        "spec": {
            "nodeName": GATEWAY, "automountServiceAccountToken": false,
            "containers": [{"name": "compute", "image": "none"}],
        },
    })
}

/// The tenant's Node for a VM.
pub(super) fn node(name: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Node",
        "metadata": {
            "name": name,
            "labels": {"kubernetes.io/hostname": name, "kubernetes.io/os": "linux"},
        },
        "spec": {"providerID": format!("kubevirt://{name}")},
    })
}

/// Status of a tenant's Node.
pub(super) fn node_status(name: &str, addresses: &[IpAddr], ready: bool) -> Value {
    let internal = addresses.iter().map(|ip| json!({"type": "InternalIP", "address": ip}));
    let name = json!({"type": "Hostname", "address": name});
    json!({"status": {
        "addresses": internal.chain([name]).collect::<Vec<_>>(),
        "conditions": [condition("Ready", ready, "KubeletReady")],
        "nodeInfo": {"kubeletVersion": "v1.36.0"},
    }})
}

/// A tenant's pod, scheduled to a node.
pub(super) fn pod(namespace: &str, name: &str, node: &str, labels: &[(&str, &str)]) -> Value {
    let labels: serde_json::Map<String, Value> =
        labels.iter().map(|(key, value)| ((*key).to_owned(), json!(value))).collect();
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace, "labels": labels},
        "spec": {
            "nodeName": node, "automountServiceAccountToken": false,
            "terminationGracePeriodSeconds": 30,
            "containers": [{
                "name": "whoami", "image": "whoami",
                "ports": [
                    {"name": "http", "containerPort": super::POD_PORT, "protocol": "TCP"},
                    {"name": "udp", "containerPort": super::POD_PORT, "protocol": "UDP"},
                ],
            }],
        },
    })
}

/// Status of a tenant's pod that runs.
pub(super) fn pod_status(pod: &[IpAddr], node: &[IpAddr], ready: bool) -> Value {
    let list = |ips: &[IpAddr]| ips.iter().map(|ip| json!({"ip": ip})).collect::<Vec<_>>();
    json!({"status": {
        "phase": "Running",
        "hostIP": node.first(), "hostIPs": list(node),
        "podIP": pod.first(), "podIPs": list(pod),
        "conditions": [
            condition("PodScheduled", true, ""),
            condition("ContainersReady", ready, ""),
            condition("Ready", ready, ""),
        ],
    }})
}

fn condition(kind: &str, holds: bool, reason: &str) -> Value {
    json!({
        "type": kind,
        "status": if holds { "True" } else { "False" },
        "reason": reason,
        "lastTransitionTime": jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
    })
}
