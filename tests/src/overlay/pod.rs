//! A tenant's pod: a namespace behind its VM with a server that says who it is.

use std::net::IpAddr;

use anyhow::Result;
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams};

use super::objects;
use super::vm::Vm;
use crate::netns::{Host, Netns};
use crate::traffic::WhoAmI;
use crate::wait;

/// The port every pod serves, TCP and UDP.
pub const POD_PORT: u16 = 8080;

/// The address of a machine on the link of each of its pods.
const GATEWAY6: &str = "fe80::1";

/// A running pod.
pub struct Pod {
    name: String,
    namespace: String,
    node: String,
    node_addresses: Vec<IpAddr>,
    client: kube::Client,
    _server: WhoAmI,
    host: Host,
}

/// What a pod is to be.
pub(super) struct Wanted<'a> {
    pub(super) namespace: &'a str,
    pub(super) name: &'a str,
    pub(super) labels: &'a [(&'a str, &'a str)],
    /// Name of the pod's network namespace.
    pub(super) netns: String,
    /// Number of the pod on its VM, from 2.
    pub(super) index: u8,
}

impl Pod {
    pub(super) async fn start(client: kube::Client, vm: &Vm, wanted: Wanted<'_>) -> Result<Self> {
        let address = vm.pod_address(wanted.index);
        let gateway = vm.pod_address(1);
        let netns = Netns::new(wanted.netns).await?;
        let link = format!("pod{}", wanted.index);
        netns.connect("eth0", vm.host().netns(), &link).await?;
        let inside = format!(
            "address add {address}/32 dev eth0
             route add {gateway} dev eth0
             route add default via {gateway} dev eth0"
        );
        let outside = format!(
            "address add {gateway}/32 dev {link}
             route add {address} dev {link}"
        );
        tokio::try_join!(netns.ip(&inside), vm.host().netns().ip(&outside))?;
        let v6 = vm.pod_v6(wanted.index);
        if let Some(v6) = v6 {
            // Every link of the machine has the same address for its pod's default route.
            let inside = format!(
                "address add {v6}/128 dev eth0 nodad
                 route add default via {GATEWAY6} dev eth0"
            );
            let outside = format!(
                "address add {GATEWAY6}/64 dev {link} nodad
                 route add {v6} dev {link}"
            );
            tokio::try_join!(netns.ip(&inside), vm.host().netns().ip(&outside))?;
        }
        let server = WhoAmI::start(&netns, POD_PORT, wanted.name, vm.name())?;
        let pod = Self {
            name: wanted.name.to_owned(),
            namespace: wanted.namespace.to_owned(),
            node: vm.name().to_owned(),
            node_addresses: vm.host().addresses(),
            client,
            _server: server,
            host: Host::new(netns, address).with_v6(v6),
        };
        let object = objects::pod(&pod.namespace, &pod.name, &pod.node, wanted.labels);
        let params = PatchParams::apply("lab").force();
        pod.api().patch(&pod.name, &params, &Patch::Apply(&object)).await?;
        pod.set_ready(true).await?;
        Ok(pod)
    }

    /// The pod's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The node the pod runs on.
    pub fn node(&self) -> &str {
        &self.node
    }

    /// The pod as a client: its namespace and address.
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// Reports the pod ready or not ready; its server answers all the same.
    ///
    /// # Errors
    /// When the tenant's API server refuses it.
    pub async fn set_ready(&self, ready: bool) -> Result<()> {
        let status = objects::pod_status(&self.host.addresses(), &self.node_addresses, ready);
        let params = PatchParams::default();
        self.api().patch_status(&self.name, &params, &Patch::Strategic(&status)).await?;
        Ok(())
    }

    /// Begins the pod's end: it is terminating, serves on, and stays until it is removed.
    ///
    /// # Errors
    /// When the tenant's API server refuses it.
    pub async fn terminate(&self) -> Result<()> {
        self.api().delete(&self.name, &DeleteParams::default()).await?;
        Ok(())
    }

    /// Deletes the pod's object at once.
    pub(super) async fn delete(&self) -> Result<()> {
        self.api().delete(&self.name, &DeleteParams::default().grace_period(0)).await?;
        wait::for_absence(&self.api(), &self.name, std::time::Duration::from_secs(10)).await
    }

    fn api(&self) -> Api<k8s_openapi::api::core::v1::Pod> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }
}
