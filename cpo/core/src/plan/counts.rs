//! What operators count by: the statuses of `TenantCluster` and `AddressPool`.

use cpo_api::{
    AddressPoolStatus, Condition, PoolCounts, Reason, TenantClusterStatus, merge_conditions, names,
};
use pools::{Family, PoolFigures};

use super::report;
use crate::tenant::{Link, Reading, Tenant};
use crate::time::{Now, rfc3339};
use crate::under::Pool;
use crate::world::World;

/// Of each family, so many addresses of a pool are named ahead. What is given in a second is among
/// them, unless a crowd comes.
const AHEAD: usize = 32;

/// The status a `TenantCluster` should have.
#[must_use]
pub fn tenant_status(world: &World, tenant: &Tenant, now: Now) -> TenantClusterStatus {
    let (connected, reason, text) = match &tenant.link {
        Link::Connecting => (false, "Connecting", String::new()),
        Link::Up { .. } => (true, "Connected", String::new()),
        Link::Down(why) => (false, Reason::TenantUnreachable.as_str(), why.clone()),
        Link::Rejected(why) => (false, Reason::KubeconfigRejected.as_str(), why.clone()),
    };
    let synced = tenant.synced;
    let rival = world.rival(&tenant.spec).map(|other| {
        format!(
            "TenantCluster {other} serves the under cluster already: delete one of them, or take \
             spec.inCluster out of it"
        )
    });
    let (connected, reason, text) = match rival {
        Some(text) => (false, "AnotherInCluster", text),
        None => (connected, reason, text),
    };
    let (ready, ready_reason) = match (tenant.spec.suspended, connected && synced) {
        (true, _) => (false, "Suspended"),
        (false, true) => (true, "Ready"),
        (false, false) if connected => (false, "Syncing"),
        (false, false) => (false, reason),
    };
    let mut conditions = vec![
        report::condition("Connected", connected, reason, &text, now),
        report::condition("Synced", synced, if synced { "Synced" } else { "Syncing" }, "", now),
        report::condition("Ready", ready, ready_reason, &text, now),
    ];
    if world.asks_namespaces(&tenant.spec) {
        conditions.push(namespaces_read(&tenant.namespaces.reading, now));
    }
    if !tenant.braked.is_empty() {
        conditions.push(braked(tenant, now));
    }
    let claimed = tenant.services.values().filter(|s| tenant.spec.claims(s)).count();
    let uid = tenant.spec.uid.as_str();
    let eips = world.under.eips.values().filter(|e| e.spec.tenant.uid == uid).count();
    let observed = &tenant.spec.status;
    let (version, expires) = match &tenant.link {
        Link::Up { version, expires } => (version.clone(), expires.map(rfc3339)),
        _ => (observed.kubernetes_version.clone(), observed.kubeconfig_expires.clone()),
    };
    let count = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
    TenantClusterStatus {
        conditions: merge_conditions(
            &observed.conditions,
            report::observed(tenant.spec.generation, conditions),
        ),
        // Before the lists are complete a count proves nothing.
        services: if synced { count(claimed) } else { observed.services },
        eips: count(eips),
        kubeconfig_expires: expires,
        kubernetes_version: version,
    }
}

fn namespaces_read(reading: &Reading, now: Now) -> Condition {
    let (read, reason, text) = match reading {
        Reading::Unread(why) => (false, "Reading", why.clone()),
        Reading::Read => (true, "Read", String::new()),
        Reading::Refused(why) => {
            let remedy = "apply manifests/tenant-rbac-namespaces.yaml in its cluster";
            (false, "Forbidden", format!("{}; {remedy}", not_shown(why)))
        }
    };
    report::condition("NamespacesRead", read, reason, &text, now)
}

/// What it means that a tenant does not show its namespaces.
pub(crate) fn not_shown(why: &str) -> String {
    format!(
        "namespaceSelectors of AddressPools select nothing of this tenant, but by labels that were \
         read before: {why}"
    )
}

fn braked(tenant: &Tenant, now: Now) -> Condition {
    let count = tenant.braked.len();
    let text = format!(
        "{count} Services that hold addresses are absent from a complete list of the tenant; their \
         addresses are kept. If that is meant, annotate this object with {}={count}",
        names::ANNOTATION_ACKNOWLEDGE
    );
    report::condition("MassDeletionBraked", true, "ServicesVanished", &text, now)
}

/// The status an `AddressPool` should have.
#[must_use]
pub fn pool_status(world: &World, name: &str, pool: &Pool, now: Now) -> AddressPoolStatus {
    let assignments = &world.assignments;
    let conflict = assignments.conflict(name).map(|(other, range)| {
        format!(
            "{range} is in the older AddressPool {other} as well: take it out of one of them; until \
             then this pool gives nothing new"
        )
    });
    let faults = assignments.faults(name);
    let texts: Vec<_> = faults.iter().map(|fault| fault.message.as_str()).collect();
    let (ready, reason, text) = match (faults.first(), &conflict) {
        (Some(fault), _) => (false, fault.reason, texts.join("; ")),
        (None, Some(text)) => (false, "Conflicting", text.clone()),
        (None, None) if pool.drain => (true, "Drained", "hands out nothing new".to_owned()),
        (None, None) => (true, "Ready", String::new()),
    };
    let overlap = if conflict.is_some() { "Overlap" } else { "NoOverlap" };
    let conditions = vec![
        report::condition("Ready", ready, reason, &text, now),
        report::condition(
            "Conflicting",
            conflict.is_some(),
            overlap,
            conflict.as_deref().unwrap_or_default(),
            now,
        ),
    ];
    let figures = assignments.figures(name).unwrap_or_default();
    let (ipv4, ipv6) = (counts(&figures, Family::V4), counts(&figures, Family::V6));
    AddressPoolStatus {
        conditions: merge_conditions(
            &pool.status.conditions,
            report::observed(pool.generation, conditions),
        ),
        assigned: ipv4.assigned.saturating_add(ipv6.assigned),
        available: ipv4.available.saturating_add(ipv6.available),
        ipv4,
        ipv6,
        next: next(world, name, pool),
    }
}

/// The addresses that a pool on a VLAN gives next.
fn next(world: &World, name: &str, pool: &Pool) -> Vec<String> {
    if !world.is_on_a_vlan(pool) {
        return Vec::new();
    }
    let next = |family| world.assignments.next(name, family, AHEAD);
    let all = next(Family::V4).into_iter().chain(next(Family::V6));
    all.map(|address| address.to_string()).collect()
}

fn counts(figures: &PoolFigures, family: Family) -> PoolCounts {
    let large = |count: u128| i64::try_from(count).unwrap_or(i64::MAX);
    let small = |count: &u64| large(u128::from(*count));
    let kept = figures.kept.get(family);
    PoolCounts {
        total: large(*figures.total.get(family)),
        assigned: small(figures.assigned.get(family)),
        resting: small(figures.resting.get(family)),
        reserved: small(figures.reserved.get(family)).saturating_add(small(kept)),
        available: large(*figures.available.get(family)),
    }
}
