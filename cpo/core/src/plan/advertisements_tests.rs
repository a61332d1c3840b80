use cpo_api::{Condition, ConditionStatus, Delivery, Probe};
use pools::{AddressRange, Selector};

use super::*;
use crate::tenant::Vlan;
use crate::testing;
use crate::under::PoolSource;

/// A tenant on a VLAN by `eth1`, a pool of its, one that is on no VLAN, and an advertisement.
fn world(of: Advertisement) -> World {
    let mut world = testing::world();
    let range = |text: &str| text.parse::<AddressRange>().unwrap();
    world.tenant_a().spec.vlan = Some(Vlan {
        addresses: [range("10.205.0.0/24")].into_iter().collect(),
        interfaces: ["eth1".to_owned()].into(),
        ..Vlan::default()
    });
    let pool = world.under.pools.values().next().unwrap().clone();
    for (name, addresses) in [("vlan", "10.205.0.50-10.205.0.60"), ("overlay", "198.51.100.0/24")] {
        let source = PoolSource::Ranges(vec![range(addresses)]);
        let labels = [("pool".to_owned(), name.to_owned())].into();
        world.under.pools.insert(name.to_owned(), Pool { source, labels, ..pool.clone() });
    }
    world.under.advertisements.insert("this".to_owned(), of);
    world
}

fn ready(world: &World, name: &str) -> Condition {
    let of = &world.under.advertisements[name];
    let status = advertisement_status(world, name, of, testing::at(0));
    let [ready] = &status.conditions[..] else { panic!("{status:?}") };
    assert_eq!((&*ready.type_, ready.observed_generation), ("Ready", Some(of.generation)));
    ready.clone()
}

/// Why it is not ready, and that each of these words is told.
fn told(world: &World, name: &str, words: &[&str]) -> String {
    let ready = ready(world, name);
    for word in words {
        assert!(ready.message.contains(word), "{word}: {}", ready.message);
    }
    assert_eq!(ready.status == ConditionStatus::True, ready.message.is_empty(), "{ready:?}");
    ready.reason
}

fn named(pools: &[&str]) -> Advertisement {
    let pools = pools.iter().map(|name| (*name).to_owned()).collect();
    Advertisement { pools, generation: 7, ..Advertisement::default() }
}

fn labelled(key: &str, value: &str) -> Vec<Selector> {
    let labels = [(key.to_owned(), value.to_owned())].into();
    vec![Selector { labels, requirements: Vec::new() }]
}

#[test]
fn one_that_is_right_is_ready() {
    let interfaces = ["eth1".to_owned()].into();
    for of in [
        named(&[]),
        named(&["vlan"]),
        Advertisement { pool_selectors: labelled("pool", "vlan"), ..named(&[]) },
        Advertisement { interfaces, ..named(&[]) },
    ] {
        assert_eq!(told(&world(of), "this", &[]), "Ready");
    }
}

#[test]
fn what_is_left_to_a_tenants_own_metallb_is_on_no_vlan_of_ours() {
    let interfaces = ["ens3".to_owned()].into();
    let mut world = world(Advertisement { interfaces, ..named(&["overlay"]) });
    world.under.pools.get_mut("overlay").unwrap().delegated = true;
    assert_eq!(told(&world, "this", &[]), "Ready");
}

#[test]
fn each_fault_has_its_reason_its_field_and_its_remedy() {
    let direct = Delivery::Direct;
    let cases: [(Advertisement, &str, &[&str]); 6] = [
        (
            named(&["vlan", "none"]),
            "PoolNotFound",
            &["spec.ipAddressPools", "AddressPool none", "take its name out"],
        ),
        (
            named(&["overlay"]),
            "PoolNotInVlan",
            &["spec.ipAddressPools", "AddressPool overlay", "spec.vlan.cidrs"],
        ),
        (
            Advertisement { delivery: direct, ..named(&["overlay"]) },
            "PoolNotInVlan",
            &["AddressPool overlay", "Direct delivers on the link alone"],
        ),
        (
            Advertisement { pool_selectors: labelled("pool", "none"), ..named(&[]) },
            "SelectsNoPool",
            &["spec.ipAddressPoolSelectors", "label one"],
        ),
        (
            Advertisement { interfaces: ["eth7".to_owned()].into(), ..named(&[]) },
            "InterfaceNotFound",
            &["spec.interfaces", "eth7", "spec.vlan.interfaces"],
        ),
        (
            Advertisement { broken: Some("spec.nodeSelectors[0]: x".to_owned()), ..named(&[]) },
            "SelectorInvalid",
            &["spec.nodeSelectors[0]"],
        ),
    ];
    for (of, reason, words) in cases {
        assert_eq!(told(&world(of.clone()), "this", words), reason, "{of:?}");
    }
    let two = Advertisement { interfaces: ["eth7".to_owned()].into(), ..named(&["none"]) };
    let words = ["AddressPool none", "; spec.interfaces"];
    assert_eq!(told(&world(two), "this", &words), "PoolNotFound", "all are told");
}

/// The world with another advertisement, and the reasons of both.
fn both(of: Advertisement, other: (&str, Advertisement)) -> [String; 2] {
    let mut world = world(of);
    world.under.advertisements.insert(other.0.to_owned(), other.1);
    ["this", other.0].map(|name| ready(&world, name).reason)
}

#[test]
fn of_two_that_contradict_each_other_the_younger_is_not_followed_and_says_so() {
    let direct = |created| Advertisement { delivery: Delivery::Direct, created, ..named(&[]) };
    let this = || Advertisement { created: 5, ..named(&["vlan"]) };
    assert_eq!(both(this(), ("other", direct(6))), ["Ready", "Contradicted"]);
    assert_eq!(both(this(), ("other", direct(4))), ["Contradicted", "Ready"]);
    assert_eq!(both(this(), ("other", direct(5))), ["Contradicted", "Ready"], "by name");
    assert_eq!(both(this(), ("upper", direct(5))), ["Ready", "Contradicted"], "by name");
    let probed = Advertisement { probe: Probe::KubeProxy, created: 6, ..named(&[]) };
    assert_eq!(both(this(), ("other", probed)), ["Ready", "Contradicted"]);
    let same = Advertisement { created: 6, ..named(&[]) };
    assert_eq!(both(this(), ("other", same)), ["Ready", "Ready"]);
}

#[test]
fn those_that_never_cover_the_same_do_not_contradict_each_other() {
    let direct = |of| Advertisement { delivery: Delivery::Direct, created: 9, ..of };
    let pools = both(named(&["vlan"]), ("other", direct(named(&["overlay"]))));
    assert_eq!(pools, ["Ready", "PoolNotInVlan"]);
    let of = |app| Advertisement { service_selectors: labelled("app", app), ..named(&[]) };
    assert_eq!(both(of("web"), ("other", direct(of("dns")))), ["Ready", "Ready"]);
    assert_eq!(both(of("web"), ("other", direct(named(&[])))), ["Ready", "Contradicted"]);
}

#[test]
fn followed_is_the_first_and_what_agrees_with_it() {
    let routed = |created| Advertisement { created, ..named(&[]) };
    let direct = |created| Advertisement { delivery: Delivery::Direct, ..routed(created) };
    let (names, all) = (["a", "b", "c"].map(str::to_owned), [direct(2), routed(1), routed(3)]);
    let followed = followed(names.iter().zip(&all).collect());
    assert_eq!(followed.iter().map(|(name, _)| &***name).collect::<Vec<_>>(), ["b", "c"]);
    assert_eq!(super::followed(Vec::new()).len(), 0);
}
