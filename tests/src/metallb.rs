//! MetalLB as its users run it: the controller, and a speaker on each node, which know of each other
//! by memberlist with a key.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::exec::{Exec, Place};
use crate::netns::Host;
use crate::overlay::{Lab, Tenant};
use crate::process::Process;

const NAMESPACE: &str = "metallb-system";

/// MetalLB, running in a tenant.
pub struct MetalLb {
    _controller: Process,
    speakers: Vec<(String, Process)>,
}

impl MetalLb {
    /// Installs and starts it, with a pool of these addresses.
    ///
    /// # Errors
    /// When the API server refuses an object, or a program cannot be started.
    pub async fn start(
        programs: &Path,
        lab: &Lab,
        tenant: &Tenant,
        addresses: &str,
    ) -> Result<Self> {
        let cluster = tenant.cluster();
        define(programs, cluster).await?;
        add_pool(cluster, addresses).await?;
        let environment = Environment { programs, cluster, dir: lab.space().dir() };
        std::fs::write(environment.dir.join("secretkey"), "a key that all speakers have")?;
        let vms = tenant.vms().await;
        for vm in &vms {
            let (name, address) = (format!("speaker-{}", vm.name()), vm.address().to_string());
            add_pod(cluster, &name, "speaker", &address).await?;
        }
        let controller = environment.controller(&[]).await?;
        let mut speakers = Vec::new();
        for vm in &vms {
            let process = environment.speaker(vm.name(), vm.host())?;
            speakers.push((vm.name().to_owned(), process));
        }
        Ok(Self { _controller: controller, speakers })
    }

    /// The speaker on a node.
    ///
    /// # Errors
    /// When there is none.
    pub fn speaker(&self, node: &str) -> Result<&Process> {
        let found = self.speakers.iter().find(|(name, _)| name == node);
        found.map(|(_, process)| process).context("no speaker there")
    }
}

/// What its programs are started with.
pub struct Environment<'a> {
    /// Directory of the programs.
    pub programs: &'a Path,
    /// The cluster that it serves.
    pub cluster: &'a Cluster,
    /// Directory with the speakers' key, and for logs.
    pub dir: PathBuf,
}

impl Environment<'_> {
    fn exec(&self, place: Place, program: &str, pod: &str) -> Exec {
        Exec::new(place, self.programs.join(program))
            .env("KUBECONFIG", self.cluster.admin_kubeconfig())
            .env("METALLB_NAMESPACE", NAMESPACE)
            .env("METALLB_POD_NAME", pod)
    }

    /// Starts the controller, with these arguments besides.
    ///
    /// # Errors
    /// When the API server refuses its Pod, or it cannot be started.
    pub async fn controller(&self, arguments: &[&str]) -> Result<Process> {
        add_pod(self.cluster, "controller", "controller", "10.250.0.1").await?;
        let exec = self
            .exec(Place::Sandbox, "controller", "controller")
            .args(["--webhook-mode=disabled", "--disable-cert-rotation"])
            .args(arguments.iter().copied());
        let log = self.dir.join("metallb-controller.log");
        Process::start(format!("MetalLB's controller in {}", self.cluster.name()), exec, log)
    }

    /// Starts a speaker on a node.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn speaker(&self, node: &str, host: &Host) -> Result<Process> {
        let (netns, address) = (host.netns().name().to_owned(), host.address().to_string());
        let exec = self
            .exec(Place::Namespace(netns), "speaker", &format!("speaker-{node}"))
            .env("METALLB_NODE_NAME", node)
            .env("METALLB_HOST", &address)
            .env("METALLB_ML_BIND_ADDR", &address)
            .env("METALLB_ML_LABELS", "app=metallb,component=speaker")
            .env("METALLB_ML_SECRET_KEY_PATH", &self.dir);
        let log = self.dir.join(format!("metallb-speaker-{node}.log"));
        Process::start(format!("MetalLB's speaker on {node}"), exec, log)
    }
}

/// Writes its definitions and its namespace.
///
/// # Errors
/// When the API server refuses one.
pub async fn define(programs: &Path, cluster: &Cluster) -> Result<()> {
    cluster.apply_path(&programs.join("crds")).await?;
    let namespace = json!({
        "apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE},
    });
    cluster.apply(&namespace).await.map(drop)
}

/// Writes a pool of these addresses, announced by ARP.
///
/// # Errors
/// When the API server refuses it.
pub async fn add_pool(cluster: &Cluster, addresses: &str) -> Result<()> {
    for (kind, spec) in [
        ("IPAddressPool", json!({"addresses": [addresses]})),
        ("L2Advertisement", json!({"ipAddressPools": ["pool"]})),
    ] {
        let object = json!({
            "apiVersion": "metallb.io/v1beta1", "kind": kind,
            "metadata": {"name": "pool", "namespace": NAMESPACE}, "spec": spec,
        });
        cluster.apply(&object).await?;
    }
    Ok(())
}

/// Writes a Pod of it, by which speakers find each other.
///
/// # Errors
/// When the API server refuses it.
pub async fn add_pod(cluster: &Cluster, name: &str, component: &str, address: &str) -> Result<()> {
    let object: Value = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "name": name, "namespace": NAMESPACE,
            "labels": {"app": "metallb", "component": component},
        },
        "spec": {"containers": [{"name": component, "image": "metallb"}]},
    });
    cluster.apply(&object).await?;
    let api: Api<Pod> = Api::namespaced(cluster.client(), NAMESPACE);
    let status = json!({"status": {
        "phase": "Running", "podIP": address, "podIPs": [{"ip": address}], "hostIP": address,
        "conditions": [{"type": "Ready", "status": "True"}],
    }});
    api.patch_status(name, &PatchParams::default(), &Patch::Strategic(&status)).await?;
    Ok(())
}
