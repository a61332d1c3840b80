use super::*;
use crate::ovn::{RouterPort, RowChange};
use crate::testing::{self, GATEWAY, only, pool, ranges, subnet, world};
use pools::Target;
use uuid::Uuid;

/// What the Service `default/web` of tenant `a` gets: the pool, and the address where it is named.
type Drawn = (String, Option<IpAddr>);

fn request(address: Option<&str>, pool: Option<&str>) -> Request {
    let (mut request, _) =
        crate::request::read(&testing::service(), crate::tenant::Mode::Overlay).unwrap();
    request.addresses = address.map(|a| a.parse().unwrap()).into_iter().collect();
    request.pool = pool.map(str::to_owned);
    request
}

fn drawn(world: &World, request: &Request) -> Result<Drawn, Problem> {
    let mut world = world.clone();
    world.reckon_all();
    let (key, service) = (testing::key("a/default/web"), testing::service());
    let wish = wish(&world, &key, &service, request, || near_router(&world, "vpc-a"));
    Ok(match choose(&world, &wish)? {
        Assigned::New(Target::Draw { pool, .. }) => (pool.to_string(), None),
        Assigned::New(Target::These(given)) | Assigned::Kept(given) => {
            (given.pool.to_string(), given.addresses.v4)
        }
        Assigned::Move { .. } => panic!("it has nothing to move from"),
    })
}

/// The world in which each of these addresses is somebody's.
fn occupied() -> World {
    let mut world = world().with_ip("pod", "pod", "external", "198.51.100.61");
    let mut taken = testing::ovn_eip(None, "external", "198.51.100.60".parse().ok());
    (taken.status_v4, taken.ready) = (taken.spec_v4, true);
    world.put_ovn_eip("somebodys", Some(taken));
    world.put_ovn_eip(
        "asked-for",
        Some(testing::ovn_eip(None, "external", "198.51.100.65".parse().ok())),
    );
    world.under.vips.insert("vip".into(), vec!["198.51.100.62".parse().unwrap()]);
    world.put_row(RowChange::Nat(Uuid::from_u128(7), "198.51.100.63".parse().ok()));
    let port = RouterPort {
        name: "of-another-vpc".into(),
        networks: vec!["198.51.100.64/24".parse().unwrap()],
        gateway: true,
        chassis: vec![],
    };
    world.put_row(RowChange::Port(Uuid::from_u128(8), Some(port)));
    let port = testing::gateway_port("198.51.100.67/24");
    world.put_row(RowChange::Port(GATEWAY, Some(port)));
    world.under.pools.get_mut("public").unwrap().excludes = vec!["198.51.100.66".parse().unwrap()];
    world
}

const REFUSED: [(&str, &str); 13] = [
    ("198.51.100.254", "the gateway"),
    ("198.51.100.5", "in excludeIps"),
    ("198.51.100.66", "in the pool's excludes"),
    ("198.51.100.67", "a router port of the VPC"),
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
    let texts: BTreeSet<_> = REFUSED
        .iter()
        .map(|(address, _)| drawn(&world, &request(Some(address), None)).unwrap_err())
        .map(|problem| problem.operator_text().to_owned())
        .collect();
    assert_eq!(texts.len(), REFUSED.len(), "each its own: {texts:#?}");
}

#[test]
fn a_free_address_is_granted() {
    let drawn = drawn(&occupied(), &request(Some("198.51.100.70"), None)).unwrap();
    assert_eq!(drawn, ("public".into(), "198.51.100.70".parse().ok()));
}

#[test]
fn an_address_recorded_in_an_eip_is_held_even_without_its_ovn_eip() {
    let other = world().with_service("a/default/other", testing::service());
    let mut model = testing::Model::new(other);
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
    let key = testing::key("a/default/web");
    let name = crate::plan::ovn_eip_name(&world.install, &testing::tenant("a").uid, &key);
    let own = testing::ovn_eip(Some(key), "external", "198.51.100.70".parse().ok());
    world.put_ovn_eip(&name, Some(own));
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
    assert_eq!(drawn(&world, &request(None, Some("gold"))).unwrap().0, "gold");
    assert_eq!(drawn(&world, &request(None, Some("public"))).unwrap().0, "public");
    let outside = drawn(&world, &request(Some("203.0.113.9"), Some("public"))).unwrap_err();
    assert_eq!(outside.reason, Reason::AddressNotInPool, "of another pool than the one named");
}

