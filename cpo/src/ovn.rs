//! The Northbound database's edge: rows into the core's types, edits into transactions.

mod batch;
mod epoch;
mod link;
mod observe;
mod write;

use cpo_core::ovn::RowChange;
use ovn_client::nb::{self, TypedRow as _};
use ovn_client::{DatabaseSpec, Replica};

/// What is read of the Northbound database: more would only be sent and kept.
pub(crate) fn database() -> DatabaseSpec {
    let tables = [
        nb::GatewayChassis::spec().only(["chassis_name", "priority"]),
        nb::LoadBalancer::spec().only([
            "name",
            "protocol",
            "vips",
            "options",
            "selection_fields",
            "external_ids",
        ]),
        nb::LogicalRouter::spec().only([
            "name",
            "ports",
            "load_balancer",
            "nat",
            "policies",
            "static_routes",
            "external_ids",
        ]),
        nb::LogicalRouterPolicy::spec()
            .only(["priority", "match", "action", "nexthop", "nexthops"]),
        nb::LogicalRouterPort::spec().only([
            "name",
            "networks",
            "gateway_chassis",
            "ha_chassis_group",
        ]),
        nb::LogicalRouterStaticRoute::spec().only([
            "ip_prefix",
            "nexthop",
            "output_port",
            "policy",
            "route_table",
        ]),
        nb::Nat::spec().only(["external_ip"]),
        nb::NbGlobal::spec().only(["options"]),
    ];
    nb::database(tables).index(epoch::by_role())
}

/// Every row there is, in the core's types.
pub(crate) fn everything(replica: &Replica) -> Vec<RowChange> {
    let tables = replica.tables();
    let rows = tables.flat_map(|table| table.iter().map(move |row| (table, row)));
    rows.flat_map(|(table, row)| observe::row(table.name(), row.uuid(), Some(row), replica))
        .collect()
}

pub(crate) use link::{Link, Message, Terms};
