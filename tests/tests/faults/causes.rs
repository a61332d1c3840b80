//! What can stand against a Service: how it is produced with the means of an operator, and undone.

use std::net::Ipv4Addr;

use anyhow::{Context as _, Result};
use kube::api::{DeleteParams, Patch, PatchParams};
use lab::Lab;
use lab::overlay::Tenant;
use serde_json::{Value, json};

/// What a cause does to a Service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Severity {
    /// Nothing new is programmed, and what is programmed answers.
    Refused,
    /// Nothing new is programmed; what is programmed stays, but the network itself is cut.
    RefusedAndCut,
    /// It is served, and the limitation is told.
    Warned,
    /// It is served without anybody to answer.
    Unserved,
}

/// One cause.
pub(crate) struct Cause {
    pub(crate) reason: &'static str,
    /// The Event's reason, where upstream has a word of its own.
    pub(crate) event: &'static str,
    pub(crate) severity: Severity,
    pub(crate) make: Vec<Step>,
    pub(crate) mend: Vec<Step>,
}

/// One thing an operator does.
pub(crate) enum Step {
    /// `ovn-nbctl` with these words.
    Northbound(String),
    /// Write an object of the under cluster.
    Apply(Value),
    /// Delete one: version, kind, namespace, name.
    Remove([String; 4]),
    /// Write a Node of the tenant.
    ApplyNode(Value),
    /// Delete a Node of the tenant.
    RemoveNode(String),
    /// Pin the tenant to its VPC, or to none.
    Pin(bool),
}

impl Step {
    pub(crate) async fn take(&self, lab: &Lab, tenant: &Tenant) -> Result<()> {
        match self {
            Self::Northbound(words) => {
                lab.nb(words.split_whitespace()).await?;
            }
            Self::Apply(object) => {
                lab.under().apply(object).await?;
            }
            Self::Remove([version, kind, namespace, name]) => {
                let api = lab.under().api(version, kind, namespace).await?;
                api.delete(name, &DeleteParams::default()).await?;
            }
            Self::ApplyNode(node) => {
                tenant.cluster().apply(node).await?;
            }
            Self::RemoveNode(name) => {
                let api = tenant.cluster().api("v1", "Node", "").await?;
                api.delete(name, &DeleteParams::default()).await?;
            }
            Self::Pin(pinned) => {
                let vpc = pinned.then(|| tenant.vpc());
                let patch = Patch::Merge(json!({"spec": {"overlay": {"vpc": vpc}}}));
                let version = "cloud-provider-ovn.io/v1alpha1";
                let api = lab.under().api(version, "TenantCluster", "").await?;
                api.patch(tenant.name(), &PatchParams::default(), &patch).await?;
            }
        }
        Ok(())
    }
}

fn northbound(commands: &[String]) -> Vec<Step> {
    commands.iter().cloned().map(Step::Northbound).collect()
}

fn refused(reason: &'static str, make: &[String], mend: &[String]) -> Cause {
    let (make, mend) = (northbound(make), northbound(mend));
    Cause { reason, event: reason, severity: Severity::Refused, make, mend }
}

/// What can be wrong with the router itself.
pub(crate) async fn of_the_router(lab: &Lab, tenant: &Tenant) -> Result<Vec<Cause>> {
    let (router, port) = (tenant.vpc(), format!("{}-external", tenant.vpc()));
    let networks = ["--bare", "get", "Logical_Router_Port", port.as_str(), "networks"];
    let networks = lab.nb(networks).await?.trim().trim_matches(['[', ']', '"']).to_owned();
    let chassis = lab.nb(["lrp-get-gateway-chassis", port.as_str()]).await?;
    let priority = chassis.split_whitespace().nth(1).context("no gateway chassis")?.to_owned();
    let twin = "6f0f4f6e-5d2c-4b7e-9a51-1d1e0c0b0a01";
    let cut = |cause: Cause| Cause { severity: Severity::RefusedAndCut, ..cause };
    Ok(vec![
        refused(
            "RouterNotFound",
            &[format!("set Logical_Router {router} name=elsewhere")],
            &[format!("set Logical_Router elsewhere name={router}")],
        ),
        refused(
            "RouterNotFound",
            &[format!("set Logical_Router {router} external_ids:vendor=somebody")],
            &[format!("set Logical_Router {router} external_ids:vendor=kube-ovn")],
        ),
        refused(
            "RouterAmbiguous",
            &[format!("--id={twin} create Logical_Router name={router}")],
            &[format!("destroy Logical_Router {twin}")],
        ),
        cut(refused(
            "NoGatewayPort",
            &[format!("lrp-del-gateway-chassis {port} gw1")],
            &[format!("lrp-set-gateway-chassis {port} gw1 {priority}")],
        )),
        cut(refused(
            "EIPNotOnRouter",
            &[format!("set Logical_Router_Port {port} networks=192.0.2.1/24")],
            &[format!("set Logical_Router_Port {port} networks=\"{networks}\"")],
        )),
    ])
}

