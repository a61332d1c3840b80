//! Pools and quotas under many Services at once.

use std::collections::BTreeSet;

use super::bench::{Bench, key, new_service, published, with_pool, with_services};
use crate::effect::{Effect, UnderEffect};
use crate::engine::Outcome;
use crate::ids::Uid;
use crate::service::Service;
use crate::testing::{self, only, ranges, world};
use crate::under::Pool;
use crate::world::World;

fn created_eips(bench: &Bench) -> usize {
    let created = |effect: &&Effect| matches!(effect, Effect::Under(UnderEffect::CreateEip { .. }));
    bench.log.iter().filter(created).count()
}

#[test]
fn many_services_at_once_get_an_address_each_and_none_is_tried_twice() {
    let world = with_pool(ranges(&["198.51.100.100-198.51.100.139"]));
    let mut bench = Bench::told(with_services(world, 40));
    bench.run();
    let addresses: BTreeSet<_> = published(&mut bench, 40).into_iter().collect();
    assert_eq!(addresses.len(), 40);
    assert_eq!(created_eips(&bench), 40);
    assert!(addresses.contains("198.51.100.100") && addresses.contains("198.51.100.139"));
}

#[test]
fn a_pool_of_ranges_that_is_used_up_serves_the_next_as_soon_as_an_address_is_free() {
    let pool = Pool { quarantine_seconds: 5, ..ranges(&["198.51.100.100-198.51.100.101"]) };
    let mut bench = Bench::told(with_services(with_pool(pool), 3));
    bench.run();
    bench.wait(2);
    assert_eq!(published(&mut bench, 3).len(), 2);
    let status = bench.truth.under.pools["ours"].status.clone();
    assert_eq!((status.ipv4.total, status.ipv4.assigned, status.ipv4.available), (2, 2, 0));
    let free = (0..3).find(|number| bench.published(&key(*number)).is_none()).unwrap();
    bench.when(|w| w.service(&key(usize::from(free == 0))).deleting = true);
    bench.wait(4);
    assert!(bench.published(&key(free)).is_none(), "the address rests");
    bench.wait(3);
    assert!(bench.published(&key(free)).is_some());
}

#[test]
fn a_quota_holds_for_services_that_come_at_once() {
    for pool in [ranges(&["198.51.100.100-198.51.100.139"]), testing::pool("external")] {
        let mut world = with_services(with_pool(pool), 20);
        world.tenant_a().spec.quota.addresses.ipv4 = Some(7);
        let mut bench = Bench::told(world);
        bench.run();
        assert_eq!(published(&mut bench, 20).len(), 7);
        bench.when(|w| w.tenant_a().spec.quota.addresses.ipv4 = Some(3));
        assert_eq!(published(&mut bench, 20).len(), 7, "lowered, it takes nothing away");
        bench.when(|w| w.tenant_a().spec.quota.addresses.ipv4 = None);
        bench.wait(1);
        assert_eq!(published(&mut bench, 20).len(), 20, "lifted, it holds nobody back");
    }
}

#[test]
fn ports_beyond_the_quota_are_not_served_and_those_before_are() {
    let mut world = with_services(world(), 1);
    world.tenant_a().spec.quota.ports = Some(1);
    let mut bench = Bench::told(world);
    bench.run();
    let more = testing::port(crate::service::Protocol::Tcp, 443, 30443);
    bench.when(|w| w.service(&key(0)).ports.push(more.clone()));
    bench.wait(2);
    let vips = |bench: &Bench| -> usize {
        bench.truth.ovn.load_balancers.values().map(|row| row.vips.len()).sum()
    };
    assert_eq!(vips(&bench), 1);
    bench.when(|w| w.node("vm2").excluded = true);
    let to = |bench: &Bench| -> Vec<String> {
        bench.truth.ovn.load_balancers.values().flat_map(|row| row.vips.values().cloned()).collect()
    };
    assert_eq!(to(&bench), ["10.0.0.2:30080"], "what is served follows its nodes");
    let told = bench.truth.service(&key(0)).status.conditions.clone();
    assert!(told.iter().any(|c| c.reason == "QuotaExceeded"), "{told:#?}");
    bench.when(|w| w.tenant_a().spec.quota.ports = Some(2));
    bench.wait(1);
    assert_eq!(vips(&bench), 2);
}

/// What an operator does to a pool.
type Edit = fn(&mut Pool);

#[test]
fn a_drained_shrunk_or_closed_pool_keeps_what_is_assigned_and_gives_nothing_more() {
    let edits: [(&str, Edit); 4] = [
        ("drained", |pool| pool.drain = true),
        ("shrunk", |pool| pool.source = ranges(&["198.51.100.150"]).source),
        ("bound to another tenant", |pool| pool.tenants = only(&["b"])),
        ("broken", |pool| pool.broken = Some("spec.addresses[0]: x".into())),
    ];
    for (what, edit) in edits {
        let world = with_pool(ranges(&["198.51.100.100-198.51.100.139"]));
        let mut bench = Bench::told(with_services(world, 2));
        bench.run();
        let before = published(&mut bench, 2);
        bench.when(|w| edit(w.under.pools.get_mut("ours").unwrap()));
        bench.wait(2);
        assert_eq!(published(&mut bench, 2), before, "{what}");
        let again = if what == "shrunk" { 1 } else { 0 };
        let late = |w: &mut World| {
            let uid = Uid::new("uid-late");
            w.put_service("a/default/late", Some(Service { uid, ..*new_service() }));
            let uid = Uid::new("uid-later");
            w.put_service("a/default/later", Some(Service { uid, ..*new_service() }));
        };
        bench.when(late);
        bench.wait(2);
        let new = ["a/default/late", "a/default/later"].map(|key| bench.published(key));
        assert_eq!(new.into_iter().flatten().count(), again, "{what}");
        let assigned = bench.truth.under.eips[&before[0]].status.conditions[0].reason.clone();
        let outside = if what == "shrunk" { "OutsidePool" } else { "Assigned" };
        assert_eq!(assigned, outside, "{what}");
    }
}

