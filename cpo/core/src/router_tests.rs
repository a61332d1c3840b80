use super::*;
use crate::ovn::{Policy, Route, RowChange};
use crate::testing::{self, GATEWAY, POLICY, ROUTER, balancer, world};
use crate::world::World;

const VIP: &str = "198.51.100.20:80";
const OTHER: Uuid = Uuid::from_u128(0x0f);

fn reason(world: &World) -> Reason {
    site(&world.ovn, &world.under, "vpc-a").unwrap_err().reason
}

fn backend() -> Backend {
    Backend {
        address: "10.0.0.2".parse().unwrap(),
        subnet: "tenant-a".into(),
        vpc: "vpc-a".into(),
        node: "vm1".parse().unwrap(),
        machine: "vm1".into(),
        mac: None,
    }
}

/// What stands against our row at an address of the provider network.
fn against(world: &World, address: &str) -> Vec<Problem> {
    let site = site(&world.ovn, &world.under, "vpc-a").unwrap();
    let row = balancer("a/default/web", VIP, "10.0.0.2:30080");
    let address = address.parse().unwrap();
    check(&world.ovn, &world.under, &site, address, std::iter::once(&row), &[backend()])
}

fn reasons(world: &World) -> Vec<Reason> {
    against(world, "198.51.100.20").into_iter().map(|p| p.reason).collect()
}

fn foreign() -> LoadBalancer {
    let mut row = balancer("a/default/web", VIP, "");
    row.external_ids.clear();
    row
}

fn with_row(row: LoadBalancer, attached: bool) -> World {
    world().with_row(RowChange::LoadBalancer(OTHER, Some(row))).with_router(|router| {
        router.load_balancers.extend(attached.then_some(OTHER));
    })
}

#[test]
fn a_router_with_one_gateway_port_carries_load_balancers() {
    let world = world();
    let site = site(&world.ovn, &world.under, "vpc-a").unwrap();
    assert_eq!((site.uuid, site.gateway.name.as_str()), (ROUTER, "vpc-a-external"));
    assert!(reasons(&world).is_empty());
}

#[test]
fn a_vpc_without_router_is_told() {
    let mut gone = world();
    gone.under.vpcs.clear();
    assert_eq!(reason(&gone), Reason::RouterNotFound);
    let mut unnamed = world();
    unnamed.under.vpcs.insert("vpc-a".into(), String::new());
    assert_eq!(reason(&unnamed), Reason::RouterNotFound);
    assert_eq!(reason(&world().with_row(RowChange::Router(ROUTER, None))), Reason::RouterNotFound);
}

#[test]
fn a_router_not_of_kube_ovn_is_not_ours_to_use() {
    assert_eq!(reason(&world().with_router(|r| r.of_kube_ovn = false)), Reason::RouterNotFound);
}

#[test]
fn two_routers_of_one_name_are_ambiguous() {
    let second = testing::router("vpc-a");
    let world = world().with_row(RowChange::Router(OTHER, Some(second)));
    assert_eq!(reason(&world), Reason::RouterAmbiguous);
}

#[test]
fn a_port_without_chassis_is_no_gateway() {
    let mut world = world();
    let port = RouterPort { gateway: false, ..world.ovn.ports[&GATEWAY].clone() };
    world.put_row(RowChange::Port(GATEWAY, Some(port)));
    assert_eq!(reason(&world), Reason::NoGatewayPort);
    world.put_row(RowChange::Port(GATEWAY, None));
    assert_eq!(reason(&world), Reason::NoGatewayPort);
}

#[test]
fn two_gateway_ports_are_refused_naming_router_ports_and_version() {
    let mut world = world();
    let port = RouterPort { name: "second".into(), ..world.ovn.ports[&GATEWAY].clone() };
    world.put_row(RowChange::Port(OTHER, Some(port)));
    world.put_row(RowChange::Northd(Some("24.03.8".into())));
    let world = world.with_router(|router| {
        router.ports.insert(OTHER);
    });
    let problem = site(&world.ovn, &world.under, "vpc-a").unwrap_err();
    assert_eq!(problem.reason, Reason::MultiDGPUnsupported);
    for word in ["vpc-a", "vpc-a-external", "second", "24.03.8"] {
        assert!(problem.operator_text().contains(word), "{word}");
        assert!(!problem.message.contains(word), "{word} is not the tenant's to know");
    }
}

#[test]
fn an_address_outside_the_gateway_ports_networks_is_refused() {
    let problems = against(&world(), "203.0.113.5");
    assert_eq!(problems[0].reason, Reason::EIPNotOnRouter);
}

#[test]
fn an_attached_row_of_somebody_else_conflicts() {
    assert_eq!(reasons(&with_row(foreign(), true)), [Reason::EIPPortConflict]);
}

#[test]
fn a_row_nobody_attached_does_not_conflict() {
    assert!(reasons(&with_row(foreign(), false)).is_empty());
}

