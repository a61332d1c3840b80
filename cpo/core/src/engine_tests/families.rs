//! Services of both families, in VLAN mode.

use cpo_api::{AnnouncementState, names};
use pools::{Families, Family};

use super::bench::{Bench, WEB, new_service};
use super::vlan::{self, reason, say, settle};
use crate::service::Service;
use crate::testing::{self, ranges};
use crate::under::Eip;
use crate::world::World;

const V6: &str = "fd00:205::50";
const V6_NAME: &str = "fd00-0205-0000-0000-0000-0000-0000-0050";

/// The VLAN with a prefix, a range and machines of each family.
fn world() -> World {
    let mut world = vlan::world();
    let both = ranges(&["10.205.0.50-10.205.0.59", "fd00:205::50-fd00:205::59"]);
    world.under.pools = [("lan".to_owned(), both)].into();
    world.under.subnets.get_mut("vlan-205").unwrap().cidr6 = "fd00:205::/64".parse().ok();
    let prefixes = ["10.205.0.0/24", "fd00:205::/64"].map(|prefix| prefix.parse().unwrap());
    world.tenant_a().spec.vlan.as_mut().unwrap().addresses = prefixes.into_iter().collect();
    for (name, v6) in [("vm1.lan", "fd00:205::11"), ("vm2.lan", "fd00:205::12")] {
        let ip = crate::under::Ip { v6: v6.parse().ok(), ..world.under.ips[name].clone() };
        world.put_ip(name, Some(ip));
    }
    world
}

fn service(families: Families) -> Service {
    let first_family = match families {
        Families::Only(first) | Families::Prefer(first) => first,
        Families::Both => Family::V4,
    };
    Service { families, first_family, ..*new_service() }
}

fn served(families: Families) -> Bench {
    let mut bench = Bench::told(world().with_service(WEB, service(families)));
    settle(&mut bench, Some("node1"));
    bench.log.clear();
    bench
}

fn published(bench: &Bench) -> Vec<String> {
    let service = &bench.truth.tenants[&"a".parse().unwrap()].services[&testing::key(WEB)];
    service.status.ingress.iter().map(|ingress| ingress.ip.clone()).collect()
}

fn hops(eip: &Eip) -> Vec<&str> {
    let hops = &eip.spec.vlan.as_ref().unwrap().next_hops;
    hops.iter().map(|hop| &*hop.address).collect()
}

#[test]
fn a_service_has_an_address_of_each_family_it_wants_in_its_order() {
    for (families, expected) in [
        (Families::Only(Family::V4), vec!["10.205.0.50"]),
        (Families::Only(Family::V6), vec![V6]),
        (Families::Prefer(Family::V4), vec!["10.205.0.50", V6]),
        (Families::Prefer(Family::V6), vec![V6, "10.205.0.50"]),
        (Families::Both, vec!["10.205.0.50", V6]),
    ] {
        let mut bench = served(families);
        assert_eq!(published(&bench), expected, "{families:?}");
        bench.wait(120);
        assert!(bench.log.is_empty(), "the steady state writes nothing: {:?}", bench.log);
        bench.engine = Bench::told(bench.truth.clone()).engine;
        bench.wait(120);
        assert!(bench.log.is_empty(), "a restart writes nothing: {:?}", bench.log);
    }
}

#[test]
fn a_service_that_requires_both_has_its_first_family_first() {
    let both = Service { first_family: Family::V6, ..service(Families::Both) };
    let mut bench = Bench::told(world().with_service(WEB, both));
    settle(&mut bench, Some("node1"));
    assert_eq!(published(&bench), [V6, "10.205.0.50"]);
}

#[test]
fn each_address_leads_to_the_machines_addresses_of_its_family() {
    let bench = served(Families::Both);
    assert_eq!(hops(vlan::eip(&bench, "10.205.0.50")), ["10.205.0.11", "10.205.0.12"]);
    let v6 = vlan::eip(&bench, V6_NAME);
    assert_eq!((v6.spec.address.as_str(), hops(v6)), (V6, vec!["fd00:205::11", "fd00:205::12"]));
    assert_eq!(v6.status.backends.as_ref().unwrap().summary, "2/2");
}

#[test]
fn a_second_family_is_added_in_place_and_taken_away_alone() {
    let mut bench = served(Families::Only(Family::V4));
    let before = vlan::eip(&bench, "10.205.0.50").clone();
    bench.when(|w| w.service(WEB).families = Families::Both);
    settle(&mut bench, Some("node1"));
    assert_eq!(published(&bench), ["10.205.0.50", V6]);
    assert_eq!(vlan::eip(&bench, "10.205.0.50").spec, before.spec, "the first is left alone");
    bench.when(|w| w.service(WEB).families = Families::Only(Family::V4));
    settle(&mut bench, Some("node1"));
    assert_eq!(published(&bench), ["10.205.0.50"]);
    assert!(vlan::eip(&bench, V6_NAME).released().is_some());
    assert_eq!(vlan::eip(&bench, "10.205.0.50").spec, before.spec);
    bench.wait(61);
    assert!(!bench.truth.under.eips.contains_key(V6_NAME));
}

