//! Addresses that are asked for, and addresses that are not.

use super::*;

/// One address of its own, asked for.
fn of(address: &'static str) -> Ask<'static> {
    const FOUR: [&str; 2] = ["10.0.0.0", "10.0.0.1"];
    const SIX: [&str; 2] = ["2001:db8::", "2001:db8::1"];
    let known = FOUR.iter().chain(&SIX).position(|known| *known == address).unwrap();
    match known {
        0 | 1 => Ask { addresses: &FOUR[known..=known], ..V4 },
        _ => Ask { addresses: &SIX[known - 2..known - 1], ..V6 },
    }
}

#[test]
fn an_address_that_is_asked_for_is_given_once() {
    for (pool, one, other) in
        [("10.0.0.0/31", "10.0.0.0", "10.0.0.1"), ("2001:db8::/127", "2001:db8::", "2001:db8::1")]
    {
        let mut scene = Scene::new([("pool", spec(&[pool]))]);
        assert_eq!(scene.gets("s1", of(one)), [one]);
        assert_eq!(scene.gets("s1", of(one)), [one], "it is asked again");
        assert!(matches!(scene.refused("s2", of(one)), Unavailable::NotShared(_)));
        assert_eq!(scene.gets("s2", of(other)), [other]);
        assert!(matches!(scene.refused("s1", of(other)), Unavailable::NotShared(_)));
        scene.free("s1");
        let moved = scene.assign("s2", of(one)).unwrap();
        let Assigned::Move { from, to: Target::These(to) } = moved else { panic!("{moved:?}") };
        assert_eq!((texts(&from), texts(&to)), (vec![other.to_owned()], vec![one.to_owned()]));
        scene.free("s2");
        assert_eq!(scene.gets("s2", of(one)), [one]);
        assert_eq!(scene.gets("s1", of(other)), [other]);
    }
}

#[test]
fn addresses_that_end_in_0_or_255_are_not_given_where_they_are_to_be_avoided() {
    let avoid = |range| PoolSpec { avoid_buggy_ips: true, ..spec(&[range]) };
    let mut scene = Scene::new([
        ("a", spec(&["10.1.0.0/31"])),
        ("b", spec(&["10.1.0.254/31"])),
        ("c", avoid("10.1.1.0/31")),
        ("d", avoid("10.1.1.254/31")),
    ]);
    for address in ["10.1.1.0", "10.1.1.255"] {
        let ask = Ask { addresses: &[address], ..V4 };
        assert_eq!(scene.refused("s0", ask), Unavailable::NotInPool);
    }
    let given: Vec<String> =
        (1..=6).flat_map(|number| scene.gets(&format!("s{number}"), V4)).collect();
    let expected = ["10.1.0.0", "10.1.0.1", "10.1.0.254", "10.1.0.255", "10.1.1.1", "10.1.1.254"];
    assert_eq!(given, expected);
    assert!(scene.exhausted("s7", V4));
}

#[test]
fn any_address_is_given_until_there_is_none() {
    for (ask, count) in [(V4, 1), (V6, 1), (DUAL, 2)] {
        for pool in [None, Some("pool")] {
            let ask = Ask { pool, ..ask };
            let mut scene = Scene::new([("pool", spec(&["10.0.0.0/30", "2001:db8::/126"]))]);
            for name in ["s1", "s2", "s3", "s4"] {
                assert_eq!(scene.gets(name, ask).len(), count);
            }
            assert!(scene.exhausted("s5", ask) && scene.exhausted("s6", ask));
            scene.free("s1");
            assert_eq!(scene.gets("s5", ask).len(), count);
            assert!(scene.exhausted("s6", ask));
        }
    }
}

#[test]
fn a_pair_is_of_one_pool_and_has_one_address_of_each_family() {
    let mut scene = Scene::new([
        ("a", spec(&["10.0.0.0/31"])),
        ("b", spec(&["2001:db8::/127"])),
        ("c", spec(&["10.0.1.0/31", "2001:db8:1::/127"])),
    ]);
    let asks = |addresses| Ask { addresses, ..DUAL };
    assert_eq!(scene.gets("s1", DUAL), ["10.0.1.0", "2001:db8:1::"]);
    let two_pools = asks(&["10.0.0.0", "2001:db8::"]);
    assert!(matches!(scene.refused("s2", two_pools), Unavailable::OtherPool(_)));
    let one_pool = asks(&["2001:db8:1::1", "10.0.1.1"]);
    assert_eq!(scene.gets("s2", one_pool), ["10.0.1.1", "2001:db8:1::1"]);
    let one_family = scene.assign("s3", asks(&["10.0.0.0", "10.0.0.1"]));
    assert!(matches!(one_family, Err(Refusal::OneFamily(..))));
    assert!(scene.exhausted("s3", DUAL), "a and b have one family each");
}

#[test]
fn who_prefers_a_pair_gets_one_address_where_there_is_no_pair() {
    let prefer = |family| Ask { families: Families::Prefer(family), ..V4 };
    let mut scene = Scene::new([
        ("a", spec(&["10.0.0.0/32"])),
        ("b", spec(&["2001:db8::/128"])),
        ("c", spec(&["10.0.1.0/32", "2001:db8:1::/128"])),
    ]);
    assert_eq!(scene.gets("s1", prefer(Family::V6)), ["10.0.1.0", "2001:db8:1::"]);
    assert_eq!(scene.gets("s2", prefer(Family::V6)), ["2001:db8::"]);
    assert_eq!(scene.gets("s3", prefer(Family::V6)), ["10.0.0.0"], "better than none");
    scene.free("s1");
    assert_eq!(scene.gets("s3", prefer(Family::V6)), ["10.0.0.0"], "its pool has no other");
    let mut scene = Scene::new([("c", spec(&["10.0.1.0/31", "2001:db8:1::/128"]))]);
    scene.gets("s1", V6);
    assert_eq!(scene.gets("s2", prefer(Family::V4)), ["10.0.1.0"]);
    scene.free("s1");
    assert_eq!(scene.gets("s2", prefer(Family::V4)), ["10.0.1.0", "2001:db8:1::"]);
}
