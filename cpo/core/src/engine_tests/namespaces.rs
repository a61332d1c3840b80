//! Pools that select Services by the labels of their namespaces.

use std::collections::BTreeSet;

use pools::{Labels, Selector, ServiceAllocation};

use super::bench::{Bench, key, published, with_services};
use crate::engine::{Input, NamespacesSeen, UnderObject};
use crate::ids::TenantName;
use crate::tenant::{Namespaces, Round};
use crate::testing::{ranges, world};
use crate::under::Pool;

/// A pool for namespaces of offices, tried before the one for all.
fn office() -> Pool {
    let selector = Selector { labels: labels("office"), ..Selector::default() };
    let allocation = ServiceAllocation {
        priority: 1,
        namespace_selectors: vec![selector],
        ..ServiceAllocation::default()
    };
    Pool { allocation: Some(allocation), ..ranges(&["198.51.100.100-198.51.100.139"]) }
}

fn labels(exposure: &str) -> Labels {
    [("exposure".to_owned(), exposure.to_owned())].into()
}

/// One Service, and beside the pool for all one that selects namespaces.
fn bench() -> Bench {
    let mut world = with_services(world(), 1);
    let public = world.under.pools.get_mut("public").unwrap();
    public.excludes = vec!["198.51.100.100-198.51.100.139".parse().unwrap()];
    world.under.pools.insert("office".into(), office());
    let mut bench = Bench::told(world);
    bench.run();
    bench
}

fn tenant() -> TenantName {
    "a".parse().unwrap()
}

/// The round in which the tenant's namespaces are read.
fn round(bench: &Bench) -> Option<Round> {
    bench.engine.world().tenants[&tenant()].namespaces.round
}

/// The watch of this round says something.
fn say(bench: &mut Bench, round: Option<Round>, seen: NamespacesSeen) {
    bench.engine.handle(Input::Namespaces(tenant(), round.unwrap(), seen));
}

/// The tenant's only namespace has this label, and the list is complete.
fn read(bench: &mut Bench, exposure: &str) {
    let tenant = bench.truth.tenants.get_mut(&tenant()).unwrap();
    tenant.namespaces.labels = [("default".to_owned(), labels(exposure))].into();
    bench.feed();
    let names = BTreeSet::from(["default".to_owned()]);
    say(bench, round(bench), NamespacesSeen::Listed(names));
    bench.run();
    bench.wait(2);
}

/// The tenant does not show its namespaces.
fn refuse(bench: &mut Bench) {
    let why = "namespaces is forbidden".to_owned();
    say(bench, round(bench), NamespacesSeen::Refused(why));
}

/// Reason of the condition `NamespacesRead` of the tenant, if it has one.
fn told(bench: &Bench) -> Option<String> {
    let conditions = &bench.truth.tenants[&tenant()].spec.status.conditions;
    let read = conditions.iter().find(|condition| condition.type_ == "NamespacesRead");
    read.map(|condition| condition.reason.clone())
}

#[test]
fn a_new_service_waits_until_the_labels_are_known_and_gets_what_they_say() {
    for (exposure, first) in [("office", "198.51.100.100"), ("shop", "198.51.100.10")] {
        let mut bench = bench();
        bench.wait(2);
        assert!(bench.truth.under.ovn_eips.is_empty(), "which pool is for it is not known yet");
        assert_eq!(told(&bench).as_deref(), Some("Reading"));
        read(&mut bench, exposure);
        assert_eq!(published(&mut bench, 1), [first], "{exposure}");
        assert_eq!(told(&bench).as_deref(), Some("Read"));
    }
}

#[test]
fn labels_that_change_take_nothing_away() {
    let mut bench = bench();
    read(&mut bench, "office");
    bench.log.clear();
    read(&mut bench, "shop");
    assert_eq!(published(&mut bench, 1), ["198.51.100.100"]);
    assert!(bench.log.is_empty(), "{:?}", bench.log);
}

#[test]
fn a_tenant_that_does_not_show_its_namespaces_has_the_other_pools() {
    let mut bench = bench();
    refuse(&mut bench);
    bench.run();
    bench.wait(2);
    assert_eq!(published(&mut bench, 1), ["198.51.100.10"]);
    assert_eq!(told(&bench).as_deref(), Some("Forbidden"));
    // With the right the next Service has its pool; who has an address stays.
    read(&mut bench, "office");
    assert_eq!(published(&mut bench, 1), ["198.51.100.10"]);
    assert_eq!(told(&bench).as_deref(), Some("Read"));
}

#[test]
fn a_service_that_comes_before_its_namespace_waits_for_it() {
    let mut bench = bench();
    let now = round(&bench);
    say(&mut bench, now, NamespacesSeen::Listed(BTreeSet::new()));
    bench.run();
    bench.wait(2);
    assert!(bench.truth.under.ovn_eips.is_empty(), "its labels are not known");
    read(&mut bench, "office");
    assert_eq!(published(&mut bench, 1), ["198.51.100.100"]);
}

