//! What must be known before anything is done, and what is forgotten.

use super::bench::{Bench, WEB, new_service};
use crate::effect::{Effect, UnderEffect};
use crate::engine::{Input, Outcome, TenantKind, UnderKind, UnderObject};
use crate::ids::{TenantName, Uid};
use crate::ovn::{OvnLink, RowChange};
use crate::testing::{self, key, row_of, version, world};
use crate::under::OvnEip;

#[test]
fn nothing_is_done_before_every_list_is_complete() {
    for missing in UnderKind::ALL {
        let mut bench = Bench::untold(world().with_service(WEB, *new_service()));
        bench.feed();
        bench.list_all();
        let mut again = Bench::untold(world().with_service(WEB, *new_service()));
        again.feed();
        for kind in UnderKind::ALL.into_iter().filter(|kind| *kind != missing) {
            again.list(kind);
        }
        assert!(again.poll().is_empty(), "{missing:?} is not listed");
        assert!(!again.engine.ready());
        assert!(!bench.poll().is_empty());
    }
}

#[test]
fn nothing_is_done_while_a_watch_is_lost() {
    let mut bench = Bench::told(world().with_service(WEB, *new_service()));
    bench.engine.handle(Input::UnderLost(UnderKind::Eip));
    assert!(bench.poll().is_empty());
    assert!(!bench.engine.has_work() && !bench.engine.ready());
    bench.list(UnderKind::Eip);
    assert!(!bench.poll().is_empty() && bench.engine.ready());
}

#[test]
fn a_service_is_served_from_its_creation_to_its_end() {
    let mut bench = Bench::served();
    bench.when(|w| w.service(WEB).deleting = true);
    bench.wait(121);
    let tenant = &bench.truth.tenants[&"a".parse().unwrap()];
    assert!(tenant.services.is_empty());
    assert!(bench.truth.under.eips.is_empty() && bench.truth.under.ovn_eips.is_empty());
    assert!(bench.truth.ovn.load_balancers.is_empty(), "the emptied row is swept");
}

#[test]
fn a_restart_in_a_steady_state_does_nothing() {
    let mut before = Bench::served();
    before.wait(70);
    let mut after = Bench::told(before.truth.clone());
    after.now = before.now;
    after.run();
    after.wait(120);
    assert!(after.log.is_empty(), "{:#?}", after.log);
    assert!(after.engine.idle());
}

#[test]
fn a_restart_does_nothing_whichever_source_answers_last() {
    let mut settled = Bench::served();
    settled.wait(70);
    let truth = settled.truth.clone();
    // The Northbound database last.
    let mut bench = Bench::untold(truth.clone());
    bench.now = settled.now;
    bench.truth.ovn = Default::default();
    bench.feed();
    bench.list_all();
    bench.run();
    bench.wait(5);
    bench.truth.ovn = truth.ovn.clone();
    bench.run();
    bench.wait(70);
    assert!(bench.log.is_empty(), "Northbound database last: {:#?}", bench.log);
    // The tenant last.
    let mut bench = Bench::untold(truth.clone());
    bench.now = settled.now;
    bench.feed();
    for kind in UnderKind::ALL {
        bench.list(kind);
    }
    bench.run();
    bench.wait(5);
    bench.list_all();
    bench.run();
    bench.wait(70);
    assert!(bench.log.is_empty(), "tenant last: {:#?}", bench.log);
}

#[test]
fn nothing_of_an_unsynced_tenant_is_pruned() {
    let mut settled = Bench::served();
    settled.wait(70);
    let mut bench = Bench::untold(settled.truth.clone());
    bench.now = settled.now;
    bench.truth.tenant_a().synced = false;
    bench.truth.put_service(WEB, None);
    bench.feed();
    bench.list_all();
    bench.run();
    bench.wait(200);
    assert!(row_of(&bench.truth, WEB).is_some());
    assert!(bench.log.is_empty(), "{:#?}", bench.log);
}

