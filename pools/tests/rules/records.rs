//! What records say.

use pools::{Port, Protocol, Sharing};

use super::*;

fn scene() -> Scene {
    Scene::new([("pool", spec(&["10.0.0.0/29", "2001:db8::/126"]))])
}

#[test]
fn what_is_kept_waits_for_its_service_alone() {
    let mut scene = scene();
    tell(&mut scene, "10.0.0.0", Owner::Kept { tenant: "tenant", namespace: "default", name: "s" })
        .unwrap();
    let asks = Ask { addresses: &["10.0.0.0"], ..V4 };
    assert_eq!(scene.refused("t", asks), Unavailable::Reserved("tenant/default/s".to_owned()));
    assert_eq!(scene.gets("t", V4), ["10.0.0.1"]);
    assert_eq!(scene.gets("s", V4), ["10.0.0.0"]);
}

#[test]
fn what_is_reserved_is_given_to_who_it_is_for_or_asks() {
    let mut scene = scene();
    let reserved = |service| Owner::Reserved { tenant: "tenant", service };
    tell(&mut scene, "10.0.0.0", reserved(None)).unwrap();
    tell(&mut scene, "10.0.0.1", reserved(Some(("default", "s")))).unwrap();
    assert_eq!(scene.gets("t", V4), ["10.0.0.2"], "nothing is reserved for it");
    assert_eq!(scene.gets("s", V4), ["10.0.0.1"]);
    assert_eq!(scene.gets("u", Ask { addresses: &["10.0.0.0"], ..V4 }), ["10.0.0.0"]);
    let s = Some(("default", "s"));
    scene.allocator.release(&service("default", "s"), Afterwards::Reserved(s));
    assert_eq!(state(&scene, "10.0.0.1"), Some(State::Reserved(Some("default/s".to_owned()))));
}

#[test]
fn what_is_foreign_is_given_to_nobody_and_counted_where_it_lies() {
    let mut scene = scene();
    let foreign = Owner::Foreign("OvnEip default/nat-gw");
    tell(&mut scene, "10.0.0.0", foreign).unwrap();
    tell(&mut scene, "192.0.2.1", foreign).unwrap();
    assert_eq!(scene.gets("s", V4), ["10.0.0.1"]);
    let taken = scene.refused("t", Ask { addresses: &["10.0.0.0"], ..V4 });
    assert_eq!(taken.to_string(), "it belongs to OvnEip default/nat-gw");
    assert_eq!(scene.allocator.pool_at(ip("10.0.0.0")), Some("pool"));
    let figures = |scene: &Scene, pool| {
        let pool = scene.allocator.pool(pool).unwrap();
        (pool.foreign.v4, pool.assigned.v4, pool.available.v4)
    };
    assert_eq!(figures(&scene, "pool"), (1, 1, 6));
    scene.set([("pool", spec(&["10.0.0.0/31"])), ("other", spec(&["192.0.2.0/31"]))]);
    assert_eq!((figures(&scene, "pool"), figures(&scene, "other")), ((1, 1, 0), (1, 0, 1)));
    scene.allocator.forget(ip("192.0.2.1"));
    assert_eq!(figures(&scene, "other"), (0, 0, 2));
    scene.set([]);
    scene.allocator.forget(ip("10.0.0.0"));
    scene.set([("pool", spec(&["10.0.0.0/31"]))]);
    assert_eq!(figures(&scene, "pool"), (0, 1, 1));
}

#[test]
fn one_family_is_released_without_the_other() {
    let mut scene = scene();
    scene.gets("s", DUAL);
    let who = service("default", "s");
    let freed = scene.allocator.release_family(&who, Family::V6, Afterwards::Rest(60));
    assert_eq!(freed, [ip("2001:db8::")]);
    assert_eq!(texts(&scene.allocator.of(&who).unwrap()), ["10.0.0.0"]);
    assert_eq!(scene.allocator.usage("tenant").load_balancers, 1);
    scene.gets("t", V6);
    assert_eq!(scene.gets("s", DUAL), ["10.0.0.0", "2001:db8::"], "it gets its own back");
}

#[test]
fn a_pool_that_is_gone_is_told_while_addresses_of_it_are_in_use() {
    let mut scene = scene();
    scene.gets("s", V4);
    scene.set([("other", spec(&["10.0.1.0/31"]))]);
    let pools: Vec<_> = scene.allocator.pools().map(|pool| (pool.pool, pool.gone)).collect();
    assert_eq!(pools, [("other".to_owned(), false), ("pool".to_owned(), true)]);
    assert_eq!(scene.allocator.pool_at(ip("10.0.0.0")), Some("pool"));
    assert_eq!(scene.allocator.pool_at(ip("10.0.1.1")), Some("other"));
    assert_eq!(scene.allocator.pool_at(ip("10.0.0.1")), None);
}

