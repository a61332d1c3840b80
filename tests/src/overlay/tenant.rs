//! A tenant: its own cluster, its VPC, its VMs and their pods.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use futures::future::try_join_all;
use k8s_openapi::api::core::v1::{Namespace, Node};
use kube::Api;
use kube::api::DeleteParams;
use tokio::sync::Mutex;

use super::lan::Lan;
use super::objects;
use super::pod::{self, Pod};
use super::proxy::{self, Mode};
use super::vm::{self, Network, Vm};
use crate::chassis::Chassis;
use crate::cluster::Cluster;
use crate::ovn::Ovn;
use crate::space::Space;
use crate::{traffic, wait};

/// How long Kube-OVN may take to bind a namespace to its subnet.
const BOUND: Duration = Duration::from_secs(60);

/// How long kube-proxy may take to learn of a Service.
const ANSWERED: Duration = Duration::from_secs(60);

/// A tenant.
pub struct Tenant {
    name: String,
    pods: Mutex<BTreeMap<String, Arc<Pod>>>,
    vms: Mutex<BTreeMap<String, Arc<Vm>>>,
    next_vm: AtomicU8,
    next_pod: AtomicU8,
    cluster: Cluster,
    platform: Platform,
}

/// What a tenant runs on.
pub(super) struct Platform {
    pub(super) space: Space,
    pub(super) under: Arc<Cluster>,
    pub(super) ovn: Arc<Ovn>,
    pub(super) chassis: Arc<Chassis>,
    pub(super) provider: super::provider::Provider,
    /// The link of its machines, in VLAN mode.
    pub(super) lan: Option<Arc<Lan>>,
    /// How kube-proxy works on its machines.
    pub(super) mode: Mode,
}

impl Tenant {
    pub(super) async fn start(
        platform: Platform,
        name: String,
        cluster: Cluster,
        vms: usize,
    ) -> Result<Self> {
        let tenant = Self {
            name,
            pods: Mutex::default(),
            vms: Mutex::default(),
            next_vm: AtomicU8::new(1),
            next_pod: AtomicU8::new(2),
            cluster,
            platform,
        };
        let under = &tenant.platform.under;
        let objects = match &tenant.platform.lan {
            Some(lan) => lan.objects(&tenant.name),
            None => objects::vpc(&tenant.name, tenant.platform.provider),
        };
        for object in objects {
            under.apply(&object).await?;
        }
        match &tenant.platform.lan {
            Some(_) => tenant.wait_for_subnet().await?,
            None => tenant.wait_for_namespace().await?,
        }
        try_join_all((0..vms).map(|_| tenant.add_vm())).await?;
        if tenant.platform.lan.is_none() {
            tenant.wait_for_gateway_port().await?;
        }
        Ok(tenant)
    }

    /// A pod made before its namespace is bound gets an address of the default subnet.
    async fn wait_for_namespace(&self) -> Result<()> {
        let namespace = self.namespace();
        let namespaces: Api<Namespace> = Api::all(self.platform.under.client());
        wait::for_object(&namespaces, &namespace, "to be bound to its subnet", BOUND, |object| {
            let annotations = object.metadata.annotations.as_ref();
            annotations.and_then(|all| all.get("ovn.kubernetes.io/logical_switch"))
                == Some(&namespace)
        })
        .await?;
        Ok(())
    }

    /// A pod made before its Subnet is ready is tried again later and later.
    async fn wait_for_subnet(&self) -> Result<()> {
        let switch = self.namespace();
        wait::until(&format!("logical switch {switch}"), BOUND, || async {
            let named = format!("name={switch}");
            let find = ["--bare", "--columns=name", "find", "logical_switch", named.as_str()];
            let found = self.platform.ovn.nb(find).await?;
            anyhow::ensure!(!found.trim().is_empty(), "there is none yet");
            Ok(())
        })
        .await
    }

    /// Waits until kube-proxy on each machine answers at a nodePort. Until it does, it drops what a
    /// load balancer sends there; one that lost its API server tries again after a while.
    ///
    /// # Errors
    /// A machine does not answer within a minute.
    pub async fn every_machine_answers(&self, node_port: u16) -> Result<()> {
        for vm in self.vms().await {
            let url = format!("http://{}:{node_port}/", vm.address());
            let what = format!("an answer from {url} on {}", vm.name());
            wait::until(&what, ANSWERED, || traffic::get(vm.host(), &url)).await?;
        }
        Ok(())
    }

    /// An OvnEip of the VPC can be ready although the VPC has no way out: the port is what counts.
    async fn wait_for_gateway_port(&self) -> Result<()> {
        let port = format!("{}-external", self.vpc());
        wait::until(&format!("gateway port {port}"), BOUND, || async {
            let chassis = self.platform.ovn.nb(["lrp-get-gateway-chassis", port.as_str()]).await?;
            anyhow::ensure!(!chassis.trim().is_empty(), "the port has no chassis");
            Ok(())
        })
        .await
    }

