//! VLAN mode: where a tenant's VLAN is, what speakers are to do for an address, and what they say
//! that they do.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::LabelSelector;

/// The VLAN that a tenant's machines are on, in VLAN mode.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = Rule::new("has(self.id) || !self.interfaces.exists(i, has(i.kind) && i.kind == 'OvsPort')").message("spec.vlan.id must be set where an interface is of kind OvsPort"))]
pub struct Vlan {
    /// Its number, 1 to 4094: for people, and the tag of ports of Open vSwitch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 4094))]
    pub id: Option<u16>,
    /// The prefixes of the link. Addresses of Services lie in these: only for them does the gateway
    /// ask on the link.
    #[schemars(length(min = 1, max = 16), inner(length(max = 43)))]
    #[x_kube(validation = Rule::new("self.all(c, isCIDR(c) && cidr(c).prefixLength() > 0 && cidr(c) == cidr(c).masked())").message("each must be a CIDR without host bits, such as 10.205.0.0/24"))]
    pub cidrs: Vec<String>,
    /// The gateway of the link, which is never given to a Service: an IP address, or one of each
    /// family with a comma between them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 80))]
    #[x_kube(validation = Rule::new("self.split(',').all(g, isIP(g))").message("must be an IP address, or two with a comma between them"))]
    pub gateway: Option<String>,
    /// The Kube-OVN Subnets of the link, from whose `IP` objects the addresses of the tenant's
    /// machines are read. None of the under cluster itself.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 16))]
    pub subnets: Vec<String>,
    /// Where nodes are connected to it: the first that selects a node counts. A node that none
    /// selects announces nothing.
    #[schemars(length(min = 1, max = 32))]
    pub interfaces: Vec<VlanInterface>,
    /// Addresses of the nodes' speakers on the link, which are never given to a Service. A speaker
    /// needs one to probe machines (`probe` of an `L2Advertisement`), and none for anything else.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    #[x_kube(validation = Rule::new("self.all(s, s.addresses.all(a, isIP(a)))").message("each address must be an IP address"))]
    pub speaker_addresses: Vec<SpeakerAddresses>,
}

/// The addresses of one node's speaker on a VLAN.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SpeakerAddresses {
    /// The node.
    #[schemars(length(min = 1, max = 253))]
    pub node: String,
    /// Its addresses, one of each family at most, within `cidrs`.
    #[schemars(length(min = 1, max = 2), inner(length(max = 39)))]
    pub addresses: Vec<String>,
}

/// How some nodes of the under cluster are connected to a VLAN.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct VlanInterface {
    /// The nodes; empty is all.
    #[serde(default)]
    pub node_selector: LabelSelector,
    /// The interface on these nodes that is on the VLAN, or with kind `OvsPort` the bridge, at most
    /// 15 characters.
    #[schemars(length(min = 1, max = 15))]
    pub name: String,
    /// How the speaker is connected to it.
    #[serde(default)]
    pub kind: InterfaceKind,
}

/// How a speaker is connected to an interface of its node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum InterfaceKind {
    /// By a macvlan on it; the node goes on using it.
    #[default]
    Macvlan,
    /// By the interface itself, which is moved into the speaker's namespace, and back when the VLAN
    /// is gone from the node. The node must not use it otherwise.
    Moved,
    /// By an internal port with `tag=` the VLAN's `id`, on the bridge of Open vSwitch of this name:
    /// where Kube-OVN owns the interface, that of its provider network.
    OvsPort,
}

/// What speakers are to do for an address. Those of before pass over fields that they do not know: the
/// API server refuses what is in no definition.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EipVlan {
    /// By what it is announced; by nothing while it is being withdrawn.
    #[serde(default)]
    pub announce: Announce,
    /// How its packets come to the tenant's machines.
    #[serde(default)]
    pub delivery: Delivery,
    /// The machines, by address.
    #[serde(default)]
    pub next_hops: Vec<NextHop>,
    /// How speakers ask each machine whether it takes connections, if they do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probe: Option<EipProbe>,
}

/// How speakers ask a machine whether it takes connections: by HTTP, `GET /healthz`. 200 is yes,
/// anything else is no.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EipProbe {
    /// What it is that answers.
    pub kind: Probe,
    /// The port, 1–65535.
    pub port: u16,
}

/// What of a machine is asked whether it takes connections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Probe {
    /// Nothing: every machine does.
    #[default]
    None,
    /// Its kube-proxy, at port 10256.
    KubeProxy,
    /// For a Service with `externalTrafficPolicy: Local`, its `healthCheckNodePort`; for any other,
    /// kube-proxy.
    HealthCheckNodePort,
}

/// The objects by which an address is announced.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Announce {
    /// Names of `L2Advertisement`s, ascending.
    #[serde(default)]
    pub l2: Vec<String>,
}

/// How packets come from the link to a tenant's machines.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
pub enum Delivery {
    /// Through the speaker, which routes them to all machines.
    #[default]
    Routed,
    /// Past the speaker, which answers with the Ethernet address of one machine.
    Direct,
    /// To the node of the speaker, whose own kube-proxy takes them: Services of the under cluster,
    /// whatever an advertisement says.
    Local,
}

/// A machine that takes an address' packets.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct NextHop {
    /// Its address on the link.
    pub address: String,
    /// Its Ethernet address, as far as it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mac: Option<String>,
    /// Name of the virtual machine.
    pub vm: String,
}

/// What one speaker says of an address; each applies its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EipAnnouncement {
    /// The node of the speaker.
    pub node: String,
    /// UID of the `Eip` that it was told of.
    pub uid: String,
    /// What it does.
    pub state: AnnouncementState,
    /// Why it does not announce, if it does not.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
}

/// What a speaker does for an address that it was elected for, or why it can be for none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum AnnouncementState {
    /// It answers for it.
    Announced,
    /// Another host has the address: it does not answer.
    Conflict,
    /// It answers for it, and another host does as well.
    Contested,
    /// It cannot answer, and nobody else does: the message says what is wrong on its node.
    Unable,
}
