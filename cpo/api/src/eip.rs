//! `Eip`: one external address, the durable record of who owns it.

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Condition, EipAnnouncement, EipVlan};

/// One external address and the Service it belongs to. The object is named by its address, so the
/// API server itself refuses a second owner.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "cloud-provider-ovn.io",
    version = "v1alpha1",
    kind = "Eip",
    plural = "eips",
    category = "cloud-provider-ovn",
    status = "EipStatus",
    derive = "PartialEq",
    doc = "One external address: who owns it, what it is for, where it answers and why not.",
    printcolumn(name = "TENANT", type_ = "string", json_path = ".spec.tenant.name"),
    printcolumn(name = "SERVICE", type_ = "string", json_path = ".spec.services[*].key"),
    printcolumn(name = "POOL", type_ = "string", json_path = ".spec.pool"),
    printcolumn(name = "MODE", type_ = "string", json_path = ".spec.mode"),
    printcolumn(name = "ANNOUNCED-BY", type_ = "string", json_path = ".status.announcedBy"),
    printcolumn(name = "BACKENDS", type_ = "string", json_path = ".status.backends.summary"),
    printcolumn(
        name = "READY",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].status"
    ),
    printcolumn(
        name = "REASON",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].reason"
    ),
    printcolumn(name = "AGE", type_ = "date", json_path = ".metadata.creationTimestamp"),
    validation = Rule::new(
        "self.metadata.name.contains('-') ? (self.metadata.name.size() == 39 && \
         isIP(self.metadata.name.replace('-', ':')) && \
         ip(self.metadata.name.replace('-', ':')) == ip(self.spec.address)) : \
         self.metadata.name == self.spec.address"
    )
    .message("metadata.name must be the address: IPv4 as it is, IPv6 fully expanded with '-' for ':'"),
    validation = Rule::new("self.spec.tenant.name == oldSelf.spec.tenant.name")
        .message("an Eip keeps its tenant: delete it, and make another when it is gone"),
    validation = Rule::new("self.spec.reserved == oldSelf.spec.reserved")
        .message("a reserved Eip stays reserved, and another does not become so: delete it, and make another when it is gone"),
    validation = Rule::new("!self.spec.reserved || !self.spec.keep")
        .message("spec.keep follows the Service's annotation; a reserved Eip stays anyway")
)]
#[serde(rename_all = "camelCase")]
pub struct EipSpec {
    /// The address in canonical form.
    #[x_kube(validation = Rule::new("isIP(self) && ip.isCanonical(self)").message("must be an IP address in canonical form"))]
    #[x_kube(validation = Rule::new("self == oldSelf").message("an Eip keeps its address"))]
    pub address: String,
    /// How it is served.
    #[serde(default)]
    pub mode: EipMode,
    /// The `AddressPool` it was drawn from. Filled in where an operator left it out.
    #[serde(default)]
    pub pool: String,
    /// The tenant that owns it.
    pub tenant: EipTenant,
    /// The Services it belongs to, by key: several share it. A released Eip keeps its last owner
    /// here, who gets it back.
    #[serde(default)]
    pub services: Vec<EipService>,
    /// What Services must have in common to share it. Without it there is one Service at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sharing: Option<EipSharing>,
    /// Set by an operator who makes the object before the Service: the address is set aside for
    /// the tenant, whose Service gets it by asking for it, and is set aside again after it.
    #[serde(default)]
    pub reserved: bool,
    /// Whether the address outlives its Service, waiting for one of that name.
    #[serde(default)]
    pub keep: bool,
    /// Overlay mode's part.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overlay: Option<EipOverlay>,
    /// VLAN mode's part.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vlan: Option<EipVlan>,
}

/// How an address is served.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum EipMode {
    /// By an OVN load balancer on a VPC's router.
    #[default]
    Overlay,
    /// By speakers on the tenant's VLAN.
    Vlan,
}

/// The owner of an address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EipTenant {
    /// Name of the `TenantCluster`.
    pub name: String,
    /// UID of the `TenantCluster`: names return, UIDs do not. Filled in where an operator left it
    /// out.
    #[serde(default)]
    pub uid: String,
}

/// The Service an address belongs to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EipService {
    /// `<namespace>/<name>` in the tenant.
    pub key: String,
    /// UID of the Service.
    pub uid: String,
    /// Its ports.
    #[serde(default)]
    pub ports: Vec<EipPort>,
}