#[test]
fn a_record_that_names_no_service_is_an_error_and_its_address_nobodys() {
    let mut scene = scene();
    let told = bound(&mut scene, "10.0.0.0", &[]);
    assert_eq!(told, Err(RecordError::NoServices(ip("10.0.0.0"))));
    assert_eq!(state(&scene, "10.0.0.0"), Some(State::Conflicting));
    assert_eq!(scene.gets("s", V4), ["10.0.0.1"]);
    let taken = scene.refused("s2", Ask { addresses: &["10.0.0.0"], ..V4 });
    assert_eq!(taken, Unavailable::Conflicting);
    assert_eq!(scene.allocator.pool("pool").unwrap().conflicting.v4, 1);
}

/// A record of an address of `pool`, by when it was made and what it says.
type Told<'t> = (&'t str, u64, &'t [&'t str], u16);

fn restore(scene: &mut Scene, told: &Told<'_>) -> Result<(), RecordError> {
    let (address, created, names, port) = *told;
    let ports = [Port { protocol: Protocol::Tcp, number: port }];
    let bind = |name| Bound { namespace: "default", name, ports: &ports };
    let services: Vec<Bound<'_>> = names.iter().copied().map(bind).collect();
    let owner = Owner::Services { tenant: "tenant", services: &services, sharing: None };
    scene.allocator.restore(&Record { address: ip(address), pool: "pool", created, owner })
}

/// All orders of these.
fn orders<T: Clone>(of: &[T]) -> Vec<Vec<T>> {
    let Some((last, rest)) = of.split_last() else { return vec![Vec::new()] };
    let within = |order: Vec<T>| {
        (0..=order.len()).map(move |at| {
            let mut order = order.clone();
            order.insert(at, last.clone());
            order
        })
    };
    orders(rest).into_iter().flat_map(within).collect()
}

#[test]
fn which_of_two_records_counts_does_not_depend_on_the_order_they_are_told_in() {
    let told: [Told<'_>; 4] = [
        ("10.0.0.1", 7, &["s"], 80),
        ("10.0.0.2", 5, &["s", "t"], 80),
        ("10.0.0.3", 5, &["s"], 80),
        ("10.0.0.4", 9, &["s", "u"], 80),
    ];
    for order in orders(&told) {
        let mut scene = scene();
        for told in &order {
            let _ = restore(&mut scene, told);
        }
        let states = |scene: &Scene| {
            ["10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4"].map(|a| state(scene, a).unwrap())
        };
        let has = |names: &[&str]| assigned(names).unwrap();
        let vain = || State::Conflicting;
        assert_eq!(states(&scene), [vain(), has(&["s", "t"]), vain(), has(&["u"])], "{order:?}");
        let conflicts: Vec<String> = scene.allocator.conflicts().map(|c| c.to_string()).collect();
        assert_eq!(
            conflicts,
            ["10.0.0.1", "10.0.0.3", "10.0.0.4"]
                .map(|a| format!("{a} is bound to tenant/default/s, which has 10.0.0.2 already"))
        );
        // The next of age takes the place of the one that is gone.
        scene.allocator.forget(ip("10.0.0.2"));
        assert_eq!(state(&scene, "10.0.0.3"), assigned(&["s"]));
        restore(&mut scene, &("10.0.0.3", 5, &["v"], 80)).unwrap();
        assert_eq!(state(&scene, "10.0.0.1"), assigned(&["s"]));
        let free = scene.allocator.release(&service("default", "s"), Afterwards::Rest(60));
        assert_eq!(free, [ip("10.0.0.1")]);
        assert_eq!(state(&scene, "10.0.0.4"), assigned(&["u"]), "nor is it named there any more");
        assert_eq!(scene.allocator.conflicts().count(), 0);
    }
}

#[test]
fn a_service_lets_go_of_all_that_records_bind_it_to() {
    let mut scene = scene();
    restore(&mut scene, &("10.0.0.1", 1, &["s"], 80)).unwrap();
    restore(&mut scene, &("10.0.0.2", 2, &["s"], 80)).unwrap_err();
    let free = scene.allocator.release(&service("default", "s"), Afterwards::Rest(60));
    assert_eq!(free, [ip("10.0.0.1"), ip("10.0.0.2")]);
    assert_eq!(scene.allocator.usage("tenant").resting.v4, 2);
}

