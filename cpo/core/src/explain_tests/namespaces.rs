//! Pools that select by the labels of namespaces, and tenants that do not show these.

use pools::{Selector, ServiceAllocation};

use super::*;
use crate::tenant::Reading;
use crate::under::Pool;

/// A pool for Services in namespaces of offices.
fn office() -> Pool {
    let labels = [("exposure".to_owned(), "office".to_owned())].into();
    let selector = Selector { labels, ..Selector::default() };
    let allocation =
        ServiceAllocation { namespace_selectors: vec![selector], ..ServiceAllocation::default() };
    Pool { allocation: Some(allocation), ..ranges(&["198.51.100.100-198.51.100.139"]) }
}

/// The Service, beside the pool for all one for offices, and how far the namespaces are known.
fn asking(service: Service, reading: Reading) -> World {
    let mut world = connected().with_service(WEB, service);
    let public = world.under.pools.get_mut("public").unwrap();
    public.excludes = vec!["198.51.100.100-198.51.100.139".parse().unwrap()];
    world.under.pools.insert("office".into(), office());
    let known = &mut world.tenant_a().namespaces;
    known.labels.insert("default".into(), [("exposure".to_owned(), "shop".to_owned())].into());
    if reading != Reading::Read {
        known.labels.clear();
    }
    known.reading = reading;
    world.reckon_pools();
    world
}

fn refused() -> Reading {
    Reading::Refused("namespaces is forbidden".to_owned())
}

/// The condition of the controller.
fn told(world: &mut World, reason: &str) {
    let condition = condition("NamespacesRead", reason == "Read", reason, "says cpo");
    tenant(world, |spec| spec.status.conditions.push(condition));
}

fn found(explanation: &Explanation) -> Option<&Finding> {
    explanation.findings.iter().find(|finding| finding.step == Step::Namespaces)
}

#[test]
fn where_no_pool_asks_for_labels_nothing_is_said_of_namespaces() {
    let mut world = connected().with_service(WEB, service());
    world.tenant_a().namespaces.reading = refused();
    assert_eq!(found(&ask(&world, None)), None);
}

#[test]
fn namespaces_that_are_not_shown_are_a_limitation_where_another_pool_gives() {
    let told = ask(&asking(service(), refused()), None);
    let found = found(&told).unwrap();
    assert_eq!(found.mark, Mark::Warning);
    assert!(found.text.starts_with("Forbidden: ") && found.text.contains("select nothing"));
    assert!(found.text.contains("namespaces is forbidden"), "{told:?}");
    assert!(found.remedy.contains("manifests/tenant-rbac-namespaces.yaml"), "{told:?}");
    assert_eq!(told.cause, "there is no OvnEip for it yet");
}

#[test]
fn namespaces_that_are_not_shown_are_the_cause_where_only_a_pool_for_their_labels_is_left() {
    let for_office = super::asking(names::ANNOTATION_POOL, "office");
    let mut alone = asking(service(), refused());
    alone.under.pools.remove("public");
    alone.reckon_pools();
    for world in [asking(for_office, refused()), alone] {
        let told = ask(&world, None);
        assert!(told.cause.starts_with("Forbidden: "), "{told:?}");
        assert!(told.remedy.contains("manifests/tenant-rbac-namespaces.yaml"), "{told:?}");
    }
    // With the right, another pool would still not be there.
    let astray = super::asking(names::ANNOTATION_POOL, "gold");
    let told = ask(&asking(astray, refused()), None);
    assert!(told.cause.starts_with("PoolNotFound: "), "{told:?}");
}

#[test]
fn a_service_that_waits_for_labels_is_told_what_for() {
    let told = ask(&asking(service(), Reading::Unread("no answer in time".to_owned())), None);
    assert_eq!(found(&told).unwrap().mark, Mark::No);
    assert!(told.cause.contains("no answer in time"), "{told:?}");
    assert!(told.remedy.contains("a list of its Namespaces"), "{told:?}");
    // What has an address does not wait.
    let mut world = serving();
    world.under.pools.insert("office".into(), office());
    let told = ask(&world, None);
    assert!(told.served, "{told:?}");
    assert_eq!(found(&told).unwrap().mark, Mark::Warning);
}

#[test]
fn the_controllers_word_of_namespaces_counts_where_they_were_not_looked_at() {
    let mark = |reason: &str, unread: Option<&str>| {
        let mut world = asking(service(), Reading::Read);
        told(&mut world, reason);
        let told = ask(&world, unread);
        found(&told).map(|finding| (finding.mark, finding.remedy.clone())).unwrap()
    };
    assert_eq!(mark("Read", Some("forbidden")).0, Mark::Ok);
    let (forbidden, remedy) = mark("Forbidden", Some("forbidden"));
    assert_eq!(forbidden, Mark::Warning);
    assert!(remedy.contains("manifests/tenant-rbac-namespaces.yaml"), "{remedy}");
    let (reading, remedy) = mark("Reading", Some("forbidden"));
    assert_eq!(reading, Mark::Warning);
    assert!(remedy.contains("a list of its Namespaces"), "{remedy}");
    // The right was given, and the controller has not tried again yet.
    let (late, remedy) = mark("Forbidden", None);
    assert_eq!(late, Mark::Warning);
    assert!(remedy.contains("by now"), "{remedy}");
    let untold = ask(&asking(service(), Reading::Read), Some("forbidden"));
    assert_eq!(found(&untold).unwrap().mark, Mark::Unknown);
}