/// What can be in the way beside a sound router. `held` are the addresses in question, and
/// `backends` what their port 80 leads to.
pub(crate) fn beside_the_router(
    tenant: &Tenant,
    held: [Ipv4Addr; 2],
    backends: &str,
) -> Vec<Cause> {
    let router = tenant.vpc();
    let foreign = held.map(|eip| format!("--may-exist lb-add foreign {eip}:80 {backends}"));
    let [first, second] = foreign;
    let nat =
        held.map(|eip| format!("lr-nat-add {router} snat {eip} 192.0.2.{}/32", eip.octets()[3]));
    let nat_gone =
        held.map(|eip| format!("lr-nat-del {router} snat 192.0.2.{}/32", eip.octets()[3]));
    let second_port = format!("{router}-second");
    vec![
        refused(
            "MultiDGPUnsupported",
            &[
                format!("lrp-add {router} {second_port} 00:00:5e:00:53:01 192.0.2.1/24"),
                format!("lrp-set-gateway-chassis {second_port} gw1 100"),
            ],
            &[format!("lrp-del {second_port}")],
        ),
        Cause {
            severity: Severity::Warned,
            ..refused(
                "ReturnPathMissing",
                &[format!("lr-policy-add {router} 200 ip4.src==10.0.0.0/24 allow")],
                &[format!("lr-policy-del {router} 200")],
            )
        },
        refused(
            "EIPPortConflict",
            &[first, second, format!("lr-lb-add {router} foreign")],
            &["lb-del foreign".to_owned()],
        ),
        refused("EIPPortConflict", &nat, &nat_gone),
        spanning(tenant),
        foreign_backend(tenant),
        no_nodes(),
    ]
}

/// A node whose machine lies in another VPC, of a tenant that is not pinned to one.
fn spanning(tenant: &Tenant) -> Cause {
    let other = if tenant.name() == "a" { "tenant-b" } else { "tenant-a" };
    let (mut make, mut mend) = stray(tenant, other, "10.0.0.77");
    make.push(Step::Pin(false));
    mend.push(Step::Pin(true));
    let reason = "BackendsSpanVPCs";
    Cause { reason, event: reason, severity: Severity::Refused, make, mend }
}

/// A node whose machine claims an address outside its own subnet.
fn foreign_backend(tenant: &Tenant) -> Cause {
    let (make, mend) = stray(tenant, &tenant.namespace(), "192.0.2.77");
    let reason = "BackendForeign";
    Cause { reason, event: reason, severity: Severity::Warned, make, mend }
}

/// A machine of the tenant's, its address on the under cluster, and its Node.
fn stray(tenant: &Tenant, subnet: &str, address: &str) -> (Vec<Step>, Vec<Step>) {
    let namespace = tenant.namespace();
    let ip = format!("stray.{namespace}");
    let machine = json!({
        "apiVersion": "kubevirt.io/v1", "kind": "VirtualMachine",
        "metadata": {
            "name": "stray", "namespace": namespace,
            "labels": {"cluster.x-k8s.io/cluster-name": tenant.name()},
        },
        "spec": {"running": false, "template": {"spec": {"domain": {"devices": {}}}}},
    });
    let record = json!({
        "apiVersion": "kubeovn.io/v1", "kind": "IP", "metadata": {"name": ip},
        "spec": {
            "podName": "stray", "namespace": namespace, "subnet": subnet,
            "podType": "VirtualMachine", "nodeName": "gw1", "attachIps": [],
            "attachMacs": [], "attachSubnets": [], "containerID": "", "ipAddress": address,
            "v4IpAddress": address, "v6IpAddress": "", "macAddress": "00:00:5e:00:53:77",
        },
    });
    let node = json!({
        "apiVersion": "v1", "kind": "Node", "metadata": {"name": "stray"},
        "spec": {"providerID": "kubevirt://stray"},
    });
    let make = vec![Step::Apply(machine), Step::Apply(record), Step::ApplyNode(node)];
    let gone = |parts: [&str; 4]| Step::Remove(parts.map(str::to_owned));
    let mend = vec![
        Step::RemoveNode("stray".to_owned()),
        gone(["kubeovn.io/v1", "IP", "", &ip]),
        gone(["kubevirt.io/v1", "VirtualMachine", &namespace, "stray"]),
    ];
    (make, mend)
}

/// Every node is labelled out.
fn no_nodes() -> Cause {
    let labelled = |value: &str| {
        let node = |name: &str| {
            Step::ApplyNode(json!({
                "apiVersion": "v1", "kind": "Node",
                "metadata": {"name": name, "labels": {
                    "kubernetes.io/hostname": name, "kubernetes.io/os": "linux",
                    "node.kubernetes.io/exclude-from-external-load-balancers": value,
                }},
                "spec": {"providerID": format!("kubevirt://{name}")},
            }))
        };
        vec![node("vm1"), node("vm2")]
    };
    Cause {
        reason: "NoEligibleNodes",
        event: "UnAvailableLoadBalancer",
        severity: Severity::Unserved,
        make: labelled("true"),
        mend: labelled("false"),
    }
}
