//! Whose turn it is, and how long a failure waits.

use std::time::Duration;

use super::bench::{Bench, WEB, new_service};
use crate::effect::{Effect, TenantEffect, UnderEffect};
use crate::engine::{Input, Job, Outcome, UnderKind};
use crate::ids::Uid;
use crate::ovn::RowChange;
use crate::tenant::Tenant;
use crate::testing::{at, tenant, world};
use crate::world::World;

/// Tenant `b` with Service `default/web`, beside tenant `a` with `count` Services.
fn crowd(count: usize) -> World {
    let mut world = world();
    let mut b = Tenant::new(tenant("b"));
    b.synced = true;
    world.tenants.insert("b".parse().unwrap(), b);
    world.put_service("b/default/web", Some(*new_service()));
    for number in 0..count {
        let mut service = *new_service();
        service.uid = Uid::new(&format!("uid-{number}"));
        world.put_service(&format!("a/default/s{number}"), Some(service));
    }
    world
}

fn patches(jobs: &[Job]) -> Vec<(u64, String)> {
    let patch = |job: &Job| match &job.effect {
        Effect::Tenant(TenantEffect::PatchService { key, .. }) => Some((job.id, key.to_string())),
        _ => None,
    };
    jobs.iter().filter_map(patch).collect()
}

#[test]
fn a_tenant_with_ten_thousand_services_does_not_starve_another() {
    let mut bench = Bench::told(crowd(10_000));
    let first = bench.poll();
    let order: Vec<_> = patches(&first).into_iter().map(|(_, key)| key).collect();
    let place = order.iter().position(|key| key == "b/default/web").unwrap();
    assert!(place <= 1, "{place}");
}

#[test]
fn a_tenant_has_a_bounded_number_of_jobs_under_way() {
    let mut bench = Bench::told(crowd(1_000));
    let jobs = patches(&bench.poll());
    let of_a = jobs.iter().filter(|(_, key)| key.starts_with("a/")).count();
    assert!((1..=24).contains(&of_a), "{of_a}");
    assert!(patches(&bench.poll()).is_empty(), "none ended, none begins");
    bench.engine.done(jobs[0].0, Outcome::Failed, bench.now);
    assert!(!patches(&bench.poll()).is_empty());
}

#[test]
fn one_plan_of_a_service_is_under_way_at_a_time() {
    let mut bench = Bench::told(world().with_service(WEB, *new_service()));
    let jobs = patches(&bench.poll());
    assert_eq!(jobs.len(), 1);
    bench.truth.service(WEB).ports[0].port = 81;
    bench.feed();
    assert!(bench.poll().is_empty(), "planned again when it ended");
    bench.engine.done(jobs[0].0, Outcome::Done, bench.now);
    assert!(!bench.poll().is_empty());
}

#[test]
fn rows_lost_together_are_written_together_not_a_few_at_a_time() {
    let mut bench = Bench::told(crowd(100));
    bench.run();
    let lost: Vec<_> = bench.truth.ovn.load_balancers.keys().copied().collect();
    for row in lost {
        bench.truth.ovn.apply(RowChange::LoadBalancer(row, None), "default");
    }
    bench.feed();
    let jobs = bench.poll();
    let rows = jobs.iter().filter(|job| matches!(job.effect, Effect::Ovn(_))).count();
    assert_eq!(rows, 100);
}

fn events(jobs: &[Job]) -> Vec<String> {
    let event = |job: &Job| match &job.effect {
        Effect::Tenant(TenantEffect::Event(notice)) => Some(notice.reason.clone()),
        _ => None,
    };
    jobs.iter().filter_map(event).collect()
}

#[test]
fn good_news_is_told_when_it_is_true_and_nothing_else_is_to_be_done() {
    let mut bench = Bench::told(world().with_service(WEB, *new_service()));
    for step in ["finalizer", "OvnEip"] {
        let jobs = bench.poll();
        assert!(events(&jobs).is_empty(), "{step}");
        jobs.iter().for_each(|job| bench.finish(job));
    }
    // Kube-OVN has the turn: there is time to tell.
    assert_eq!(events(&bench.poll()), ["EnsuringLoadBalancer"]);
}

#[test]
fn good_news_of_what_failed_is_not_told() {
    let mut bench = Bench::told(world().with_service(WEB, *new_service()));
    let mut refusals = 3;
    let mut told = Vec::new();
    for _ in 0..60 {
        crate::testing::kube_ovn(&mut bench.truth);
        bench.feed();
        let jobs = bench.poll();
        told.extend(events(&jobs));
        for job in jobs {
            if refusals > 0 && matches!(job.effect, Effect::Under(UnderEffect::CreateEip { .. })) {
                refusals -= 1;
                bench.engine.done(job.id, Outcome::Failed, bench.now);
            } else {
                bench.finish(&job);
            }
        }
        bench.now = at(u64::try_from(bench.now.mono.as_millis()).unwrap() + 100);
    }
    assert_eq!(refusals, 0);
    assert_eq!(told, ["EnsuringLoadBalancer", "IPAllocated", "EnsuredLoadBalancer"]);
}

#[test]
fn a_failure_waits_longer_each_time_up_to_half_a_minute() {
    let mut bench = Bench::told(world().with_service(WEB, *new_service()));
    let mut waits = Vec::new();
    for _ in 0..12 {
        let jobs = patches(&bench.poll());
        assert_eq!(jobs.len(), 1);
        bench.engine.done(jobs[0].0, Outcome::Failed, bench.now);
        assert!(patches(&bench.poll()).is_empty(), "not at once");
        let deadline = bench.engine.deadline().unwrap();
        waits.push(deadline - bench.now.mono);
        bench.now = at(u64::try_from(deadline.as_millis()).unwrap());
        let status: Vec<_> = waits.iter().map(Duration::as_millis).collect();
        assert!(!status.is_empty());
    }
    let milliseconds: Vec<_> = waits.iter().map(Duration::as_millis).collect();
    assert_eq!(milliseconds[..5], [100, 200, 400, 800, 1_600]);
    assert_eq!(milliseconds[11], 30_000);
}

