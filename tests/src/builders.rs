//! Builders for objects, with defaults that work.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    ClientIPConfig, Service, ServicePort, ServiceSpec, SessionAffinityConfig,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use crate::overlay::POD_PORT;

/// A Service of type `LoadBalancer` in `default` that selects `app=<name>`.
pub fn service(name: &str) -> ServiceBuilder {
    ServiceBuilder {
        name: name.to_owned(),
        namespace: "default".to_owned(),
        annotations: BTreeMap::new(),
        spec: ServiceSpec {
            type_: Some("LoadBalancer".to_owned()),
            selector: Some(BTreeMap::from([("app".to_owned(), name.to_owned())])),
            ..ServiceSpec::default()
        },
    }
}

/// Builds a Service.
#[derive(Debug, Clone)]
pub struct ServiceBuilder {
    name: String,
    namespace: String,
    annotations: BTreeMap<String, String>,
    spec: ServiceSpec,
}

impl ServiceBuilder {
    /// The namespace.
    #[must_use]
    pub fn namespace(mut self, namespace: &str) -> Self {
        namespace.clone_into(&mut self.namespace);
        self
    }

    /// Adds a TCP port that leads to the pods' port.
    #[must_use]
    pub fn port(self, port: u16) -> Self {
        self.add_port(port, "TCP", None)
    }

    /// Adds a UDP port that leads to the pods' port.
    #[must_use]
    pub fn udp(self, port: u16) -> Self {
        self.add_port(port, "UDP", None)
    }

    /// Adds a TCP port with a chosen nodePort.
    #[must_use]
    pub fn node_port(self, port: u16, node_port: u16) -> Self {
        self.add_port(port, "TCP", Some(node_port))
    }

    /// Adds a UDP port with a chosen nodePort.
    #[must_use]
    pub fn udp_node_port(self, port: u16, node_port: u16) -> Self {
        self.add_port(port, "UDP", Some(node_port))
    }

    /// `externalTrafficPolicy: Local`.
    #[must_use]
    pub fn local(mut self) -> Self {
        self.spec.external_traffic_policy = Some("Local".to_owned());
        self
    }

    /// `sessionAffinity: ClientIP` with a timeout in seconds.
    #[must_use]
    pub fn affinity(mut self, seconds: i32) -> Self {
        self.spec.session_affinity = Some("ClientIP".to_owned());
        let client_ip = Some(ClientIPConfig { timeout_seconds: Some(seconds) });
        self.spec.session_affinity_config = Some(SessionAffinityConfig { client_ip });
        self
    }

    /// `loadBalancerSourceRanges`.
    #[must_use]
    pub fn source_ranges(mut self, ranges: &[&str]) -> Self {
        let ranges = ranges.iter().map(|range| (*range).to_owned()).collect();
        self.spec.load_balancer_source_ranges = Some(ranges);
        self
    }

    /// `loadBalancerClass`.
    #[must_use]
    pub fn class(mut self, class: &str) -> Self {
        self.spec.load_balancer_class = Some(class.to_owned());
        self
    }

    /// Another type: `NodePort`, `ClusterIP`.
    #[must_use]
    pub fn kind(mut self, kind: &str) -> Self {
        self.spec.type_ = Some(kind.to_owned());
        self
    }

    /// Selects pods by one label instead of `app=<name>`.
    #[must_use]
    pub fn selector(mut self, key: &str, value: &str) -> Self {
        self.spec.selector = Some(BTreeMap::from([(key.to_owned(), value.to_owned())]));
        self
    }

    /// Adds an annotation.
    #[must_use]
    pub fn annotation(mut self, key: &str, value: &str) -> Self {
        self.annotations.insert(key.to_owned(), value.to_owned());
        self
    }

    /// Asks for an address: `cloud-provider-ovn.io/load-balancer-ips`.
    #[must_use]
    pub fn address(self, address: &str) -> Self {
        self.annotation("cloud-provider-ovn.io/load-balancer-ips", address)
    }

    /// Changes the spec directly, for what has no method here.
    #[must_use]
    pub fn spec(mut self, change: impl FnOnce(&mut ServiceSpec)) -> Self {
        change(&mut self.spec);
        self
    }

    /// The Service.
    pub fn build(self) -> Service {
        Service {
            metadata: ObjectMeta {
                name: Some(self.name),
                namespace: Some(self.namespace),
                annotations: (!self.annotations.is_empty()).then_some(self.annotations),
                ..ObjectMeta::default()
            },
            spec: Some(self.spec),
            status: None,
        }
    }

    fn add_port(mut self, port: u16, protocol: &str, node_port: Option<u16>) -> Self {
        self.spec.ports.get_or_insert_default().push(ServicePort {
            name: Some(format!("{}-{port}", protocol.to_lowercase())),
            port: i32::from(port),
            protocol: Some(protocol.to_owned()),
            target_port: Some(IntOrString::Int(i32::from(POD_PORT))),
            node_port: node_port.map(i32::from),
            ..ServicePort::default()
        });
        self
    }
}
