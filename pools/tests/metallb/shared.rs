//! Addresses that Services share.

use super::*;

const BOTH: &str = "10.0.0.0";

fn sharing(key: &'static str, backends: &'static str, port: u16) -> Ask<'static> {
    Ask { sharing: Some((key, backends)), port, addresses: &[BOTH], ..V4 }
}

#[test]
fn an_address_is_shared_by_key_backends_and_ports() {
    let mut scene = Scene::new([("pool", spec(&["10.0.0.0/31"]))]);
    scene.gets("s1", Ask { addresses: &[BOTH], ..V4 });
    let unshared = scene.refused("s2", sharing("k", "app=x", 81));
    assert_eq!(unshared, Unavailable::NotShared("default/s1".to_owned()));
    assert_eq!(scene.gets("s1", sharing("k", "app=x", 80)), [BOTH], "a key is added in place");
    assert_eq!(scene.gets("s1", sharing("l", "app=x", 80)), [BOTH], "and changed");
    for other in [sharing("k", "app=x", 81), sharing("l", "app=y", 81), sharing("l", "", 81)] {
        assert!(matches!(scene.refused("s2", other), Unavailable::NotShared(_)));
    }
    let port = scene.refused("s2", sharing("l", "app=x", 80));
    assert!(matches!(port, Unavailable::Port { .. }), "{port:?}");
    assert_eq!(scene.gets("s2", sharing("l", "app=x", 81)), [BOTH]);
    assert_eq!(scene.gets("s2", sharing("l", "app=x", 82)), [BOTH], "ports change in place");
    for changed in [sharing("k", "app=x", 82), sharing("l", "app=y", 82)] {
        assert!(matches!(scene.refused("s2", changed), Unavailable::NotShared(_)));
    }
    let port = scene.refused("s1", sharing("l", "app=x", 82));
    assert!(matches!(port, Unavailable::Port { .. }), "{port:?}");
    scene.free("s2");
    assert_eq!(scene.gets("s1", sharing("m", "", 82)), [BOTH], "alone again");
}

#[test]
fn who_shares_gets_a_shared_address_where_no_other_is_left() {
    for (ask, pool) in [
        (V4, spec(&["10.0.0.0/32"])),
        (V6, spec(&["2001:db8::/128"])),
        (DUAL, spec(&["10.0.0.0/32", "2001:db8::/128"])),
    ] {
        let mut scene = Scene::new([("pool", pool)]);
        scene.gets("s1", ask);
        let with = |port| Ask { sharing: Some(("k", "")), port, ..ask };
        assert!(scene.exhausted("s2", with(81)));
        let first = scene.gets("s1", with(80));
        assert_eq!(scene.gets("s2", with(81)), first);
        assert!(scene.exhausted("s3", with(81)), "its port is taken");
        assert!(scene.exhausted("s3", ask), "it shares with nobody");
    }
}

#[test]
fn an_address_is_never_shared_with_another_tenant() {
    let mut scene = Scene::new([("pool", spec(&["10.0.0.0/31"]))]);
    scene.gets("s1", sharing("k", "", 80));
    let stranger = Request {
        service: Service { tenant: "other", ..service("default", "s2") },
        labels: &Labels::new(),
        namespace_labels: None,
        families: Families::Only(Family::V4),
        addresses: &[ip(BOTH)],
        pool: None,
        ports: &[Port { protocol: Protocol::Tcp, number: 81 }],
        sharing: Some(Sharing { key: "k", backends: "" }),
        among: None,
    };
    let refused = scene.allocator.assign(&stranger);
    assert!(matches!(refused, Err(Refusal::Unavailable { why: Unavailable::Taken(_), .. })));
    let any = scene.allocator.assign(&Request { addresses: &[], ..stranger }).unwrap();
    let Assigned::New(Target::These(given)) = any else { panic!("{any:?}") };
    assert_eq!(texts(&given), ["10.0.0.1"]);
}