#[test]
fn a_failure_that_is_overcome_is_forgotten() {
    let mut bench = Bench::told(world().with_service(WEB, *new_service()));
    for _ in 0..5 {
        let jobs = patches(&bench.poll());
        bench.engine.done(jobs[0].0, Outcome::Failed, bench.now);
        bench.poll();
        bench.now = at(u64::try_from(bench.engine.deadline().unwrap().as_millis()).unwrap());
    }
    // The wish is gone; later there is another, which fails once.
    bench.when(|w| w.put_service(WEB, None));
    bench.wait(1);
    bench.truth.put_service(WEB, Some(*new_service()));
    bench.feed();
    let jobs = patches(&bench.poll());
    bench.engine.done(jobs[0].0, Outcome::Failed, bench.now);
    bench.poll();
    let wait = bench.engine.deadline().unwrap() - bench.now.mono;
    assert_eq!(wait, Duration::from_millis(100));
}

#[test]
fn a_fight_over_a_service_is_slowed_down() {
    let mut service = *new_service();
    service.finalizer = true;
    let mut bench = Bench::told(world().with_service(WEB, service));
    let mut rounds = 0;
    // Each OvnEip is gone before it is seen.
    for _ in 0..100 {
        for job in bench.poll() {
            if matches!(job.effect, Effect::Under(UnderEffect::CreateOvnEip { .. })) {
                rounds += 1;
            }
            bench.engine.done(job.id, Outcome::Done, bench.now);
        }
    }
    assert!((16..20).contains(&rounds), "{rounds}");
}

#[test]
fn a_service_that_changes_every_other_second_is_not_slowed_down() {
    let mut service = *new_service();
    service.finalizer = true;
    let mut bench = Bench::told(world().with_service(WEB, service));
    let mut rounds = 0;
    for second in 0..100 {
        bench.now = at(1_000_000 + 2_000 * second);
        for job in bench.poll() {
            if matches!(job.effect, Effect::Under(UnderEffect::CreateOvnEip { .. })) {
                rounds += 1;
            }
            bench.engine.done(job.id, Outcome::Done, bench.now);
        }
    }
    assert_eq!(rounds, 100);
}

#[test]
fn a_status_somebody_else_overwrites_is_put_right_twice_then_told_and_left_alone() {
    let mut bench = Bench::told(world().with_service(WEB, *new_service()));
    let (mut patches, mut told) = (0, 0);
    // Each patch is undone before it is seen.
    for _ in 0..100 {
        for job in bench.poll() {
            match &job.effect {
                Effect::Tenant(TenantEffect::PatchService { .. }) => patches += 1,
                Effect::Tenant(TenantEffect::Event(n)) if n.reason == "ContendedService" => {
                    told += 1;
                }
                _ => {}
            }
            bench.engine.done(job.id, Outcome::Done, bench.now);
        }
    }
    assert_eq!((patches, told), (3, 1));
}

#[test]
fn a_type_that_changes_and_returns_at_once_is_no_fight_over_the_status() {
    let mut bench = Bench::served();
    for round in 0..10 {
        for load_balancer in [false, true] {
            // The API server itself clears what is no load balancer's.
            let service = bench.truth.service(WEB);
            service.load_balancer = load_balancer;
            service.status.ingress.clear();
            bench.feed();
        }
        bench.run();
        assert!(bench.published(WEB).is_some(), "round {round}");
    }
}

#[test]
fn a_dead_tenant_does_not_delay_another() {
    let mut bench = Bench::told(crowd(500));
    let jobs = patches(&bench.poll());
    // Nothing of tenant a ever ends.
    let (id, _) = jobs.iter().find(|(_, key)| key.starts_with("b/")).unwrap();
    bench.engine.done(*id, Outcome::Failed, bench.now);
    bench.now = at(2_000_000);
    let next = patches(&bench.poll());
    assert!(next.iter().any(|(_, key)| key.starts_with("b/")));
}

#[test]
fn a_refused_service_has_one_timer_however_often_it_is_looked_at() {
    let mut service = *new_service();
    service.load_balancer_ip = Some("198.51.100.254".into());
    let mut bench = Bench::told(world().with_service(WEB, service));
    bench.run();
    for number in 0..50 {
        bench.when(|w| w.node("vm1").ready = number % 2 == 0);
    }
    let plans = bench.engine.counters().plans;
    bench.wait(60);
    assert!(bench.engine.counters().plans - plans < 20, "timers pile up");
}

#[test]
fn a_broken_watch_leaves_nothing_to_wait_for() {
    let mut bench = Bench::told(world().with_service(WEB, *new_service()));
    bench.engine.handle(Input::UnderLost(UnderKind::Eip));
    assert_eq!(bench.engine.deadline(), None);
}

#[test]
fn a_write_that_keeps_failing_is_told_once() {
    let mut bench = Bench::told(world().with_service(WEB, *new_service()));
    let mut told = 0;
    for _ in 0..9 {
        for job in bench.poll() {
            match &job.effect {
                Effect::Tenant(TenantEffect::Event(n)) => {
                    told += usize::from(n.reason == "SyncLoadBalancerFailed");
                }
                _ => bench.engine.done(job.id, Outcome::Failed, bench.now),
            }
        }
        bench.now = at(u64::try_from(bench.now.mono.as_millis()).unwrap() + 40_000);
    }
    assert_eq!(told, 1);
}
