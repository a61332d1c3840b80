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
        /// Whether it passes packets; absent for yes.
        enabled: Option<bool> = "enabled",
        /// Whether a chassis has bound it.
        up: Option<bool> = "up",
        /// Options, among them `router-port` and `network_name`.
        options: StringMap = "options",
        /// The port it is nested in.
        parent_name: Option<String> = "parent_name",
        /// The VLAN within that port.
        tag: Option<i64> = "tag",
        /// A row of `HA_Chassis_Group`.
        ha_chassis_group: Option<Uuid> = "ha_chassis_group",
        /// Keys of other programs.
        external_ids: StringMap = "external_ids",
    }
}