#[test]
fn another_protocol_or_port_does_not_conflict() {
    let udp = LoadBalancer { protocol: crate::service::Protocol::Udp, ..foreign() };
    assert!(reasons(&with_row(udp, true)).is_empty());
    let mut port = foreign();
    port.vips = [("198.51.100.20:81".to_owned(), String::new())].into();
    assert!(reasons(&with_row(port, true)).is_empty());
}

#[test]
fn our_own_row_does_not_conflict() {
    assert!(reasons(&with_row(balancer("a/default/web", VIP, ""), true)).is_empty());
}

#[test]
fn our_own_row_with_a_key_more_in_external_ids_does_not_conflict() {
    let mut row = balancer("a/default/web", VIP, "");
    row.external_ids.insert("note".into(), "of an operator".into());
    assert!(reasons(&with_row(row, true)).is_empty());
}

#[test]
fn another_services_row_of_ours_and_another_installations_conflict() {
    let other = balancer("a/default/other", VIP, "");
    assert_eq!(reasons(&with_row(other, true)), [Reason::EIPPortConflict]);
    let mut row = balancer("a/default/web", VIP, "");
    row.external_ids.insert("install".into(), "second".into());
    assert_eq!(reasons(&with_row(row, true)), [Reason::EIPPortConflict]);
}

#[test]
fn a_nat_rule_of_the_address_conflicts() {
    let nat = |address: &str| world().with_row(RowChange::Nat(OTHER, address.parse().ok()));
    assert_eq!(reasons(&nat("198.51.100.20")), [Reason::EIPPortConflict]);
    assert!(reasons(&nat("198.51.100.21")).is_empty());
}

fn route(prefix: &str, nexthop: &str, by_source: bool) -> Route {
    Route {
        prefix: prefix.into(),
        nexthop: nexthop.into(),
        by_source,
        table: String::new(),
        output_port: None,
    }
}

/// The world without its policy, with these routes.
fn routed(routes: &[Route]) -> World {
    let mut world = world().with_row(RowChange::Policy(POLICY, None));
    for (number, route) in routes.iter().enumerate() {
        let uuid = Uuid::from_u128(0x100 + number as u128);
        world.put_row(RowChange::Route(uuid, Some(route.clone())));
        world = world.with_router(|router| {
            router.routes.insert(uuid);
        });
    }
    world
}

#[test]
fn a_default_route_to_the_gateway_is_a_return_path() {
    assert!(reasons(&routed(&[route("0.0.0.0/0", "198.51.100.254", false)])).is_empty());
}

#[test]
fn no_route_and_no_policy_is_no_return_path() {
    assert_eq!(reasons(&routed(&[])), [Reason::ReturnPathMissing]);
}

#[test]
fn the_src_ip_route_of_the_subnet_beats_the_default_route() {
    let both =
        [route("0.0.0.0/0", "198.51.100.254", false), route("10.0.0.0/24", "10.0.0.1", true)];
    assert_eq!(reasons(&routed(&both)), [Reason::ReturnPathMissing]);
}

#[test]
fn a_reroute_policy_repairs_the_src_ip_route() {
    let mut world = routed(&[route("10.0.0.0/24", "10.0.0.1", true)]);
    let policy = testing::world().ovn.policies[&POLICY].clone();
    world.put_row(RowChange::Policy(POLICY, Some(policy)));
    assert!(reasons(&world).is_empty());
}

#[test]
fn the_policy_of_the_highest_priority_decides() {
    let mut world = world();
    let policy = |priority, action: &str| Policy {
        priority,
        matches: "ip4.src == 10.0.0.0/24".into(),
        action: action.into(),
        nexthops: vec![],
    };
    world.put_row(RowChange::Policy(OTHER, Some(policy(50, "drop"))));
    let mut world = world.with_router(|router| {
        router.policies.insert(OTHER);
    });
    assert!(reasons(&world).is_empty(), "below the reroute policy");
    world.put_row(RowChange::Policy(OTHER, Some(policy(200, "drop"))));
    assert_eq!(reasons(&world), [Reason::ReturnPathMissing], "above it");
    world.put_row(RowChange::Policy(OTHER, Some(policy(200, "allow"))));
    assert_eq!(reasons(&world), [Reason::ReturnPathMissing], "allow leaves it to the routes");
}

#[test]
fn a_policy_for_another_subnet_or_to_another_hop_is_no_return_path() {
    let mut world = world();
    let mut policy = world.ovn.policies[&POLICY].clone();
    policy.nexthops = vec!["10.0.0.1".into()];
    world.put_row(RowChange::Policy(POLICY, Some(policy.clone())));
    assert_eq!(reasons(&world), [Reason::ReturnPathMissing]);
    policy = testing::world().ovn.policies[&POLICY].clone();
    policy.matches = "ip4.src == 10.1.0.0/24".into();
    world.put_row(RowChange::Policy(POLICY, Some(policy)));
    assert_eq!(reasons(&world), [Reason::ReturnPathMissing]);
}

#[test]
fn a_route_in_another_table_is_no_return_path() {
    let other = Route { table: "vrf".into(), ..route("0.0.0.0/0", "198.51.100.254", false) };
    assert_eq!(reasons(&routed(&[other])), [Reason::ReturnPathMissing]);
}