/// One port of a Service.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct EipPort {
    /// `TCP`, `UDP` or `SCTP`.
    pub protocol: String,
    /// Port on the address, 1–65535.
    pub port: u16,
}

/// What Services of one tenant have in common that share an address.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EipSharing {
    /// The key in their annotation `cloud-provider-ovn.io/allow-shared-ip`.
    pub key: String,
    /// What is behind all of them: empty where any node takes their connections
    /// (`externalTrafficPolicy: Cluster`), else their selector.
    #[serde(default)]
    pub backends: String,
}

/// Overlay mode's part of an address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EipOverlay {
    /// The Kube-OVN `OvnEip` that holds the address.
    pub ovn_eip: String,
    /// The `Logical_Router` that carries the load balancers, once it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub router: Option<String>,
}

/// What was observed of one address.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EipStatus {
    /// `Assigned`, `Programmed` and `Ready`; the reason of `Ready` is the one to read.
    #[serde(default)]
    pub conditions: Vec<Condition>,
    /// Where it is announced from: the gateway chassis of the router, or the nodes of the speakers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub announced_by: Option<String>,
    /// What speakers say of it, each for itself.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["node".to_owned()]))]
    pub announcements: Vec<EipAnnouncement>,
    /// The nodes behind it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backends: Option<BackendCount>,
    /// The rows of the Northbound database behind it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ovn: Option<OvnStatus>,
    /// RFC 3339 time of the release: from then on in quarantine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub released_at: Option<String>,
}

/// How many nodes receive an address' traffic.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BackendCount {
    /// Nodes that receive traffic.
    pub ready: i64,
    /// Nodes of the tenant.
    pub total: i64,
    /// `<ready>/<total>`, for the printed column.
    pub summary: String,
}

/// The rows behind an address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct OvnStatus {
    /// Protocols with a `Load_Balancer` row: `tcp`, `udp`, `sctp`.
    pub load_balancers: Vec<String>,
}

impl EipSpec {
    /// The merge patch (RFC 7396) that replaces a spec: what this one has not is taken away. A router
    /// that is not known stays as it was.
    #[must_use]
    pub fn merge_patch(&self) -> serde_json::Value {
        let mut patch = serde_json::json!({"overlay": null, "vlan": null, "sharing": null});
        let own = serde_json::json!(self);
        if let (Some(patch), serde_json::Value::Object(own)) = (patch.as_object_mut(), own) {
            patch.extend(own);
        }
        let vlan = patch.get_mut("vlan").and_then(serde_json::Value::as_object_mut);
        if let Some(vlan) = vlan {
            vlan.entry("probe").or_insert(serde_json::Value::Null);
        }
        patch
    }
}

impl Eip {
    /// The object name of an address: IPv4 as written, IPv6 fully expanded with `-` for `:`.
    #[must_use]
    pub fn name_of(address: std::net::IpAddr) -> String {
        match address {
            std::net::IpAddr::V4(v4) => v4.to_string(),
            std::net::IpAddr::V6(v6) => {
                let groups: Vec<_> = v6.segments().iter().map(|s| format!("{s:04x}")).collect();
                groups.join("-")
            }
        }
    }

    /// The address of an object name.
    #[must_use]
    pub fn address_of(name: &str) -> Option<std::net::IpAddr> {
        let address = name.replace('-', ":").parse().ok()?;
        (Self::name_of(address) == name).then_some(address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_eip_is_named_by_its_address() {
        assert_eq!(Eip::name_of("203.0.113.10".parse().unwrap()), "203.0.113.10");
        assert_eq!(
            Eip::name_of("2001:db8::1".parse().unwrap()),
            "2001-0db8-0000-0000-0000-0000-0000-0001"
        );
    }

    #[test]
    fn the_address_is_read_from_the_name_and_from_no_other_spelling() {
        for address in ["203.0.113.10", "2001:db8::1", "::ffff:203.0.113.10"] {
            let address = address.parse().unwrap();
            assert_eq!(Eip::address_of(&Eip::name_of(address)), Some(address));
        }
        for name in ["", "web", "2001:db8::1", "2001-db8--1", "203.0.113.010"] {
            assert_eq!(Eip::address_of(name), None, "{name}");
        }
    }
}
