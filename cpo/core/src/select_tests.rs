use super::*;
use crate::ovn::{RouterPort, RowChange};
use crate::testing::{self, GATEWAY, pool, subnet, world};
use crate::world::World;
use uuid::Uuid;

const OWN: &str = "cpo-000000000000";

fn request(address: Option<&str>, pool: Option<&str>) -> Request {
    let (mut request, _) = crate::request::read(&testing::service()).unwrap();
    request.address = address.map(|a| a.parse().unwrap());
    request.pool = pool.map(str::to_owned);
    request
}

fn drawn(world: &World, request: &Request) -> Result<Draw, Problem> {
    let spec = &world.tenants[&"a".parse().unwrap()].spec;
    draw(&world.under, &world.ovn, spec, request, OWN, Some("vpc-a"))
}

/// The world in which each of these addresses is somebody's.
fn occupied() -> World {
    let mut world = world().with_ip("pod", "pod", "external", "198.51.100.61");
    let mut taken = testing::ovn_eip(None, "external", "198.51.100.60".parse().ok());
    (taken.status_v4, taken.ready) = (taken.spec_v4, true);
    world.under.put_ovn_eip("somebodys", Some(taken));
    world.under.put_ovn_eip(
        "asked-for",
        Some(testing::ovn_eip(None, "external", "198.51.100.65".parse().ok())),
    );
    world.under.vips.insert("vip".into(), "198.51.100.62".parse().unwrap());
    world.put_row(RowChange::Nat(Uuid::from_u128(7), "198.51.100.63".parse().ok()));
    let port = RouterPort {
        name: "of-another-vpc".into(),
        networks: vec!["198.51.100.64/24".parse().unwrap()],
        gateway: true,
        chassis: vec![],
    };
    world.put_row(RowChange::Port(Uuid::from_u128(8), Some(port)));
    let excludes = ["198.51.100.66".parse::<pools::AddressRange>().unwrap()];
    world.under.pools.get_mut("public").unwrap().excludes = excludes.into_iter().collect();
    world
}

const REFUSED: [(&str, &str); 13] = [
    ("198.51.100.254", "the gateway"),
    ("198.51.100.5", "in excludeIps"),
    ("198.51.100.66", "in the pool's excludes"),
    ("198.51.100.10", "a router port of the VPC"),
    ("198.51.100.64", "a router port of another"),
    ("198.51.100.60", "granted to an OvnEip"),
    ("198.51.100.65", "asked for by an OvnEip"),
    ("198.51.100.61", "of an IP"),
    ("198.51.100.62", "of a Vip"),
    ("198.51.100.63", "of a NAT rule"),
    ("198.51.100.0", "the network"),
    ("198.51.100.255", "the broadcast address"),
    ("203.0.113.7", "outside every pool"),
];

#[test]
fn every_refused_address_reads_the_same_to_a_tenant() {
    let world = occupied();
    for (address, what) in REFUSED {
        let problem = drawn(&world, &request(Some(address), None));
        let problem = problem.expect_err(what);
        assert_eq!(problem.reason.for_tenant(), Reason::AddressNotInPool, "{what}");
        let text =
            format!("address {address} is not available to this cluster; ask for another, or none");
        assert_eq!(problem.message, text, "{what}");
        assert_eq!(problem.severity, crate::problem::Severity::Refused);
    }
}

#[test]
fn the_operator_is_told_why_an_address_is_refused() {
    let world = occupied();
    let texts: std::collections::BTreeSet<_> = REFUSED
        .iter()
        .map(|(address, _)| drawn(&world, &request(Some(address), None)).unwrap_err())
        .map(|problem| problem.operator_text().to_owned())
        .collect();
    assert_eq!(texts.len(), REFUSED.len(), "each its own: {texts:#?}");
}

#[test]
fn a_free_address_is_granted() {
    let draw = drawn(&occupied(), &request(Some("198.51.100.70"), None)).unwrap();
    assert_eq!((draw.pool.as_str(), draw.subnet.as_str()), ("public", "external"));
    assert_eq!(draw.address, "198.51.100.70".parse().ok());
}

#[test]
fn an_address_recorded_in_an_eip_is_held_even_without_its_ovn_eip() {
    let mut model = testing::Model::new(world().with_service("a/default/web", testing::service()));
    model.settle();
    let mut world = model.world.clone();
    world.under.ovn_eips.clear();
    let asked = request(Some("198.51.100.10"), None);
    world.put_row(RowChange::Port(GATEWAY, None));
    assert_eq!(drawn(&world, &asked).unwrap_err().reason, Reason::AddressInUse);
}