#[test]
fn what_a_complete_list_does_not_name_is_gone() {
    let mut bench = Bench::served();
    let name = "a".parse().unwrap();
    bench.truth.put_service(WEB, None);
    bench.engine.handle(Input::TenantListed(name, TenantKind::Service, Default::default()));
    bench.run();
    assert!(row_of(&bench.truth, WEB).is_none());
    let vips = bench.engine.world().under.ips.len();
    assert_eq!(vips, 2);
    bench.truth.put_ip("vm1.tenant-a", None);
    bench.list(UnderKind::Ip);
    assert_eq!(bench.engine.world().under.ips.len(), 1);
}

#[test]
fn a_namesake_of_a_tenant_is_not_synced_by_the_lists_of_the_old_one() {
    let mut bench = Bench::served();
    let mut spec = bench.truth.tenants[&"a".parse().unwrap()].spec.clone();
    spec.uid = Uid::new("uid-a-2");
    bench.engine.handle(Input::Under(UnderObject::TenantCluster("a".parse().unwrap(), Some(spec))));
    let known = &bench.engine.world().tenants[&"a".parse().unwrap()];
    assert!(!known.synced && known.services.is_empty() && known.nodes.is_empty());
    let jobs = bench.poll();
    let service = |e: &Effect| matches!(e, Effect::Ovn(_) | Effect::Tenant(_));
    assert!(!jobs.iter().any(|job| service(&job.effect)), "{jobs:?}");
}

#[test]
fn rows_deleted_by_others_are_counted_and_come_back() {
    let mut bench = Bench::served();
    let row = row_of(&bench.truth, WEB).unwrap().0;
    bench.when(|w| drop(w.put_row(RowChange::LoadBalancer(row, None))));
    assert_eq!(bench.engine.counters().foreign_deletes, 1);
    bench.wait(2);
    let told = |e: &&Effect| matches!(e, Effect::Under(UnderEffect::TenantEvent { .. }));
    assert_eq!(bench.log.iter().filter(told).count(), 1, "one Event on the TenantCluster");
    assert_ne!(row_of(&bench.truth, WEB).unwrap().0, row);
}

#[test]
fn rows_deleted_by_others_are_told_on_the_tenant_once_a_minute() {
    let mut bench = Bench::served();
    for _ in 0..3 {
        let row = row_of(&bench.truth, WEB).unwrap().0;
        bench.when(|w| drop(w.put_row(RowChange::LoadBalancer(row, None))));
    }
    bench.wait(59);
    let told = |bench: &Bench| -> Vec<String> {
        let events = bench.log.iter().filter_map(|effect| match effect {
            Effect::Under(UnderEffect::TenantEvent { name, message, .. }) => {
                Some(format!("{name}: {message}"))
            }
            _ => None,
        });
        events.collect()
    };
    assert_eq!(told(&bench).len(), 1);
    assert!(told(&bench)[0].starts_with("a: 3 load balancer rows were deleted"));
    let row = row_of(&bench.truth, WEB).unwrap().0;
    bench.when(|w| drop(w.put_row(RowChange::LoadBalancer(row, None))));
    bench.wait(61);
    assert_eq!(told(&bench).len(), 2);
}

#[test]
fn a_row_swept_by_us_is_not_counted_as_deleted_by_others() {
    let mut bench = Bench::served();
    bench.when(|w| w.service(WEB).deleting = true);
    bench.wait(121);
    assert_eq!(bench.engine.counters().foreign_deletes, 0);
}

#[test]
fn an_ovn_that_comes_back_brings_what_waited_for_it() {
    let mut bench = Bench::served();
    bench.when(|w| w.ovn.link = OvnLink::Down("away".into()));
    bench.when(|w| w.service(WEB).ports[0].node_port = Some(31_000));
    let vips = |b: &Bench| row_of(&b.truth, WEB).unwrap().1.vips["198.51.100.10:80"].clone();
    assert!(vips(&bench).contains(":30080"));
    bench.when(|w| w.ovn.link = OvnLink::Up);
    assert!(vips(&bench).contains(":31000"));
}

#[test]
fn a_tenant_deleted_with_cleanup_delete_is_released_and_then_let_go() {
    let mut bench = Bench::served();
    bench.when(|w| {
        w.tenant_a().spec.cleanup = cpo_api::CleanupPolicy::Delete;
        w.tenant_a().spec.version = version(10);
    });
    bench.wait(2);
    assert!(bench.truth.tenant_a().spec.finalizer, "ours holds its deletion back");
    bench.when(|w| {
        w.tenant_a().spec.deleting = true;
        w.tenant_a().spec.version = version(20);
    });
    assert!(row_of(&bench.truth, WEB).is_none());
    bench.wait(70);
    assert!(bench.truth.under.eips.is_empty() && bench.truth.under.ovn_eips.is_empty());
    assert!(bench.truth.tenants.is_empty(), "the finalizer goes last");
}

