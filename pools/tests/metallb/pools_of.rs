//! Which pool, how much there is of it, and what becomes of assignments when it changes.

use std::collections::BTreeSet;

use pools::{Closed, PerFamily, Selector, ServiceAllocation};

use super::*;

fn for_services(
    priority: u32,
    namespaces: &[&str],
    app: Option<&str>,
) -> Option<ServiceAllocation> {
    let select = |app| Selector { labels: labels(&[("app", app)]), requirements: Vec::new() };
    Some(ServiceAllocation {
        priority,
        namespaces: namespaces.iter().map(|name| (*name).to_owned()).collect(),
        namespace_selectors: Vec::new(),
        service_selectors: app.map(select).into_iter().collect(),
    })
}

#[test]
fn a_pool_that_does_not_assign_by_itself_has_to_be_named() {
    let manual = PoolSpec { auto_assign: false, ..spec(&["10.0.0.0/31"]) };
    let mut scene = Scene::new([("manual", manual), ("open", spec(&["10.0.1.0/32"]))]);
    assert_eq!(scene.gets("s1", V4), ["10.0.1.0"]);
    assert!(scene.exhausted("s2", V4));
    assert_eq!(scene.gets("s2", Ask { pool: Some("manual"), ..V4 }), ["10.0.0.0"]);
    assert_eq!(scene.gets("s3", Ask { addresses: &["10.0.0.1"], ..V4 }), ["10.0.0.1"]);
    let unknown = scene.assign("s4", Ask { pool: Some("none"), ..V4 });
    assert_eq!(unknown, Err(Refusal::UnknownPool("none".to_owned())));
}

#[test]
fn pools_for_certain_services_come_first_by_priority() {
    let pool = |range, allocation| PoolSpec { allocation, ..spec(&[range]) };
    let mut scene = Scene::new([
        ("a-any", pool("10.0.0.0/32", None)),
        ("b-last", pool("10.0.1.0/32", for_services(0, &["red"], None))),
        ("c-second", pool("10.0.2.0/32", for_services(20, &["red"], None))),
        ("d-first", pool("10.0.3.0/32", for_services(10, &["red"], None))),
    ]);
    let red = Ask { namespace: "red", ..V4 };
    let order: Vec<String> =
        ["s1", "s2", "s3", "s4"].into_iter().flat_map(|name| scene.gets(name, red)).collect();
    assert_eq!(order, ["10.0.3.0", "10.0.2.0", "10.0.1.0", "10.0.0.0"]);
}

#[test]
fn pools_select_namespaces_and_services() {
    let pool = |range, allocation| PoolSpec { allocation, ..spec(&[range]) };
    let by_labels = ServiceAllocation {
        namespace_selectors: vec![Selector {
            labels: labels(&[("kubernetes.io/metadata.name", "blue")]),
            requirements: Vec::new(),
        }],
        ..ServiceAllocation::default()
    };
    let pools = || {
        [
            ("namespace", pool("10.0.0.0/32", for_services(1, &["red"], None))),
            ("service", pool("10.0.1.0/32", for_services(2, &[], Some("web")))),
            ("both", pool("10.0.2.0/32", for_services(3, &["red"], Some("db")))),
            ("labels", pool("10.0.3.0/32", Some(by_labels.clone()))),
        ]
    };
    let (web, db): (&[_], &[_]) = (&[("app", "web")], &[("app", "db")]);
    for (namespace, labels, expected) in [
        ("red", &[] as &[_], Some("10.0.0.0")),
        ("green", web, Some("10.0.1.0")),
        ("green", db, None),
        ("blue", &[], Some("10.0.3.0")),
        ("green", &[], None),
    ] {
        let mut scene = Scene::new(pools());
        let ask = Ask { namespace, labels, ..V4 };
        match expected {
            Some(address) => assert_eq!(scene.gets("s", ask), [address]),
            None => {
                assert_eq!(scene.assign("s", ask), Err(Refusal::NoPool { pools: 4 }));
            }
        }
    }
    // An address that is asked for is bound to the same rules.
    let mut scene = Scene::new(pools());
    let both = |namespace, labels| Ask { namespace, labels, addresses: &["10.0.2.0"], ..V4 };
    for (namespace, labels) in [("red", web), ("green", db), ("red", &[])] {
        let closed = scene.refused("s", both(namespace, labels));
        assert!(matches!(closed, Unavailable::PoolClosed { .. }), "{closed:?}");
    }
    assert_eq!(scene.gets("s", both("red", db)), ["10.0.2.0"]);
}

