//! Pools, quotas and reserved addresses under many Services at once.

use std::collections::BTreeSet;

use cpo_api::{EipMode, EipSpec, EipStatus, EipTenant};

use super::bench::{Bench, new_service};
use crate::effect::{Effect, UnderEffect};
use crate::engine::Outcome;
use crate::ids::Uid;
use crate::service::Service;
use crate::testing::{self, only, ranges, version, world};
use crate::under::{Eip, Pool};
use crate::world::World;

/// A pool of ranges instead of Kube-OVN's.
fn with_pool(pool: Pool) -> World {
    let mut world = world();
    world.under.pools = [("ours".to_owned(), pool)].into();
    world
}

fn key(number: usize) -> String {
    format!("a/default/web-{number}")
}

fn with_services(world: World, count: usize) -> World {
    (0..count).fold(world, |world, number| {
        let uid = Uid::new(&format!("uid-{number}"));
        world.with_service(&key(number), Service { uid, ..*new_service() })
    })
}

fn published(bench: &mut Bench, count: usize) -> Vec<String> {
    (0..count).filter_map(|number| bench.published(&key(number))).collect()
}

fn created_eips(bench: &Bench) -> usize {
    let created = |effect: &&Effect| matches!(effect, Effect::Under(UnderEffect::CreateEip { .. }));
    bench.log.iter().filter(created).count()
}

fn reserved(address: &str, tenant: &str) -> Eip {
    Eip {
        uid: Uid::new(&format!("uid-of-{address}")),
        version: version(1),
        generation: 1,
        created: 0,
        deleting: false,
        owner: None,
        spec: EipSpec {
            address: address.to_owned(),
            mode: EipMode::Overlay,
            pool: String::new(),
            tenant: EipTenant { name: tenant.to_owned(), uid: String::new() },
            services: Vec::new(),
            reserved: true,
            keep: false,
            overlay: None,
        },
        status: EipStatus::default(),
    }
}

