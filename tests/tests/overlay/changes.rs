//! Every change of a live Service reaches its row and its traffic.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use anyhow::{Context as _, Result, bail, ensure};
use k8s_openapi::api::core::v1::{Node, Service};
use kube::Api;
use kube::api::{Patch, PatchParams};
use lab::builders::service;
use lab::overlay::Tenant;
use lab::{Lab, traffic, wait};
use serde_json::{Value, json};

use crate::bed::{self, Bed, SOON};
use crate::seen;

const KEY: &str = "a/default/web";
const EXCLUDE: &str = "node.kubernetes.io/exclude-from-external-load-balancers";
const TO_BE_DELETED: &str = "ToBeDeletedByClusterAutoscaler";

/// One Service of one tenant, and the address it got.
struct Web<'a> {
    lab: &'a Lab,
    tenant: &'a Tenant,
    eip: Ipv4Addr,
}

pub(crate) async fn overlay_changes_reach_the_live_row() -> Result<()> {
    let bed = Bed::start(1).await?;
    let lab = &bed.lab;
    // The address has to outlast the time the Service is no load balancer.
    lab.under().apply(&bed::pool(600)).await?;
    let tenant = lab.tenant("a")?;
    tenant.add_pod("web-1", "vm1", &[("app", "web")]).await?;
    let eip = bed::create(tenant, &service("web").port(80).build()).await?;
    let web = Web { lab, tenant, eip };
    web.is_served_by(80, &["vm1", "vm2"]).await?;
    web.port_and_node_port_change().await?;
    web.policy_and_endpoints_change().await?;
    web.nodes_come_and_go().await?;
    web.nodes_are_left_out_and_taken_back().await?;
    web.a_udp_port_comes_and_goes().await?;
    web.the_last_endpoint_goes_and_returns().await?;
    web.the_type_changes_and_returns().await
}