#[test]
fn a_pool_counts_the_addresses_it_may_give() {
    let total = |ranges: &[&str], avoid_buggy_ips| {
        let scene = Scene::new([("pool", PoolSpec { avoid_buggy_ips, ..spec(ranges) })]);
        scene.allocator.pool("pool").unwrap().total
    };
    let count = |v4, v6| PerFamily { v4, v6 };
    assert_eq!(total(&["10.0.0.0/24"], false), count(256, 0));
    assert_eq!(total(&["10.0.0.0/24", "10.0.1.0/25"], false), count(384, 0));
    assert_eq!(total(&["10.0.0.0/24", "10.0.1.0/25"], true), count(381, 0));
    assert_eq!(total(&["2001:db8::/32"], false), count(0, 1 << 96));
    assert_eq!(total(&["10.0.0.0/30", "2001:db8::/120"], false), count(4, 256));
}

#[test]
fn a_pool_of_what_no_pool_may_hold_gives_nothing_and_takes_nothing_from_anybody() {
    let mut scene = Scene::new([("pool", spec(&["10.0.0.0/30"]))]);
    let had = scene.gets("s1", V4);
    for range in ["0.0.0.0/0", "10.0.0.0-239.0.0.0", "127.0.0.0/30"] {
        scene.set([("pool", spec(&[range])), ("other", spec(&["10.0.0.2/31"]))]);
        let named = scene.assign("s2", Ask { pool: Some("pool"), ..V4 });
        assert!(matches!(named, Err(Refusal::PoolClosed { why: Closed::Broken, .. })));
        assert_eq!(scene.gets("s1", V4), had);
        assert_eq!(scene.gets("s3", V4), ["10.0.0.2"], "it is in nobody's way");
        scene.free("s3");
    }
    scene.set([("pool", PoolSpec { broken: true, ..spec(&["10.0.0.0/30"]) })]);
    assert_eq!(scene.assign("s2", V4), Err(Refusal::NoPool { pools: 1 }));
}

#[test]
fn figures_follow_what_is_assigned_and_a_shared_address_counts_once() {
    let mut scene = Scene::new([("pool", spec(&["10.0.0.0/30", "2001:db8::/126"]))]);
    let figures = |scene: &Scene| {
        let pool = scene.allocator.pool("pool").unwrap();
        let both = (pool.assigned.v4, pool.available.v4, pool.assigned.v6, pool.available.v6);
        (both, scene.allocator.usage("tenant").load_balancers)
    };
    scene.gets("s1", V4);
    scene.gets("s2", DUAL);
    assert_eq!(figures(&scene), ((2, 2, 1, 3), 2));
    scene.free("s1");
    scene.free("s2");
    assert_eq!(figures(&scene), ((0, 4, 0, 4), 0));
    for (name, port) in [("s1", 80), ("s2", 81), ("s3", 82)] {
        scene.gets(name, Ask { sharing: Some(("k", "")), port, ..V4 });
    }
    assert_eq!(figures(&scene), ((1, 3, 0, 4), 3));
    scene.free("s1");
    scene.free("s2");
    assert_eq!(figures(&scene), ((1, 3, 0, 4), 1));
    scene.free("s3");
    assert_eq!(figures(&scene), ((0, 4, 0, 4), 0));
}

/// There the address is taken from its Service when its pool no longer holds it.
#[test]
fn an_assignment_stays_whatever_becomes_of_its_pool() {
    let whole = || spec(&["10.0.0.0/30", "2001:db8::/126"]);
    let mut scene = Scene::new([("pool", whole())]);
    let (s1, s2) = (scene.gets("s1", V4), scene.gets("s2", V6));
    let blue = Some(BTreeSet::from(["blue".to_owned()]));
    let edits: [Vec<(&str, PoolSpec)>; 9] = [
        vec![("pool", whole())],
        vec![("pool", spec(&["10.0.0.0/24", "2001:db8::/120"]))],
        vec![("pool", spec(&["10.0.0.2/31", "2001:db8::/126"]))],
        vec![("pool", spec(&["10.0.0.0/30", "2001:db8::2/127"]))],
        vec![("renamed", whole())],
        vec![("pool", spec(&["10.0.0.0/31"])), ("rest", spec(&["10.0.0.2/31", "2001:db8::/126"]))],
        vec![("pool", PoolSpec { avoid_buggy_ips: true, ..whole() })],
        vec![("pool", PoolSpec { tenants: blue, drain: true, ..whole() })],
        vec![],
    ];
    for edit in edits {
        scene.pools = edit.into_iter().map(|(name, spec)| (name.to_owned(), spec)).collect();
        scene.allocator.set_pools(scene.pools.clone());
        assert_eq!(scene.gets("s1", V4), s1, "{:?}", scene.pools);
        assert_eq!(scene.gets("s2", V6), s2, "{:?}", scene.pools);
        if scene.pools.contains_key("renamed") {
            assert_eq!(scene.gets("s3", V4), ["10.0.0.1"], "nobody gets it a second time");
            scene.free("s3");
        }
    }
    let figures = scene.allocator.pool("pool").unwrap();
    assert_eq!((figures.assigned.v4, figures.total.v4), (1, 0), "it is gone, and in use");
    scene.free("s1");
    scene.free("s2");
    assert!(scene.allocator.pool("pool").is_none());
}
