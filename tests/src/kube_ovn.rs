//! kube-ovn-controller, its definitions, and the objects that make a bare Kube-OVN ready for VPCs
//! with an external network.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use kube::api::DynamicObject;
use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::exec::{Exec, Place};
use crate::ovn::Ovn;
use crate::process::Process;
use crate::sandbox;
use crate::space::Space;
use crate::wait;

/// How long kube-ovn-controller may take to reconcile anything.
const RECONCILED: Duration = Duration::from_secs(60);
/// How long the default subnets take where nothing holds them up.
const UNDISTURBED: Duration = Duration::from_secs(10);

/// Definitions of KubeVirt's kinds, with open schemas.
const KUBEVIRT: &str = include_str!("../manifests/kubevirt-crds.yaml");
/// The gateway node and Kube-OVN's gateway settings.
const GATEWAY: &str = include_str!("../manifests/gateway.yaml");

/// A running kube-ovn-controller.
#[derive(Debug)]
pub struct KubeOvn {
    process: Process,
}

impl KubeOvn {
    /// Writes the definitions and the gateway's settings to `under`, then starts the controller.
    ///
    /// # Errors
    /// When an object is refused or the process does not start.
    pub async fn start(space: &Space, under: &Cluster, ovn: &Ovn) -> Result<Self> {
        let components = &sandbox::current()?.components;
        let definitions = components.kube_ovn.join("crds.yaml");
        tokio::try_join!(under.apply_path(&definitions), under.apply_yaml(KUBEVIRT))?;
        under.apply_yaml(GATEWAY).await?;
        let kubeconfig = under.admin_kubeconfig().display().to_string();
        let exec = Exec::new(Place::Root, "/run/components/kube-ovn/kube-ovn-controller")
            .arg(format!("--kubeconfig={kubeconfig}"))
            .arg(format!("--ovn-nb-addr={}", ovn.northbound().tcp()))
            .arg(format!("--ovn-sb-addr={}", ovn.southbound()?.tcp()))
            .args(["--default-cidr=10.16.0.0/16", "--default-gateway=10.16.0.1"])
            .args(["--node-switch-cidr=100.64.0.0/16", "--service-cluster-ip-range=10.96.0.0/16"])
            .args(["--enable-metrics=false"])
            .arg(format!("--pprof-port={}", crate::space::port()))
            // A client inside ignores --kubeconfig.
            .env("KUBECONFIG", kubeconfig)
            .env("POD_NAME", "kube-ovn-controller-0")
            .env("POD_NAMESPACE", "kube-system")
            .env("KUBE_NAMESPACE", "kube-system")
            .env("KUBE_NODE_NAME", crate::chassis::GATEWAY)
            .env("POD_IP", "127.0.0.1")
            .env("POD_IPS", "127.0.0.1");
        let log = space.dir().join("kube-ovn-controller.log");
        Ok(Self { process: Process::start("kube-ovn-controller", exec, log)? })
    }

    /// Waits until the controller made its default subnets, then writes the external network and
    /// waits for it. Subnets and VPCs share single workers that sleep a second for each new object:
    /// what is written earlier holds the default subnets up, and the controller with them.
    ///
    /// # Errors
    /// When it does not for 60 s, with the end of its log.
    pub async fn initialize(&self, under: &Cluster, external: &[Value]) -> Result<()> {
        let api = under.api("kubeovn.io/v1", "Subnet", "").await?;
        let ready_within = async |name, deadline| {
            wait::for_object(&api, name, "to be ready", deadline, is_ready)
                .await
                .with_context(|| format!("log: {}", self.process.last_lines(10)))
        };
        let ready = async |name| ready_within(name, RECONCILED).await;
        // The default VPC may read the gateway's settings at once: then it waits for the external
        // subnet, and the default subnets wait for the VPC.
        if ready_within("ovn-default", UNDISTURBED).await.is_ok() {
            ready("join").await?;
        }
        for object in external {
            under.apply(object).await?;
        }
        for name in ["ovn-default", "join", "external"] {
            ready(name).await?;
        }
        Ok(())
    }

    /// The controller's process.
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// Kills the controller (SIGKILL) and starts it again. The next instance waits for the Lease
    /// of the killed one: see [`wait_ready`](Self::wait_ready).
    ///
    /// # Errors
    /// When the process does not end or start.
    pub async fn restart(&self) -> Result<()> {
        self.process.kill().await?;
        self.process.start_again()
    }

    /// Waits until the controller reconciles: an OvnEip made for that becomes ready and is removed.
    ///
    /// # Errors
    /// When it does not for 60 s.
    pub async fn wait_ready(&self, under: &Cluster) -> Result<()> {
        let api = under.api("kubeovn.io/v1", "OvnEip", "").await?;
        let name = "lab-readiness";
        under
            .apply(&json!({
                "apiVersion": "kubeovn.io/v1", "kind": "OvnEip",
                "metadata": {"name": name},
                "spec": {"externalSubnet": "external", "type": "nat"},
            }))
            .await?;
        wait::for_object(&api, name, "kube-ovn-controller to reconcile it", RECONCILED, |eip| {
            eip.data.pointer("/status/ready") == Some(&Value::Bool(true))
        })
        .await?;
        api.delete(name, &kube::api::DeleteParams::default()).await?;
        wait::for_absence(&api, name, RECONCILED).await
    }
}

fn is_ready(object: &DynamicObject) -> bool {
    let conditions = object.data.pointer("/status/conditions").and_then(Value::as_array);
    conditions.into_iter().flatten().any(|condition| {
        condition.get("type") == Some(&json!("Ready"))
            && condition.get("status") == Some(&json!("True"))
    })
}

/// Creates an OvnEip on the external subnet and returns its address.
///
/// # Errors
/// When it does not become ready.
pub async fn create_ovn_eip(under: &Cluster, name: &str) -> Result<std::net::Ipv4Addr> {
    let api = under.api("kubeovn.io/v1", "OvnEip", "").await?;
    under
        .apply(&json!({
            "apiVersion": "kubeovn.io/v1", "kind": "OvnEip",
            "metadata": {"name": name},
            "spec": {"externalSubnet": "external", "type": "nat"},
        }))
        .await?;
    wait::until(&format!("OvnEip {name} to be ready"), RECONCILED, || async {
        let eip = api.get(name).await?;
        let status = eip.data.get("status").context("no status")?;
        match (status.get("ready"), status.get("v4Ip").and_then(Value::as_str)) {
            (Some(Value::Bool(true)), Some(address)) if !address.is_empty() => Ok(address.parse()?),
            _ => bail!("{status}"),
        }
    })
    .await
}
