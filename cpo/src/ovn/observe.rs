//! Rows of the Northbound database into the core's types. Pure.

use cpo_core::ovn as core;
use cpo_core::service::Protocol;
use ovn_client::nb;
use ovn_client::{Replica, Row, RowChange, Uuid};

/// What a change means to the core. A chassis that changes is told through the ports that name it.
pub(super) fn change(change: &RowChange, replica: &Replica) -> Vec<core::RowChange> {
    row(&change.table, change.uuid, change.new.as_deref(), replica)
}

/// What a row, or its absence, means to the core.
pub(super) fn row(
    table: &str,
    uuid: Uuid,
    row: Option<&Row>,
    replica: &Replica,
) -> Vec<core::RowChange> {
    let change = match table {
        nb::LoadBalancer::TABLE => core::RowChange::LoadBalancer(uuid, row.map(balancer)),
        nb::LogicalRouter::TABLE => core::RowChange::Router(uuid, row.map(router)),
        nb::LogicalRouterPort::TABLE => {
            core::RowChange::Port(uuid, row.map(|row| port(row, replica)))
        }
        nb::LogicalRouterStaticRoute::TABLE => core::RowChange::Route(uuid, row.map(route)),
        nb::LogicalRouterPolicy::TABLE => core::RowChange::Policy(uuid, row.map(policy)),
        nb::Nat::TABLE => {
            let address = row.and_then(|row| nb::Nat::from_row(row).external_ip.parse().ok());
            core::RowChange::Nat(uuid, address)
        }
        nb::NbGlobal::TABLE => {
            let options = row.map(|row| nb::NbGlobal::from_row(row).options).unwrap_or_default();
            core::RowChange::Northd(options.get("northd_internal_version").cloned())
        }
        nb::GatewayChassis::TABLE => return ports_of(uuid, replica),
        _ => return Vec::new(),
    };
    vec![change]
}

fn balancer(row: &Row) -> core::LoadBalancer {
    let row = nb::LoadBalancer::from_row(row);
    core::LoadBalancer {
        name: row.name,
        protocol: match row.protocol {
            nb::Protocol::Tcp => Protocol::Tcp,
            nb::Protocol::Udp => Protocol::Udp,
            nb::Protocol::Sctp => Protocol::Sctp,
        },
        vips: row.vips,
        options: row.options,
        selection_fields: row.selection_fields,
        external_ids: row.external_ids,
    }
}

fn router(row: &Row) -> core::Router {
    let row = nb::LogicalRouter::from_row(row);
    let vendor = row.external_ids.get(core::VENDOR);
    core::Router {
        of_kube_ovn: vendor.is_some_and(|vendor| vendor == core::VENDOR_KUBE_OVN),
        name: row.name,
        ports: row.ports,
        load_balancers: row.load_balancer,
        nat: row.nat,
        policies: row.policies,
        routes: row.static_routes,
    }
}

fn port(row: &Row, replica: &Replica) -> core::RouterPort {
    let row = nb::LogicalRouterPort::from_row(row);
    let mut chassis: Vec<_> = row
        .gateway_chassis
        .iter()
        .filter_map(|uuid| replica.row(nb::GatewayChassis::TABLE, *uuid))
        .map(|row| nb::GatewayChassis::from_row(row))
        .collect();
    chassis.sort_by(|a, b| (b.priority, &a.chassis_name).cmp(&(a.priority, &b.chassis_name)));
    core::RouterPort {
        name: row.name,
        networks: row.networks.iter().filter_map(|net| net.parse().ok()).collect(),
        gateway: !row.gateway_chassis.is_empty() || row.ha_chassis_group.is_some(),
        chassis: chassis.into_iter().map(|chassis| chassis.chassis_name).collect(),
    }
}

fn ports_of(chassis: Uuid, replica: &Replica) -> Vec<core::RowChange> {
    let rows = replica.table(nb::LogicalRouterPort::TABLE).iter();
    rows.filter(|row| nb::LogicalRouterPort::from_row(row).gateway_chassis.contains(&chassis))
        .map(|row| core::RowChange::Port(row.uuid(), Some(port(row, replica))))
        .collect()
}

fn route(row: &Row) -> core::Route {
    let row = nb::LogicalRouterStaticRoute::from_row(row);
    core::Route {
        prefix: row.ip_prefix,
        nexthop: row.nexthop,
        by_source: row.policy.as_deref() == Some("src-ip"),
        table: row.route_table,
        output_port: row.output_port,
    }
}

fn policy(row: &Row) -> core::Policy {
    let row = nb::LogicalRouterPolicy::from_row(row);
    let mut nexthops: Vec<_> = row.nexthops.into_iter().collect();
    nexthops.extend(row.nexthop);
    core::Policy { priority: row.priority, matches: row.match_, action: row.action, nexthops }
}
