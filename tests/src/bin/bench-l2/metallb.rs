//! MetalLB as its users run it: the controller, and a speaker on each node, which know of each other
//! by memberlist with a key.

use std::path::Path;

use anyhow::{Context as _, Result};
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::{Patch, PatchParams};
use lab::Lab;
use lab::cluster::Cluster;
use lab::exec::{Exec, Place};
use lab::netns::Host;
use lab::overlay::Tenant;
use lab::process::Process;
use serde_json::{Value, json};

const NAMESPACE: &str = "metallb-system";

/// MetalLB, running in a tenant.
pub(crate) struct MetalLb {
    _controller: Process,
    speakers: Vec<(String, Process)>,
}

impl MetalLb {
    /// Installs and starts it, with a pool of these addresses.
    pub(crate) async fn start(
        programs: &Path,
        lab: &Lab,
        tenant: &Tenant,
        addresses: &str,
    ) -> Result<Self> {
        let cluster = tenant.cluster();
        install(programs, cluster, addresses).await?;
        let environment = Environment { programs, cluster, keys: lab.space().dir() };
        std::fs::write(environment.keys.join("secretkey"), "a key that all speakers have")?;
        add_pod(cluster, "controller", "controller", "10.250.0.1").await?;
        let vms = tenant.vms().await;
        for vm in &vms {
            let (name, address) = (format!("speaker-{}", vm.name()), vm.address().to_string());
            add_pod(cluster, &name, "speaker", &address).await?;
        }
        let controller = environment
            .exec(Place::Sandbox, "controller", "controller")
            .args(["--webhook-mode=disabled", "--disable-cert-rotation"]);
        let log = lab.space().dir().join("metallb-controller.log");
        let controller = Process::start("MetalLB's controller", controller, log)?;
        let mut speakers = Vec::new();
        for vm in &vms {
            let process = environment.speaker(vm.name(), vm.host())?;
            speakers.push((vm.name().to_owned(), process));
        }
        Ok(Self { _controller: controller, speakers })
    }

    /// The speaker on a node.
    pub(crate) fn speaker(&self, node: &str) -> Result<&Process> {
        let found = self.speakers.iter().find(|(name, _)| name == node);
        found.map(|(_, process)| process).context("no speaker there")
    }
}

/// What its programs are started with.
pub(crate) struct Environment<'a> {
    pub(crate) programs: &'a Path,
    pub(crate) cluster: &'a Cluster,
    /// Directory with the speakers' key, and for logs.
    pub(crate) keys: std::path::PathBuf,
}

impl Environment<'_> {
    fn exec(&self, place: Place, program: &str, pod: &str) -> Exec {
        Exec::new(place, self.programs.join(program))
            .env("KUBECONFIG", self.cluster.admin_kubeconfig())
            .env("METALLB_NAMESPACE", NAMESPACE)
            .env("METALLB_POD_NAME", pod)
    }

    /// Starts a speaker on a node.
    pub(crate) fn speaker(&self, node: &str, host: &Host) -> Result<Process> {
        let (netns, address) = (host.netns().name().to_owned(), host.address().to_string());
        let exec = self
            .exec(Place::Namespace(netns), "speaker", &format!("speaker-{node}"))
            .env("METALLB_NODE_NAME", node)
            .env("METALLB_HOST", &address)
            .env("METALLB_ML_BIND_ADDR", &address)
            .env("METALLB_ML_LABELS", "app=metallb,component=speaker")
            .env("METALLB_ML_SECRET_KEY_PATH", &self.keys);
        let log = self.keys.join(format!("metallb-speaker-{node}.log"));
        Process::start(format!("MetalLB's speaker on {node}"), exec, log)
    }
}

/// Writes its definitions, and what it is to do.
pub(crate) async fn install(programs: &Path, cluster: &Cluster, addresses: &str) -> Result<()> {
    cluster.apply_path(&programs.join("crds")).await?;
    let namespace = json!({
        "apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE},
    });
    cluster.apply(&namespace).await?;
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
pub(crate) async fn add_pod(
    cluster: &Cluster,
    name: &str,
    component: &str,
    address: &str,
) -> Result<()> {
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
