//! Services that share an address, in VLAN mode.

use cpo_api::names;

use super::bench::{Bench, new_service};
use super::vlan::{self, reason, settle};
use crate::ids::Uid;
use crate::service::{Protocol, Service, TrafficPolicy};
use crate::testing;
use crate::world::World;

const HTTP: &str = "a/default/http";
const DNS: &str = "a/default/dns";

/// A Service on a port that shares its address by a key.
fn sharing(uid: &str, port: u16) -> Service {
    let mut service = Service { uid: Uid::new(uid), ..*new_service() };
    service.ports = vec![testing::port(Protocol::Tcp, port, 30_000 + port)];
    service.annotations.insert(names::ANNOTATION_SHARE.to_owned(), "edge".to_owned());
    service
}

fn world() -> World {
    vlan::world().with_service(HTTP, sharing("u-http", 80)).with_service(DNS, sharing("u-dns", 53))
}

fn shared() -> Bench {
    let mut bench = Bench::told(world());
    settle(&mut bench, Some("node1"));
    bench.log.clear();
    bench
}

fn published(bench: &Bench, key: &str) -> Vec<(String, Vec<(u16, Protocol)>)> {
    let tenant = &bench.truth.tenants[&"a".parse().unwrap()];
    let ingress = tenant.services.get(&testing::key(key)).map(|s| s.status.ingress.clone());
    ingress.unwrap_or_default().into_iter().map(|at| (at.ip, at.ports)).collect()
}

fn only(port: u16) -> Vec<(String, Vec<(u16, Protocol)>)> {
    vec![("10.205.0.50".to_owned(), vec![(port, Protocol::Tcp)])]
}

fn keys(bench: &Bench) -> Vec<&str> {
    let services = &vlan::eip(bench, "10.205.0.50").spec.services;
    services.iter().map(|service| &*service.key).collect()
}

fn complaint(bench: &mut Bench, key: &str) -> (String, String) {
    let conditions = &bench.truth.service(key).status.conditions;
    let told = conditions.iter().find(|c| c.type_.ends_with("Programmed")).unwrap();
    (told.reason.clone(), told.message.clone())
}

#[test]
fn services_with_one_key_share_an_address_and_each_publishes_its_own_ports() {
    let mut bench = shared();
    assert_eq!((published(&bench, HTTP), published(&bench, DNS)), (only(80), only(53)));
    assert_eq!(keys(&bench), ["default/dns", "default/http"]);
    assert_eq!(reason(&bench, "10.205.0.50"), "Ready");
    assert_eq!(bench.truth.under.eips.len(), 1);
    bench.wait(120);
    assert!(bench.log.is_empty(), "the steady state writes nothing: {:?}", bench.log);
    bench.engine = Bench::told(bench.truth.clone()).engine;
    bench.wait(120);
    assert!(bench.log.is_empty(), "a restart writes nothing: {:?}", bench.log);
}

#[test]
fn one_of_them_goes_and_the_others_notice_nothing() {
    let mut bench = shared();
    bench.when(|w| w.service(DNS).deleting = true);
    bench.wait(2);
    assert!(!bench.truth.tenant_a().services.contains_key(&testing::key(DNS)));
    assert_eq!(keys(&bench), ["default/http"]);
    assert!(vlan::eip(&bench, "10.205.0.50").is_ordered(), "it is announced all the while");
    assert_eq!(published(&bench, HTTP), only(80));
    bench.when(|w| w.service(HTTP).deleting = true);
    settle(&mut bench, Some("node1"));
    assert!(vlan::eip(&bench, "10.205.0.50").released().is_some());
    bench.wait(61);
    assert!(bench.truth.under.eips.is_empty());
}

#[test]
fn both_may_go_at_once() {
    let mut bench = shared();
    bench.when(|w| {
        w.service(DNS).deleting = true;
        w.service(HTTP).deleting = true;
    });
    settle(&mut bench, Some("node1"));
    // One of them was overtaken by the other, and is tried again.
    settle(&mut bench, Some("node1"));
    bench.wait(90);
    assert!(bench.truth.tenant_a().services.is_empty());
    assert!(bench.truth.under.eips.is_empty());
}

