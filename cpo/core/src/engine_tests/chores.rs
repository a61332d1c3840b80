//! The shield, the sweep, and the counts operators read.

use std::collections::BTreeMap;

use super::bench::{Bench, WEB, new_service};
use cpo_api::CleanupPolicy;

use crate::effect::{Effect, LbEdit, TenantEffect, UnderEffect};
use crate::ids::Uid;
use crate::tenant::Link;
use crate::testing::{only, ranges, row_of, version, world};
use crate::under::{Shield, Unmanaged};

fn swept(effect: &Effect) -> usize {
    match effect {
        Effect::Ovn(edits) => edits.iter().filter(|e| matches!(e, LbEdit::Delete { .. })).count(),
        _ => 0,
    }
}

fn is_shield(effect: &Effect) -> bool {
    matches!(effect, Effect::Under(UnderEffect::RaiseShield { .. }))
}

#[test]
fn the_shield_is_raised_once_and_before_the_first_row() {
    let mut truth = world().with_service(WEB, *new_service());
    truth.under.shield = Shield::Missing;
    let mut bench = Bench::told(truth);
    bench.run();
    bench.wait(5);
    assert_eq!(bench.log.iter().filter(|e| is_shield(e)).count(), 1);
    let shield = bench.log.iter().position(is_shield).unwrap();
    let row = bench.log.iter().position(|e| matches!(e, Effect::Ovn(_))).unwrap();
    assert!(shield < row);
}

#[test]
fn a_shield_that_is_there_but_not_ready_is_marked_ready() {
    let mut truth = world();
    truth.under.shield = Shield::Unready;
    let mut bench = Bench::told(truth);
    let jobs = bench.poll();
    let shield = jobs.iter().find(|job| is_shield(&job.effect)).unwrap();
    let marked = matches!(&shield.effect,
        Effect::Under(UnderEffect::RaiseShield { name, create: false }) if name == "cloud-provider-ovn");
    assert!(marked);
}

#[test]
fn a_removed_shield_is_restored() {
    let mut bench = Bench::served();
    bench.when(|w| w.under.shield = Shield::Missing);
    assert_eq!(bench.log.iter().filter(|e| is_shield(e)).count(), 1);
    assert_eq!(bench.truth.under.shield, Shield::Up);
}

#[test]
fn emptied_rows_are_swept_at_most_once_a_minute() {
    let mut bench = Bench::served();
    let mut sweeps = Vec::new();
    for second in 0..200_u64 {
        // One more Service comes and goes each ten seconds.
        if second % 10 == 0 {
            let mut service = *new_service();
            service.uid = Uid::new(&format!("uid-{second}"));
            let key = format!("a/default/s{second}");
            bench.when(|w| w.put_service(&key, Some(service)));
            bench.when(|w| w.put_service(&key, None));
        }
        bench.log.clear();
        bench.wait(1);
        let deletes: usize = bench.log.iter().map(swept).sum();
        if deletes > 0 {
            sweeps.push((second, deletes));
        }
    }
    assert!(sweeps.len() >= 2, "{sweeps:?}");
    assert!(sweeps.windows(2).all(|pair| pair[1].0 - pair[0].0 >= 60), "{sweeps:?}");
    assert!(sweeps[0].1 > 1, "in one batch: {sweeps:?}");
    assert!(row_of(&bench.truth, WEB).is_some());
}

#[test]
fn a_sweep_is_never_mixed_with_inserts() {
    let mut bench = Bench::served();
    bench.when(|w| w.service(WEB).deleting = true);
    bench.wait(70);
    for effect in &bench.log {
        if let Effect::Ovn(edits) = effect {
            let deletes = swept(effect);
            assert!(deletes == 0 || deletes == edits.len(), "{edits:?}");
        }
    }
}

#[test]
fn rows_of_an_unsynced_or_suspended_tenant_are_not_swept() {
    for suspended in [true, false] {
        let mut settled = Bench::served();
        settled.when(|w| w.service(WEB).load_balancer = false);
        let mut bench = Bench::untold(settled.truth.clone());
        bench.now = settled.now;
        let tenant = bench.truth.tenant_a();
        (tenant.spec.suspended, tenant.synced) = (suspended, suspended);
        bench.feed();
        bench.list_all();
        bench.run();
        bench.wait(130);
        assert_eq!(bench.log.iter().map(swept).sum::<usize>(), 0, "suspended: {suspended}");
    }
}

