//! A tenant's objects into the core's types. Pure; every field is hostile.

use std::collections::{BTreeMap, BTreeSet};

use cpo_api::{Condition, names};
use cpo_core::engine::{NamespacesSeen, TenantObject};
use cpo_core::ids::{Uid, Version};
use cpo_core::service::{
    Endpoint, EndpointSlice, Ingress, Port, Protocol, PublishedStatus, Service, TrafficPolicy,
};
use cpo_core::tenant::Node;
use k8s_openapi::api::core::v1 as core;
use k8s_openapi::api::discovery::v1 as discovery;
use kube::ResourceExt as _;
use pools::{Families, Family};

/// Label of an EndpointSlice: the Service it belongs to.
pub(super) const SERVICE_NAME: &str = "kubernetes.io/service-name";
/// Prefix of a KubeVirt machine's `spec.providerID`.
const KUBEVIRT: &str = "kubevirt://";
/// The annotation older clients write source ranges to (`k8s.io/cloud-provider`).
const SOURCE_RANGES: &str = "service.beta.kubernetes.io/load-balancer-source-ranges";

/// A Service, whether it is of any concern or not: which of its states is the newest is for the
/// engine to tell, that keeps those that are.
pub(crate) fn service(object: core::Service) -> TenantObject {
    let (namespace, name) = (object.namespace().unwrap_or_default(), object.name_any());
    TenantObject::Service(namespace, name, Some(Box::new(parsed(object))))
}

/// A Service as the answer to a patch has it.
pub(super) fn patched(object: core::Service) -> TenantObject {
    let (namespace, name) = (object.namespace().unwrap_or_default(), object.name_any());
    TenantObject::Patched(namespace, name, Box::new(parsed(object)))
}

/// A Namespace: its labels.
pub(super) fn namespace(object: &core::Namespace) -> NamespacesSeen {
    NamespacesSeen::One(object.name_any(), Some(object.labels().clone()))
}

fn parsed(object: core::Service) -> Service {
    let meta = object.metadata;
    let spec = object.spec.unwrap_or_default();
    let status = published(object.status.unwrap_or_default());
    let annotations = meta.annotations.unwrap_or_default();
    let require_both = spec.ip_family_policy.as_deref() == Some("RequireDualStack");
    let (families, first_family) = families(&spec.ip_families.unwrap_or_default(), require_both);
    let selector = selector(meta.namespace.as_deref(), &spec.selector.unwrap_or_default());
    let affinity = spec.session_affinity.as_deref() == Some("ClientIP");
    let timeout = spec.session_affinity_config.and_then(|c| c.client_ip?.timeout_seconds);
    let mut source_ranges = spec.load_balancer_source_ranges.unwrap_or_default();
    source_ranges.extend(annotations.get(SOURCE_RANGES).filter(|v| !v.trim().is_empty()).cloned());
    let finalizers = meta.finalizers.unwrap_or_default();
    Service {
        uid: Uid::new(meta.uid.as_deref().unwrap_or_default()),
        version: Version::parse(meta.resource_version.as_deref()),
        deleting: meta.deletion_timestamp.is_some(),
        finalizer: finalizers.iter().any(|f| f == names::SERVICE_FINALIZER),
        load_balancer: spec.type_.as_deref() == Some("LoadBalancer"),
        class: spec.load_balancer_class,
        ports: spec.ports.unwrap_or_default().into_iter().filter_map(port).collect(),
        policy: match spec.external_traffic_policy.as_deref() {
            Some("Local") => TrafficPolicy::Local,
            _ => TrafficPolicy::Cluster,
        },
        // 10,800 is the API server's own default.
        affinity: affinity.then(|| timeout.and_then(|t| t.try_into().ok()).unwrap_or(10_800)),
        source_ranges,
        families,
        first_family,
        selector,
        load_balancer_ip: spec.load_balancer_ip,
        health_check_node_port: spec.health_check_node_port.and_then(port_number),
        publish_not_ready: spec.publish_not_ready_addresses.unwrap_or(false),
        labels: meta.labels.unwrap_or_default(),
        annotations: known(annotations),
        status,
    }
}

/// The families of a Service, and the first of them: those in which its own cluster serves it. The
/// API server fills them in.
fn families(listed: &[String], require_both: bool) -> (Families, Family) {
    let family = |text: &String| match text.as_str() {
        "IPv4" => Some(Family::V4),
        "IPv6" => Some(Family::V6),
        _ => None,
    };
    let mut families = listed.iter().filter_map(family);
    let first = families.next().unwrap_or(Family::V4);
    let wanted = match (families.any(|second| second != first), require_both) {
        (false, _) => Families::Only(first),
        (true, false) => Families::Prefer(first),
        (true, true) => Families::Both,
    };
    (wanted, first)
}

/// Which pods a selector selects, as text; nothing without one.
fn selector(namespace: Option<&str>, labels: &BTreeMap<String, String>) -> String {
    if labels.is_empty() {
        return String::new();
    }
    let labels: Vec<_> = labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
    format!("{}/{}", namespace.unwrap_or_default(), labels.join(","))
}

