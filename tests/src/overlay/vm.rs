//! A tenant's VM: what KubeVirt, the CNI plugin and the guest would have done.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use kube::api::{DeleteParams, Patch, PatchParams};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};

use super::lan::Lan;
use super::objects;
use crate::chassis::Chassis;
use crate::cluster::Cluster;
use crate::exec::{Exec, Place};
use crate::netns::{Host, Netns};
use crate::process::Process;
use crate::space::{self, Space};
use crate::wait;

/// How long Kube-OVN may take to give a VM its address.
const ADDRESS: Duration = Duration::from_secs(60);

/// Counts the packets to nodePorts, by source, before kube-proxy sees them.
const COUNTER: &str = "table ip lab {
  set hits { type ipv4_addr . inet_proto . inet_service; flags dynamic; size 65535; }
  chain arrivals {
    type filter hook prerouting priority -350;
    iifname eth0 meta l4proto { tcp, udp } th dport 30000-49999 add @hits { ip saddr . meta l4proto . th dport }
  }
}
";

/// Somebody who sent to a nodePort of a VM.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct NodePortHit {
    /// The source address of the packets.
    pub source: Ipv4Addr,
    /// `tcp` or `udp`.
    pub protocol: String,
    /// The nodePort.
    pub port: u16,
}

/// A running VM, which is a node of its tenant.
pub struct Vm {
    name: String,
    tenant: String,
    /// Number in its tenant, from 1; its pods are in 10.244.<index>.0/24.
    index: u8,
    port: String,
    proxy: Process,
    host: Host,
    under: Arc<Cluster>,
    network: Network,
}

/// What a VM is plugged into.
pub(super) enum Network {
    /// Its subnet, by OVN.
    Chassis(Arc<Chassis>),
    /// Its VLAN.
    Lan(Arc<Lan>),
}

impl Network {
    /// Plugs in a machine with its Ethernet address and its address.
    async fn plug(
        &self,
        netns: &Netns,
        (port, interface): (&str, &str),
        (address, mac): (Ipv4Addr, &str),
    ) -> Result<()> {
        let gateway = match self {
            Self::Chassis(chassis) => {
                netns.connect("eth0", chassis.netns(), port).await?;
                objects::TENANT_GATEWAY.to_owned()
            }
            Self::Lan(lan) => {
                lan.plug(netns, "eth0", port).await?;
                lan.gateway().to_string()
            }
        };
        netns
            .ip(&format!(
                "link set eth0 address {mac}
                 address add {address}/24 dev eth0
                 route add default via {gateway}"
            ))
            .await?;
        match self {
            Self::Chassis(chassis) => chassis.plug("br-int", port, Some(interface)).await,
            Self::Lan(_) => Ok(()),
        }
    }

    async fn unplug(&self, port: &str) -> Result<()> {
        match self {
            Self::Chassis(chassis) => chassis.unplug(port).await,
            Self::Lan(lan) => lan.bridge().ip(&format!("link delete {port}")).await.map(|_| ()),
        }
    }
}

/// What a VM needs to be started.
pub(super) struct Wanted<'a> {
    pub(super) space: &'a Space,
    pub(super) tenant: &'a str,
    pub(super) index: u8,
    pub(super) cluster: &'a Cluster,
    pub(super) under: &'a Arc<Cluster>,
    pub(super) network: Network,
}

impl Vm {
    pub(super) async fn start(wanted: Wanted<'_>) -> Result<Self> {
        let Wanted { space, tenant, index, cluster, under, network } = wanted;
        let name = format!("vm{index}");
        create_objects(under, tenant, &name).await?;
        let netns = Netns::new(space.namespace(&format!("{tenant}-{name}"))).await?;
        netns.sysctl("net.ipv4.ip_forward", "1")?;
        netns.exec_root("nft").args(["-f", "-"]).output_with_input(COUNTER).await?;
        netns.connect_management(space::management_address()).await?;
        let (address, mac) = address(under, tenant, &name).await?;
        let port = format!("{tenant}-{name}");
        let interface = format!("{name}.tenant-{tenant}");
        network.plug(&netns, (&port, &interface), (address, &mac)).await?;

        cluster.apply(&objects::node(&name)).await?;
        set_node_status(cluster, &name, address, true).await?;
        let proxy = start_proxy(space, cluster, &name, netns.name())?;
        Ok(Self {
            name,
            tenant: tenant.to_owned(),
            index,
            port,
            proxy,
            host: Host::new(netns, address),
            under: Arc::clone(under),
            network,
        })
    }

    /// Name of the VM and of its Node.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The VM as a client: its namespace and its address in the VPC.
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// The VM's address in the VPC.
    pub fn address(&self) -> Ipv4Addr {
        self.host.address()
    }

    /// kube-proxy.
    pub fn proxy(&self) -> &Process {
        &self.proxy
    }

    /// Who sent to nodePorts of this VM since the start or [`forget_hits`](Self::forget_hits).
    ///
    /// # Errors
    /// When `nft` fails.
    pub async fn hits(&self) -> Result<BTreeSet<NodePortHit>> {
        let exec = self.host.netns().exec_root("nft");
        let text = exec.args(["-j", "list", "set", "ip", "lab", "hits"]).output().await?;
        let listing: Value = serde_json::from_str(&text)?;
        let sets = listing.get("nftables").and_then(Value::as_array).into_iter().flatten();
        let elements = sets.filter_map(|entry| entry.pointer("/set/elem")?.as_array()).flatten();
        elements.map(|element| hit(element).with_context(|| element.to_string())).collect()
    }

