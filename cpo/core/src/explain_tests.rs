use cpo_api::{Condition, EipSpec, EipStatus, EipTenant, Quota, names};

use super::*;
use crate::ids::Version;
use crate::service::{Ingress, Service};
use crate::testing::{self, at, key, only, ranges, service, world};
use crate::under::Eip;
use crate::world::World;

#[path = "explain_tests/namespaces.rs"]
mod namespaces;

const WEB: &str = "a/default/web";
const ADDRESS: &str = "198.51.100.20";

fn condition(type_: &str, holds: bool, reason: &str, message: &str) -> Condition {
    Condition {
        type_: type_.into(),
        status: holds.into(),
        reason: reason.into(),
        message: message.into(),
        last_transition_time: "2026-01-01T00:00:00Z".into(),
        observed_generation: None,
    }
}

/// The world of the tests, whose tenant is connected.
fn connected() -> World {
    let mut world = world();
    let tenant = world.tenants.get_mut(key(WEB).tenant()).unwrap();
    tenant.spec.status.conditions = vec![condition("Connected", true, "Connected", "")];
    // The allocator is told as the engine tells it.
    world.reckon_tenant(key(WEB).tenant());
    world.reckon_pools();
    world
}

fn tenant(world: &mut World, change: impl FnOnce(&mut crate::tenant::TenantSpec)) {
    let name = key(WEB).tenant().clone();
    change(&mut world.tenants.get_mut(&name).unwrap().spec);
    world.reckon_tenant(&name);
    world.reckon_pools();
}

fn asking(annotation: &str, value: &str) -> Service {
    let mut service = service();
    service.annotations.insert(annotation.into(), value.into());
    service
}

fn ask(world: &World, unread: Option<&str>) -> Explanation {
    let unread = unread.map(str::to_owned);
    explain(&Facts { key: &key(WEB), unmanaged: false, unread, world, now: at(0) })
}

fn marks(explanation: &Explanation) -> Vec<(Step, Mark)> {
    explanation.findings.iter().map(|finding| (finding.step, finding.mark)).collect()
}

/// An `Eip` of `a/default/web`, with the reason of its condition `Ready`.
fn eip(ready: bool, reason: &str, message: &str) -> Eip {
    Eip {
        uid: crate::ids::Uid::new("uid-eip"),
        version: Version::default(),
        generation: 1,
        created: 0,
        deleting: false,
        owners: vec![key(WEB)],
        silenced: std::collections::BTreeSet::new(),
        said: std::collections::BTreeMap::new(),
        spec: EipSpec {
            address: ADDRESS.into(),
            mode: cpo_api::EipMode::Overlay,
            pool: "public".into(),
            tenant: EipTenant { name: "a".into(), uid: "uid-a".into() },
            services: vec![cpo_api::EipService {
                key: "default/web".into(),
                uid: "uid-web".into(),
                ports: Vec::new(),
            }],
            sharing: None,
            reserved: false,
            keep: false,
            overlay: None,
            vlan: None,
        },
        status: EipStatus {
            conditions: vec![
                condition("Assigned", true, "Assigned", ""),
                condition("Programmed", ready, reason, message),
                condition("Ready", ready, reason, message),
            ],
            ..EipStatus::default()
        },
    }
}

/// A world that serves the Service, by the word of all objects and rows.
fn serving() -> World {
    let mut model = testing::Model::new(connected().with_service(WEB, service()));
    model.settle();
    let mut world = model.world.clone();
    let tenant = world.tenants.get_mut(key(WEB).tenant()).unwrap();
    tenant.spec.status.conditions = vec![condition("Connected", true, "Connected", "")];
    world
}

#[test]
fn a_tenant_that_is_not_registered_is_the_cause() {
    let world = World::new("default".parse().unwrap());
    let told = ask(&world, Some("no TenantCluster"));
    assert_eq!(marks(&told), [(Step::Tenant, Mark::No)]);
    assert!(told.cause.contains("no TenantCluster a") && told.remedy.contains("kubectl get tcl"));
    let facts = Facts {
        key: &key(WEB),
        unmanaged: true,
        unread: Some(String::new()),
        world: &world,
        now: at(0),
    };
    assert!(explain(&facts).cause.contains("mode Unmanaged"));
}

