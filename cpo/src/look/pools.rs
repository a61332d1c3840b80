//! `cpo pools`: every AddressPool with its figures and how it stands.

use cpo_api::{
    AddressPool, LabelOperator, LabelSelector, PoolCounts, PoolTenants, ServiceAllocation,
};
use kube::ResourceExt;
use serde::Serialize;

use super::table::{aligned, condition, holds, shortened};

/// One pool, as it is printed.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Row {
    name: String,
    /// A Subnet of Kube-OVN, or ranges.
    #[serde(skip_serializing_if = "Option::is_none")]
    ovn_subnet: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    addresses: Vec<String>,
    /// Who may draw, in words.
    tenants: String,
    auto_assign: bool,
    assigned: i64,
    resting: i64,
    reserved: i64,
    available: i64,
    total: i64,
    ready: bool,
    /// `Ready`, `Drained`, or why it gives nothing.
    state: String,
    message: String,
}

/// The rows of all pools, by name.
pub(super) fn rows(mut pools: Vec<AddressPool>) -> Vec<Row> {
    pools.sort_by_key(ResourceExt::name_any);
    pools.into_iter().map(row).collect()
}

fn row(pool: AddressPool) -> Row {
    let name = pool.name_any();
    let status = pool.status.unwrap_or_default();
    let ready = condition(&status.conditions, "Ready");
    let sum = |of: fn(&PoolCounts) -> i64| of(&status.ipv4).saturating_add(of(&status.ipv6));
    let mut tenants = pool.spec.tenants.as_ref().map_or_else(|| "all".to_owned(), open_to);
    if pool
        .spec
        .service_allocation
        .is_some_and(|a| a != ServiceAllocation { priority: a.priority, ..Default::default() })
    {
        tenants.push_str(" (some Services)");
    }
    Row {
        name,
        ovn_subnet: pool.spec.ovn_subnet,
        addresses: pool.spec.addresses.unwrap_or_default(),
        tenants,
        auto_assign: pool.spec.auto_assign,
        assigned: sum(|counts| counts.assigned),
        resting: sum(|counts| counts.resting),
        reserved: sum(|counts| counts.reserved),
        available: sum(|counts| counts.available),
        total: sum(|counts| counts.total),
        ready: holds(ready),
        state: ready.map_or("Unseen", |c| c.reason.as_str()).to_owned(),
        message: ready.map_or("no cpo has looked at it yet", |c| c.message.as_str()).to_owned(),
    }
}

fn open_to(tenants: &PoolTenants) -> String {
    let mut parts: Vec<_> = tenants.names.iter().flatten().cloned().collect();
    parts.extend(tenants.selector.as_ref().map(selected));
    match parts.is_empty() {
        true => "none".to_owned(),
        false => shortened(&parts),
    }
}

/// A selector as kubectl takes it.
fn selected(selector: &LabelSelector) -> String {
    let labels = selector.match_labels.iter().map(|(key, value)| format!("{key}={value}"));
    let rest = selector.match_expressions.iter().map(|e| match e.operator {
        LabelOperator::In => format!("{} in ({})", e.key, e.values.join(",")),
        LabelOperator::NotIn => format!("{} notin ({})", e.key, e.values.join(",")),
        LabelOperator::Exists => e.key.clone(),
        LabelOperator::DoesNotExist => format!("!{}", e.key),
    });
    let all: Vec<_> = labels.chain(rest).collect();
    format!("[{}]", all.join(","))
}

/// The table, and below it what is the matter with pools that are not Ready.
pub(super) fn text(rows: &[Row]) -> String {
    let head = [
        "NAME",
        "SOURCE",
        "TENANTS",
        "AUTO",
        "ASSIGNED",
        "RESTING",
        "RESERVED",
        "AVAILABLE",
        "TOTAL",
        "STATE",
    ];
    let mut lines = vec![head.map(str::to_owned)];
    lines.extend(rows.iter().map(|row| {
        let subnet = row.ovn_subnet.as_ref().map(|subnet| format!("Subnet {subnet}"));
        [
            row.name.clone(),
            subnet.unwrap_or_else(|| shortened(&row.addresses)),
            row.tenants.clone(),
            if row.auto_assign { "yes" } else { "on request" }.to_owned(),
            row.assigned.to_string(),
            row.resting.to_string(),
            row.reserved.to_string(),
            row.available.to_string(),
            row.total.to_string(),
            row.state.clone(),
        ]
    }));
    let mut text = aligned(&lines);
    for row in rows.iter().filter(|row| !row.ready) {
        text.push_str(&format!("\n{}: {}: {}\n", row.name, row.state, row.message));
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pool(name: &str, spec: serde_json::Value, status: serde_json::Value) -> AddressPool {
        let object = json!({
            "apiVersion": "cloud-provider-ovn.io/v1alpha1", "kind": "AddressPool",
            "metadata": {"name": name}, "spec": spec, "status": status,
        });
        serde_json::from_value(object).unwrap()
    }

    fn ready(status: &str, reason: &str, message: &str) -> serde_json::Value {
        json!([{
            "type": "Ready", "status": status, "reason": reason, "message": message,
            "lastTransitionTime": "2026-01-01T00:00:00Z",
        }])
    }

    #[test]
    fn figures_of_both_families_are_summed_and_trouble_is_told_below() {
        let counts = |n: i64| json!({"total": n, "assigned": 1, "resting": 2, "reserved": 3, "available": n - 6});
        let good = pool(
            "public",
            json!({"ovnSubnet": "external"}),
            json!({"conditions": ready("True", "Ready", ""), "ipv4": counts(10), "ipv6": counts(20)}),
        );
        let bad = pool(
            "office",
            json!({
                "addresses": ["203.0.113.0/28", "203.0.113.32/28", "203.0.113.64"],
                "autoAssign": false,
                "tenants": {"names": ["a"], "selector": {"matchLabels": {"tier": "gold"}}},
            }),
            json!({"conditions": ready("False", "RangeForbidden", "203.0.113.1 is a gateway")}),
        );
        let text = text(&rows(vec![good, bad]));
        let lines: Vec<Vec<_>> = text
            .lines()
            .map(|l| l.split("   ").map(str::trim).filter(|c| !c.is_empty()).collect())
            .collect();
        assert_eq!(
            lines[1],
            [
                "office",
                "203.0.113.0/28,203.0.113.32/28 +1",
                "a,[tier=gold]",
                "on request",
                "0",
                "0",
                "0",
                "0",
                "0",
                "RangeForbidden"
            ]
        );
        assert_eq!(
            lines[2],
            ["public", "Subnet external", "all", "yes", "2", "4", "6", "18", "30", "Ready"]
        );
        assert!(text.ends_with("\noffice: RangeForbidden: 203.0.113.1 is a gateway\n"), "{text}");
    }

    #[test]
    fn a_pool_that_nobody_looked_at_is_not_ready() {
        let rows = rows(vec![pool("new", json!({"ovnSubnet": "external"}), json!(null))]);
        assert!(!rows[0].ready && rows[0].state == "Unseen");
    }
}