    /// Forgets who sent to nodePorts.
    ///
    /// # Errors
    /// When `nft` fails.
    pub async fn forget_hits(&self) -> Result<()> {
        let exec = self.host.netns().exec_root("nft");
        exec.args(["flush", "set", "ip", "lab", "hits"]).output().await.map(|_| ())
    }

    /// Sets the phase of the VirtualMachineInstance: `Running`, `Failed`, …
    ///
    /// # Errors
    /// When the under cluster's API server refuses it.
    pub async fn set_phase(&self, phase: &str) -> Result<()> {
        set_phase(&self.under, &self.tenant, &self.name, phase).await
    }

    /// Deletes the VM: objects in the under cluster, port; the Node stays with the tenant's caller.
    pub(super) async fn delete(&self) -> Result<()> {
        self.proxy.kill().await?;
        self.network.unplug(&self.port).await?;
        let namespace = format!("tenant-{}", self.tenant);
        let launcher = objects::launcher_name(&self.name);
        // The launcher last: Kube-OVN keeps the address of a VM whose launcher alone is gone.
        for (api_version, kind, name) in [
            ("kubevirt.io/v1", "VirtualMachine", self.name.as_str()),
            ("kubevirt.io/v1", "VirtualMachineInstance", &self.name),
            ("v1", "Pod", &launcher),
        ] {
            let api = self.under.api(api_version, kind, &namespace).await?;
            api.delete(name, &DeleteParams::default().grace_period(0)).await?;
        }
        Ok(())
    }

    pub(super) fn index(&self) -> u8 {
        self.index
    }

    pub(super) fn pod_address(&self, index: u8) -> Ipv4Addr {
        Ipv4Addr::new(10, 244, self.index, index)
    }
}

async fn create_objects(under: &Cluster, tenant: &str, name: &str) -> Result<()> {
    let machine = under.apply(&objects::virtual_machine(tenant, name)).await?;
    let owner = machine.uid().context("a VM without UID")?;
    let instance = under.apply(&objects::instance(tenant, name, &owner)).await?;
    set_phase(under, tenant, name, "Running").await?;
    let owner = instance.uid().context("a VM instance without UID")?;
    under.apply(&objects::launcher(tenant, name, &owner)).await?;
    Ok(())
}

async fn set_phase(under: &Cluster, tenant: &str, name: &str, phase: &str) -> Result<()> {
    let namespace = format!("tenant-{tenant}");
    let api = under.api("kubevirt.io/v1", "VirtualMachineInstance", &namespace).await?;
    let status = json!({"status": {"phase": phase}});
    api.patch_status(name, &PatchParams::default(), &Patch::Merge(&status)).await?;
    Ok(())
}

/// Writes the addresses and the Ready condition of a tenant's Node.
pub(super) async fn set_node_status(
    cluster: &Cluster,
    name: &str,
    address: Ipv4Addr,
    ready: bool,
) -> Result<()> {
    let nodes: Api<k8s_openapi::api::core::v1::Node> = Api::all(cluster.client());
    let status = objects::node_status(name, address, ready);
    nodes.patch_status(name, &PatchParams::default(), &Patch::Strategic(&status)).await?;
    Ok(())
}

/// The address and the MAC address that Kube-OVN gave the VM.
async fn address(under: &Cluster, tenant: &str, name: &str) -> Result<(Ipv4Addr, String)> {
    let api = under.api("kubeovn.io/v1", "IP", "").await?;
    let ip = format!("{name}.tenant-{tenant}");
    wait::until(&format!("the address of VM {ip}"), ADDRESS, || async {
        let ip = api.get(&ip).await?;
        let field = |name: &str| ip.data.pointer(name).and_then(Value::as_str).unwrap_or_default();
        let (address, mac) = (field("/spec/v4IpAddress"), field("/spec/macAddress"));
        if address.is_empty() || mac.is_empty() {
            bail!("{}", ip.data);
        }
        Ok((address.parse()?, mac.to_owned()))
    })
    .await
}

fn start_proxy(space: &Space, cluster: &Cluster, name: &str, netns: &str) -> Result<Process> {
    let dir = cluster.dir().join(name);
    std::fs::create_dir_all(&dir)?;
    let kubeconfig = dir.join("kubeconfig");
    std::fs::write(&kubeconfig, cluster.kubeconfig_for_user("system:kube-proxy", None)?)?;
    let config = json!({
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "nftables",
        "clusterCIDR": "10.244.0.0/16",
        "hostnameOverride": name,
        "clientConnection": {"kubeconfig": kubeconfig, "qps": 50, "burst": 100},
        "conntrack": {"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
        "nftables": {"minSyncPeriod": "50ms", "syncPeriod": "30s"},
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

/// Reads `{"elem": {"val": {"concat": [...]}}}`, or the value alone.
fn hit(element: &Value) -> Option<NodePortHit> {
    let value = element.pointer("/elem/val").unwrap_or(element);
    match value.get("concat")?.as_array()?.as_slice() {
        [source, protocol, port] => Some(NodePortHit {
            source: source.as_str()?.parse().ok()?,
            protocol: protocol.as_str()?.to_owned(),
            port: u16::try_from(port.as_u64()?).ok()?,
        }),
        _ => None,
    }
}