#[test]
fn a_pool_that_does_not_exist_is_the_cause_and_what_is_missing_behind_is_not_told() {
    let mut asking = asking(names::ANNOTATION_POOL, "gold");
    // Nor is the controller's first step waited for.
    asking.finalizer = false;
    let told = ask(&connected().with_service(WEB, asking), None);
    assert!(!told.served);
    assert!(
        told.cause.starts_with("PoolNotFound: ") && told.cause.contains("\"gold\""),
        "{told:?}"
    );
    assert_eq!(told.findings.last().unwrap().step, Step::Pool);
    let before = &told.findings[..told.findings.len() - 1];
    assert!(before.iter().all(|finding| finding.mark == Mark::Ok), "{told:?}");
}

#[test]
fn what_the_tenant_reads_under_another_word_is_told_once() {
    let mut asking = asking(names::ANNOTATION_POOL, "gold");
    asking.status.conditions = vec![condition(
        names::PROGRAMMED,
        false,
        "PoolNotAllowed",
        "pool gold cannot be drawn from",
    )];
    let told = ask(&connected().with_service(WEB, asking), None);
    let no: Vec<_> = told.findings.iter().filter(|f| f.mark == Mark::No).collect();
    assert!(no.len() == 1 && no[0].text.starts_with("PoolNotFound: "), "{told:?}");
}

#[test]
fn a_service_without_a_node_has_rows_and_is_not_served() {
    let mut world = connected().with_service(WEB, service());
    world.tenant_a().nodes.clear();
    let mut model = testing::Model::new(world);
    model.settle();
    let told = ask(&model.world, None);
    assert!(!told.served && told.cause.starts_with("NoEligibleNodes: "), "{told:?}");
    assert!(told.remedy.contains("spec.backends"), "{told:?}");
}

#[test]
fn an_exhausted_pool_is_told_with_its_figures() {
    let mut world = connected();
    world.under.pools.insert("public".into(), ranges(&["198.51.100.20"]));
    world.reckon_pools();
    let mut other = eip(true, "Ready", "");
    other.owners = vec![key("a/default/other")];
    other.spec.services[0].key = "default/other".into();
    world.put_eip(ADDRESS, Some(other));
    let told = ask(&world.clone().with_service(WEB, service()), None);
    assert!(told.cause.starts_with("PoolExhausted: ") && told.cause.contains("public"), "{told:?}");
    assert!(told.remedy.contains("add addresses"), "{told:?}");
    let unread = ask(&world, Some("forbidden"));
    assert!(unread.cause.contains("0 of 1 available"), "{unread:?}");
}

#[test]
fn a_quota_that_is_used_up_is_told_with_its_limit() {
    let mut world = connected();
    let addresses = cpo_api::AddressQuota { ipv4: Some(0), ipv6: None };
    tenant(&mut world, |spec| spec.quota = Quota { addresses, ..Quota::default() });
    let told = ask(&world, Some("forbidden"));
    assert!(told.cause.contains("allows 0 IPv4 addresses"), "{told:?}");
    tenant(&mut world, |spec| {
        spec.quota = Quota { load_balancers: Some(0), ..Quota::default() };
    });
    for told in
        [ask(&world, Some("forbidden")), ask(&world.clone().with_service(WEB, service()), None)]
    {
        assert!(told.cause.starts_with("QuotaExceeded: "), "{told:?}");
        assert!(told.cause.contains("allows 0 load balancers"), "{told:?}");
        assert!(told.remedy.contains("spec.quota"), "{told:?}");
    }
}

#[test]
fn a_pool_closed_to_the_tenant_leaves_none() {
    let mut world = connected();
    world.under.pools.get_mut("public").unwrap().tenants = only(&["b"]);
    world.reckon_pools();
    for told in
        [ask(&world, Some("forbidden")), ask(&world.clone().with_service(WEB, service()), None)]
    {
        assert!(told.cause.starts_with("PoolNotFound: "), "{told:?}");
    }
}

#[test]
fn a_pool_within_the_ranges_that_are_reserved_gives_nothing() {
    let mut world = connected();
    world.under.pools.insert("public".into(), ranges(&["198.51.100.20-198.51.100.29"]));
    let reserved = ["198.51.100.25".parse().unwrap()].into_iter().collect();
    world.reserved = vec![(reserved, "198.51.100.25 of --reserved-ranges".to_owned())];
    world.reckon_pools();
    let told = ask(&world.clone().with_service(WEB, service()), None);
    assert!(told.cause.starts_with("PoolNotFound: "), "{told:?}");
    let named = asking(names::ANNOTATION_POOL, "public");
    let told = ask(&world.with_service(WEB, named), None);
    assert!(told.cause.contains("of --reserved-ranges"), "{told:?}");
}

