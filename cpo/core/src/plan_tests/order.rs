//! The order of effects on the way in and on the way out.

use super::*;
use crate::ovn::OvnLink;
use crate::testing::{at, key, row_of};

#[test]
fn a_new_service_takes_one_step_at_a_time() {
    let mut model = created();
    model.settle();
    let order = ["finalizer", "OvnEip", "Eip", "rows inserted", "status", "Eip status"];
    assert_eq!(done(&model), order);
}

#[test]
fn nothing_is_assigned_before_kube_ovn_grants() {
    let mut model = created();
    model.kube_ovn = false;
    model.settle();
    assert_eq!(done(&model), ["finalizer", "OvnEip"]);
    assert!(model.world.under.eips.is_empty());
}

#[test]
fn an_address_that_is_ready_but_not_recorded_in_the_spec_is_not_accepted() {
    let mut model = created();
    model.kube_ovn = false;
    model.settle();
    model.when(|world| {
        let (name, mut eip) = world.under.ovn_eips.pop_first().unwrap();
        (eip.ready, eip.status_v4) = (true, "198.51.100.77".parse().ok());
        world.put_ovn_eip(&name, Some(eip));
    });
    assert!(model.world.under.eips.is_empty());
    assert!(next(&mut model).is_empty());
    // Inconsistent for half a minute: drawn anew.
    model.kube_ovn = true;
    model.after_seconds(31);
    assert_eq!(model.published(WEB).as_deref(), Some("198.51.100.10"));
}

#[test]
fn a_served_service_is_left_alone() {
    let mut model = served();
    assert!(next(&mut model).is_empty());
    model.restart();
    let plan = model.plan(&key(WEB));
    assert_eq!((plan.effects, plan.problems, plan.wake), (vec![], vec![], None));
}

#[test]
fn two_plans_of_one_world_are_equal() {
    let model = created();
    let plan = |_| super::super::plan(&model.world, &key(WEB), &Default::default(), at(5));
    assert_eq!(plan(1), plan(2));
}

#[test]
fn the_row_carries_the_address_the_node_ports_and_the_owner() {
    let model = served();
    let (_, row) = row_of(&model.world, WEB).unwrap();
    assert_eq!(row.vips["198.51.100.10:80"], "10.0.0.2:30080,10.0.0.3:30080");
    assert_eq!(row.external_ids["owner"], "uid-a/default/web/tcp");
    assert_eq!(row.name, "cloud-provider-ovn");
}

#[test]
fn a_served_service_tells_so() {
    let mut model = created();
    model.settle();
    assert_eq!(model.programmed(WEB), (true, "Programmed".into()));
    let assigned = model.condition(WEB, cpo_api::names::ADDRESS_ASSIGNED);
    assert_eq!(assigned, (true, "Assigned".into()));
    assert_eq!(model.eip_reason("198.51.100.10"), "Ready");
    let events: Vec<_> = model.events().iter().map(|e| e.reason.clone()).collect();
    assert_eq!(events, ["EnsuringLoadBalancer", "IPAllocated", "EnsuredLoadBalancer"]);
}

#[test]
fn a_deleted_service_is_withdrawn_then_released_then_let_go() {
    let mut model = served();
    model.delete(WEB);
    assert_eq!(done(&model), ["rows emptied", "Eip released", "let go"]);
    assert!(model.world.tenants[&"a".parse().unwrap()].services.is_empty());
    assert_eq!(model.world.under.ovn_eips.len(), 1, "the OvnEip stays while the address rests");
}

#[test]
fn what_rested_long_enough_is_deleted_the_record_last() {
    let mut model = served();
    model.delete(WEB).after_seconds(59);
    assert_eq!(model.world.under.ovn_eips.len(), 1);
    model.log.clear();
    model.after_seconds(1);
    assert_eq!(done(&model), ["OvnEip deleted", "Eip deleted"]);
    assert!(model.world.under.eips.is_empty());
    assert!(model.world.under.ovn_eips.is_empty());
}

#[test]
fn a_resting_address_asks_to_be_looked_at_when_its_rest_is_over() {
    let mut model = served();
    model.delete(WEB);
    let plan = model.plan(&key(WEB));
    assert_eq!(plan.wake, Some(model.now.mono + std::time::Duration::from_secs(60)));
}

#[test]
fn a_clock_that_is_set_back_does_not_lengthen_a_rest() {
    let mut model = served();
    model.delete(WEB);
    model.now.wall -= jiff::SignedDuration::from_hours(5);
    model.after_seconds(1);
    let released = |model: &Model| model.world.under.eips.values().next().unwrap().released();
    assert_eq!(released(&model), Some(model.now.wall), "the rest begins anew");
    model.after_seconds(61);
    assert!(model.world.under.eips.is_empty());
}

#[test]
fn an_address_to_be_kept_outlives_its_quarantine() {
    let mut model = created();
    model
        .world
        .service(WEB)
        .annotations
        .insert(cpo_api::names::ANNOTATION_KEEP.into(), "true".into());
    model.settle().delete(WEB).after_seconds(3_600);
    assert_eq!(model.world.under.eips.len(), 1);
    assert_eq!(model.eip_reason("198.51.100.10"), "Kept");
}