    /// The tenant's name: `a`, `b`, …
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The tenant's own cluster.
    pub fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// The link of its machines.
    ///
    /// # Errors
    /// It is not in VLAN mode.
    pub fn lan(&self) -> Result<&Lan> {
        self.platform.lan.as_deref().context("not in VLAN mode")
    }

    /// Name of the tenant's VPC: `vpc-a`.
    pub fn vpc(&self) -> String {
        format!("vpc-{}", self.name)
    }

    /// The tenant's namespace in the under cluster, and its subnet: `tenant-a`.
    pub fn namespace(&self) -> String {
        format!("tenant-{}", self.name)
    }

    /// The tenant's VMs, by name.
    pub async fn vms(&self) -> Vec<Arc<Vm>> {
        self.vms.lock().await.values().cloned().collect()
    }

    /// A VM by name: `vm1`.
    ///
    /// # Errors
    /// When there is none.
    pub async fn vm(&self, name: &str) -> Result<Arc<Vm>> {
        self.vms.lock().await.get(name).cloned().with_context(|| format!("no VM {name}"))
    }

    /// Adds a VM: the next of `vm1`, `vm2`, …
    ///
    /// # Errors
    /// When a component does not start or Kube-OVN gives no address.
    pub async fn add_vm(&self) -> Result<Arc<Vm>> {
        let vm = Vm::start(vm::Wanted {
            space: &self.platform.space,
            tenant: &self.name,
            index: self.next_vm.fetch_add(1, Ordering::Relaxed),
            cluster: &self.cluster,
            under: &self.platform.under,
            network: match &self.platform.lan {
                Some(lan) => Network::Lan(Arc::clone(lan)),
                None => Network::Chassis(Arc::clone(&self.platform.chassis)),
            },
            mode: self.platform.mode,
        })
        .await?;
        let vm = Arc::new(vm);
        let mut vms = self.vms.lock().await;
        for other in vms.values() {
            route(other, &vm).await?;
            route(&vm, other).await?;
        }
        vms.insert(vm.name().to_owned(), Arc::clone(&vm));
        Ok(vm)
    }

    /// Deletes a VM with its Node and pods.
    ///
    /// # Errors
    /// When an API server refuses it.
    pub async fn remove_vm(&self, name: &str) -> Result<()> {
        let vm = self.vms.lock().await.remove(name).with_context(|| format!("no VM {name}"))?;
        let pods: Vec<String> = {
            let pods = self.pods.lock().await;
            let on_vm = pods.values().filter(|pod| pod.node() == name);
            on_vm.map(|pod| pod.name().to_owned()).collect()
        };
        for pod in pods {
            self.remove_pod(&pod).await?;
        }
        let nodes: Api<Node> = Api::all(self.cluster.client());
        nodes.delete(name, &DeleteParams::default()).await?;
        vm.delete().await
    }

    /// Reports a Node ready or not ready.
    ///
    /// # Errors
    /// When there is no such VM or the API server refuses it.
    pub async fn set_node_ready(&self, name: &str, ready: bool) -> Result<()> {
        let vm = self.vm(name).await?;
        proxy::set_node_status(&self.cluster, name, &vm.host().addresses(), ready).await
    }

    /// Adds a pod to the namespace `default`, on a VM, with labels; it is ready when this returns.
    ///
    /// # Errors
    /// When there is no such VM or an API server refuses it.
    pub async fn add_pod(&self, name: &str, vm: &str, labels: &[(&str, &str)]) -> Result<Arc<Pod>> {
        let vm = self.vm(vm).await?;
        let wanted = pod::Wanted {
            namespace: "default",
            name,
            labels,
            netns: self.platform.space.namespace(&format!("{}-{name}", self.name)),
            index: self.next_pod.fetch_add(1, Ordering::Relaxed),
        };
        let pod = Arc::new(Pod::start(self.cluster.client(), &vm, wanted).await?);
        self.pods.lock().await.insert(name.to_owned(), Arc::clone(&pod));
        Ok(pod)
    }

    /// A pod by name.
    ///
    /// # Errors
    /// When there is none.
    pub async fn pod(&self, name: &str) -> Result<Arc<Pod>> {
        self.pods.lock().await.get(name).cloned().with_context(|| format!("no pod {name}"))
    }

    /// Deletes a pod at once: its object, and its server as soon as nobody holds the [`Pod`].
    ///
    /// # Errors
    /// When there is none or the API server refuses it.
    pub async fn remove_pod(&self, name: &str) -> Result<()> {
        let pod = self.pods.lock().await.remove(name).with_context(|| format!("no pod {name}"))?;
        pod.delete().await
    }
}

/// The route in `from` to the pods on `to`.
async fn route(from: &Vm, to: &Vm) -> Result<()> {
    let words = format!("route replace 10.244.{}.0/24 via {} dev eth0", to.index(), to.address());
    from.host().netns().ip(&words).await?;
    if let (Some(pods), Some(via)) = (to.pod_v6(0), to.host().v6()) {
        let words = format!("route replace {pods}/64 via {via} dev eth0");
        from.host().netns().ip(&words).await?;
    }
    Ok(())
}