#[test]
fn an_address_that_another_has_is_named_with_its_owner_to_the_operator() {
    let mut world = connected();
    let mut other = eip(true, "Ready", "");
    other.owners = vec![key("b/default/db")];
    other.spec.services[0].key = "default/db".into();
    other.spec.tenant = EipTenant { name: "b".into(), uid: "uid-b".into() };
    world.put_eip(ADDRESS, Some(other));
    let world = world.with_service(WEB, asking(names::ANNOTATION_ADDRESSES, ADDRESS));
    let told = ask(&world, None);
    assert!(
        told.cause.starts_with("AddressInUse: ") && told.cause.contains("b/default/db"),
        "{told:?}"
    );
    assert_eq!(told.findings.last().unwrap().step, Step::Wish);
}

#[test]
fn a_service_that_is_not_ours_says_why() {
    let cause = |change: &dyn Fn(&mut Service)| {
        let mut service = service();
        change(&mut service);
        ask(&connected().with_service(WEB, service), None).cause
    };
    assert!(cause(&|s| s.load_balancer = false).contains("type is not LoadBalancer"));
    assert!(cause(&|s| s.class = Some("other".into())).contains("loadBalancerClass other"));
    assert!(cause(&|s| s.deleting = true).contains("being deleted"));
    let mut world = connected().with_service(WEB, service());
    tenant(&mut world, |spec| spec.claim_classless = false);
    assert!(ask(&world, None).cause.contains("claimClassless: false"));
    let absent = ask(&connected(), None);
    assert!(absent.cause.contains("no Service default/web"), "{absent:?}");
}

#[test]
fn a_tenant_out_of_reach_is_the_cause_of_a_service_without_an_address() {
    let mut world = connected();
    tenant(&mut world, |spec| {
        let why = condition("Connected", false, "TenantUnreachable", "connection\nrefused");
        spec.status.conditions = vec![why];
    });
    let told = ask(&world, Some("connection refused"));
    assert_eq!(told.cause, "TenantUnreachable: connection refused");
    assert!(told.remedy.contains("reachable"), "{told:?}");
    assert!(!told.served && !marks(&told).contains(&(Step::OvnEip, Mark::No)), "{told:?}");
}

#[test]
fn a_served_service_is_served_in_every_step() {
    let told = ask(&serving(), None);
    assert!(told.served, "{told:?}");
    let steps = [
        Step::Tenant,
        Step::Connected,
        Step::Service,
        Step::Wish,
        Step::Pool,
        Step::OvnEip,
        Step::Eip,
        Step::Rows,
        Step::Status,
    ];
    assert_eq!(marks(&told), steps.map(|step| (step, Mark::Ok)), "{told:?}");
    assert_eq!(told.cause, "none: the Service is served");
    assert_eq!(told.remedy, "nothing");
}

#[test]
fn a_served_service_of_a_tenant_out_of_reach_is_served_and_the_tenant_is_told() {
    let mut world = serving();
    tenant(&mut world, |spec| {
        spec.status.conditions = vec![condition("Connected", false, "TenantUnreachable", "gone")];
    });
    let told = ask(&world, Some("gone"));
    assert!(told.served, "{told:?}");
    assert_eq!(told.cause, "the Service is served, but: TenantUnreachable: gone");
    let service = told.findings.iter().find(|finding| finding.step == Step::Service).unwrap();
    assert_eq!(service.mark, Mark::Unknown);
    let unread = ask(&serving(), Some("forbidden"));
    assert!(unread.served, "{unread:?}");
    assert!(!unread.findings.iter().any(|finding| finding.step == Step::Wish), "{unread:?}");
}

#[test]
fn a_database_that_was_not_looked_at_is_no_trouble() {
    let mut world = serving();
    world.ovn = crate::ovn::Ovn::default();
    let told = ask(&world, None);
    assert!(told.served && told.cause == "none: the Service is served", "{told:?}");
}

