//! What stands against a Service: told, tolerated, and cleared when its cause is gone.

use super::*;
use crate::ids::Uid;
use crate::ovn::{OvnLink, RouterPort, RowChange};
use crate::service::Protocol;
use crate::testing::{GATEWAY, POLICY, key, port, row_of};
use std::time::Duration;
use uuid::Uuid;

fn without_gateway(world: &mut crate::world::World) {
    *world = world.clone().with_router(|router| {
        router.ports.remove(&GATEWAY);
    });
}

fn with_gateway(world: &mut crate::world::World) {
    *world = world.clone().with_router(|router| {
        router.ports.insert(GATEWAY);
    });
}

#[test]
fn a_new_service_is_not_programmed_where_a_precondition_fails_and_its_address_stays() {
    let mut model = created();
    model.when(without_gateway);
    assert_eq!(model.programmed(WEB), (false, "NoGatewayPort".into()));
    assert_eq!(model.eip_reason("198.51.100.10"), "NoGatewayPort");
    assert!(model.events().iter().any(|e| e.warning && e.reason == "NoGatewayPort"));
    assert!(row_of(&model.world, WEB).is_none());
    assert_eq!(model.published(WEB), None);
    model.when(with_gateway);
    assert_eq!(model.programmed(WEB), (true, "Programmed".into()));
    assert_eq!(model.eip_reason("198.51.100.10"), "Ready");
}

#[test]
fn a_live_service_stays_programmed_while_a_precondition_fails() {
    let mut model = served();
    model.when(without_gateway).after(Duration::from_millis(9_999));
    assert!(model.log.is_empty(), "tolerated: Kube-OVN churns at its start");
    model.after(Duration::from_millis(1));
    assert_eq!(model.programmed(WEB), (false, "NoGatewayPort".into()));
    assert_eq!(model.eip_reason("198.51.100.10"), "NoGatewayPort");
    assert!(row_of(&model.world, WEB).is_some());
    assert_eq!(model.published(WEB).as_deref(), Some("198.51.100.10"));
    model.when(with_gateway);
    assert_eq!(model.programmed(WEB), (true, "Programmed".into()));
}

#[test]
fn a_failing_precondition_is_looked_at_again_when_patience_ends() {
    let mut model = served();
    without_gateway(&mut model.world);
    let plan = model.plan(&key(WEB));
    assert_eq!(plan.wake, Some(model.now.mono + Duration::from_secs(10)));
}

#[test]
fn a_precondition_that_holds_again_starts_its_patience_anew() {
    let mut model = served();
    model.when(without_gateway).after_seconds(9);
    model.when(with_gateway);
    model.when(without_gateway).after_seconds(9);
    assert!(model.log.is_empty());
}

#[test]
fn a_second_gateway_port_is_no_reason_to_withdraw() {
    let mut model = served();
    let second = Uuid::from_u128(9);
    model.when(|world| {
        let port = RouterPort { name: "second".into(), ..world.ovn.ports[&GATEWAY].clone() };
        world.put_row(RowChange::Port(second, Some(port)));
        *world = world.clone().with_router(|router| {
            router.ports.insert(second);
        });
    });
    model.after_seconds(10);
    assert_eq!(model.programmed(WEB), (false, "MultiDGPUnsupported".into()));
    assert!(row_of(&model.world, WEB).is_some());
}

#[test]
fn a_missing_return_path_is_a_warning_on_a_service_that_is_served() {
    let mut model = created();
    model.when(|w| drop(w.put_row(RowChange::Policy(POLICY, None))));
    assert_eq!(model.published(WEB).as_deref(), Some("198.51.100.10"));
    assert_eq!(model.programmed(WEB), (true, "ReturnPathMissing".into()));
    assert_eq!(model.eip_reason("198.51.100.10"), "ReturnPathMissing");
    assert!(model.events().iter().any(|e| e.warning && e.reason == "ReturnPathMissing"));
}