#[test]
fn the_address_one_holds_already_is_free_for_oneself() {
    let mut world = world();
    let own = testing::ovn_eip(None, "external", "198.51.100.70".parse().ok());
    world.under.put_ovn_eip(OWN, Some(own));
    assert!(drawn(&world, &request(Some("198.51.100.70"), None)).is_ok());
}

#[test]
fn a_named_pool_is_drawn_from() {
    let mut world = world();
    world
        .under
        .subnets
        .insert("gold".into(), subnet("ovn-cluster", "203.0.113.0/24", "203.0.113.1", &[]));
    world.under.pools.insert("gold".into(), pool("gold"));
    assert_eq!(drawn(&world, &request(None, Some("gold"))).unwrap().subnet, "gold");
    assert_eq!(drawn(&world, &request(None, Some("public"))).unwrap().subnet, "external");
    let outside = drawn(&world, &request(Some("203.0.113.9"), Some("public"))).unwrap_err();
    assert_eq!(outside.reason, Reason::AddressNotInPool, "of another pool than the one named");
}

#[test]
fn a_pool_that_does_not_exist_reads_as_one_that_is_not_open() {
    let mut world = world();
    let closed = Pool { tenants: Some(["b".into()].into()), ..pool("external") };
    world.under.pools.insert("gold".into(), closed);
    let closed = drawn(&world, &request(None, Some("gold"))).unwrap_err();
    world.under.pools.remove("gold");
    let missing = drawn(&world, &request(None, Some("gold"))).unwrap_err();
    assert_eq!(closed.message, missing.message);
    assert_eq!(closed.reason.for_tenant(), missing.reason.for_tenant());
    assert_ne!(closed.operator_text(), missing.operator_text());
}

#[test]
fn a_pool_bound_to_another_tenant_is_never_drawn_from() {
    let mut world = world();
    world.under.pools.get_mut("public").unwrap().tenants = Some(["b".into()].into());
    assert_eq!(drawn(&world, &request(None, None)).unwrap_err().reason, Reason::PoolNotFound);
    assert!(drawn(&world, &request(Some("198.51.100.70"), None)).is_err());
    world.under.pools.get_mut("public").unwrap().tenants = Some(["a".into()].into());
    assert!(drawn(&world, &request(None, None)).is_ok());
}

#[test]
fn a_tenant_bound_to_pools_draws_from_no_other() {
    let mut world = world();
    world.tenant_a().spec.pools = vec!["gold".into()];
    assert!(drawn(&world, &request(None, None)).is_err());
    assert!(drawn(&world, &request(None, Some("public"))).is_err());
    world.tenant_a().spec.pools = vec!["public".into()];
    assert!(drawn(&world, &request(None, None)).is_ok());
}

#[test]
fn a_pool_without_auto_assign_or_a_broken_one_is_not_drawn_from_unasked() {
    let mut world = world();
    world.under.pools.get_mut("public").unwrap().auto_assign = false;
    assert!(drawn(&world, &request(None, None)).is_err());
    assert!(drawn(&world, &request(None, Some("public"))).is_ok());
    assert!(drawn(&world, &request(Some("198.51.100.50"), None)).is_ok());
    world.under.pools.get_mut("public").unwrap().broken = Some("spec.excludes[0]".into());
    assert!(drawn(&world, &request(None, Some("public"))).is_err());
}

#[test]
fn an_exhausted_pool_is_told_with_a_remedy() {
    let mut world = world();
    world.under.subnets.get_mut("external").unwrap().available = 0;
    let problem = drawn(&world, &request(None, None)).unwrap_err();
    assert_eq!(problem.reason, Reason::PoolExhausted);
    assert!(problem.message.contains("delete an unused Service"));
}

#[test]
fn the_pool_on_the_vpcs_own_network_comes_first_and_an_exhausted_one_last() {
    let mut world = world();
    world
        .under
        .subnets
        .insert("afar".into(), subnet("ovn-cluster", "203.0.113.0/24", "203.0.113.1", &[]));
    world.under.pools.insert("a-far-one".into(), pool("afar"));
    assert_eq!(drawn(&world, &request(None, None)).unwrap().pool, "public");
    world.under.subnets.get_mut("external").unwrap().available = 0;
    assert_eq!(drawn(&world, &request(None, None)).unwrap().pool, "a-far-one");
}