#[test]
fn a_service_that_is_no_load_balancer_any_more_is_cleaned_of_everything_of_ours() {
    let mut model = served();
    // The API server empties status.loadBalancer itself.
    model.when(|world| {
        let service = world.service(WEB);
        service.load_balancer = false;
        service.status.ingress.clear();
    });
    assert_eq!(done(&model), ["rows emptied", "Eip released", "let go"]);
    let service = model.world.service(WEB);
    assert!(!service.finalizer && service.status.conditions.is_empty());
}

#[test]
fn a_service_that_becomes_a_load_balancer_again_gets_its_address_and_row_back() {
    let mut model = served();
    let row = row_of(&model.world, WEB).unwrap().0;
    model.when(|w| w.service(WEB).load_balancer = false);
    model.when(|w| w.service(WEB).load_balancer = true);
    assert_eq!(model.published(WEB).as_deref(), Some("198.51.100.10"));
    assert_eq!(row_of(&model.world, WEB).unwrap().0, row, "the emptied row is used again");
}

#[test]
fn a_service_of_a_class_that_is_not_ours_is_left_alone() {
    let mut model = created();
    model.when(|w| w.service(WEB).class = Some("example.com/other".into()));
    assert!(model.log.is_empty());
}

#[test]
fn the_finalizer_of_another_provider_is_left_alone() {
    let mut model = created();
    model.when(|w| {
        w.service(WEB).class = Some("example.com/other".into());
        w.service(WEB).finalizer = true;
    });
    assert!(model.log.is_empty());
}

#[test]
fn a_service_that_leaves_us_before_it_has_an_address_keeps_nothing_of_ours() {
    let mut model = created();
    model.kube_ovn = false;
    model.settle();
    model.when(|w| w.service(WEB).class = Some("example.com/other".into()));
    model.settle();
    assert!(!model.world.service(WEB).finalizer);
    assert!(model.world.service(WEB).status.conditions.is_empty());
}

#[test]
fn a_service_whose_conditions_were_wiped_is_let_go_all_the_same() {
    let mut model = served();
    model.when(|w| {
        w.service(WEB).load_balancer = false;
        w.service(WEB).status.conditions.clear();
    });
    model.settle();
    assert!(!model.world.service(WEB).finalizer);
}

#[test]
fn a_service_gone_without_a_trace_is_withdrawn_and_released() {
    let mut model = served();
    model.when(|w| w.put_service(WEB, None));
    assert_eq!(done(&model), ["rows emptied", "Eip released"]);
}

#[test]
fn nothing_of_an_unsynced_tenant_is_pruned() {
    let mut model = served();
    model.when(|world| {
        world.tenant_a().synced = false;
        world.put_service(WEB, None);
    });
    assert!(model.log.is_empty());
    assert!(row_of(&model.world, WEB).is_some());
}

#[test]
fn nothing_of_a_suspended_tenant_is_changed() {
    let mut model = served();
    model.world.tenant_a().spec.suspended = true;
    model.delete(WEB);
    model.when(|w| w.node("vm1").excluded = true);
    assert!(model.log.is_empty());
    model.when(|w| w.tenant_a().spec.suspended = false);
    assert!(row_of(&model.world, WEB).is_none());
}

#[test]
fn nothing_is_released_while_ovn_cannot_be_told_to_withdraw() {
    let mut model = served();
    model.world.ovn.link = OvnLink::Down("gone".into());
    model.delete(WEB);
    assert!(model.log.is_empty());
    model.when(|w| w.ovn.link = OvnLink::Up);
    assert_eq!(done(&model), ["rows emptied", "Eip released", "let go"]);
}

#[test]
fn a_tenant_that_goes_with_cleanup_delete_releases_everything_of_it() {
    let mut model = served();
    model.when(|world| {
        let tenant = world.tenant_a();
        (tenant.spec.deleting, tenant.spec.cleanup) = (true, cpo_api::CleanupPolicy::Delete);
        tenant.synced = false;
    });
    assert!(row_of(&model.world, WEB).is_none());
    assert!(!model.world.service(WEB).finalizer);
    model.after_seconds(60);
    assert!(model.world.under.eips.is_empty() && model.world.under.ovn_eips.is_empty());
}

#[test]
fn a_kept_address_does_not_hold_back_the_deletion_of_its_tenant() {
    let mut model = created();
    model
        .world
        .service(WEB)
        .annotations
        .insert(cpo_api::names::ANNOTATION_KEEP.into(), "true".into());
    model.settle();
    model.when(|world| {
        let tenant = world.tenant_a();
        (tenant.spec.deleting, tenant.spec.cleanup) = (true, cpo_api::CleanupPolicy::Delete);
    });
    model.after_seconds(60);
    assert!(model.world.under.eips.is_empty() && model.world.under.ovn_eips.is_empty());
}

#[test]
fn a_tenant_that_goes_with_cleanup_retain_leaves_everything() {
    let mut model = served();
    model.when(|w| w.tenant_a().spec.deleting = true);
    assert!(model.log.is_empty());
}