#[test]
fn a_service_that_waits_for_labels_is_told_so_after_a_while() {
    let mut bench = bench();
    let why = "connection reset".to_owned();
    let now = round(&bench);
    say(&mut bench, now, NamespacesSeen::Unread(why));
    bench.run();
    bench.wait(12);
    let conditions = &bench.truth.service(&key(0)).status.conditions;
    let told = conditions.iter().find(|c| c.reason == "TenantUnreachable");
    assert!(told.is_some_and(|c| c.message.contains("labels of its namespace")), "{conditions:?}");
    read(&mut bench, "office");
    assert_eq!(published(&mut bench, 1), ["198.51.100.100"]);
}

#[test]
fn what_rests_waits_for_the_labels_and_a_refusal_forgets_none() {
    let mut bench = bench();
    read(&mut bench, "office");
    bench.when(|w| w.service(&key(0)).deleting = true);
    let uid = crate::ids::Uid::new("uid-again");
    let again = crate::service::Service { uid, ..*super::bench::new_service() };
    // Another cpo, which knows nothing of the tenant's namespaces yet.
    bench.truth.put_service(&key(0), Some(again));
    bench.truth.tenant_a().namespaces = Namespaces::default();
    let mut bench = Bench { now: bench.now, ..Bench::told(bench.truth) };
    bench.run();
    assert_eq!(bench.truth.under.eips.len(), 1, "what rests is not given up meanwhile");
    assert_eq!(published(&mut bench, 1), [""; 0]);
    read(&mut bench, "office");
    assert_eq!(published(&mut bench, 1), ["198.51.100.100"]);
    refuse(&mut bench);
    let known = &bench.engine.world().tenants[&tenant()].namespaces;
    assert_eq!(known.labels["default"], labels("office"));
}

#[test]
fn without_such_a_pool_nothing_is_read() {
    let mut bench = bench();
    read(&mut bench, "office");
    bench.when(|w| {
        w.under.pools.remove("office");
        w.tenant_a().namespaces = Namespaces::default();
    });
    bench.wait(2);
    let world = bench.engine.world();
    let known = &world.tenants[&tenant()];
    assert!(!world.asks_namespaces(&known.spec) && known.namespaces.labels.is_empty());
    assert_eq!(published(&mut bench, 1), ["198.51.100.100"], "what is assigned stays");
    assert_eq!(told(&bench), None);
}

#[test]
fn what_an_earlier_round_saw_counts_for_nothing_in_the_next() {
    let mut bench = bench();
    let first = round(&bench);
    bench.when(|w| drop(w.under.pools.remove("office")));
    assert_eq!(round(&bench), None, "nobody asks");
    let old = || NamespacesSeen::One("default".into(), Some(labels("shop")));
    let listed = || NamespacesSeen::Listed(BTreeSet::from(["default".to_owned()]));
    say(&mut bench, first, old());
    say(&mut bench, first, listed());
    bench.when(|w| drop(w.under.pools.insert("office".into(), office())));
    let second = round(&bench);
    assert!(second > first, "it is read anew");
    say(&mut bench, first, old());
    say(&mut bench, first, listed());
    let known = &bench.engine.world().tenants[&tenant()].namespaces;
    assert_eq!(*known, Namespaces { round: second, ..Namespaces::default() });
    // Its Service is assigned; another comes, and waits for the labels that are.
    let uid = crate::ids::Uid::new("uid-1");
    let late = crate::service::Service { uid, ..*super::bench::new_service() };
    bench.when(|w| w.put_service(&key(1), Some(late)));
    bench.wait(2);
    assert_eq!(bench.published(&key(1)), None);
    read(&mut bench, "office");
    assert_eq!(bench.published(&key(1)).as_deref(), Some("198.51.100.100"));
}

#[test]
fn a_pool_that_goes_and_comes_at_once_begins_a_round() {
    let mut bench = bench();
    read(&mut bench, "shop");
    let first = round(&bench);
    for pool in [None, Some(office())] {
        let pool = UnderObject::AddressPool("office".into(), pool);
        bench.engine.handle(Input::Under(pool));
    }
    assert!(round(&bench) > first);
    // A pool that changes otherwise, and one that asks besides, begin none.
    let second = round(&bench);
    bench.when(|w| w.under.pools.get_mut("office").unwrap().drain = true);
    bench.when(|w| drop(w.under.pools.insert("office-2".into(), office())));
    bench.when(|w| drop(w.under.pools.remove("office")));
    assert_eq!(round(&bench), second);
}

#[test]
fn a_watch_that_fails_makes_nothing_unknown() {
    let mut bench = bench();
    read(&mut bench, "office");
    let known = bench.engine.world().tenants[&tenant()].namespaces.clone();
    let now = round(&bench);
    say(&mut bench, now, NamespacesSeen::Unread("connection reset".to_owned()));
    assert_eq!(bench.engine.world().tenants[&tenant()].namespaces, known);
    bench.wait(2);
    assert_eq!(told(&bench).as_deref(), Some("Read"));
}
