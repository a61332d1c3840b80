//! Logical routers, their ports, policies and routes.

use super::{References, StringMap, StringSet, table};
use crate::ovsdb::value::Uuid;

table! {
    /// A logical router.
    LogicalRouter = "Logical_Router" {
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
        /// Keys of other programs.
        external_ids: StringMap = "external_ids",
        /// Options.
        options: StringMap = "options",
    }
}

table! {
    /// A port of a logical router.
    LogicalRouterPort = "Logical_Router_Port" {
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
        /// Keys of other programs.
        external_ids: StringMap = "external_ids",
    }
}

table! {
    /// A chassis that can carry a distributed gateway port.
    GatewayChassis = "Gateway_Chassis" {
        /// A name, unique among these rows.
        name: String = "name",
        /// The name of the chassis.
        chassis_name: String = "chassis_name",
        /// The highest that is up carries the port.
        priority: i64 = "priority",
    }
}

table! {
    /// A routing policy; it goes before routes.
    LogicalRouterPolicy = "Logical_Router_Policy" {
        /// The highest wins.
        priority: i64 = "priority",
        /// The packets it is about, as an OVN expression.
        match_: String = "match",
        /// `allow`, `drop`, `reroute` or `jump`.
        action: String = "action",
        /// Where to reroute to, in older databases.
        nexthop: Option<String> = "nexthop",
        /// Where to reroute to.
        nexthops: StringSet = "nexthops",
        /// Keys of other programs.
        external_ids: StringMap = "external_ids",
    }
}

table! {
    /// A static route.
    LogicalRouterStaticRoute = "Logical_Router_Static_Route" {
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
        /// Keys of other programs.
        external_ids: StringMap = "external_ids",
    }
}