#[test]
fn a_family_that_is_given_up_waits_for_its_speaker_and_the_other_is_served() {
    let mut bench = served(Families::Both);
    bench.when(|w| w.service(WEB).families = Families::Only(Family::V4));
    bench.wait(30);
    assert!(vlan::eip(&bench, V6_NAME).released().is_none(), "a speaker announces it still");
    assert!(published(&bench).contains(&"10.205.0.50".to_owned()));
    settle(&mut bench, Some("node1"));
    assert_eq!(published(&bench), ["10.205.0.50"]);
}

#[test]
fn an_address_of_each_family_may_be_asked_for() {
    let mut asking = service(Families::Both);
    let both = "fd00:205::55, 10.205.0.55".to_owned();
    asking.annotations.insert(names::ANNOTATION_ADDRESSES.to_owned(), both);
    let mut bench = Bench::told(world().with_service(WEB, asking));
    settle(&mut bench, Some("node1"));
    assert_eq!(published(&bench), ["10.205.0.55", "fd00:205::55"]);
    let other = "10.205.0.56,fd00:205::55".to_owned();
    bench.when(|w| {
        let annotations = &mut w.service(WEB).annotations;
        annotations.insert(names::ANNOTATION_ADDRESSES.to_owned(), other);
    });
    settle(&mut bench, Some("node1"));
    assert_eq!(published(&bench), ["10.205.0.56", "fd00:205::55"], "one of them moves");
    assert!(vlan::eip(&bench, "10.205.0.55").released().is_some());
}

#[test]
fn what_stands_against_one_family_is_no_trouble_of_the_other() {
    let mut bench = Bench::told(world().with_service(WEB, service(Families::Both)));
    settle(&mut bench, None);
    bench.when(|w| {
        say(w, "10.205.0.50", "node1", Some(AnnouncementState::Conflict));
        say(w, V6_NAME, "node1", Some(AnnouncementState::Announced));
    });
    bench.wait(2);
    assert_eq!(published(&bench), [V6]);
    assert_eq!(reason(&bench, "10.205.0.50"), "AddressConflict");
    assert_eq!(reason(&bench, V6_NAME), "Ready");
    let conditions = &bench.truth.service(WEB).status.conditions;
    let programmed = conditions.iter().find(|c| c.type_.ends_with("Programmed")).unwrap();
    assert!(programmed.message.contains("another host"), "the tenant reads of it: {programmed:?}");
}

#[test]
fn a_family_that_no_pool_has_is_done_without_where_it_is_only_preferred() {
    let mut world = world();
    world.under.pools = [("lan".to_owned(), ranges(&["10.205.0.50-10.205.0.59"]))].into();
    let mut bench =
        Bench::told(world.clone().with_service(WEB, service(Families::Prefer(Family::V6))));
    settle(&mut bench, Some("node1"));
    assert_eq!(published(&bench), ["10.205.0.50"]);
    let mut bench = Bench::told(world.with_service(WEB, service(Families::Both)));
    settle(&mut bench, Some("node1"));
    assert!(published(&bench).is_empty());
    let conditions = &bench.truth.service(WEB).status.conditions;
    let assigned = conditions.iter().find(|c| c.type_.ends_with("AddressAssigned")).unwrap();
    assert_eq!(assigned.reason, "PoolExhausted", "{assigned:?}");
}

#[test]
fn machines_of_one_family_alone_are_told_of_the_other() {
    let mut world = world();
    for name in ["vm1.lan", "vm2.lan"] {
        let ip = crate::under::Ip { v6: None, ..world.under.ips[name].clone() };
        world.put_ip(name, Some(ip));
    }
    let mut bench = Bench::told(world.with_service(WEB, service(Families::Both)));
    settle(&mut bench, Some("node1"));
    assert_eq!(reason(&bench, V6_NAME), "NoEligibleNodes");
    let conditions = &bench.truth.service(WEB).status.conditions;
    let programmed = conditions.iter().find(|c| c.type_.ends_with("Programmed")).unwrap();
    assert!(programmed.message.contains("IPv6"), "{programmed:?}");
}

#[test]
fn a_deleted_service_gives_back_both() {
    let mut bench = served(Families::Both);
    bench.when(|w| w.service(WEB).deleting = true);
    settle(&mut bench, Some("node1"));
    assert!(bench.truth.tenant_a().services.is_empty());
    bench.wait(61);
    assert!(bench.truth.under.eips.is_empty());
}