#[test]
fn what_stands_in_the_way_before_the_rows_is_told_without_the_database() {
    let mut world = connected().with_service(WEB, asking(names::ANNOTATION_POOL, "gold"));
    world.ovn = crate::ovn::Ovn::default();
    let told = ask(&world, None);
    assert!(told.cause.starts_with("PoolNotFound: "), "{told:?}");
    // Of the rows nothing can be said.
    let mut world = connected().with_service(WEB, service());
    world.ovn = crate::ovn::Ovn::default();
    let told = ask(&world, None);
    assert_eq!(told.cause, "there is no OvnEip for it yet");
}

#[test]
fn rows_that_are_gone_are_no_service() {
    let mut world = serving();
    let rows: Vec<_> = world.ovn.load_balancers.keys().copied().collect();
    assert!(!rows.is_empty());
    for row in rows {
        world.put_row(crate::ovn::RowChange::LoadBalancer(row, None));
    }
    let told = ask(&world, None);
    assert!(!told.served && told.cause.contains("no row"), "{told:?}");
}

#[test]
fn a_status_that_lost_its_address_is_no_service() {
    let mut world = serving();
    let tenant = world.tenants.get_mut(key(WEB).tenant()).unwrap();
    let service = tenant.services.get_mut(&key(WEB)).unwrap();
    service.status.ingress = vec![Ingress { ip: "203.0.113.1".into(), ..Ingress::default() }];
    let told = ask(&world, None);
    assert!(!told.served && told.cause.contains("does not show the address"), "{told:?}");
}

#[test]
fn the_controllers_word_counts_where_the_database_was_not_looked_at() {
    let mut world = connected().with_service(WEB, service());
    world.ovn = crate::ovn::Ovn::default();
    world.put_eip(ADDRESS, Some(eip(false, "NoGatewayPort", "Logical_Router vpc-a has no port")));
    let told = ask(&world, None);
    assert!(!told.served);
    let rows = told.findings.iter().find(|f| f.step == Step::Rows).unwrap();
    assert_eq!(rows.text, "NoGatewayPort: Logical_Router vpc-a has no port");
    assert_eq!(rows.remedy, cpo_api::Reason::NoGatewayPort.remedy());
    let unread = ask(&world, Some("forbidden"));
    assert!(unread.findings.iter().any(|f| f.text.starts_with("NoGatewayPort")), "{unread:?}");
}

#[test]
fn an_address_that_rests_is_not_taken_for_the_one_that_is_drawn() {
    let mut world = connected().with_service(WEB, service());
    let mut rests = eip(false, "Quarantined", "released");
    rests.status.released_at = Some("2026-01-01T00:00:00Z".into());
    world.put_eip(ADDRESS, Some(rests));
    let of_eip = |world: &World| {
        let told = ask(world, None);
        told.findings.iter().find(|f| f.step == Step::Eip).map(|f| f.text.clone())
    };
    assert_eq!(of_eip(&world), None, "the one that is drawn is not there yet");
    world.service(WEB).deleting = true;
    let released = format!("Eip {ADDRESS} is released: Quarantined");
    assert_eq!(of_eip(&world), Some(released), "it is what is left of it");
}

#[test]
fn a_limitation_of_a_served_service_is_told_as_such() {
    let mut world = connected();
    world.ovn = crate::ovn::Ovn::default();
    let limited = eip(true, "ReturnPathMissing", "no way back");
    world.put_eip(ADDRESS, Some(limited));
    let mut granted = testing::ovn_eip(Some(key(WEB)), "external", ADDRESS.parse().ok());
    (granted.ready, granted.status_v4) = (true, granted.spec_v4);
    let tenant = &world.tenants[key(WEB).tenant()].spec.uid;
    let name = crate::plan::ovn_eip_name(&world.install, tenant, &key(WEB));
    world.put_ovn_eip(&name, Some(granted));
    let told = ask(&world, Some("forbidden"));
    assert!(told.served, "{told:?}");
    assert_eq!(told.cause, "the Service is served, but: ReturnPathMissing: no way back");
}

#[test]
fn a_service_that_just_came_is_under_way() {
    let told = ask(&connected().with_service(WEB, service()), None);
    assert!(!told.served);
    assert!(told.cause.contains("no OvnEip for it yet"), "{told:?}");
    assert!(told.remedy.contains("wait"), "{told:?}");
}

#[test]
fn a_suspended_tenant_is_the_cause() {
    let mut world = connected().with_service(WEB, service());
    tenant(&mut world, |spec| spec.suspended = true);
    let told = ask(&world, None);
    assert!(told.cause.contains("suspended") && told.remedy.contains("spec.suspend"), "{told:?}");
}
