//! A tenant's Service, as far as it concerns us. Every field is tenant-written.

use std::collections::BTreeMap;
use std::fmt;

use cpo_api::Condition;
use pools::{Families, Family};

use crate::ids::{NodeName, Uid, Version};

/// A Service of a tenant, parsed at the edge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// `metadata.uid`.
    pub uid: Uid,
    /// `metadata.resourceVersion`.
    pub version: Version,
    /// `metadata.deletionTimestamp` is set.
    pub deleting: bool,
    /// Our finalizer is present.
    pub finalizer: bool,
    /// `spec.type` is `LoadBalancer`.
    pub load_balancer: bool,
    /// `spec.loadBalancerClass`.
    pub class: Option<String>,
    /// `spec.ports`.
    pub ports: Vec<Port>,
    /// `spec.externalTrafficPolicy`.
    pub policy: TrafficPolicy,
    /// `spec.sessionAffinity: ClientIP` and its timeout in seconds.
    pub affinity: Option<u32>,
    /// `spec.loadBalancerSourceRanges`, and the annotation of that meaning.
    pub source_ranges: Vec<String>,
    /// `spec.ipFamilies` and `spec.ipFamilyPolicy`: the families in which the tenant's nodes serve
    /// it.
    pub families: Families,
    /// The first of `spec.ipFamilies`.
    pub first_family: Family,
    /// Its namespace and `spec.selector`, as text: which pods are behind it. Empty without one.
    pub selector: String,
    /// `spec.loadBalancerIP`.
    pub load_balancer_ip: Option<String>,
    /// `spec.healthCheckNodePort`: where each node's kube-proxy says whether it has an endpoint.
    pub health_check_node_port: Option<u16>,
    /// `spec.publishNotReadyAddresses`.
    pub publish_not_ready: bool,
    /// `metadata.labels`: pools may select Services by them.
    pub labels: BTreeMap<String, String>,
    /// The annotations that are ours or aliases of ours; others are dropped at the edge.
    pub annotations: BTreeMap<String, String>,
    /// What the status holds: compared with, never obeyed.
    pub status: PublishedStatus,
}

impl Service {
    /// The families in which it may have an address, in its order.
    pub fn wanted_families(&self) -> impl Iterator<Item = Family> + use<> {
        match self.families {
            Families::Only(family) => [Some(family), None],
            Families::Prefer(_) | Families::Both => {
                [Some(self.first_family), Some(self.first_family.other())]
            }
        }
        .into_iter()
        .flatten()
    }

    /// Whether it is any of our concern: a load balancer, or one that carries traces of ours.
    #[must_use]
    pub fn concerns_us(&self) -> bool {
        self.load_balancer || self.finalizer || !self.status.conditions.is_empty()
    }
}

/// What a Service's status holds of our concern.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PublishedStatus {
    /// `status.loadBalancer.ingress`.
    pub ingress: Vec<Ingress>,
    /// Our two conditions, if present.
    pub conditions: Vec<Condition>,
}

/// One entry of `status.loadBalancer.ingress`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ingress {
    /// `ip`.
    pub ip: String,
    /// `hostname`: never ours.
    pub hostname: String,
    /// `ipMode`; unset counts as `VIP`.
    pub proxy_mode: bool,
    /// `ports`, sorted.
    pub ports: Vec<(u16, Protocol)>,
}

/// One port of a Service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Port {
    /// `name`; empty for a Service with one port.
    pub name: String,
    /// `protocol`.
    pub protocol: Protocol,
    /// `port`.
    pub port: u16,
    /// `nodePort`, if one is allocated.
    pub node_port: Option<u16>,
}

/// Transport protocols a Service may name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Protocol {
    /// RFC 9293.
    Tcp,
    /// RFC 768.
    Udp,
    /// RFC 9260.
    Sctp,
}

impl Protocol {
    /// All of them, in order.
    pub const ALL: [Self; 3] = [Self::Tcp, Self::Udp, Self::Sctp];

    /// As Kubernetes writes it.
    #[must_use]
    pub const fn upper(self) -> &'static str {
        match self {
            Self::Tcp => "TCP",
            Self::Udp => "UDP",
            Self::Sctp => "SCTP",
        }
    }

    /// As OVN writes it.
    #[must_use]
    pub const fn lower(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Sctp => "sctp",
        }
    }

    /// Reads either spelling.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|p| p.upper().eq_ignore_ascii_case(text))
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.lower())
    }
}

/// `spec.externalTrafficPolicy`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrafficPolicy {
    /// Any node may take a connection.
    Cluster,
    /// Only nodes with an endpoint of their own.
    Local,
}

/// One endpoint of a Service, as far as it decides which nodes take part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// `nodeName`.
    pub node: Option<NodeName>,
    /// `conditions.ready`; unset counts as ready.
    pub ready: bool,
    /// `conditions.serving`; unset counts as ready.
    pub serving: bool,
    /// `conditions.terminating`.
    pub terminating: bool,
}

/// One EndpointSlice of a Service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointSlice {
    /// `addressType`; `None` for host names.
    pub family: Option<Family>,
    /// The Service it belongs to: label `kubernetes.io/service-name`, in the slice's namespace.
    pub service: String,
    /// Its endpoints.
    pub endpoints: Vec<Endpoint>,
}