#[test]
fn a_port_that_another_has_is_not_served_and_the_tenant_reads_whose_it_is() {
    let mut bench = shared();
    bench.when(|w| {
        w.service(HTTP).ports.push(testing::port(Protocol::Tcp, 53, 30_053));
        w.service(HTTP).load_balancer_ip = Some("10.205.0.50".into());
    });
    settle(&mut bench, Some("node1"));
    assert_eq!((published(&bench, HTTP), published(&bench, DNS)), (only(80), only(53)));
    let (reason, message) = complaint(&mut bench, HTTP);
    assert_eq!(reason, "SharingConflict");
    assert!(message.contains("default/dns has port TCP/53"), "{message}");
    bench.log.clear();
    bench.wait(120);
    assert!(bench.log.is_empty(), "nothing flips: {:?}", bench.log);
}

#[test]
fn who_needs_other_machines_is_refused_and_goes_on_as_before() {
    let mut bench = shared();
    bench.when(|w| w.service(HTTP).policy = TrafficPolicy::Local);
    settle(&mut bench, Some("node1"));
    assert_eq!(complaint(&mut bench, HTTP).0, "SharingConflict");
    assert_eq!(published(&bench, HTTP), only(80));
    assert_eq!(vlan::eip(&bench, "10.205.0.50").spec.vlan.as_ref().unwrap().next_hops.len(), 2);
    bench.log.clear();
    bench.wait(120);
    assert!(bench.log.is_empty(), "nothing flips: {:?}", bench.log);
}

#[test]
fn machines_that_change_are_told_once_for_all_that_share() {
    let mut bench = shared();
    bench.when(|w| w.node("vm2").excluded = true);
    bench.wait(2);
    let binds = bench.log.iter().filter(|effect| effect.name() == "bind-eip").count();
    assert_eq!(vlan::eip(&bench, "10.205.0.50").spec.vlan.as_ref().unwrap().next_hops.len(), 1);
    assert!(binds <= 2, "each plan may write it, and the second finds it done: {:?}", bench.log);
    bench.log.clear();
    bench.wait(120);
    assert!(bench.log.is_empty(), "nothing flips: {:?}", bench.log);
}

#[test]
fn another_key_or_none_shares_nothing() {
    let mut world = world();
    let other = "other".to_owned();
    world.service(DNS).annotations.insert(names::ANNOTATION_SHARE.to_owned(), other);
    let mut bench = Bench::told(world);
    settle(&mut bench, Some("node1"));
    assert_eq!(bench.truth.under.eips.len(), 2);
    bench.when(|w| w.service(DNS).load_balancer_ip = Some(published_at(w, HTTP)));
    settle(&mut bench, Some("node1"));
    let (reason, message) = complaint(&mut bench, DNS);
    assert_eq!(reason, "SharingConflict");
    assert!(message.contains(names::ANNOTATION_SHARE), "{message}");
}

fn published_at(world: &mut World, key: &str) -> String {
    world.service(key).status.ingress[0].ip.clone()
}

#[test]
fn an_address_that_is_shared_is_kept_for_the_last_that_asked_for_that() {
    let mut bench = shared();
    let keep = (names::ANNOTATION_KEEP.to_owned(), "true".to_owned());
    bench.when(|w| w.service(DNS).annotations.extend([keep]));
    bench.wait(2);
    assert!(vlan::eip(&bench, "10.205.0.50").spec.keep);
    bench.when(|w| w.service(DNS).deleting = true);
    settle(&mut bench, Some("node1"));
    assert!(!vlan::eip(&bench, "10.205.0.50").spec.keep, "who asked for it is gone");
}

#[test]
fn who_shares_and_wishes_for_what_is_not_to_be_had_changes_nothing_for_the_others() {
    let changes: [fn(&mut Service); 3] = [
        |service| drop(service.annotations.remove(names::ANNOTATION_SHARE)),
        |service| drop(service.annotations.insert(names::ANNOTATION_SHARE.into(), "k2".into())),
        |service| service.ports.push(testing::port(Protocol::Tcp, 53, 30_053)),
    ];
    for change in changes {
        let mut bench = shared();
        bench.when(|w| {
            let service = w.service(HTTP);
            service.load_balancer_ip = Some("203.0.113.9".into());
            change(service);
        });
        settle(&mut bench, Some("node1"));
        assert_eq!((published(&bench, HTTP), published(&bench, DNS)), (only(80), only(53)));
        assert_eq!(complaint(&mut bench, DNS).0, "Programmed", "it is none of its business");
        bench.log.clear();
        bench.wait(120);
        assert!(bench.log.is_empty(), "nothing flips: {:?}", bench.log);
    }
}
