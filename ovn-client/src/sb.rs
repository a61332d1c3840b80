//! Typed rows of the OVN Southbound database (ovn-sb(5)).

use crate::nb::{References, StringMap, StringSet};
use crate::ovsdb::schema::{DatabaseSpec, TableSpec};
use crate::ovsdb::value::Uuid;
use crate::table;
use crate::table::TypedRow as _;

/// The name of the database.
pub const NAME: &str = "OVN_Southbound";

/// The `OVN_Southbound` database with these tables of it.
pub fn database(tables: impl IntoIterator<Item = TableSpec>) -> DatabaseSpec {
    DatabaseSpec::new(NAME, tables)
}

/// Every table of this module with all its columns.
pub fn tables() -> Vec<TableSpec> {
    vec![Chassis::spec(), PortBinding::spec(), SbGlobal::spec(), ServiceMonitor::spec()]
}

table! {
    /// A machine that runs ovn-controller.
    pub Chassis = "Chassis" {
        /// A name, unique among these rows.
        name: String = "name",
        /// The name of the host.
        hostname: String = "hostname",
        /// Rows of `Encap`.
        encaps: References = "encaps",
        /// Transport zones it belongs to.
        transport_zones: StringSet = "transport_zones",
        /// Logical switches of VTEPs behind it.
        vtep_logical_switches: StringSet = "vtep_logical_switches",
        /// The configuration it has applied, in older databases.
        nb_cfg: i64 = "nb_cfg",
        /// What ovn-controller tells of itself.
        other_config: StringMap = "other_config",
        /// Keys of other programs.
        external_ids: StringMap = "external_ids",
    }
}

table! {
    /// Where a logical port is.
    pub PortBinding = "Port_Binding" {
        /// The name of the port in the Northbound database.
        logical_port: String = "logical_port",
        /// The type of the port.
        type_: String = "type",
        /// The row of `Datapath_Binding` it belongs to.
        datapath: Uuid = "datapath",
        /// Its number within the datapath.
        tunnel_key: i64 = "tunnel_key",
        /// The port it is nested in.
        parent_port: Option<String> = "parent_port",
        /// The VLAN within that port.
        tag: Option<i64> = "tag",
        /// The port that has taken on a `virtual` one.
        virtual_parent: Option<String> = "virtual_parent",
        /// The row of `Chassis` it is bound to.
        chassis: Option<Uuid> = "chassis",
        /// The row of `Encap` it is reached by.
        encap: Option<Uuid> = "encap",
        /// Rows of `Chassis` it is bound to besides, while it migrates.
        additional_chassis: References = "additional_chassis",
        /// The rows of `Encap` it is reached by there.
        additional_encap: References = "additional_encap",
        /// The row of `Chassis` it was asked to be bound to.
        requested_chassis: Option<Uuid> = "requested_chassis",
        /// Rows of `Chassis` it was asked to be bound to besides.
        requested_additional_chassis: References = "requested_additional_chassis",
        /// Rows of `Gateway_Chassis`.
        gateway_chassis: References = "gateway_chassis",
        /// A row of `HA_Chassis_Group`.
        ha_chassis_group: Option<Uuid> = "ha_chassis_group",
        /// Whether it passes packets.
        up: Option<bool> = "up",
        /// Ethernet and IP addresses.
        mac: StringSet = "mac",
        /// Addresses packets may be sent from; empty for any.
        port_security: StringSet = "port_security",
        /// Addresses that are announced for it.
        nat_addresses: StringSet = "nat_addresses",
        /// Rows of `Mirror`.
        mirror_rules: References = "mirror_rules",
        /// Options.
        options: StringMap = "options",
        /// Keys of other programs.
        external_ids: StringMap = "external_ids",
    }
}

table! {
    /// The health of one backend of a load balancer.
    pub ServiceMonitor = "Service_Monitor" {
        /// The address probed.
        ip: String = "ip",
        /// The port probed.
        port: i64 = "port",
        /// `tcp` or `udp`; absent for TCP.
        protocol: Option<String> = "protocol",
        /// The logical port behind which it is.
        logical_port: String = "logical_port",
        /// The chassis that probes.
        chassis_name: String = "chassis_name",
        /// The Ethernet address probes come from.
        src_mac: String = "src_mac",
        /// The address probes come from.
        src_ip: String = "src_ip",
        /// `online`, `offline` or `error`; absent while it is not known.
        status: Option<String> = "status",
        /// Options of the probe.
        options: StringMap = "options",
        /// Keys of other programs.
        external_ids: StringMap = "external_ids",
    }
}

table! {
    /// The one row of settings.
    pub SbGlobal = "SB_Global" {
        /// The number of the configuration that ovn-northd has translated.
        nb_cfg: i64 = "nb_cfg",
        /// Options, among them `northd_internal_version`.
        options: StringMap = "options",
        /// Whether tunnels are encrypted.
        ipsec: bool = "ipsec",
        /// Rows of `Connection`.
        connections: References = "connections",
        /// A row of `SSL`.
        ssl: Option<Uuid> = "ssl",
        /// Keys of other programs.
        external_ids: StringMap = "external_ids",
    }
}
