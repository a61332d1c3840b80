//! The manifests, and the YAML in the documents, are accepted by a real API server.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail, ensure};
use lab::cluster::{Cluster, Controllers};
use lab::space::Space;
use lab::{harness, tests};
use serde_json::{Value, json};

fn main() -> ExitCode {
    harness::run(tests![
        manifests_and_documents_are_accepted,
        what_cannot_be_right_is_refused_at_admission,
    ])
}

async fn manifests_and_documents_are_accepted() -> Result<()> {
    let cluster = Cluster::start(&Space::new()?, "manifests", Controllers::None).await?;
    let manifests = repository().join("manifests");
    cluster.apply_path(&manifests.join("crds")).await?;
    for file in [
        "rbac.yaml",
        "deployment.yaml",
        "ccm-proxy-rbac.yaml",
        "ccm-proxy.yaml",
        "in-cluster-rbac.yaml",
        "tenant-rbac.yaml",
        "tenant-rbac-namespaces.yaml",
    ] {
        cluster.apply_path(&manifests.join(file)).await?;
    }
    cluster.apply_path_in(&manifests.join("tenant-namespace.yaml"), "default").await?;
    cluster.apply_path_in(&manifests.join("tenant-metallb.yaml"), "default").await?;
    for document in ["docs/operations.md", "docs/tenants.md", "docs/addresses.md", "docs/vlan.md"] {
        let text = std::fs::read_to_string(repository().join(document))?;
        let blocks = blocks(&text);
        ensure!(!blocks.is_empty(), "{document} shows no YAML");
        for block in blocks {
            cluster.apply_yaml(block).await.with_context(|| format!("{document}:\n{block}"))?;
        }
    }
    Ok(())
}

/// Specs of an `AddressPool`, and what the refusal names; nothing where it is accepted.
fn pools() -> Vec<(Value, Option<&'static str>)> {
    let addresses = |addresses: &[&str]| json!({"addresses": addresses});
    vec![
        (json!({"ovnSubnet": "external"}), None),
        (addresses(&["198.51.100.0/24", "203.0.113.5-203.0.113.9", "2001:db8::/64"]), None),
        (addresses(&["203.0.113.5 - 203.0.113.9", "203.0.113.20"]), None),
        (json!({}), Some("exactly one of spec.addresses and spec.ovnSubnet")),
        (
            json!({"ovnSubnet": "external", "addresses": ["203.0.113.5"]}),
            Some("exactly one of spec.addresses and spec.ovnSubnet"),
        ),
        (json!({"ovnSubnet": ""}), Some("must name a Kube-OVN Subnet")),
        (addresses(&[]), Some("spec.addresses")),
        (addresses(&["web"]), Some("each must be an IP address, first-last or a CIDR")),
        (addresses(&["203.0.113.5-x"]), Some("each must be an IP address")),
        (addresses(&["203.0.113.5-2001:db8::1"]), Some("of one family")),
        (addresses(&["203.0.113.7/24"]), Some("host bits")),
        (addresses(&["0.0.0.0/0"]), Some("/0")),
        (addresses(&["::/0"]), Some("/0")),
        (addresses(&["224.0.0.0/24"]), Some("multicast")),
        (addresses(&["127.0.0.1"]), Some("loopback")),
        (addresses(&["169.254.1.0-169.254.1.9"]), Some("link-local")),
        (addresses(&["fe80::/64"]), Some("link-local")),
        (addresses(&["255.255.255.255"]), Some("broadcast")),
        (json!({"addresses": ["203.0.113.5"], "excludes": ["x"]}), Some("spec.excludes")),
        (json!({"addresses": ["203.0.113.5"], "tenants": {}}), Some("names or selector")),
        (json!({"addresses": ["203.0.113.5"], "quarantineSeconds": -1}), Some("quarantineSeconds")),
        (json!({"addresses": ["203.0.113.5"], "drains": true}), Some("drains")),
    ]
}

/// Names and specs of an `Eip`, and what the refusal names.
fn eips() -> Vec<(&'static str, Value, Option<&'static str>)> {
    let of = |address: &str| json!({"address": address, "tenant": {"name": "a"}, "reserved": true});
    vec![
        ("203.0.113.10", of("203.0.113.10"), None),
        ("2001-0db8-0000-0000-0000-0000-0000-0001", of("2001:db8::1"), None),
        ("203.0.113.11", of("203.0.113.12"), Some("metadata.name must be the address")),
        ("web", of("203.0.113.12"), Some("metadata.name must be the address")),
        ("2001-db8--1", of("2001:db8::1"), Some("metadata.name must be the address")),
        ("2001-0db8-0000-0000-0000-0000-0000-0002", of("2001:0db8::2"), Some("canonical")),
        (
            "203.0.113.13",
            json!({"address": "203.0.113.13", "tenant": {"name": "a"}, "reserved": true, "keep": true}),
            Some("a reserved Eip stays anyway"),
        ),
    ]
}

