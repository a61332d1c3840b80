//! A replica that stands by takes in and does nothing; one that begins to lead needs no list.

use super::bench::{Bench, WEB, new_service};
use crate::engine::Outcome;
use crate::testing::{key, row_of, world};

/// Told everything, and standing by.
fn standby(service: bool) -> Bench {
    let mut truth = world();
    if service {
        truth = truth.with_service(WEB, *new_service());
    }
    let mut bench = Bench::told(truth);
    bench.engine.stand_by();
    bench
}

#[test]
fn a_new_engine_stands_by() {
    let engine = crate::engine::Engine::new("default".parse().unwrap());
    let mut bench = Bench { engine, ..Bench::untold(world().with_service(WEB, *new_service())) };
    bench.feed();
    bench.list_all();
    assert!(bench.poll().is_empty() && bench.engine.ready(), "it is ready all the same");
}

#[test]
fn a_standby_gives_out_nothing_and_waits_for_nothing() {
    let mut bench = standby(true);
    assert!(!bench.engine.has_work());
    assert!(bench.poll().is_empty());
    assert_eq!(bench.engine.deadline(), None);
}

#[test]
fn who_begins_to_lead_plans_at_once_from_what_it_knows() {
    let mut bench = standby(true);
    assert!(bench.poll().is_empty());
    bench.engine.lead();
    bench.run();
    bench.wait(2);
    assert_eq!(bench.published(WEB).as_deref(), Some("198.51.100.10"));
}

#[test]
fn who_begins_to_lead_in_a_steady_state_writes_nothing() {
    let mut before = Bench::served();
    before.wait(70);
    let mut after = Bench::told(before.truth.clone());
    after.now = before.now;
    after.engine.stand_by();
    after.run();
    after.engine.lead();
    after.run();
    after.wait(120);
    assert!(after.log.is_empty(), "{:#?}", after.log);
}

#[test]
fn services_that_come_and_go_leave_nothing_in_a_standby() {
    let mut bench = standby(false);
    for number in 0..100 {
        let name: crate::ids::ServiceKey = key(&format!("a/default/flow-{number}"));
        let services = |bench: &mut Bench, present: bool| {
            let tenant = bench.truth.tenants.get_mut(name.tenant()).unwrap();
            match present {
                true => tenant.services.insert(name.clone(), *new_service()),
                false => tenant.services.remove(&name),
            };
            bench.run();
        };
        services(&mut bench, true);
        services(&mut bench, false);
    }
    assert!(bench.engine.idle(), "{:?}", bench.engine);
}

#[test]
fn what_was_under_way_when_the_leadership_ended_is_taken_note_of() {
    let mut bench = Bench::told(world().with_service(WEB, *new_service()));
    let jobs = bench.poll();
    assert!(!jobs.is_empty());
    bench.engine.stand_by();
    assert_eq!(bench.engine.under_way(), jobs.len());
    assert!(bench.poll().is_empty());
    for job in &jobs {
        bench.engine.done(job.id, Outcome::Failed, bench.now);
    }
    assert!(bench.poll().is_empty() && bench.engine.idle());
    bench.engine.lead();
    bench.run();
    bench.wait(2);
    assert_eq!(bench.published(WEB).as_deref(), Some("198.51.100.10"), "it can lead again");
}

#[test]
fn rows_of_a_service_that_went_meanwhile_are_found() {
    let mut bench = Bench::served();
    bench.engine.stand_by();
    let (tenant, web) = ("a".parse().unwrap(), key(WEB));
    bench.truth.tenants.get_mut(&tenant).unwrap().services.remove(&web);
    bench.run();
    assert!(row_of(&bench.truth, WEB).is_some(), "a standby touches nothing");
    bench.engine.lead();
    bench.run();
    assert!(row_of(&bench.truth, WEB).is_none());
}

#[test]
fn deletions_by_others_are_told_by_who_led_then() {
    let mut bench = Bench::served();
    bench.engine.stand_by();
    bench.truth.ovn.load_balancers.clear();
    bench.feed();
    bench.engine.lead();
    bench.run();
    bench.wait(5);
    let told = |e: &crate::effect::Effect| {
        matches!(e, crate::effect::Effect::Under(crate::effect::UnderEffect::TenantEvent { .. }))
    };
    assert!(!bench.log.is_empty() && !bench.log.iter().any(told), "{:#?}", bench.log);
}