#[test]
fn a_pool_that_does_not_exist_reads_as_one_that_is_not_open() {
    let mut world = world();
    let closed = Pool { tenants: only(&["b"]), ..pool("external") };
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
    world.under.pools.get_mut("public").unwrap().tenants = only(&["b"]);
    assert_eq!(drawn(&world, &request(None, None)).unwrap_err().reason, Reason::PoolNotFound);
    assert!(drawn(&world, &request(Some("198.51.100.70"), None)).is_err());
    world.under.pools.get_mut("public").unwrap().tenants = only(&["a"]);
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
fn unasked_a_service_draws_from_pools_on_the_vpcs_own_network_alone() {
    let mut world = world();
    let afar = subnet("ovn-cluster", "203.0.113.0/24", "203.0.113.1", &[]);
    world.under.subnets.insert("afar".into(), afar);
    world.under.pools.insert("a-far-one".into(), pool("afar"));
    assert_eq!(drawn(&world, &request(None, None)).unwrap().0, "public");
    world.under.subnets.get_mut("external").unwrap().available = 0;
    let problem = drawn(&world, &request(None, None)).unwrap_err();
    assert_eq!(problem.reason, Reason::PoolExhausted, "an address of afar would not answer");
    assert_eq!(drawn(&world, &request(None, Some("a-far-one"))).unwrap().0, "a-far-one");
    world.under.pools.get_mut("public").unwrap().tenants = only(&["b"]);
    let far = drawn(&world, &request(None, None)).unwrap();
    assert_eq!(far.0, "a-far-one", "the router then tells why it does not answer");
}

#[test]
fn of_a_pool_of_ranges_the_lowest_free_address_is_named() {
    let mut world = occupied();
    world.under.pools = [("ours".into(), ranges(&["198.51.100.60-198.51.100.70"]))].into();
    let first = drawn(&world, &request(None, None)).unwrap();
    assert_eq!(
        first,
        ("ours".into(), "198.51.100.66".parse().ok()),
        "60 to 65 are in use, one of them by a router"
    );
}

#[test]
fn a_pool_for_certain_services_comes_first_and_is_for_no_others() {
    let mut world = world();
    let selector =
        pools::Selector { labels: [("tier".into(), "gold".into())].into(), ..Default::default() };
    let allocation =
        pools::ServiceAllocation { service_selectors: vec![selector], ..Default::default() };
    let gold = Pool { allocation: Some(allocation), ..ranges(&["198.51.100.100-198.51.100.110"]) };
    world.under.pools.insert("gold".into(), gold);
    world.under.pools.get_mut("public").unwrap().excludes =
        vec!["198.51.100.100-198.51.100.110".parse().unwrap()];
    assert_eq!(drawn(&world, &request(None, None)).unwrap().0, "public");
    world.reckon_all();
    let mut service = testing::service();
    service.labels.insert("tier".into(), "gold".into());
    let wish =
        wish(&world, &testing::key("a/default/web"), &service, &request(None, None), BTreeSet::new);
    let Ok(Assigned::New(Target::These(given))) = choose(&world, &wish) else { panic!("gold") };
    assert_eq!(&*given.pool, "gold");
}

#[test]
fn a_used_up_quota_names_the_figures() {
    let mut model = testing::Model::new(world().with_service("a/default/web", testing::service()));
    model.settle();
    model.world.tenant_a().spec.quota.load_balancers = Some(1);
    model.world.reckon_all();
    let key = testing::key("a/default/other");
    let wish = wish(&model.world, &key, &testing::service(), &request(None, None), BTreeSet::new);
    let problem = choose(&model.world, &wish).unwrap_err();
    assert_eq!(problem.reason, Reason::QuotaExceeded);
    assert!(problem.message.contains("quota of 1 load balancers"), "{}", problem.message);
    assert!(problem.operator_text().contains("TenantCluster a"));
}