#[test]
fn a_return_path_that_is_missing_for_a_moment_is_no_news_to_who_is_served() {
    let mut model = served();
    let policy = model.world.ovn.policies[&POLICY].clone();
    let without = |w: &mut crate::world::World| drop(w.put_row(RowChange::Policy(POLICY, None)));
    model.when(without).after(Duration::from_millis(9_999));
    assert!(model.log.is_empty(), "Kube-OVN rebuilds policies");
    model.when(|w| w.node("vm1").excluded = true);
    assert_eq!(row_of(&model.world, WEB).unwrap().1.vips["198.51.100.10:80"], "10.0.0.3:30080");
    model.when(|w| drop(w.put_row(RowChange::Policy(POLICY, Some(policy)))));
    assert_eq!(model.programmed(WEB), (true, "Programmed".into()));
    model.when(without).after_seconds(10);
    assert_eq!(model.programmed(WEB), (true, "ReturnPathMissing".into()));
}

#[test]
fn nodes_in_several_vpcs_are_a_problem_unless_one_is_named() {
    let mut model = served();
    model.when(|world| {
        let external = testing::subnet("vpc-b", "10.9.0.0/24", "10.9.0.1", &[]);
        world.under.subnets.insert("tenant-b".into(), external);
        *world = world.clone().with_machine("vm3", "10.9.0.3").with_ip(
            "vm3.tenant-a",
            "vm3",
            "tenant-b",
            "10.9.0.3",
        );
        world.tenant_a().spec.vpc = None;
    });
    model.after_seconds(10);
    assert_eq!(model.programmed(WEB), (false, "BackendsSpanVPCs".into()));
    assert!(row_of(&model.world, WEB).is_some());
    model.when(|w| w.tenant_a().spec.vpc = Some("vpc-a".into()));
    assert_eq!(model.programmed(WEB), (true, "Programmed".into()));
}

#[test]
fn no_eligible_node_keeps_the_address_and_rejects_connections() {
    let mut model = served();
    model.when(|w| w.node("vm1").excluded = true);
    model.when(|w| w.node("vm2").excluded = true);
    let row = row_of(&model.world, WEB).unwrap().1;
    assert_eq!(row.vips["198.51.100.10:80"], "");
    assert_eq!(row.options["reject"], "true");
    assert_eq!(model.published(WEB).as_deref(), Some("198.51.100.10"));
    assert_eq!(model.eip_reason("198.51.100.10"), "NoEligibleNodes");
    assert!(model.events().iter().any(|e| e.reason == "UnAvailableLoadBalancer"));
}

#[test]
fn source_ranges_added_to_a_live_service_withdraw_it_and_keep_its_address() {
    let mut model = served();
    model.when(|w| w.service(WEB).source_ranges = vec!["203.0.113.0/24".into()]);
    assert!(row_of(&model.world, WEB).is_none());
    assert_eq!(model.published(WEB), None);
    assert_eq!(model.programmed(WEB), (false, "SourceRangesUnsupported".into()));
    assert!(model.world.under.eips["198.51.100.10"].released().is_none());
    model.when(|w| w.service(WEB).source_ranges.clear());
    assert_eq!(model.published(WEB).as_deref(), Some("198.51.100.10"));
}

#[test]
fn a_change_while_ovn_is_away_is_told_and_made_when_it_is_back() {
    let mut model = served();
    model.when(|w| w.ovn.link = OvnLink::Down("connection refused".into()));
    assert!(model.log.is_empty(), "nothing differs, nothing is told");
    model.when(|w| w.node("vm1").excluded = true);
    assert_eq!(model.programmed(WEB), (false, "OVNUnavailable".into()));
    assert_eq!(model.published(WEB).as_deref(), Some("198.51.100.10"));
    assert!(!done(&model).contains(&"rows changed"));
    model.when(|w| w.ovn.link = OvnLink::Up);
    assert_eq!(row_of(&model.world, WEB).unwrap().1.vips["198.51.100.10:80"], "10.0.0.3:30080");
    assert_eq!(model.programmed(WEB), (true, "Programmed".into()));
}

