//! Objects with defaults, for tests; and in [`model`] a world that obeys.

mod model;
mod objects;
mod systems;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use cpo_api::{CleanupPolicy, TenantClusterStatus, names};
use pools::{Families, Family};

use crate::ids::{ServiceKey, Uid, Version};
use crate::ovn::{self, LoadBalancer, Router};
use crate::service::{Port, Protocol, PublishedStatus, Service, TrafficPolicy};
use crate::tenant::{Access, TenantSpec};
use crate::time::Now;

pub(crate) use model::Model;
pub(crate) use objects::{
    GATEWAY, POLICY, ROUTER, endpoint, gateway_port, machine, node, only, pool, ranges, row_of,
    seen_from_outside, subnet, under_node, world,
};
pub(crate) use systems::{Applied, apply_edits, apply_effect, kube_ovn, next, ovn_eip};

/// The key of a Service.
pub(crate) fn key(text: &str) -> ServiceKey {
    text.parse().unwrap()
}

/// A moment, this many milliseconds after the tests' beginning of time.
pub(crate) fn at(milliseconds: u64) -> Now {
    let start: jiff::Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
    let mono = Duration::from_millis(milliseconds);
    Now { wall: start + mono, mono }
}

/// The version a number stands for.
pub(crate) fn version(number: u64) -> Version {
    Version::parse(Some(&number.to_string()))
}

/// A tenant `name` whose machines are in namespace `tenant-<name>`.
pub(crate) fn tenant(name: &str) -> TenantSpec {
    TenantSpec {
        name: name.parse().unwrap(),
        uid: Uid::new(&format!("uid-{name}")),
        version: Version::default(),
        generation: 1,
        labels: BTreeMap::new(),
        deleting: false,
        finalizer: false,
        other_finalizers: Vec::new(),
        access: Access::Kubeconfig(crate::tenant::SecretKey {
            namespace: format!("tenant-{name}"),
            name: format!("{name}-kubeconfig"),
            key: "value".into(),
        }),
        created: 0,
        classes: vec![names::DEFAULT_CLASS.into()],
        claim_classless: true,
        pools: Vec::new(),
        vpc: Some(format!("vpc-{name}")),
        subnets: Vec::new(),
        vlan: None,
        machine_namespace: format!("tenant-{name}"),
        machine_labels: [(names::LABEL_CAPI_CLUSTER.to_owned(), name.to_owned())].into(),
        quota: cpo_api::Quota::default(),
        cleanup: CleanupPolicy::Retain,
        suspended: false,
        acknowledged: None,
        status: TenantClusterStatus::default(),
    }
}

/// A Service of type LoadBalancer: TCP 80, nodePort 30080, policy Cluster, our finalizer on it.
pub(crate) fn service() -> Service {
    Service {
        uid: Uid::new("uid-web"),
        version: Version::default(),
        deleting: false,
        finalizer: true,
        load_balancer: true,
        class: None,
        ports: vec![port(Protocol::Tcp, 80, 30080)],
        policy: TrafficPolicy::Cluster,
        affinity: None,
        source_ranges: Vec::new(),
        families: Families::Only(Family::V4),
        first_family: Family::V4,
        selector: "default/app=web".into(),
        load_balancer_ip: None,
        health_check_node_port: None,
        publish_not_ready: false,
        labels: BTreeMap::new(),
        annotations: BTreeMap::new(),
        status: PublishedStatus::default(),
    }
}

/// A port of a Service.
pub(crate) fn port(protocol: Protocol, port: u16, node_port: u16) -> Port {
    Port { name: String::new(), protocol, port, node_port: Some(node_port) }
}

/// A TCP row of ours with one Vip.
pub(crate) fn balancer(key: &str, vip: &str, backends: &str) -> LoadBalancer {
    let pairs = |pairs: &[(&str, &str)]| {
        pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    };
    let owner = format!("uid-{key}/tcp");
    LoadBalancer {
        name: "cloud-provider-ovn".into(),
        protocol: Protocol::Tcp,
        vips: pairs(&[(vip, backends)]),
        options: BTreeMap::new(),
        selection_fields: BTreeSet::new(),
        external_ids: pairs(&[
            (ovn::VENDOR, ovn::VENDOR_US),
            (ovn::INSTALL, "default"),
            (ovn::OWNER, &owner),
            (ovn::SERVICE, key),
        ]),
    }
}

/// A router of Kube-OVN's without anything on it.
pub(crate) fn router(name: &str) -> Router {
    Router {
        name: name.into(),
        of_kube_ovn: true,
        ports: BTreeSet::new(),
        load_balancers: BTreeSet::new(),
        nat: BTreeSet::new(),
        policies: BTreeSet::new(),
        routes: BTreeSet::new(),
    }
}
