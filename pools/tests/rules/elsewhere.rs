//! Pools that another allocator hands out.

use super::*;

fn subnet(ranges: &[&str], v4: u64, v6: u64) -> PoolSpec {
    let source = Source::Elsewhere { name: "external".into(), free: PerFamily { v4, v6 } };
    PoolSpec { source, excludes: vec!["10.0.0.1".parse().unwrap()], ..spec(ranges) }
}

fn scene(v4: u64, v6: u64) -> Scene {
    Scene::new([("pool", subnet(&["10.0.0.0/29", "2001:db8::/64"], v4, v6))])
}

fn draws(scene: &mut Scene, name: &str, ask: Ask<'_>) -> (String, bool, bool) {
    match scene.assign(name, ask) {
        Ok(Assigned::New(Target::Draw { pool, families })) => {
            (pool.to_string(), families.v4, families.v6)
        }
        other => panic!("{name}: {other:?}"),
    }
}

fn pool(v4: bool, v6: bool) -> (String, bool, bool) {
    ("pool".to_owned(), v4, v6)
}

#[test]
fn where_any_address_will_do_only_the_pool_is_chosen() {
    let mut scene = scene(5, 9);
    for (name, ask, drawn) in [
        ("s1", V4, pool(true, false)),
        ("s2", V6, pool(false, true)),
        ("s3", DUAL, pool(true, true)),
        ("s4", PREFER, pool(true, true)),
        ("s5", Ask { pool: Some("pool"), ..V4 }, pool(true, false)),
    ] {
        assert_eq!(draws(&mut scene, name, ask), drawn, "{name}");
        assert_eq!(scene.allocator.of(&service("default", name)), None);
    }
    assert_eq!(scene.allocator.iter().count(), 0);
    let figures = scene.allocator.pool("pool").unwrap();
    assert_eq!(figures.total, PerFamily { v4: 7, v6: 1 << 64 });
    assert_eq!(figures.available, PerFamily { v4: 5, v6: 9 });
    assert_eq!(figures.drawing, PerFamily { v4: 4, v6: 3 });
}

#[test]
fn what_is_left_is_what_the_other_allocator_says() {
    let mut scene = scene(1, 0);
    assert!(scene.exhausted("s", DUAL));
    assert_eq!(draws(&mut scene, "s", PREFER), pool(true, false));
    scene.allocator.withdraw(&service("default", "s"));
    scene.allocator.set_free("pool", PerFamily { v4: 0, v6: 0 });
    assert!(scene.exhausted("s", V4));
    scene.set([("pool", subnet(&["10.0.0.0/29", "2001:db8::/64"], 0, 3))]);
    assert_eq!(draws(&mut scene, "s", V6), pool(false, true));
    scene.allocator.set_free("pool", PerFamily { v4: 900, v6: 3 });
    assert_eq!(scene.allocator.pool("pool").unwrap().available.v4, 7, "no more than it has");
}

#[test]
fn who_draws_counts_once_until_its_address_is_recorded() {
    let mut scene = scene(5, 5);
    for _ in 0..2 {
        assert_eq!(draws(&mut scene, "s", DUAL), pool(true, true));
        let usage = scene.allocator.usage("tenant");
        assert_eq!((usage.load_balancers, usage.ports), (1, 1));
        assert_eq!(usage.drawing, PerFamily { v4: 1, v6: 1 });
    }
    bound(&mut scene, "10.0.0.4", &["s"]).unwrap();
    assert_eq!(draws(&mut scene, "s", DUAL), pool(false, true), "one is still to come");
    bound(&mut scene, "2001:db8::4", &["s"]).unwrap();
    assert!(matches!(scene.assign("s", DUAL), Ok(Assigned::Kept(_))));
    let usage = scene.allocator.usage("tenant");
    assert_eq!((usage.load_balancers, usage.drawing), (1, PerFamily { v4: 0, v6: 0 }));
    assert_eq!(usage.addresses, PerFamily { v4: 1, v6: 1 });
}

