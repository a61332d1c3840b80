//! Random histories: whatever happens, the allocator is what a naive model says it is.
#![cfg(test)]

mod naive;
mod rules;
mod step;
mod telling;

use std::collections::BTreeMap;

use naive::{BOTH, Naive};
use pools::{Allocator, Assigned, Entry, PoolSpec, Record, Request, Source, State, Target};
use proptest::prelude::*;
use proptest::test_runner::Config;
use step::{POOLS, Step, TENANTS, World, pools_named, steps};
use telling::told;

proptest! {
    #![proptest_config(Config { cases: 60, max_shrink_iters: 4_000, ..Config::default() })]

    /// 60 histories of 200 to 400 steps.
    #[test]
    fn whatever_happens_the_allocator_is_what_a_naive_model_says(steps in steps(400)) {
        let (mut allocator, mut naive) = (Allocator::default(), Naive::default());
        let mut world = World::default();
        for step in &steps {
            let before: Vec<Entry> = allocator.iter().collect();
            play(step, &mut world, &mut allocator, &mut naive)?;
            check(&allocator, &naive)?;
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
            naive.set_pools(&world.pools);
        }
        Step::Left(pool, left) => {
            allocator.set_free(pool, *left);
            for pools in [&mut world.pools, &mut naive.pools] {
                let source = pools.get_mut(*pool).map(|spec| &mut spec.source);
                if let Some(Source::Elsewhere { free, .. }) = source {
                    *free = *left;
                }
            }
        }
        Step::Tenant(tenant, spec) => {
            allocator.set_tenant(tenant, spec.clone());
            naive.tenants.insert(tenant, spec.clone());
        }
        Step::RemoveTenant(tenant) => {
            allocator.remove_tenant(tenant);
            naive.tenants.remove(tenant);
        }
        Step::Assign(wish) => wish.with_request(|request| assign(request, allocator, naive))?,
        Step::Release(service, afterwards) => {
            let afterwards = afterwards.at(world.now);
            let freed = allocator.release(&service.get(), afterwards);
            let of = |family| naive.release(&service.get(), family, afterwards);
            prop_assert_eq!(freed, BOTH.into_iter().flat_map(of).collect::<Vec<_>>());
        }
        Step::ReleaseFamily(service, family, afterwards) => {
            let afterwards = afterwards.at(world.now);
            let freed = allocator.release_family(&service.get(), *family, afterwards);
            prop_assert_eq!(freed, naive.release(&service.get(), *family, afterwards));
        }
        Step::Withdraw(service) => {
            allocator.withdraw(&service.get());
            naive.withdraw(&service.get());
        }
        Step::Confirm(service, created) => {
            for (address, record) in naive.pending(&service.get(), *created) {
                told(address, &record, |record| restore(record, allocator, naive))?;
            }
        }
        Step::Pass(seconds) => {
            world.now = world.now.saturating_add_signed(*seconds);
            let rested = allocator.rested(world.now);
            prop_assert_eq!(&rested, &naive.rested(world.now));
            for address in rested {
                allocator.forget(address);
                naive.forget(address);
            }
        }
        Step::Record(record) => {
            record.with_record(world.now, |record| restore(record, allocator, naive))?;
        }
        Step::Forget(address) => {
            allocator.forget(*address);
            naive.forget(*address);
        }
        Step::Restart(seed) => {
            // Nobody remembers promises.
            for service in step::services() {
                allocator.withdraw(&service);
                naive.withdraw(&service);
            }
            let restarted = naive.rebuilt(&world.pools, *seed);
            check(&restarted, naive)?;
            *allocator = restarted;
        }
    }
    Ok(())
}

fn assign(
    request: &Request<'_>,
    allocator: &mut Allocator,
    naive: &mut Naive,
) -> Result<(), TestCaseError> {
    let expected = naive.assign(request);
    let before = allocator.of(&request.service);
    let assigned = allocator.assign(request);
    prop_assert_eq!(&assigned.as_ref().ok(), &expected.as_ref(), "{:?}", request);
    // It may have more now, by a record that counts since it draws no more.
    let has = allocator.of(&request.service);
    match assigned {
        // It is asked again: nothing is new.
        Ok(Assigned::New(Target::Draw { .. }) | Assigned::Move { .. }) if has == before => {
            prop_assert_eq!(allocator.choose(request).ok(), assigned.ok());
        }
        Ok(Assigned::New(Target::These(given))) if has.as_ref() == Some(&given) => {
            match allocator.choose(request) {
                // What is to be drawn beside is told then.
                Ok(Assigned::New(Target::Draw { .. })) => {}
                again => prop_assert_eq!(again.ok(), Some(Assigned::Kept(given))),
            }
        }
        Ok(_) | Err(_) => {}
    }
    Ok(())
}

fn restore(
    record: &Record<'_>,
    allocator: &mut Allocator,
    naive: &mut Naive,
) -> Result<(), TestCaseError> {
    let refused = naive.restore(record);
    prop_assert_eq!(allocator.restore(record).is_err(), refused, "{:?}", record);
    // An event may come twice.
    prop_assert_eq!(allocator.restore(record).is_err(), refused, "{:?}", record);
    Ok(())
}

/// The counters equal a recount, and nobody has what another has.
fn check(allocator: &Allocator, naive: &Naive) -> Result<(), TestCaseError> {
    let entries: Vec<Entry> = allocator.iter().collect();
    prop_assert_eq!(&entries, &naive.entries());
    for entry in &entries {
        let told = allocator.entry(entry.address);
        prop_assert_eq!(told.as_ref(), Some(entry));
    }
    let mut known: Vec<&str> = POOLS.into_iter().chain(["split"]).collect();
    known.sort_unstable();
    known.retain(|pool| naive.known(pool));
    let figures: Vec<_> = known.iter().map(|pool| naive.figures(pool)).collect();
    prop_assert_eq!(allocator.pools().collect::<Vec<_>>(), figures);
    for tenant in TENANTS {
        prop_assert_eq!(allocator.usage(tenant), naive.usage(tenant));
    }
    for service in step::services() {
        prop_assert_eq!(allocator.of(&service), naive.of(&service));
    }
    let conflicts = allocator.conflicts().map(|c| (c.address, c.service, c.other));
    prop_assert_eq!(conflicts.collect::<Vec<_>>(), naive.conflicts());
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
                    let tenant = entry.tenant.as_deref().unwrap_or_default();
                    holds.entry(format!("{tenant}/{service}")).or_default().push(entry.address);
                }
            }
        }
        holds
    };
    let after: Vec<Entry> = allocator.iter().collect();
    let (mut before, mut after) = (holds(before), holds(&after));
    let about = match step {
        Step::Assign(wish) => wish.service,
        Step::Release(service, _) | Step::ReleaseFamily(service, ..) | Step::Withdraw(service) => {
            *service
        }
        Step::Record(_) | Step::Confirm(..) | Step::Forget(_) | Step::Restart(_) => return Ok(()),
        Step::Pools(_)
        | Step::Left(..)
        | Step::Tenant(..)
        | Step::RemoveTenant(_)
        | Step::Pass(_) => {
            prop_assert_eq!(before, after);
            return Ok(());
        }
    };
    before.remove(&about.get().to_string());
    after.remove(&about.get().to_string());
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
