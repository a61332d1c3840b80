//! Logical routers, their ports, policies and routes.

use super::{References, StringMap, StringSet};
use crate::ovsdb::value::Uuid;
use crate::table;

table! {
    /// A logical router.
    pub LogicalRouter = "Logical_Router" {
        /// A name; not unique.
        name: String = "name",
        /// Rows of `Logical_Router_Port`.
        ports: References = "ports",
        /// Rows of `Load_Balancer`.
        load_balancer: References = "load_balancer",
        /// Rows of `Load_Balancer_Group`.
        load_balancer_group: References = "load_balancer_group",
        /// Rows of `NAT`.
        nat: References = "nat",
        /// Rows of `Logical_Router_Policy`.
        policies: References = "policies",
        /// Rows of `Logical_Router_Static_Route`.
        static_routes: References = "static_routes",
        /// What the router's own control traffic is limited by: a row of `Copp`.
        copp: Option<Uuid> = "copp",
        /// Whether it passes packets; absent for yes.
        enabled: Option<bool> = "enabled",
        /// Keys of other programs.
        external_ids: StringMap = "external_ids",
        /// Options.
        options: StringMap = "options",
    }
}

table! {
    /// A port of a logical router.
    pub LogicalRouterPort = "Logical_Router_Port" {
        /// A name, unique among ports.
        name: String = "name",
        /// The Ethernet address.
        mac: String = "mac",
        /// Addresses with the length of their network's prefix.
        networks: StringSet = "networks",
        /// Rows of `Gateway_Chassis`: not empty on a distributed gateway port.
        gateway_chassis: References = "gateway_chassis",
        /// A row of `HA_Chassis_Group`: set on a distributed gateway port.
        ha_chassis_group: Option<Uuid> = "ha_chassis_group",
        /// The port of another router it is joined to.
        peer: Option<String> = "peer",
        /// Whether it passes packets; absent for yes.
        enabled: Option<bool> = "enabled",
        /// Addresses with prefixes that were delegated to it.
        ipv6_prefix: StringSet = "ipv6_prefix",
        /// What it says in IPv6 router advertisements.
        ipv6_ra_configs: StringMap = "ipv6_ra_configs",
        /// A row of `DHCP_Relay`.
        dhcp_relay: Option<Uuid> = "dhcp_relay",
        /// Options.
        options: StringMap = "options",
        /// What ovn-northd tells of it, among it `hosting-chassis`.
        status: StringMap = "status",
        /// Keys of other programs.
        external_ids: StringMap = "external_ids",
    }
}

table! {
    /// A chassis that can carry a distributed gateway port.
    pub GatewayChassis = "Gateway_Chassis" {
        /// A name, unique among these rows.
        name: String = "name",
        /// The name of the chassis.
        chassis_name: String = "chassis_name",
        /// The highest that is up carries the port.
        priority: i64 = "priority",
        /// Options.
        options: StringMap = "options",
        /// Keys of other programs.
        external_ids: StringMap = "external_ids",
    }
}

table! {
    /// Chassis of which one carries a port.
    pub HaChassisGroup = "HA_Chassis_Group" {
        /// A name, unique among these rows.
        name: String = "name",
        /// Rows of `HA_Chassis`.
        ha_chassis: References = "ha_chassis",
        /// Keys of other programs.
        external_ids: StringMap = "external_ids",
    }
}

table! {
    /// A routing policy; it goes before routes.
    pub LogicalRouterPolicy = "Logical_Router_Policy" {
        /// The highest wins.
        priority: i64 = "priority",
        /// The chain it belongs to; absent for the one that is looked at first.
        chain: Option<String> = "chain",
        /// The packets it is about, as an OVN expression.
        match_: String = "match",
        /// `allow`, `drop`, `reroute` or `jump`.
        action: String = "action",
        /// The chain that `jump` goes on with.
        jump_chain: Option<String> = "jump_chain",
        /// Where to reroute to, in older databases.
        nexthop: Option<String> = "nexthop",
        /// Where to reroute to.
        nexthops: StringSet = "nexthops",
        /// Rows of `BFD` that watch the next hops.
        bfd_sessions: References = "bfd_sessions",
        /// Options.
        options: StringMap = "options",
        /// Keys of other programs.
        external_ids: StringMap = "external_ids",
    }
}

table! {
    /// A static route.
    pub LogicalRouterStaticRoute = "Logical_Router_Static_Route" {
        /// The addresses it is about.
        ip_prefix: String = "ip_prefix",
        /// The next hop, or `discard`.
        nexthop: String = "nexthop",
        /// The name of the port to leave by.
        output_port: Option<String> = "output_port",
        /// `dst-ip` or `src-ip`; `dst-ip` if there is none.
        policy: Option<String> = "policy",
        /// The name of the route table; empty for the main one.
        route_table: String = "route_table",
        /// A row of `BFD` on which the route depends.
        bfd: Option<Uuid> = "bfd",
        /// The packet fields that choose among routes to one prefix; empty for the default.
        selection_fields: StringSet = "selection_fields",
        /// Options.
        options: StringMap = "options",
        /// Keys of other programs.
        external_ids: StringMap = "external_ids",
    }
}