/// The annotations that mean something to us.
fn known(annotations: BTreeMap<String, String>) -> BTreeMap<String, String> {
    let aliases = [names::ALIASES_ADDRESSES, names::ALIASES_POOL, names::ALIASES_SHARE];
    let prefix = format!("{}/", names::GROUP);
    let ours =
        |key: &str| key.starts_with(&prefix) || aliases.iter().any(|list| list.contains(&key));
    annotations.into_iter().filter(|(key, _)| ours(key)).collect()
}

fn port(port: core::ServicePort) -> Option<Port> {
    Some(Port {
        name: port.name.unwrap_or_default(),
        protocol: Protocol::parse(port.protocol.as_deref().unwrap_or("TCP"))?,
        port: port_number(port.port)?,
        node_port: port.node_port.and_then(port_number),
    })
}

fn port_number(number: i32) -> Option<u16> {
    u16::try_from(number).ok().filter(|number| *number != 0)
}

fn published(status: core::ServiceStatus) -> PublishedStatus {
    let ingress = status.load_balancer.and_then(|lb| lb.ingress).unwrap_or_default();
    let conditions = status.conditions.unwrap_or_default();
    let ours = conditions
        .into_iter()
        .filter(|c| c.type_ == names::ADDRESS_ASSIGNED || c.type_ == names::PROGRAMMED);
    PublishedStatus {
        ingress: ingress.into_iter().map(ingress_entry).collect(),
        conditions: ours
            .map(|c| Condition {
                type_: c.type_,
                status: match c.status.as_str() {
                    "True" => cpo_api::ConditionStatus::True,
                    "False" => cpo_api::ConditionStatus::False,
                    _ => cpo_api::ConditionStatus::Unknown,
                },
                reason: c.reason,
                message: c.message,
                last_transition_time: cpo_core::time::rfc3339(c.last_transition_time.0),
                observed_generation: c.observed_generation,
            })
            .collect(),
    }
}

fn ingress_entry(entry: core::LoadBalancerIngress) -> Ingress {
    let ports = entry.ports.unwrap_or_default().into_iter();
    let mut ports: Vec<_> = ports
        .filter_map(|p| Some((u16::try_from(p.port).ok()?, Protocol::parse(&p.protocol)?)))
        .collect();
    ports.sort_unstable();
    Ingress {
        ip: entry.ip.unwrap_or_default(),
        hostname: entry.hostname.unwrap_or_default(),
        proxy_mode: entry.ip_mode.as_deref() == Some("Proxy"),
        ports,
    }
}

/// A Node.
pub(super) fn node(object: core::Node) -> Option<TenantObject> {
    let name = object.name_any();
    let deleting = object.metadata.deletion_timestamp.is_some();
    let labelled = names::excludes_node(object.labels());
    let spec = object.spec.unwrap_or_default();
    let tainted =
        spec.taints.unwrap_or_default().iter().any(|t| t.key == names::TAINT_TO_BE_DELETED);
    let machine = spec.provider_id.as_deref().and_then(|id| id.strip_prefix(KUBEVIRT));
    let status = object.status.unwrap_or_default();
    let ready = status.conditions.unwrap_or_default().into_iter().find(|c| c.type_ == "Ready");
    let addresses: BTreeSet<_> = status
        .addresses
        .unwrap_or_default()
        .iter()
        .filter_map(|a| a.address.parse().ok())
        .collect();
    let node = Node {
        machine: machine.unwrap_or(&name).to_owned(),
        excluded: labelled || tainted || deleting,
        ready: ready.as_ref().is_some_and(|c| c.status == "True"),
        ready_since: ready.and_then(|c| c.last_transition_time).map(|t| t.0),
        addresses,
    };
    Some(TenantObject::Node(name.parse().ok()?, Some(node)))
}

/// An EndpointSlice; `None` where it belongs to no Service.
pub(super) fn slice(object: discovery::EndpointSlice) -> Option<TenantObject> {
    let (namespace, name) = (object.namespace().unwrap_or_default(), object.name_any());
    let service = object.labels().get(SERVICE_NAME)?.clone();
    let endpoints = object.endpoints.into_iter().map(endpoint).collect();
    let family = match object.address_type.as_str() {
        "IPv4" => Some(Family::V4),
        "IPv6" => Some(Family::V6),
        _ => None,
    };
    let slice = EndpointSlice { family, service, endpoints };
    Some(TenantObject::Slice(namespace, name, Some(slice)))
}

fn endpoint(endpoint: discovery::Endpoint) -> Endpoint {
    let conditions = endpoint.conditions.unwrap_or_default();
    let ready = conditions.ready.unwrap_or(true);
    Endpoint {
        node: endpoint.node_name.and_then(|name| name.parse().ok()),
        ready,
        serving: conditions.serving.unwrap_or(ready),
        terminating: conditions.terminating.unwrap_or(false),
    }
}

#[cfg(test)]
#[path = "parse_tests.rs"]
mod tests;