#[test]
fn counts_are_written_at_most_once_a_second() {
    let mut bench = Bench::served();
    let mut writes = 0;
    for number in 0..50 {
        let mut service = *new_service();
        service.uid = Uid::new(&format!("uid-{number}"));
        bench.when(|w| w.put_service(&format!("a/default/s{number}"), Some(service)));
        writes += bench
            .log
            .iter()
            .filter(|e| matches!(e, Effect::Under(UnderEffect::PatchTenantStatus { .. })))
            .count();
        bench.log.clear();
    }
    assert!(writes <= 1, "{writes}");
    bench.wait(2);
    assert_eq!(bench.truth.tenant_a().spec.status.services, 51);
    assert_eq!(bench.truth.tenant_a().spec.status.eips, 51);
    assert_eq!(bench.truth.under.pools["public"].status.assigned, 51);
}

#[test]
fn a_finalizer_that_is_not_wanted_any_more_is_taken_off() {
    let mut bench = Bench::served();
    bench.when(|w| {
        w.tenant_a().spec.finalizer = true;
        w.tenant_a().spec.version = version(10);
    });
    bench.wait(2);
    assert!(!bench.truth.tenant_a().spec.finalizer);
}

#[test]
fn an_emptied_row_of_a_service_that_is_being_worked_on_is_not_swept() {
    let mut bench = Bench::served();
    bench.when(|w| w.service(WEB).load_balancer = false);
    // It becomes a load balancer again: its job is under way when the sweep is due.
    bench.truth.service(WEB).load_balancer = true;
    bench.feed();
    let jobs = bench.poll();
    assert!(jobs.iter().any(|job| matches!(job.effect, Effect::Tenant(_))), "{jobs:?}");
    let later = u64::try_from(bench.now.mono.as_millis()).unwrap() + 61_000;
    bench.now = crate::testing::at(later);
    assert_eq!(bench.poll().iter().map(|job| swept(&job.effect)).sum::<usize>(), 0);
}

#[test]
fn the_finalizers_of_others_stay_on_a_tenant_cluster() {
    let mut bench = Bench::served();
    bench.when(|w| {
        w.tenant_a().spec.other_finalizers = vec!["argocd".into()];
        w.tenant_a().spec.cleanup = CleanupPolicy::Delete;
    });
    bench.wait(2);
    let written = bench.log.iter().find_map(|effect| match effect {
        Effect::Under(UnderEffect::TenantFinalizer { finalizers, .. }) => Some(finalizers.clone()),
        _ => None,
    });
    assert_eq!(written.unwrap(), ["argocd", "cloud-provider-ovn.io/cleanup"]);
}

#[test]
fn a_tenant_that_goes_while_its_api_is_gone_is_released_all_the_same() {
    let mut bench = Bench::served();
    bench.when(|w| {
        let tenant = w.tenant_a();
        tenant.link = Link::Down("connection refused".into());
        (tenant.spec.cleanup, tenant.spec.finalizer) = (CleanupPolicy::Delete, true);
        tenant.spec.deleting = true;
    });
    bench.wait(70);
    assert!(bench.truth.tenants.is_empty() && bench.truth.under.eips.is_empty());
    let patch = |e: &&Effect| matches!(e, Effect::Tenant(TenantEffect::PatchService { .. }));
    assert_eq!(bench.log.iter().filter(patch).count(), 0);
}

#[test]
fn a_tenant_with_a_metallb_of_its_own_is_told_when_its_pools_change() {
    let mut bench = Bench::served();
    let rendered = |bench: &mut Bench| -> Vec<usize> {
        let log = std::mem::take(&mut bench.log).into_iter();
        let documents = log.filter_map(|effect| match effect {
            Effect::Under(UnderEffect::RenderMetallb { documents, .. }) => Some(documents.len()),
            _ => None,
        });
        documents.collect()
    };
    bench.when(|w| {
        let (uid, namespace) = (Uid::new("uid-m"), "tenant-m".to_owned());
        let tenant = Unmanaged { uid, labels: BTreeMap::new(), namespace };
        w.under.unmanaged.insert("m".parse().unwrap(), tenant);
    });
    assert_eq!(rendered(&mut bench), [0]);
    bench.when(|w| {
        let mut pool = ranges(&["198.51.100.210-198.51.100.219"]);
        (pool.delegated, pool.tenants) = (true, only(&["m"]));
        w.under.pools.insert("theirs".into(), pool);
    });
    bench.wait(2);
    assert_eq!(rendered(&mut bench), [1]);
    bench.wait(120);
    assert!(rendered(&mut bench).is_empty(), "nothing changed");
    // It is ours to serve from now on.
    bench.when(|w| {
        w.under.unmanaged.clear();
        let tenant = crate::tenant::Tenant::new(crate::testing::tenant("m"));
        w.tenants.insert("m".parse().unwrap(), tenant);
    });
    bench.wait(2);
    assert_eq!(rendered(&mut bench), [0], "nothing is left to it");
    bench.wait(120);
    assert!(rendered(&mut bench).is_empty());
}
