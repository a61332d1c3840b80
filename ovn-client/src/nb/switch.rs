//! Logical switches and their ports.

use super::{References, StringMap, StringSet};
use crate::ovsdb::value::Uuid;
use crate::table;

table! {
    /// A logical switch.
    pub LogicalSwitch = "Logical_Switch" {
        /// A name; not unique.
        name: String = "name",
        /// Rows of `Logical_Switch_Port`.
        ports: References = "ports",
        /// Rows of `Load_Balancer`.
        load_balancer: References = "load_balancer",
        /// Rows of `Load_Balancer_Group`.
        load_balancer_group: References = "load_balancer_group",
        /// Rows of `ACL`.
        acls: References = "acls",
        /// Rows of `QoS`.
        qos_rules: References = "qos_rules",
        /// Rows of `DNS`.
        dns_records: References = "dns_records",
        /// Rows of `Forwarding_Group`.
        forwarding_groups: References = "forwarding_groups",
        /// What the switch's own control traffic is limited by: a row of `Copp`.
        copp: Option<Uuid> = "copp",
        /// Options, among them `subnet`.
        other_config: StringMap = "other_config",
        /// Keys of other programs.
        external_ids: StringMap = "external_ids",
    }
}

table! {
    /// A port of a logical switch.
    pub LogicalSwitchPort = "Logical_Switch_Port" {
        /// A name, unique among ports.
        name: String = "name",
        /// Empty for a VM or container; `router`, `localnet` and others.
        type_: String = "type",
        /// Ethernet and IP addresses, `dynamic`, `router` or `unknown`.
        addresses: StringSet = "addresses",
        /// Addresses given to a port that asks for `dynamic` ones.
        dynamic_addresses: Option<String> = "dynamic_addresses",
        /// Addresses packets may be sent from; empty for any.
        port_security: StringSet = "port_security",
        /// What DHCPv4 tells it, a row of `DHCP_Options`.
        dhcpv4_options: Option<Uuid> = "dhcpv4_options",
        /// What DHCPv6 tells it, a row of `DHCP_Options`.
        dhcpv6_options: Option<Uuid> = "dhcpv6_options",
        /// Whether it passes packets; absent for yes.
        enabled: Option<bool> = "enabled",
        /// Whether a chassis has bound it.
        up: Option<bool> = "up",
        /// Options, among them `router-port` and `network_name`.
        options: StringMap = "options",
        /// The port of another switch it is joined to.
        peer: Option<String> = "peer",
        /// The port it is nested in.
        parent_name: Option<String> = "parent_name",
        /// The VLAN within that port.
        tag: Option<i64> = "tag",
        /// The VLAN it asks for; 0 to be given one.
        tag_request: Option<i64> = "tag_request",
        /// A row of `HA_Chassis_Group`.
        ha_chassis_group: Option<Uuid> = "ha_chassis_group",
        /// Rows of `Mirror`.
        mirror_rules: References = "mirror_rules",
        /// Keys of other programs.
        external_ids: StringMap = "external_ids",
    }
}