#[test]
fn a_tenant_whose_address_never_came_is_let_go_too() {
    let mut bench = Bench::told(world());
    bench.run();
    bench.wait(2);
    // Drawn, not granted: an OvnEip without an Eip.
    let pending = testing::ovn_eip(Some(key(WEB)), "external", "198.51.100.254".parse().ok());
    let pending = OvnEip { spec_v4: "203.0.113.1".parse().ok(), ..pending };
    bench.when(|w| {
        w.put_ovn_eip("cpo-0123456789ab", Some(pending));
        let spec = &mut w.tenant_a().spec;
        (spec.cleanup, spec.deleting, spec.finalizer) =
            (cpo_api::CleanupPolicy::Delete, true, true);
        spec.version = version(20);
    });
    bench.wait(10);
    assert!(bench.truth.under.ovn_eips.is_empty());
    assert!(bench.truth.tenants.is_empty());
}

#[test]
fn a_tenant_deleted_with_cleanup_retain_keeps_everything() {
    let mut bench = Bench::served();
    bench.when(|w| {
        w.tenant_a().spec.deleting = true;
        w.tenant_a().spec.version = version(20);
    });
    bench.wait(100);
    bench.when(|w| w.tenants.clear());
    bench.wait(100);
    assert!(bench.truth.ovn.load_balancers.values().all(|row| !row.is_tombstone()));
    assert_eq!((bench.truth.under.eips.len(), bench.truth.under.ovn_eips.len()), (1, 1));
}

#[test]
fn a_failed_effect_is_tried_again_and_ends_well() {
    let mut bench = Bench::told(world().with_service(WEB, *new_service()));
    let jobs = bench.poll();
    for job in &jobs {
        bench.engine.done(job.id, Outcome::Failed, bench.now);
    }
    bench.run();
    bench.wait(2);
    assert_eq!(bench.published(WEB).as_deref(), Some("198.51.100.10"));
    let created = |e: &&Effect| matches!(e, Effect::Under(UnderEffect::CreateEip { .. }));
    assert_eq!(bench.log.iter().filter(created).count(), 1);
}

#[test]
fn what_a_tenant_is_told_is_noted_for_the_operator_once() {
    let mut bench = Bench::told(world().with_service(WEB, *new_service()));
    bench.truth.service(WEB).source_ranges = vec!["10.0.0.0/8".into()];
    bench.run();
    let notes = bench.engine.take_notes();
    let reasons: Vec<_> = notes.iter().map(|n| n.problems[0].reason.as_str()).collect();
    assert_eq!(reasons, ["SourceRangesUnsupported"]);
    bench.wait(5);
    assert!(bench.engine.take_notes().is_empty());
}

#[test]
fn a_namesake_of_a_tenant_has_to_be_listed_completely_again() {
    let mut bench = Bench::served();
    let name: TenantName = "a".parse().unwrap();
    let mut spec = bench.truth.tenants[&name].spec.clone();
    spec.uid = Uid::new("uid-a-2");
    bench.engine.handle(Input::Under(UnderObject::TenantCluster(name.clone(), Some(spec))));
    for kind in TenantKind::ALL {
        assert!(!bench.engine.world().tenants[&name].synced, "before {kind:?}");
        bench.engine.handle(Input::TenantListed(name.clone(), kind, Default::default()));
    }
    assert!(bench.engine.world().tenants[&name].synced);
}

#[test]
fn who_only_looks_sees_the_pools_as_they_are() {
    let bench = Bench::told(world().with_service(WEB, *new_service()));
    let pools: Vec<_> = bench.truth.under.pools.keys().cloned().collect();
    let seen = bench.engine.into_world();
    assert!(!pools.is_empty());
    for pool in &pools {
        assert!(seen.assignments.figures(pool).is_some(), "{pool} is counted without a poll");
    }
    seen.recount();
}
