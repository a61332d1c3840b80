//! Load balancers.

use std::fmt;

use super::{References, StringMap, StringSet};
use crate::ovsdb::value::{Datum, FromDatum, ToDatum, Uuid};
use crate::table;

table! {
    /// A load balancer: Vips and the backends they lead to.
    pub LoadBalancer = "Load_Balancer" {
        /// A name; not unique.
        name: String = "name",
        /// `address:port` of the Vip to `address:port,…` of its backends; empty for none.
        vips: StringMap = "vips",
        /// The protocol of all Vips.
        protocol: Protocol = "protocol",
        /// Options such as `reject` and `affinity_timeout`.
        options: StringMap = "options",
        /// The packet fields that select a backend; empty for the default of five.
        selection_fields: StringSet = "selection_fields",
        /// Keys of other programs.
        external_ids: StringMap = "external_ids",
        /// Rows of `Load_Balancer_Health_Check`.
        health_check: References = "health_check",
        /// Addresses of backends to the port and the source address they are probed by.
        ip_port_mappings: StringMap = "ip_port_mappings",
    }
}

table! {
    /// How the backends of a Vip are probed.
    pub LoadBalancerHealthCheck = "Load_Balancer_Health_Check" {
        /// `address:port` of the Vip.
        vip: String = "vip",
        /// `interval`, `timeout`, `success_count` and `failure_count`.
        options: StringMap = "options",
        /// Keys of other programs.
        external_ids: StringMap = "external_ids",
    }
}

table! {
    /// Load balancers that are attached together.
    pub LoadBalancerGroup = "Load_Balancer_Group" {
        /// A name, unique among these rows.
        name: String = "name",
        /// Rows of `Load_Balancer`.
        load_balancer: References = "load_balancer",
    }
}

/// The protocol of a load balancer's Vips. An empty column means TCP.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    /// TCP.
    #[default]
    Tcp,
    /// UDP.
    Udp,
    /// SCTP.
    Sctp,
}

impl Protocol {
    /// The protocol as OVN writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Sctp => "sctp",
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromDatum for Protocol {
    fn from_datum(datum: &Datum) -> Option<Self> {
        match datum.as_set()?.only() {
            None => Some(Self::Tcp),
            Some(atom) => match atom.as_str()? {
                "tcp" => Some(Self::Tcp),
                "udp" => Some(Self::Udp),
                "sctp" => Some(Self::Sctp),
                _ => None,
            },
        }
    }
}

impl ToDatum for Protocol {
    fn to_datum(&self) -> Datum {
        self.as_str().to_datum()
    }
}

impl LoadBalancer {
    /// A load balancer without Vips under this identifier, which no row may ever have had:
    /// northd fails on one that returns.
    pub fn new(uuid: Uuid, name: impl Into<String>, protocol: Protocol) -> Self {
        Self { uuid, name: name.into(), protocol, ..Self::default() }
    }
}