fn reason(bench: &Bench, address: &str) -> String {
    let conditions = &bench.truth.under.eips[address].status.conditions;
    let ready = conditions.iter().find(|condition| condition.type_ == "Ready");
    ready.map(|ready| ready.reason.clone()).unwrap_or_default()
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
fn a_reserved_address_is_held_bound_to_who_asks_for_it_and_set_aside_again() {
    let address = "198.51.100.77";
    let mut bench = Bench::told(with_services(world(), 1));
    bench.when(|w| drop(w.put_eip(address, Some(reserved(address, "a")))));
    assert_eq!(reason(&bench, address), "Reserved");
    let spec = bench.truth.under.eips[address].spec.clone();
    assert_eq!((spec.pool.as_str(), spec.tenant.uid.as_str()), ("public", "uid-a"));
    assert_eq!(bench.truth.under.ovn_eips.len(), 2, "Kube-OVN gives it to nobody else");
    assert_ne!(bench.published(&key(0)).as_deref(), Some(address), "nobody asked for it");

    bench.when(|w| w.service(&key(0)).load_balancer_ip = Some(address.into()));
    bench.wait(2);
    assert_eq!(bench.published(&key(0)).as_deref(), Some(address));
    assert_eq!(bench.truth.under.eips[address].spec.services.len(), 1);

    bench.when(|w| w.service(&key(0)).deleting = true);
    bench.wait(70);
    assert_eq!(reason(&bench, address), "Reserved");
    assert!(bench.truth.under.eips[address].spec.services.is_empty());
    assert_eq!(bench.truth.under.ovn_eips.len(), 1, "it is held all the while");

    bench.when(|w| drop(w.put_eip(address, None)));
    assert!(bench.truth.under.ovn_eips.is_empty(), "the reservation was taken back");
}

#[test]
fn a_reserved_address_is_for_its_tenant_alone_and_says_what_is_wrong_with_it() {
    let mut bench = Bench::told(with_services(world(), 1));
    let strange = [("198.51.100.77", "b", "TenantNotFound"), ("203.0.113.9", "a", "OutsidePools")];
    for (address, tenant, why) in strange {
        bench.when(|w| drop(w.put_eip(address, Some(reserved(address, tenant)))));
        assert_eq!(reason(&bench, address), why);
    }
    bench.when(|w| w.service(&key(0)).load_balancer_ip = Some("198.51.100.77".into()));
    bench.wait(2);
    assert_ne!(bench.published(&key(0)).as_deref(), Some("198.51.100.77"));
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

fn edits_of_rows(bench: &Bench) -> usize {
    bench.log.iter().filter(|effect| matches!(effect, Effect::Ovn(_))).count()
}

#[test]
fn the_record_of_a_served_address_is_made_anew_when_it_is_lost() {
    let mut bench = Bench::told(with_services(world(), 2));
    bench.run();
    let before = published(&mut bench, 2);
    bench.log.clear();
    bench.when(|w| {
        for name in w.under.eips.keys().cloned().collect::<Vec<_>>() {
            w.put_eip(&name, None);
        }
        for name in w.under.ovn_eips.keys().cloned().collect::<Vec<_>>() {
            w.put_ovn_eip(&name, None);
        }
    });
    bench.wait(2);
    let eips: Vec<_> = bench.truth.under.eips.keys().cloned().collect();
    assert_eq!(eips, before);
    assert_eq!(bench.truth.under.ovn_eips.len(), 2);
    assert_eq!(edits_of_rows(&bench), 0, "what is served is left alone");
    assert_eq!(published(&mut bench, 2), before);
}

/// Two Services that were served when the under cluster's etcd was set back: the first has its
/// record, the second's address belongs to the first by the record of an hour ago.
fn set_back() -> (Bench, Vec<String>) {
    let mut bench = Bench::told(with_services(world(), 2));
    bench.run();
    let served = published(&mut bench, 2);
    bench.log.clear();
    let (first, second) = (served[0].clone(), served[1].clone());
    bench.when(|w| {
        let spec = w.under.eips[&first].spec.clone();
        let old = w.under.eips[&second].clone();
        let stale = EipSpec { address: second.clone(), ..spec };
        w.put_eip(&first, None);
        w.put_eip(&second, None);
        for name in w.under.ovn_eips.keys().cloned().collect::<Vec<_>>() {
            w.put_ovn_eip(&name, None);
        }
        let owner = Some(testing::key(&key(0)));
        let uid = Uid::new("uid-stale");
        w.put_eip(&second, Some(Eip { uid, spec: stale, owner, ..old }));
    });
    (bench, served)
}

#[test]
fn what_is_served_goes_on_when_the_records_are_of_an_hour_ago() {
    let (mut bench, served) = set_back();
    bench.wait(120);
    assert_eq!(edits_of_rows(&bench), 0, "nothing is torn down");
    assert_eq!(published(&mut bench, 2), served);
    for number in 0..2 {
        let conditions = bench.truth.service(&key(number)).status.conditions.clone();
        let programmed = conditions.iter().find(|c| c.type_.ends_with("Programmed")).unwrap();
        assert_eq!(programmed.reason, "AddressNotInPool", "the conflict is shown");
        assert!(programmed.message.contains("record of it is lost"), "{}", programmed.message);
    }
}

#[test]
fn without_the_record_that_is_wrong_what_is_served_is_recorded_again() {
    let (mut bench, served) = set_back();
    let wrong = served[1].clone();
    bench.when(|w| drop(w.put_eip(&wrong, None)));
    bench.wait(2);
    assert_eq!(edits_of_rows(&bench), 0);
    assert_eq!(published(&mut bench, 2), served);
    let owners = bench.truth.under.eips.values().map(|eip| eip.owner.clone().unwrap().to_string());
    assert_eq!(owners.collect::<Vec<_>>(), [key(0), key(1)]);
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

/// A bench in which `web-0` is served at the reserved address 198.51.100.77.
fn bound() -> Bench {
    let mut bench = Bench::told(with_services(world(), 1));
    bench.when(|w| drop(w.put_eip("198.51.100.77", Some(reserved("198.51.100.77", "a")))));
    bench.when(|w| w.service(&key(0)).load_balancer_ip = Some("198.51.100.77".into()));
    bench.wait(2);
    assert_eq!(bench.published(&key(0)).as_deref(), Some("198.51.100.77"));
    bench
}

#[test]
fn a_service_that_moves_off_a_reserved_address_leaves_the_reservation() {
    let mut bench = bound();
    let uid = bench.truth.under.eips["198.51.100.77"].uid.clone();
    bench.when(|w| w.service(&key(0)).load_balancer_ip = Some("198.51.100.60".into()));
    bench.wait(2);
    assert_eq!(bench.published(&key(0)).as_deref(), Some("198.51.100.60"));
    assert_eq!(bench.truth.under.eips["198.51.100.77"].uid, uid, "it was never deleted");
    assert_eq!(reason(&bench, "198.51.100.77"), "Reserved");
    assert_eq!(bench.truth.under.ovn_eips.len(), 2);
}

#[test]
fn what_holds_a_reserved_address_outlives_the_service_whatever_others_do_to_it() {
    let holder = |bench: &Bench| -> String {
        let of = |eip: &&crate::under::OvnEip| eip.granted() == "198.51.100.77".parse().ok();
        let mut eips = bench.truth.under.ovn_eips.iter();
        eips.find(|(_, eip)| of(eip)).unwrap().0.clone()
    };
    for stolen in [true, false] {
        let mut bench = bound();
        let name = holder(&bench);
        if stolen {
            bench.when(|w| drop(w.put_ovn_eip(&name, None)));
        } else {
            let lost = bench.truth.under.ovn_eips[&name].clone();
            let lost = crate::under::OvnEip { labelled: false, reserved: None, ..lost };
            bench.when(|w| drop(w.put_ovn_eip(&name, Some(lost))));
        }
        bench.when(|w| w.service(&key(0)).deleting = true);
        bench.wait(70);
        assert_eq!(reason(&bench, "198.51.100.77"), "Reserved");
        assert_eq!(holder(&bench), name);
    }
}

#[test]
fn a_reservation_that_is_deleted_while_it_is_bound_is_held_as_long_as_it_is_served() {
    let mut bench = bound();
    bench.log.clear();
    bench.when(|w| drop(w.put_eip("198.51.100.77", None)));
    bench.wait(2);
    assert_eq!((edits_of_rows(&bench), bench.truth.under.ovn_eips.len()), (0, 1));
    let again = Eip { uid: Uid::new("uid-again"), ..reserved("198.51.100.77", "a") };
    bench.when(|w| drop(w.put_eip("198.51.100.77", Some(again))));
    bench.wait(12);
    assert_eq!(edits_of_rows(&bench), 0);
    let spec = bench.truth.under.eips["198.51.100.77"].spec.clone();
    assert_eq!(spec.services.len(), 1, "made again, it is bound again");
}

#[test]
fn an_address_on_the_way_to_it_is_given_to_nobody_else() {
    let mut bench =
        Bench::told(with_services(with_pool(ranges(&["198.51.100.100-198.51.100.101"])), 1));
    bench.run();
    assert_eq!(published(&mut bench, 1), ["198.51.100.100"]);
    bench.truth.service(&key(0)).load_balancer_ip = Some("198.51.100.101".into());
    bench.feed();
    // The first step out of the old address, and somebody comes for the new one.
    let jobs = bench.poll();
    let uid = Uid::new("uid-thief");
    let thief = Service { uid, load_balancer_ip: Some("198.51.100.101".into()), ..*new_service() };
    bench.truth.put_service("a/default/a-thief", Some(thief));
    bench.feed();
    jobs.iter().for_each(|job| bench.finish(job));
    bench.run();
    bench.wait(2);
    assert_eq!(published(&mut bench, 1), ["198.51.100.101"]);
    assert_eq!(bench.published("a/default/a-thief"), None);
}

#[test]
fn a_wish_that_is_withdrawn_on_the_way_leaves_the_address_to_others() {
    let mut bench =
        Bench::told(with_services(with_pool(ranges(&["198.51.100.100-198.51.100.101"])), 1));
    bench.run();
    bench.truth.service(&key(0)).load_balancer_ip = Some("198.51.100.101".into());
    bench.feed();
    let jobs = bench.poll();
    bench.truth.service(&key(0)).load_balancer_ip = None;
    bench.feed();
    jobs.iter().for_each(|job| bench.finish(job));
    bench.run();
    bench.wait(2);
    assert_eq!(published(&mut bench, 1), ["198.51.100.100"], "it goes back where it was");
    let uid = Uid::new("uid-other");
    bench.when(|w| w.put_service("a/default/other", Some(Service { uid, ..*new_service() })));
    assert_eq!(bench.published("a/default/other").as_deref(), Some("198.51.100.101"));
}

#[test]
fn an_address_that_is_never_granted_does_not_stop_a_pool() {
    let mut bench =
        Bench::told(with_services(with_pool(ranges(&["198.51.100.100-198.51.100.102"])), 1));
    // Kube-OVN knows something that we do not see.
    let run = |bench: &mut Bench, seconds: u64| {
        for _ in 0..seconds {
            bench.now = testing::at(u64::try_from(bench.now.mono.as_millis()).unwrap() + 1_000);
            for _ in 0..20 {
                let first = "198.51.100.100".parse().ok();
                let blocked: Vec<_> = bench
                    .truth
                    .under
                    .ovn_eips
                    .iter()
                    .filter(|(_, eip)| eip.spec_v4 == first && !eip.deleting)
                    .map(|(name, eip)| (name.clone(), eip.clone()))
                    .collect();
                for (name, _) in &blocked {
                    bench.truth.under.ovn_eips.remove(name);
                }
                testing::kube_ovn(&mut bench.truth);
                bench.truth.under.ovn_eips.extend(blocked);
                bench.feed();
                let jobs = bench.poll();
                jobs.iter().for_each(|job| bench.finish(job));
            }
        }
    };
    run(&mut bench, 15);
    assert_eq!(bench.published(&key(0)).as_deref(), Some("198.51.100.101"));
}
