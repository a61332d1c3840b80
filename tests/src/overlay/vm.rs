//! A tenant's VM: what KubeVirt, the CNI plugin and the guest would have done.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use kube::ResourceExt;
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::{Value, json};

use super::lan::Lan;
use super::objects;
use super::proxy::{self, Mode};
use crate::chassis::Chassis;
use crate::cluster::Cluster;
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
        addresses: &Addresses,
    ) -> Result<()> {
        let (gateway, gateway6, length) = match self {
            Self::Chassis(chassis) => {
                netns.connect("eth0", chassis.netns(), port).await?;
                (objects::TENANT_GATEWAY.to_owned(), None, 24)
            }
            Self::Lan(lan) => {
                lan.plug(netns, "eth0", port).await?;
                (lan.gateway().to_string(), Some(lan.gateway6()), lan.length())
            }
        };
        let Addresses { v4, v6, mac } = addresses;
        netns
            .ip(&format!(
                "link set eth0 address {mac}
                 address add {v4}/{length} dev eth0
                 route add default via {gateway}"
            ))
            .await?;
        if let (Some(v6), Some(gateway)) = (v6, gateway6) {
            netns
                .ip(&format!(
                    "address add {v6}/64 dev eth0 nodad
                     route add default via {gateway} dev eth0"
                ))
                .await?;
        }
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

/// What Kube-OVN gave a VM.
struct Addresses {
    v4: Ipv4Addr,
    v6: Option<Ipv6Addr>,
    mac: String,
}

/// What a VM needs to be started.
pub(super) struct Wanted<'a> {
    pub(super) space: &'a Space,
    pub(super) tenant: &'a str,
    pub(super) index: u8,
    pub(super) cluster: &'a Cluster,
    pub(super) under: &'a Arc<Cluster>,
    pub(super) network: Network,
    pub(super) mode: Mode,
}

impl Vm {
    pub(super) async fn start(wanted: Wanted<'_>) -> Result<Self> {
        let Wanted { space, tenant, index, cluster, under, network, mode } = wanted;
        let name = format!("vm{index}");
        create_objects(under, tenant, &name).await?;
        let netns = Netns::new(space.namespace(&format!("{tenant}-{name}"))).await?;
        netns.sysctl("net.ipv4.ip_forward", "1")?;
        netns.sysctl("net.ipv6.conf.all.forwarding", "1")?;
        netns.exec_root("nft").args(["-f", "-"]).output_with_input(COUNTER).await?;
        netns.connect_management(space::management_address()).await?;
        let addresses = addresses(under, tenant, &name).await?;
        let port = format!("{tenant}-{name}");
        let interface = format!("{name}.tenant-{tenant}");
        network.plug(&netns, (&port, &interface), &addresses).await?;
        let host = Host::new(netns, addresses.v4).with_v6(addresses.v6);

        cluster.apply(&objects::node(&name)).await?;
        proxy::set_node_status(cluster, &name, &host.addresses(), true).await?;
        let proxy = proxy::start(space, cluster, &name, host.netns().name(), mode)?;
        Ok(Self {
            name,
            tenant: tenant.to_owned(),
            index,
            port,
            proxy,
            host,
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

    /// Pods have an IPv6 address where their VM has one.
    pub(super) fn pod_v6(&self, index: u8) -> Option<Ipv6Addr> {
        let number = self.index.into();
        let v6 = Ipv6Addr::new(0xfd00, 0x10, 0x244, number, 0, 0, 0, index.into());
        self.host.v6().map(|_| v6)
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

/// The addresses that Kube-OVN gave the VM.
async fn addresses(under: &Cluster, tenant: &str, name: &str) -> Result<Addresses> {
    let api = under.api("kubeovn.io/v1", "IP", "").await?;
    let ip = format!("{name}.tenant-{tenant}");
    wait::until(&format!("the address of VM {ip}"), ADDRESS, || async {
        let ip = api.get(&ip).await?;
        let field = |name: &str| ip.data.pointer(name).and_then(Value::as_str).unwrap_or_default();
        let (address, mac) = (field("/spec/v4IpAddress"), field("/spec/macAddress"));
        if address.is_empty() || mac.is_empty() {
            bail!("{}", ip.data);
        }
        let v6 = Some(field("/spec/v6IpAddress")).filter(|v6| !v6.is_empty());
        let v6 = v6.map(str::parse).transpose()?;
        Ok(Addresses { v4: address.parse()?, v6, mac: mac.to_owned() })
    })
    .await
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