/// Specs of a `TenantCluster`, and what the refusal names.
fn tenants() -> Vec<(Value, Option<&'static str>)> {
    let of = |fields: Value| {
        let mut spec = json!({
            "kubeconfig": {"secretRef": {"namespace": "a", "name": "a"}},
            "backends": {"namespace": "a"},
        });
        if let (Some(spec), Value::Object(fields)) = (spec.as_object_mut(), fields) {
            spec.extend(fields);
        }
        spec
    };
    let vlan = |field: &str, value: Value| {
        let mut vlan = json!({
            "cidrs": ["10.205.0.0/24"], "gateway": "10.205.0.1", "subnets": ["a"],
            "interfaces": [{"name": "vlan205"}],
        });
        if let Some(fields) = vlan.as_object_mut() {
            fields.insert(field.to_owned(), value);
        }
        of(json!({"mode": "Vlan", "vlan": vlan}))
    };
    vec![
        (of(json!({})), None),
        (vlan("id", json!(205)), None),
        (of(json!({"mode": "Vlan"})), Some("spec.vlan must be set with mode Vlan")),
        (
            of(
                json!({"vlan": {"cidrs": ["10.0.0.0/8"], "subnets": ["a"], "interfaces": [{"name": "x"}]}}),
            ),
            Some("spec.vlan must be set with mode Vlan, and with no other"),
        ),
        (vlan("id", json!(4_095)), Some("spec.vlan.id")),
        (vlan("cidrs", json!(["10.205.0.1/24"])), Some("without host bits")),
        (vlan("cidrs", json!(["0.0.0.0/0"])), Some("without host bits")),
        (vlan("cidrs", json!([])), Some("spec.vlan.cidrs")),
        (vlan("gateway", json!("router")), Some("must be an IP address")),
        (vlan("gateway", json!("10.205.0.1,2001:db8::1")), None),
        (vlan("interfaces", json!([])), Some("spec.vlan.interfaces")),
        (vlan("interfaces", json!([{"name": "an-interface-name"}])), Some("spec.vlan.interfaces")),
        (vlan("subnets", json!([])), Some("spec.vlan.subnets")),
        (in_cluster(json!({})), None),
        (
            in_cluster(json!({"kubeconfig": {"secretRef": {"namespace": "a", "name": "a"}}})),
            Some("spec.kubeconfig must be set, unless spec.inCluster is"),
        ),
        (
            in_cluster(json!({"backends": {"namespace": "a"}})),
            Some("spec.backends.namespace must be set, unless spec.inCluster is"),
        ),
        (in_cluster(json!({"mode": "Overlay"})), Some("spec.inCluster takes mode Vlan")),
        (
            in_cluster(json!({"inCluster": false})),
            Some("spec.kubeconfig must be set, unless spec.inCluster is"),
        ),
    ]
}

/// The spec of the under cluster as a tenant, with these fields.
fn in_cluster(fields: Value) -> Value {
    let mut spec = json!({
        "inCluster": true, "mode": "Vlan",
        "vlan": {"cidrs": ["10.205.0.0/24"], "interfaces": [{"name": "eth0"}]},
    });
    if let (Some(spec), Value::Object(fields)) = (spec.as_object_mut(), fields) {
        spec.extend(fields);
    }
    spec
}

async fn what_cannot_be_right_is_refused_at_admission() -> Result<()> {
    let cluster = Cluster::start(&Space::new()?, "admission", Controllers::None).await?;
    cluster.apply_path(&repository().join("manifests/crds")).await?;
    let object = |kind: &str, name: &str, spec: &Value| {
        json!({
            "apiVersion": "cloud-provider-ovn.io/v1alpha1", "kind": kind,
            "metadata": {"name": name}, "spec": spec,
        })
    };
    for (number, (spec, refusal)) in pools().into_iter().enumerate() {
        let pool = object("AddressPool", &format!("pool-{number}"), &spec);
        judged(cluster.apply(&pool).await, refusal)
            .with_context(|| format!("AddressPool {spec}"))?;
    }
    for (name, spec, refusal) in eips() {
        let eip = object("Eip", name, &spec);
        judged(cluster.apply(&eip).await, refusal).with_context(|| format!("Eip {name} {spec}"))?;
    }
    for (number, (spec, refusal)) in tenants().into_iter().enumerate() {
        let tenant = object("TenantCluster", &format!("tenant-{number}"), &spec);
        judged(cluster.apply(&tenant).await, refusal)
            .with_context(|| format!("TenantCluster {spec}"))?;
    }
    let to_vlan = object("TenantCluster", "tenant-0", &tenants().swap_remove(1).0);
    let changed = [
        (to_vlan, "does not change to or from mode Vlan"),
        (object("AddressPool", "pool-0", &json!({"ovnSubnet": "other"})), "keeps its ovnSubnet"),
        (
            object("AddressPool", "pool-0", &json!({"addresses": ["203.0.113.5"]})),
            "keeps its ovnSubnet",
        ),
        (
            object(
                "Eip",
                "203.0.113.10",
                &json!({"address": "203.0.113.10", "tenant": {"name": "b"}, "reserved": true}),
            ),
            "keeps its tenant",
        ),
        (
            object(
                "Eip",
                "203.0.113.10",
                &json!({"address": "203.0.113.10", "tenant": {"name": "a"}, "reserved": false}),
            ),
            "stays reserved",
        ),
    ];
    for (object, refusal) in changed {
        let text = object.to_string();
        judged(cluster.apply(&object).await, Some(refusal)).with_context(|| text)?;
    }
    Ok(())
}

/// Holds an answer against what it is to be: accepted, or refused with these words.
fn judged<T>(answer: Result<T>, refusal: Option<&str>) -> Result<()> {
    match (answer, refusal) {
        (Ok(_), None) => Ok(()),
        (Ok(_), Some(words)) => bail!("accepted, though {words:?}"),
        (Err(error), None) => Err(error.context("refused")),
        (Err(error), Some(words)) => {
            let text = format!("{error:#}");
            ensure!(text.contains(words), "{words:?} is not in: {text}");
            Ok(())
        }
    }
}

/// The blocks of a Markdown text that are marked as YAML.
fn blocks(text: &str) -> Vec<&str> {
    let rest = text.split("\n```yaml\n").skip(1);
    rest.filter_map(|rest| rest.split("\n```").next()).collect()
}

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}