#[test]
fn no_row_is_inserted_without_the_shield() {
    let mut model = created();
    model.when(|w| w.under.shield = crate::under::Shield::Missing);
    assert!(row_of(&model.world, WEB).is_none());
    model.when(|w| w.under.shield = crate::under::Shield::Up);
    assert!(row_of(&model.world, WEB).is_some());
}

#[test]
fn a_row_deleted_by_others_is_inserted_again_under_another_uuid() {
    let mut model = served();
    let row = row_of(&model.world, WEB).unwrap().0;
    model.when(|w| drop(w.put_row(RowChange::LoadBalancer(row, None))));
    assert_eq!(done(&model), ["rows inserted"]);
    assert_ne!(row_of(&model.world, WEB).unwrap().0, row);
}

#[test]
fn ports_of_a_live_service_follow_its_spec() {
    let mut model = served();
    model.when(|w| {
        w.service(WEB).ports =
            vec![port(Protocol::Tcp, 443, 30443), port(Protocol::Udp, 53, 30053)];
    });
    let vips: Vec<_> =
        model.world.ovn.load_balancers.values().flat_map(|r| r.vips.keys()).collect();
    assert_eq!(vips.len(), 2);
    let ingress = &model.world.service(WEB).status.ingress[0];
    assert_eq!(ingress.ports, [(53, Protocol::Udp), (443, Protocol::Tcp)]);
    let ports = &model.world.under.eips["198.51.100.10"].spec.services[0].ports;
    assert_eq!(ports.len(), 2);
}

#[test]
fn a_port_without_a_node_port_is_refused_by_name() {
    let mut model = created();
    model.when(|w| w.service(WEB).ports[0].node_port = None);
    assert_eq!(model.programmed(WEB), (false, "NodePortRequired".into()));
    assert!(model.world.under.ovn_eips.is_empty());
}

#[test]
fn a_forged_status_is_corrected() {
    let mut model = served();
    model.when(|w| w.service(WEB).status.ingress[0].ip = "203.0.113.9".into());
    assert_eq!(model.published(WEB).as_deref(), Some("198.51.100.10"));
    assert_eq!(done(&model), ["status"]);
}

#[test]
fn an_unset_ip_mode_counts_as_vip_and_proxy_is_corrected() {
    let mut model = served();
    model.when(|w| w.service(WEB).status.ingress[0].proxy_mode = true);
    assert_eq!(done(&model), ["status"]);
}

#[test]
fn a_problem_is_told_once() {
    let mut model = created();
    model.when(without_gateway).after_seconds(60).after_seconds(60);
    let told = model.events().iter().filter(|e| e.reason == "NoGatewayPort").count();
    assert_eq!(told, 1);
}

#[test]
fn a_problem_that_follows_another_is_told_though_the_text_is_the_same() {
    let mut model = created();
    model.when(without_gateway);
    model.when(|world| *world = world.clone().with_router(|router| router.of_kube_ovn = false));
    assert_eq!(model.programmed(WEB), (false, "RouterNotFound".into()));
    assert!(model.events().iter().any(|event| event.reason == "RouterNotFound"));
}

#[test]
fn a_tenant_reads_nothing_of_the_under_cluster() {
    let mut model = created();
    model.when(without_gateway);
    let texts: Vec<_> = model.events().iter().map(|e| e.message.clone()).collect();
    let inner = ["vpc-a", "Logical_Router", "ovn-cluster", "tenant-a"];
    assert!(!texts.iter().any(|text| inner.iter().any(|word| text.contains(word))), "{texts:?}");
}

#[test]
fn a_service_recreated_with_finalizer_pending_is_never_confused_with_the_old_one() {
    let mut model = served();
    let plan = model.plan(&key(WEB));
    assert!(plan.effects.is_empty());
    // A stale patch for the old UID is refused by the API server; the model does the same.
    model.world.service(WEB).deleting = true;
    let stale = model.plan(&key(WEB)).effects;
    model.world.put_service(WEB, Some(Service { uid: Uid::new("uid-web-2"), ..new_service() }));
    for effect in &stale {
        model.execute(effect);
    }
    model.settle();
    assert_eq!(model.published(WEB).as_deref(), Some("198.51.100.10"));
}
