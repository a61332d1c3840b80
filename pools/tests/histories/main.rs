//! Random histories: whatever happens, the allocator is what a naive model says it is.
#![cfg(test)]

mod naive;
mod rules;
mod step;

use std::collections::BTreeMap;

use naive::Naive;
use pools::{Allocator, Assigned, Entry, PoolSpec, State};
use proptest::prelude::*;
use proptest::test_runner::Config;
use step::{Step, TENANTS, World, pools_named, steps};

proptest! {
    #![proptest_config(Config { cases: 60, max_shrink_iters: 20_000, ..Config::default() })]

    /// 60 histories of 200 to 400 steps.
    #[test]
    fn whatever_happens_the_allocator_is_what_a_naive_model_says(steps in steps(400)) {
        let (mut allocator, mut naive) = (Allocator::default(), Naive::default());
        let mut world = World::default();
        for step in &steps {
            let before: Vec<Entry> = allocator.iter().collect();
            play(step, &mut world, &mut allocator, &mut naive)?;
            check(&allocator, &naive, &world)?;
            nobody_else_moved(step, &before, &allocator)?;
        }
    }
}

/// One step, in both; the answers must be the same.
fn play(
    step: &Step,
    world: &mut World,
    allocator: &mut Allocator,
    naive: &mut Naive,
) -> Result<(), TestCaseError> {
    match step {
        Step::Pools(kinds) => {
            world.pools = pools_named(kinds);
            allocator.set_pools(world.pools.clone());
            naive.pools.clone_from(&world.pools);
        }
        Step::Tenant(tenant, spec) => {
            allocator.set_tenant(tenant, spec.clone());
            naive.tenants.insert(tenant, spec.clone());
        }
        Step::Assign(wish) => wish.with_request(|request| {
            let expected = naive.assign(request);
            let assigned = allocator.assign(request);
            prop_assert_eq!(&assigned.as_ref().ok(), &expected.as_ref(), "{:?}", request);
            if let Ok(Assigned::Move { .. }) = assigned {
                prop_assert_eq!(allocator.choose(request).ok(), assigned.ok());
            }
            Ok::<_, TestCaseError>(())
        })?,
        Step::Release(service, afterwards) => {
            let afterwards = afterwards.at(world.now);
            let freed = allocator.release(&service.get(), afterwards);
            prop_assert_eq!(freed, naive.release(&service.get(), afterwards));
        }
        Step::Pass(seconds) => {
            world.now = world.now.saturating_add_signed(*seconds);
            let rested = allocator.rested(world.now);
            prop_assert_eq!(&rested, &naive.rested(world.now));
            for address in rested {
                allocator.forget(address);
                naive.entries.remove(&address);
            }
        }
        Step::Record(record) => record.with_record(world.now, |record| {
            if naive.fits(record) {
                // What was promised of this address is recorded first.
                naive.retell(allocator, record.address);
                allocator.restore(record).map_err(|e| TestCaseError::fail(e.to_string()))?;
                // An event may come twice.
                allocator.restore(record).map_err(|e| TestCaseError::fail(e.to_string()))?;
                naive.restore(record);
            }
            Ok::<_, TestCaseError>(())
        })?,
        Step::Forget(address) => {
            allocator.forget(*address);
            naive.entries.remove(address);
        }
        Step::Restart(seed) => {
            let restarted = naive.rebuilt(&world.pools, *seed);
            same(allocator, &restarted)?;
            *allocator = restarted;
        }
    }
    Ok(())
}

/// The counters equal a recount, and nobody has what another has.
fn check(allocator: &Allocator, naive: &Naive, world: &World) -> Result<(), TestCaseError> {
    let entries: Vec<Entry> = told(allocator);
    prop_assert_eq!(&entries, &naive.entries());
    for name in world.pools.keys() {
        prop_assert_eq!(allocator.pool(name), Some(naive.figures(name)));
    }
    for tenant in TENANTS {
        prop_assert_eq!(allocator.usage(tenant), naive.usage(tenant));
    }
    for service in step::services() {
        prop_assert_eq!(allocator.of(&service), naive.of(&service));
    }
    Ok(())
}

/// What is in use, whether a record said so or not.
fn told(allocator: &Allocator) -> Vec<Entry> {
    allocator.iter().map(|entry| Entry { promised: false, ..entry }).collect()
}

fn same(one: &Allocator, other: &Allocator) -> Result<(), TestCaseError> {
    prop_assert_eq!(told(one), told(other));
    for service in step::services() {
        prop_assert_eq!(one.of(&service), other.of(&service));
    }
    Ok(())
}

/// An assignment changes only for the Service that asked, or that the record is about.
fn nobody_else_moved(
    step: &Step,
    before: &[Entry],
    allocator: &Allocator,
) -> Result<(), TestCaseError> {
    let holds = |entries: &[Entry]| {
        let mut holds = BTreeMap::<String, Vec<_>>::new();
        for entry in entries {
            if let State::Assigned(services) = &entry.state {
                for service in services {
                    let service =
                        format!("{}/{service}", entry.tenant.as_deref().unwrap_or_default());
                    holds.entry(service).or_default().push(entry.address);
                }
            }
        }
        holds
    };
    let after: Vec<Entry> = allocator.iter().collect();
    let (mut before, mut after) = (holds(before), holds(&after));
    match step {
        Step::Assign(wish) => {
            before.remove(&wish.service.get().to_string());
            after.remove(&wish.service.get().to_string());
        }
        Step::Release(service, _) => {
            before.remove(&service.get().to_string());
            after.remove(&service.get().to_string());
        }
        Step::Record(_) | Step::Forget(_) => return Ok(()),
        Step::Pools(_) | Step::Tenant(..) | Step::Pass(_) | Step::Restart(_) => {}
    }
    prop_assert_eq!(before, after);
    Ok(())
}

#[test]
fn a_pool_that_overlaps_an_older_one_gives_nothing_until_that_is_gone() {
    let pool = |created, range: &str| PoolSpec {
        addresses: vec![range.parse().unwrap()],
        created,
        ..PoolSpec::default()
    };
    let younger = ("a".to_owned(), pool(2, "10.0.0.128-10.0.1.9"));
    let older = ("b".to_owned(), pool(1, "10.0.0.0/24"));
    let mut allocator = Allocator::default();
    allocator.set_pools([younger.clone(), older].into());
    let (other, range) = allocator.conflict("a").unwrap();
    assert_eq!((other, &*range.to_string()), ("b", "10.0.0.128-10.0.0.255"));
    assert_eq!(allocator.pool("a").unwrap().available.v4, 0);
    allocator.set_pools([younger].into());
    assert_eq!((allocator.conflict("a"), allocator.pool("a").unwrap().available.v4), (None, 138));
}
