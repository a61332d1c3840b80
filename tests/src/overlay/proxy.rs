//! kube-proxy on a machine, and what it reads of its Node.

use std::net::IpAddr;

use anyhow::Result;
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::json;

use super::objects;
use crate::cluster::{Cluster, Families};
use crate::exec::{Exec, Place};
use crate::process::Process;
use crate::space::Space;

/// How kube-proxy leads packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// By nftables.
    Nftables,
    /// By iptables.
    Iptables,
}

impl Mode {
    const fn name(self) -> &'static str {
        match self {
            Self::Nftables => "nftables",
            Self::Iptables => "iptables",
        }
    }
}

/// Starts kube-proxy for the Node `name` of a cluster, in a namespace.
pub(super) fn start(
    space: &Space,
    cluster: &Cluster,
    name: &str,
    netns: &str,
    mode: Mode,
) -> Result<Process> {
    let dir = cluster.dir().join(name);
    std::fs::create_dir_all(&dir)?;
    let kubeconfig = dir.join("kubeconfig");
    std::fs::write(&kubeconfig, cluster.kubeconfig_for_user("system:kube-proxy", None)?)?;
    let cidr = match cluster.families() {
        Families::Ipv4 => "10.244.0.0/16",
        Families::Both => "10.244.0.0/16,fd00:10:244::/48",
    };
    let pace = json!({"minSyncPeriod": "50ms", "syncPeriod": "30s"});
    let config = json!({
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": mode.name(),
        "clusterCIDR": cidr,
        "hostnameOverride": name,
        "clientConnection": {"kubeconfig": kubeconfig, "qps": 50, "burst": 100},
        "conntrack": {"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
        "nftables": pace, "iptables": pace,
        "healthzBindAddress": "0.0.0.0:10256",
        "metricsBindAddress": "127.0.0.1:10249",
    });
    let file = dir.join("kube-proxy.yaml");
    std::fs::write(&file, config.to_string())?;
    let place = Place::NamespaceRoot(netns.to_owned());
    let exec = Exec::new(place, "/run/components/kubernetes/kube-proxy")
        .arg(format!("--config={}", file.display()))
        .env("GOGC", "200");
    let title = format!("kube-proxy of {}-{name} in {}", cluster.name(), space.name());
    Process::start(title, exec, dir.join("kube-proxy.log"))
}

/// Writes the addresses and the Ready condition of a Node.
pub(super) async fn set_node_status(
    cluster: &Cluster,
    name: &str,
    addresses: &[IpAddr],
    ready: bool,
) -> Result<()> {
    let nodes: Api<k8s_openapi::api::core::v1::Node> = Api::all(cluster.client());
    let status = objects::node_status(name, addresses, ready);
    nodes.patch_status(name, &PatchParams::default(), &Patch::Strategic(&status)).await?;
    Ok(())
}
