//! A list that names far fewer Services is not believed at once.

use super::bench::{Bench, new_service};
use crate::engine::{Input, TenantKind};
use crate::ids::Uid;
use crate::testing::{row_of, world};

fn name(number: usize) -> String {
    format!("a/default/web-{number}")
}

/// Twelve Services, served; then a complete list names the first `left` alone.
fn after_a_list_of(left: usize) -> Bench {
    let mut world = world();
    for number in 0..12 {
        let mut service = *new_service();
        service.uid = Uid::new(&name(number));
        world = world.with_service(&name(number), service);
    }
    let mut bench = Bench::told(world);
    bench.run();
    bench.wait(2);
    assert_eq!(live(&bench), 12);
    for number in left..12 {
        bench.truth.put_service(&name(number), None);
    }
    let named = (0..left).map(|number| format!("default/web-{number}")).collect();
    let tenant = "a".parse().unwrap();
    bench.engine.handle(Input::TenantListed(tenant, TenantKind::Service, named));
    bench.run();
    bench
}

fn live(bench: &Bench) -> usize {
    let rows = (0..12).filter_map(|number| row_of(&bench.truth, &name(number)));
    rows.filter(|(_, row)| !row.is_tombstone()).count()
}

fn braked(bench: &Bench) -> Option<String> {
    let status = &bench.truth.tenants[&"a".parse().unwrap()].spec.status;
    let braked = status.conditions.iter().find(|c| c.type_ == "MassDeletionBraked")?;
    Some(braked.message.clone())
}

#[test]
fn a_list_that_lacks_a_few_services_releases_them() {
    let bench = after_a_list_of(2);
    assert_eq!(live(&bench), 2);
}

#[test]
fn a_list_that_lacks_too_many_services_releases_none_and_says_so() {
    let mut bench = after_a_list_of(1);
    bench.wait(120);
    assert_eq!(live(&bench), 12);
    let text = braked(&bench).unwrap();
    assert!(text.contains("acknowledge-deletions=11"), "{text}");
}

#[test]
fn they_are_released_when_an_operator_agrees_to_that_number() {
    let mut bench = after_a_list_of(1);
    bench.wait(2);
    bench.when(|w| w.tenant_a().spec.acknowledged = Some(3));
    bench.wait(2);
    assert_eq!(live(&bench), 12);
    bench.when(|w| w.tenant_a().spec.acknowledged = Some(11));
    bench.wait(2);
    assert_eq!((live(&bench), braked(&bench)), (1, None));
}

#[test]
fn a_service_that_is_back_may_be_deleted_one_by_one() {
    let mut bench = after_a_list_of(1);
    let mut service = *new_service();
    service.uid = Uid::new(&name(5));
    bench.when(|w| w.put_service(&name(5), Some(service)));
    bench.when(|w| w.put_service(&name(5), None));
    bench.wait(2);
    assert_eq!(live(&bench), 11);
}