#[test]
fn a_promise_counts_more_than_records_of_other_addresses_until_it_is_recorded() {
    let mut scene = scene();
    assert_eq!(scene.gets("s", V4), ["10.0.0.0"]);
    restore(&mut scene, &("10.0.0.5", 1, &["s"], 80)).unwrap_err();
    assert_eq!(state(&scene, "10.0.0.0"), assigned(&["s"]));
    let mut withdrawn = scene.allocator.clone();
    withdrawn.withdraw(&service("default", "s"));
    assert_eq!(withdrawn.entry(ip("10.0.0.5")).map(|entry| entry.state), assigned(&["s"]));
    assert_eq!(withdrawn.entry(ip("10.0.0.0")), None);
    // Both are facts now.
    restore(&mut scene, &("10.0.0.0", 2, &["s"], 80)).unwrap_err();
    assert_eq!(state(&scene, "10.0.0.5"), assigned(&["s"]));
    assert_eq!(state(&scene, "10.0.0.0"), Some(State::Conflicting));
}

#[test]
fn the_ports_of_the_older_record_count_whichever_is_told_first() {
    let told = [("10.0.0.1", 7, 80), ("2001:db8::1", 5, 443)];
    for order in orders(&told) {
        let mut scene = scene();
        for (address, created, number) in order {
            let ports = [Port { protocol: Protocol::Tcp, number }];
            let services = [Bound { namespace: "default", name: "s", ports: &ports }];
            let sharing = Some(Sharing { key: "k", backends: "" });
            let owner = Owner::Services { tenant: "tenant", services: &services, sharing };
            let record = Record { address: ip(address), pool: "pool", created, owner };
            scene.allocator.restore(&record).unwrap();
        }
        let asks = |port| Ask { sharing: Some(("k", "")), addresses: &["10.0.0.1"], port, ..V4 };
        assert!(matches!(scene.refused("t", asks(443)), Unavailable::Port { .. }));
        assert_eq!(scene.clone().gets("t", asks(80)), ["10.0.0.1"]);
        // With the older record gone, the other one counts.
        scene.allocator.forget(ip("2001:db8::1"));
        assert!(matches!(scene.refused("t", asks(80)), Unavailable::Port { .. }));
        assert_eq!(scene.gets("t", asks(443)), ["10.0.0.1"]);
    }
}

#[test]
fn a_service_that_has_another_address_does_not_throw_out_those_that_fit() {
    let mut scene = scene();
    bound(&mut scene, "10.0.0.0", &["s"]).unwrap();
    let told = bound(&mut scene, "10.0.0.1", &["r", "s", "t"]);
    assert!(matches!(told, Err(RecordError::Conflict(_))), "{told:?}");
    assert_eq!(state(&scene, "10.0.0.1"), assigned(&["r", "t"]));
    assert_eq!(state(&scene, "10.0.0.0"), assigned(&["s"]));
}

#[test]
fn a_wish_about_one_family_does_not_move_the_other() {
    for dual in [DUAL, PREFER] {
        let mut scene = Scene::new([
            ("a", spec(&["10.0.0.0/30", "2001:db8:1::/126"])),
            ("b", spec(&["10.0.1.0/30", "2001:db8::/126"])),
        ]);
        assert_eq!(scene.gets("s", Ask { pool: Some("b"), ..V4 }), ["10.0.1.0"]);
        assert_eq!(scene.gets("s", dual), ["10.0.1.0", "2001:db8::"], "its first one stays");
        let moves = |scene: &mut Scene, ask| match scene.assign("s", ask) {
            Ok(Assigned::Move { to: Target::These(to), .. }) => texts(&to),
            other => panic!("{other:?}"),
        };
        let other_four = Ask { addresses: &["10.0.1.2"], ..dual };
        assert_eq!(moves(&mut scene, other_four), ["10.0.1.2", "2001:db8::"]);
        let other_six = Ask { addresses: &["2001:db8::2"], ..dual };
        assert_eq!(moves(&mut scene, other_six), ["10.0.1.0", "2001:db8::2"]);
        assert_eq!(moves(&mut scene, V4), ["10.0.1.0"]);
        assert_eq!(moves(&mut scene, V6), ["2001:db8::"]);
        let other_pool = Ask { addresses: &["10.0.0.2"], ..dual };
        assert_eq!(moves(&mut scene, other_pool), ["10.0.0.2", "2001:db8:1::"]);
        let who = service("default", "s");
        scene.allocator.release_family(&who, Family::V4, Afterwards::Rest(0));
        assert_eq!(scene.gets("s", V6), ["2001:db8::"], "the family is dropped");
    }
    let mut scene = Scene::new([("a", spec(&["10.0.0.0/30"])), ("b", spec(&["2001:db8::/126"]))]);
    scene.gets("s", V4);
    assert!(scene.exhausted("s", DUAL), "it does not lose the one that it has");
    assert_eq!(scene.gets("s", PREFER), ["10.0.0.0"]);
}

#[test]
fn an_allocator_may_be_cloned_and_both_go_on() {
    let mut scene = scene();
    scene.gets("s", V4);
    let mut other: Allocator = scene.allocator.clone();
    other.withdraw(&Service { tenant: "tenant", namespace: "default", name: "s" });
    assert_eq!((other.iter().count(), scene.allocator.iter().count()), (0, 1));
}