/// What begins to use an address.
type Use = fn(&mut World);

#[test]
fn a_pool_that_holds_what_the_under_cluster_uses_says_what_and_gives_nothing() {
    let uses: [(&str, Use); 2] = [
        ("198.51.100.120, which is the address of Node worker-1", |w| {
            w.under.nodes.insert("worker-1".into(), testing::under_node("198.51.100.120"));
        }),
        ("198.51.100.128-198.51.100.139, which is ServiceCIDR kubernetes", |w| {
            let services = vec!["198.51.100.128/28".parse().unwrap()];
            w.under.service_cidrs.insert("kubernetes".into(), services);
        }),
    ];
    for (what, add) in uses {
        let world = with_pool(ranges(&["198.51.100.100-198.51.100.139"]));
        let mut bench = Bench::told(with_services(world, 1));
        bench.run();
        let before = published(&mut bench, 1);
        bench.when(add);
        let uid = Uid::new("uid-late");
        let late = Service { uid, ..*new_service() };
        bench.when(|w| w.put_service("a/default/late", Some(late)));
        bench.wait(2);
        let ready = bench.truth.under.pools["ours"].status.conditions.clone();
        let ready = ready.iter().find(|condition| condition.type_ == "Ready").unwrap();
        assert!(ready.reason == "RangeForbidden" && ready.message.contains(what), "{ready:?}");
        assert_eq!(published(&mut bench, 1), before, "what is assigned stays");
        assert_eq!(bench.published("a/default/late"), None);
        bench.when(|w| {
            w.under.nodes.clear();
            w.under.service_cidrs.clear();
        });
        bench.wait(2);
        assert!(bench.published("a/default/late").is_some(), "{what}");
    }
}

#[test]
fn a_pool_on_a_subnet_does_not_give_the_address_of_a_node() {
    let mut bench = Bench::told(with_services(world(), 1));
    let node = testing::under_node("198.51.100.55");
    bench.when(|w| drop(w.under.nodes.insert("worker-1".into(), node)));
    bench.when(|w| w.service(&key(0)).load_balancer_ip = Some("198.51.100.55".into()));
    bench.wait(2);
    assert_ne!(bench.published(&key(0)).as_deref(), Some("198.51.100.55"));
    let told = bench.truth.service(&key(0)).status.conditions.clone();
    assert!(told.iter().any(|c| c.reason == "AddressNotInPool"), "{told:?}");
}

#[test]
fn the_figures_of_a_pool_outlive_it() {
    let world = with_pool(ranges(&["198.51.100.100-198.51.100.139"]));
    let mut bench = Bench::told(with_services(world, 2));
    bench.run();
    let pool = bench.truth.under.pools["ours"].clone();
    bench.when(|w| w.under.pools.clear());
    assert_eq!(published(&mut bench, 2).len(), 2);
    bench.when(|w| drop(w.under.pools.insert("ours".into(), pool)));
    bench.wait(2);
    assert_eq!(bench.truth.under.pools["ours"].status.ipv4.assigned, 2);
}

#[test]
fn a_service_that_is_gone_before_it_is_given_its_address_leaves_nothing_behind() {
    let mut world = with_services(with_pool(ranges(&["198.51.100.100"])), 1);
    world.service(&key(0)).finalizer = true;
    let mut bench = Bench::told(world);
    let jobs = bench.poll();
    assert!(!jobs.is_empty(), "an OvnEip is on its way");
    bench.truth.put_service(&key(0), None);
    bench.feed();
    jobs.iter().for_each(|job| bench.finish(job));
    let uid = Uid::new("uid-next");
    bench.truth.put_service("a/default/next", Some(Service { uid, ..*new_service() }));
    bench.run();
    bench.wait(12);
    assert_eq!(bench.published("a/default/next").as_deref(), Some("198.51.100.100"));
}

#[test]
fn what_was_promised_to_a_service_that_is_gone_is_free_again() {
    let mut world = with_services(with_pool(ranges(&["198.51.100.100"])), 1);
    world.service(&key(0)).finalizer = true;
    let mut bench = Bench::told(world);
    let jobs = bench.poll();
    assert!(!jobs.is_empty(), "an OvnEip is on its way, and is never made");
    bench.truth.put_service(&key(0), None);
    let uid = Uid::new("uid-next");
    bench.truth.put_service("a/default/next", Some(Service { uid, ..*new_service() }));
    bench.feed();
    jobs.iter().for_each(|job| bench.engine.done(job.id, Outcome::Failed, bench.now));
    bench.run();
    bench.wait(1);
    assert_eq!(bench.published("a/default/next").as_deref(), Some("198.51.100.100"));
}

#[test]
fn who_leads_no_more_keeps_no_promise() {
    let mut world = with_services(with_pool(ranges(&["198.51.100.100"])), 1);
    world.service(&key(0)).finalizer = true;
    let mut bench = Bench::told(world);
    assert!(!bench.poll().is_empty(), "an OvnEip is on its way, and is never made");
    bench.engine.stand_by();
    bench.truth.put_service(&key(0), None);
    let uid = Uid::new("uid-next");
    bench.truth.put_service("a/default/next", Some(Service { uid, ..*new_service() }));
    bench.feed();
    bench.engine.lead();
    bench.run();
    assert_eq!(bench.published("a/default/next").as_deref(), Some("198.51.100.100"));
}