impl Web<'_> {
    async fn port_and_node_port_change(&self) -> Result<()> {
        self.patch(json!({"spec": {"ports": [port("TCP", 8080)]}})).await?;
        self.is_served_by(8080, &["vm1", "vm2"]).await?;
        self.is_published(json!([{"port": 8080, "protocol": "TCP"}])).await?;
        seen::closed(self.lab.near(), self.eip, 80).await?;

        let moved =
            json!({"name": "tcp-8080", "port": 8080, "targetPort": 8080, "nodePort": 31500});
        self.patch(json!({"spec": {"ports": [moved]}})).await?;
        self.row_holds("tcp", 8080, 31500, &["vm1", "vm2"]).await?;
        self.is_served_by(8080, &["vm1", "vm2"]).await
    }

    async fn policy_and_endpoints_change(&self) -> Result<()> {
        self.policy("Local").await?;
        self.is_served_by(8080, &["vm1"]).await?;
        self.pod_sees_the_client(true).await?;

        self.tenant.add_pod("web-2", "vm2", &[("app", "web")]).await?;
        self.is_served_by(8080, &["vm1", "vm2"]).await?;
        self.tenant.remove_pod("web-1").await?;
        self.is_served_by(8080, &["vm2"]).await?;
        self.pod_sees_the_client(true).await?;

        self.policy("Cluster").await?;
        self.is_served_by(8080, &["vm1", "vm2"]).await?;
        self.pod_sees_the_client(false).await
    }

    async fn nodes_come_and_go(&self) -> Result<()> {
        let vm3 = self.tenant.add_vm().await?;
        self.is_served_by(8080, &["vm1", "vm2", vm3.name()]).await?;
        self.tenant.remove_vm(vm3.name()).await?;
        self.is_served_by(8080, &["vm1", "vm2"]).await
    }

    async fn nodes_are_left_out_and_taken_back(&self) -> Result<()> {
        let all = ["vm1", "vm2"];
        self.node("vm1", json!({"metadata": {"labels": {EXCLUDE: ""}}})).await?;
        self.is_served_by(8080, &["vm2"]).await?;
        self.node("vm1", json!({"metadata": {"labels": {EXCLUDE: "false"}}})).await?;
        self.is_served_by(8080, &all).await?;

        let taint = json!([{"key": TO_BE_DELETED, "effect": "NoSchedule"}]);
        self.node("vm1", json!({"spec": {"taints": taint}})).await?;
        self.is_served_by(8080, &["vm2"]).await?;
        self.node("vm1", json!({"spec": {"taints": null}})).await?;
        self.is_served_by(8080, &all).await?;

        self.tenant.set_node_ready("vm1", false).await?;
        self.is_served_by(8080, &["vm2"]).await?;
        // Never all of them: without a ready node, those that are not serve on.
        self.tenant.set_node_ready("vm2", false).await?;
        self.is_served_by(8080, &all).await?;
        for vm in all {
            self.tenant.set_node_ready(vm, true).await?;
        }
        self.is_served_by(8080, &all).await?;

        self.tenant.vm("vm1").await?.set_phase("Failed").await?;
        self.is_served_by(8080, &["vm2"]).await?;
        self.tenant.vm("vm1").await?.set_phase("Running").await?;
        self.is_served_by(8080, &all).await
    }

    async fn a_udp_port_comes_and_goes(&self) -> Result<()> {
        self.patch(json!({"spec": {"ports": [port("TCP", 8080), port("UDP", 53)]}})).await?;
        self.is_served_by(8080, &["vm1", "vm2"]).await?;
        let node_port = self.node_port(53).await?;
        self.row_holds("udp", 53, node_port, &["vm1", "vm2"]).await?;
        for client in [self.lab.near(), self.lab.far()] {
            let asked = || traffic::udp(client, self.eip, 53);
            let answer = wait::until("an answer by UDP", SOON, asked).await?;
            ensure!(answer.pod == "web-2", "{answer:?}");
        }
        let both = json!([{"port": 53, "protocol": "UDP"}, {"port": 8080, "protocol": "TCP"}]);
        self.is_published(both).await?;

        self.patch(json!({"spec": {"ports": [port("TCP", 8080)]}})).await?;
        seen::vips_become(self.lab, KEY, "udp", &[]).await?;
        self.is_published(json!([{"port": 8080, "protocol": "TCP"}])).await?;
        let to = (self.eip, 53).into();
        let patience = std::time::Duration::from_millis(300);
        wait::until("UDP to be closed", SOON, || async {
            match traffic::udp_within(self.lab.near(), to, patience).await {
                Ok(answer) => bail!("{answer:?}"),
                Err(_) => Ok(()),
            }
        })
        .await?;
        self.is_served_by(8080, &["vm1", "vm2"]).await
    }

    async fn the_last_endpoint_goes_and_returns(&self) -> Result<()> {
        self.tenant.remove_pod("web-2").await?;
        self.is_refused_at_once().await?;
        // kube-proxy of any node refuses: the row stays as it is.
        self.row_is_for(8080, &["vm1", "vm2"]).await?;
        self.policy("Local").await?;
        self.row_is_for(8080, &[]).await?;
        self.is_refused_at_once().await?;
        seen::events_come(self.tenant, "web", &["UnAvailableLoadBalancer"]).await?;

        self.tenant.add_pod("web-3", "vm1", &[("app", "web")]).await?;
        self.is_served_by(8080, &["vm1"]).await?;
        self.policy("Cluster").await?;
        self.is_served_by(8080, &["vm1", "vm2"]).await
    }

    async fn the_type_changes_and_returns(&self) -> Result<()> {
        self.patch(json!({"spec": {"type": "ClusterIP"}})).await?;
        seen::withdrawn(self.lab, KEY).await?;
        seen::closed(self.lab.near(), self.eip, 8080).await?;
        let clean = |service: &Service| {
            let status = service.status.as_ref();
            bed::published(service).is_none()
                && service.metadata.finalizers.iter().flatten().next().is_none()
                && status.and_then(|s| s.conditions.as_ref()).is_none_or(Vec::is_empty)
        };
        let api = bed::services(self.tenant);
        wait::for_object(&api, "web", "to hold nothing of ours", SOON, clean).await?;

        self.patch(json!({"spec": {"type": "LoadBalancer"}})).await?;
        let again = bed::address(self.tenant, "web").await?;
        ensure!(again == self.eip, "{again} instead of {}", self.eip);
        self.is_served_by(8080, &["vm1", "vm2"]).await
    }

    /// The row, traffic from both clients and what reaches which machine agree with each other.
    async fn is_served_by(&self, port: u16, vms: &[&str]) -> Result<()> {
        self.row_is_for(port, vms).await?;
        let node_port = self.node_port(port.into()).await?;
        let expected: BTreeSet<String> = vms.iter().map(|vm| (*vm).to_owned()).collect();
        for client in [self.lab.near(), self.lab.far()] {
            let what = format!("{} to reach {expected:?} alone", client.address());
            wait::until(&what, SOON, || async {
                let reached = seen::reached(self.tenant, client, self.eip, port, node_port).await?;
                ensure!(reached == expected, "{reached:?}");
                Ok(())
            })
            .await?;
        }
        Ok(())
    }

    async fn row_is_for(&self, port: u16, vms: &[&str]) -> Result<()> {
        let node_port = self.node_port(port.into()).await?;
        self.row_holds("tcp", port, node_port, vms).await
    }

    async fn row_holds(
        &self,
        protocol: &str,
        port: u16,
        node_port: u16,
        vms: &[&str],
    ) -> Result<()> {
        let targets = seen::targets(self.tenant, vms, node_port).await?;
        let vips = [(format!("{}:{port}", self.eip), targets)];
        seen::vips_become(self.lab, KEY, protocol, &vips).await
    }

    /// The status names these ports.
    async fn is_published(&self, ports: Value) -> Result<()> {
        let told = |service: &Service| {
            let status = serde_json::to_value(&service.status).unwrap_or_default();
            status.pointer("/loadBalancer/ingress/0/ports") == Some(&ports)
        };
        let api = bed::services(self.tenant);
        let what = format!("to name ports {ports}");
        wait::for_object(&api, "web", &what, SOON, told).await.map(|_| ())
    }

    async fn pod_sees_the_client(&self, sees: bool) -> Result<()> {
        let client = self.lab.far();
        let answer = traffic::get(client, &format!("http://{}:8080/", self.eip)).await?;
        ensure!((answer.client_address.ip() == client.address()) == sees, "{answer:?}");
        Ok(())
    }

    /// A connection is refused, rather than left to wait.
    async fn is_refused_at_once(&self) -> Result<()> {
        let url = format!("http://{}:8080/", self.eip);
        wait::until(&format!("{url} to refuse"), SOON, || async {
            let error = match traffic::get(self.lab.near(), &url).await {
                Ok(answer) => bail!("{answer:?}"),
                Err(error) => format!("{error:#}"),
            };
            ensure!(error.contains("refused"), "{error}");
            Ok(())
        })
        .await
    }

    async fn node_port(&self, port: i32) -> Result<u16> {
        let service = bed::services(self.tenant).get("web").await?;
        seen::node_port(&service, port).with_context(|| format!("{:?}", service.spec))
    }

    async fn policy(&self, policy: &str) -> Result<()> {
        self.patch(json!({"spec": {"externalTrafficPolicy": policy}})).await
    }

    async fn patch(&self, patch: Value) -> Result<()> {
        let api = bed::services(self.tenant);
        api.patch("web", &PatchParams::default(), &Patch::Merge(&patch)).await?;
        Ok(())
    }

    async fn node(&self, name: &str, patch: Value) -> Result<()> {
        let api: Api<Node> = Api::all(self.tenant.cluster().client());
        api.patch(name, &PatchParams::default(), &Patch::Merge(&patch)).await?;
        Ok(())
    }
}

fn port(protocol: &str, port: u16) -> Value {
    let name = format!("{}-{port}", protocol.to_lowercase());
    json!({"name": name, "protocol": protocol, "port": port, "targetPort": 8080})
}