#[test]
fn drawing_ends_when_it_is_withdrawn_or_released() {
    let mut scene = scene(5, 5);
    let who = service("default", "s");
    draws(&mut scene, "s", DUAL);
    scene.allocator.withdraw(&who);
    assert_eq!(scene.allocator.usage("tenant"), Default::default());
    draws(&mut scene, "s", DUAL);
    assert_eq!(scene.allocator.release(&who, Afterwards::Keep), [] as [std::net::IpAddr; 0]);
    assert_eq!(scene.allocator.usage("tenant"), Default::default());
    draws(&mut scene, "s", DUAL);
    bound(&mut scene, "10.0.0.4", &["s"]).unwrap();
    scene.allocator.release_family(&who, Family::V6, Afterwards::Keep);
    assert_eq!(scene.allocator.usage("tenant").drawing, PerFamily::default());
    assert!(scene.allocator.of(&who).is_some());
    assert_eq!(scene.allocator.pool("pool").unwrap().drawing, PerFamily::default());
}

#[test]
fn who_draws_goes_on_until_its_wishes_or_its_pool_change() {
    let mut scene = scene(1, 0);
    draws(&mut scene, "s", V4);
    // Its address is drawn, and nobody was told yet which it is.
    scene.allocator.set_free("pool", PerFamily { v4: 0, v6: 0 });
    assert_eq!(draws(&mut scene, "s", V4), pool(true, false));
    let wished = scene.assign("s", Ask { addresses: &["10.0.0.5"], ..V4 });
    let Ok(Assigned::New(Target::These(given))) = wished else { panic!("{wished:?}") };
    assert_eq!(texts(&given), ["10.0.0.5"]);
    assert_eq!(scene.allocator.usage("tenant").drawing.v4, 0);
    scene.allocator.withdraw(&service("default", "s"));
    scene.allocator.set_free("pool", PerFamily { v4: 1, v6: 0 });
    draws(&mut scene, "s", V4);
    let drained = PoolSpec { drain: true, ..subnet(&["10.0.0.0/29"], 5, 0) };
    scene.set([("other", spec(&["10.0.1.0/31"])), ("pool", drained)]);
    assert_eq!(scene.gets("s", V4), ["10.0.1.0"]);
    assert_eq!(scene.allocator.usage("tenant").drawing.v4, 0);
    assert_eq!(scene.allocator.usage("tenant").load_balancers, 1);
}

#[test]
fn who_draws_a_pair_can_draw_it_from_another_pool() {
    let other = |drain| {
        let source = Source::Elsewhere { name: "other".into(), free: PerFamily { v4: 2, v6: 2 } };
        let ranges = ["10.0.1.0/29", "2001:db8:1::/64"];
        ("other", PoolSpec { source, drain, ..spec(&ranges) })
    };
    let first = |drain| {
        let ranges = ["10.0.0.0/29", "2001:db8::/64"];
        ("pool", PoolSpec { drain, ..subnet(&ranges, 5, 5) })
    };
    let mut scene = Scene::new([first(false), other(true)]);
    assert_eq!(draws(&mut scene, "s", DUAL), pool(true, true));
    scene.set([first(true), other(false)]);
    assert_eq!(draws(&mut scene, "s", DUAL), ("other".to_owned(), true, true));
    let drawing = |pool| scene.allocator.pool(pool).unwrap().drawing;
    assert_eq!(drawing("pool"), PerFamily::default());
    assert_eq!(drawing("other"), PerFamily { v4: 1, v6: 1 });
}

#[test]
fn an_address_that_is_asked_for_is_checked_as_in_any_pool() {
    let mut scene = scene(5, 5);
    tell(&mut scene, "10.0.0.2", Owner::Foreign("OvnEip nat-gw")).unwrap();
    bound(&mut scene, "10.0.0.3", &["t"]).unwrap();
    tell(&mut scene, "10.0.0.4", resting("t")).unwrap();
    for (address, why) in [
        ("10.0.0.1", Unavailable::NotInPool),
        ("10.0.1.1", Unavailable::NotInPool),
        ("10.0.0.2", Unavailable::Taken("OvnEip nat-gw".to_owned())),
        ("10.0.0.3", Unavailable::NotShared("default/t".to_owned())),
        ("10.0.0.4", Unavailable::Resting(60)),
    ] {
        assert_eq!(scene.refused("s", Ask { addresses: &[address], ..V4 }), why);
    }
    assert_eq!(scene.gets("s", Ask { addresses: &["10.0.0.5"], ..V4 }), ["10.0.0.5"]);
    assert_eq!(scene.allocator.pool("pool").unwrap().foreign, PerFamily { v4: 1, v6: 0 });
    // The other family is drawn after it.
    let dual = Ask { addresses: &["10.0.0.6"], ..DUAL };
    assert_eq!(scene.gets("d", dual), ["10.0.0.6"]);
    assert_eq!(draws(&mut scene, "d", dual), pool(false, true));
}

#[test]
fn an_older_record_told_late_does_not_end_the_drawing_from_another_pool() {
    let mut scene = scene(5, 5);
    bound(&mut scene, "10.9.9.9", &["s"]).unwrap();
    scene.allocator.forget(ip("10.9.9.9"));
    draws(&mut scene, "s", V4);
    let services = [Bound { namespace: "default", name: "s", ports: &[] }];
    let owner = Owner::Services { tenant: "tenant", services: &services, sharing: None };
    let late = Record { address: ip("10.9.9.9"), pool: "gone", created: 0, owner };
    assert!(matches!(scene.allocator.restore(&late), Err(RecordError::Conflict(_))));
    assert_eq!(draws(&mut scene, "s", V4), pool(true, false));
}

#[test]
fn pools_of_one_subnet_may_overlap_and_an_address_is_of_the_one_that_is_open() {
    let ranges = ["10.0.0.0/29"];
    let other = Some(std::collections::BTreeSet::from(["other".to_owned()]));
    let mut scene = Scene::new([
        ("a-other", PoolSpec { tenants: other, ..subnet(&ranges, 5, 0) }),
        ("pool", subnet(&ranges, 5, 0)),
        ("wide", PoolSpec { auto_assign: false, ..subnet(&["10.0.0.0/28"], 9, 0) }),
    ]);
    for pool in ["a-other", "pool", "wide"] {
        assert_eq!(scene.allocator.conflict(pool), None, "{pool}");
    }
    assert_eq!(draws(&mut scene, "s", V4), pool(true, false));
    let wished = |address, pool| Ask { addresses: address, pool, ..V4 };
    for (name, ask, pool) in [
        ("t", wished(&["10.0.0.4"], None), "pool"),
        ("u", wished(&["10.0.0.5"], Some("wide")), "wide"),
        ("v", wished(&["10.0.0.9"], None), "wide"),
    ] {
        scene.gets(name, ask);
        assert_eq!(&*scene.allocator.of(&service("default", name)).unwrap().pool, pool);
        assert_eq!(scene.allocator.pool_at(ip(ask.addresses[0])), Some(pool));
    }
    tell(&mut scene, "10.0.0.6", Owner::Foreign("a gateway")).unwrap();
    let foreign = |pool| scene.allocator.pool(pool).unwrap().foreign.v4;
    assert_eq!(["a-other", "pool", "wide"].map(foreign), [1, 1, 1]);
    let Source::Elsewhere { free, .. } = subnet(&ranges, 5, 0).source else { unreachable!() };
    let source = Source::Elsewhere { name: "another".into(), free };
    scene.set([
        ("pool", subnet(&ranges, 5, 0)),
        ("q", PoolSpec { source, created: 1, ..subnet(&ranges, 5, 0) }),
        ("r", PoolSpec { created: 1, ..spec(&["10.0.0.7"]) }),
    ]);
    assert_eq!(["q", "r"].map(|pool| scene.allocator.conflict(pool).is_some()), [true, true]);
}

#[test]
fn what_comes_next_is_told_of_pools_alone_that_would_give_it() {
    let ranges = ["10.0.0.0/29", "2001:db8::/64"];
    let next = |scene: &Scene, family| -> Vec<String> {
        let next = scene.allocator.next("pool", family, 3).into_iter();
        next.map(|address| address.to_string()).collect()
    };
    let mut scene = Scene::new([("pool", spec(&ranges))]);
    assert_eq!(next(&scene, Family::V6), ["2001:db8::", "2001:db8::1", "2001:db8::2"]);
    for expected in next(&scene, Family::V4) {
        assert_eq!(next(&scene, Family::V4).first(), Some(&expected));
        assert_eq!(scene.gets(&expected, V4), [expected.as_str()]);
    }
    for closed in [
        subnet(&ranges, 5, 9),
        PoolSpec { drain: true, ..spec(&ranges) },
        PoolSpec { delegated: true, ..spec(&ranges) },
        PoolSpec { auto_assign: false, ..spec(&ranges) },
        PoolSpec { broken: true, ..spec(&ranges) },
    ] {
        scene.set([("pool", closed)]);
        assert_eq!(next(&scene, Family::V4), [""; 0]);
    }
    assert!(scene.allocator.next("other", Family::V4, 3).is_empty());
}
