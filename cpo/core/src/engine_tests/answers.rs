//! Watches, lists, and answers to calls: which of them is believed where they differ.

use super::bench::{Bench, WEB, new_service};
use crate::engine::{Input, TenantKind, TenantObject, UnderKind, UnderObject};
use crate::ids::{TenantName, Uid};
use crate::service::{PublishedStatus, Service};
use crate::testing::{key, version};
use crate::under::OvnEip;

/// `default/web` of tenant `a`, by its watch.
fn watched(service: Service) -> TenantObject {
    TenantObject::Service("default".into(), "web".into(), Some(Box::new(service)))
}

/// The same, by the answer to a patch.
fn patched(service: Service) -> TenantObject {
    TenantObject::Patched("default".into(), "web".into(), Box::new(service))
}

fn tell(bench: &mut Bench, object: TenantObject) {
    bench.engine.handle(Input::Tenant("a".parse().unwrap(), object));
}

#[test]
fn an_answer_that_the_watch_overtook_brings_nothing_back() {
    let mut bench = Bench::served();
    let under = &bench.engine.world().under;
    let (name, ovn_eip) = under.ovn_eips.first_key_value().unwrap();
    let (name, ovn_eip) = (name.clone(), OvnEip { deleting: true, ..ovn_eip.clone() });
    let eip = under.eips["198.51.100.10"].clone();
    for object in [
        UnderObject::OvnEip(name.clone(), None),
        UnderObject::OvnEip(name, Some(ovn_eip)),
        UnderObject::Eip("198.51.100.10".into(), None),
        UnderObject::Eip("198.51.100.10".into(), Some(eip)),
    ] {
        bench.engine.handle(Input::Under(object));
    }
    let under = &bench.engine.world().under;
    assert!(under.ovn_eips.is_empty() && under.eips.is_empty());
}

#[test]
fn the_answer_to_a_deletion_removes_no_namesake() {
    let mut bench = Bench::served();
    let name = bench.truth.under.eips.keys().next().unwrap().clone();
    let other = UnderObject::EipGone(name.clone(), Uid::new("another"));
    bench.engine.handle(Input::Under(other));
    assert!(bench.engine.world().under.eips.contains_key(&name));
}

#[test]
fn a_list_brings_back_what_was_gone() {
    let mut bench = Bench::served();
    let eip = bench.truth.under.eips["198.51.100.10"].clone();
    let handle = |bench: &mut Bench, eip| {
        bench.engine.handle(Input::Under(UnderObject::Eip("198.51.100.10".into(), eip)));
    };
    let known = |bench: &Bench| bench.engine.world().under.eips.contains_key("198.51.100.10");
    handle(&mut bench, None);
    handle(&mut bench, Some(eip.clone()));
    assert!(!known(&bench), "an answer that comes late");
    bench.engine.handle(Input::UnderListing(UnderKind::Eip));
    handle(&mut bench, Some(eip));
    bench.engine.handle(Input::UnderListed(UnderKind::Eip, ["198.51.100.10".to_owned()].into()));
    assert!(known(&bench), "etcd was set back");
}

#[test]
fn what_a_list_names_replaces_what_is_known_though_it_is_numbered_lower() {
    let mut bench = Bench::served();
    let tenant: TenantName = "a".parse().unwrap();
    let mut restored = bench.truth.service(WEB).clone();
    (restored.version, restored.deleting) = (version(1), true);
    let object = || {
        let service = Some(Box::new(restored.clone()));
        TenantObject::Service("default".into(), "web".into(), service)
    };
    let known = |bench: &Bench| bench.engine.world().tenants[&tenant].services[&key(WEB)].deleting;
    bench.engine.handle(Input::Tenant(tenant.clone(), object()));
    assert!(!known(&bench), "an old answer is no news");
    bench.engine.handle(Input::TenantListing(tenant.clone(), TenantKind::Service));
    bench.engine.handle(Input::Tenant(tenant.clone(), object()));
    assert!(known(&bench));
}

#[test]
fn an_older_state_of_an_object_is_dropped() {
    let mut bench = Bench::served();
    let name = "a".parse().unwrap();
    let newest = bench.truth.service(WEB).version;
    let mut older = new_service();
    (older.uid, older.version) = (bench.truth.service(WEB).uid.clone(), version(0));
    bench.engine.handle(Input::Tenant(
        name,
        TenantObject::Service("default".into(), "web".into(), Some(older)),
    ));
    let known = &bench.engine.world().tenants[&"a".parse().unwrap()].services[&key(WEB)];
    assert_eq!(known.version, newest);
    let (eip, mut stale) =
        bench.truth.under.eips.first_key_value().map(|(n, e)| (n.clone(), e.clone())).unwrap();
    stale.version = version(0);
    bench.engine.handle(Input::Under(UnderObject::Eip(eip.clone(), Some(stale))));
    assert_ne!(bench.engine.world().under.eips[&eip].version, version(0));
}

#[test]
fn an_answer_of_before_does_not_make_a_service_forgotten() {
    let mut bench = Bench::served();
    let name: TenantName = "a".parse().unwrap();
    let seen = |bench: &mut Bench, service| tell(bench, watched(service));
    let answered = |bench: &mut Bench, service| tell(bench, patched(service));
    let of_version = |number: u64, load_balancer: bool| Service {
        version: version(number),
        load_balancer,
        finalizer: false,
        ..*new_service()
    };
    // Let go of as a ClusterIP, and a load balancer again before the answer comes.
    seen(&mut bench, of_version(2_000, true));
    answered(&mut bench, of_version(1_999, false));
    let kept = |bench: &Bench| bench.engine.world().tenants[&name].services.get(&key(WEB)).cloned();
    assert!(kept(&bench).is_some_and(|service| service.load_balancer));
    // And the other way round: what has passed by is not brought back, by an answer or by a watch
    // that comes after one.
    seen(&mut bench, of_version(2_001, false));
    answered(&mut bench, of_version(2_000, true));
    assert!(kept(&bench).is_none());
    seen(&mut bench, of_version(2_002, true));
    answered(&mut bench, of_version(2_004, false));
    seen(&mut bench, of_version(2_003, true));
    assert!(kept(&bench).is_none());
    seen(&mut bench, of_version(2_005, true));
    assert!(kept(&bench).is_some());
}

#[test]
fn an_answer_brings_no_service_back_that_is_gone() {
    let mut bench = Bench::served();
    let name: TenantName = "a".parse().unwrap();
    let last = bench.truth.service(WEB).clone();
    let late = || patched(Service { version: version(2_000), ..last.clone() });
    let known =
        |bench: &Bench| bench.engine.world().tenants[&name].services.contains_key(&key(WEB));
    tell(&mut bench, TenantObject::Service("default".into(), "web".into(), None));
    tell(&mut bench, late());
    assert!(!known(&bench), "the watch told its end");
    tell(&mut bench, watched(last.clone()));
    bench.engine.handle(Input::TenantListing(name.clone(), TenantKind::Service));
    bench.engine.handle(Input::TenantListed(name.clone(), TenantKind::Service, Default::default()));
    tell(&mut bench, late());
    assert!(!known(&bench), "a complete list lacks it");
    // What has passed by comes back by the watch alone, too.
    tell(&mut bench, watched(last.clone()));
    let plain = Service { load_balancer: false, finalizer: false, ..last.clone() };
    let plain = Service { status: PublishedStatus::default(), ..plain };
    tell(&mut bench, watched(Service { version: version(1_999), ..plain }));
    tell(&mut bench, late());
    assert!(!known(&bench), "it is of no concern");
    bench.engine.handle(Input::TenantListing(name.clone(), TenantKind::Service));
    tell(&mut bench, late());
    assert!(!known(&bench), "nor while a list is under way");
    tell(&mut bench, watched(last.clone()));
    assert!(known(&bench));
}

#[test]
fn an_answer_about_a_service_of_before_does_not_replace_its_namesake() {
    let mut bench = Bench::served();
    let name: TenantName = "a".parse().unwrap();
    let before = bench.truth.service(WEB).clone();
    let namesake =
        Service { uid: Uid::new("uid-web-2"), version: version(1_999), ..*new_service() };
    tell(&mut bench, watched(namesake.clone()));
    tell(&mut bench, patched(Service { version: version(2_000), ..before }));
    let known = bench.engine.world().tenants[&name].services[&key(WEB)].clone();
    assert_eq!(known, namesake);
    // Its own answer counts.
    let answer = Service { version: version(2_001), finalizer: true, ..namesake };
    tell(&mut bench, patched(answer.clone()));
    assert_eq!(bench.engine.world().tenants[&name].services[&key(WEB)], answer);
}

#[test]
fn an_answer_while_a_list_is_under_way_counts_if_it_is_newer_and_else_the_list() {
    let mut bench = Bench::served();
    let name: TenantName = "a".parse().unwrap();
    let of_version = |number: u64| Service {
        version: version(number),
        load_balancer_ip: Some(format!("198.51.100.{number}")),
        ..*new_service()
    };
    let asks = |bench: &Bench| {
        let known = &bench.engine.world().tenants[&name].services[&key(WEB)];
        known.load_balancer_ip.clone().unwrap()
    };
    tell(&mut bench, watched(of_version(20)));
    bench.engine.handle(Input::TenantListing(name.clone(), TenantKind::Service));
    tell(&mut bench, patched(of_version(19)));
    assert_eq!(asks(&bench), "198.51.100.20");
    tell(&mut bench, patched(of_version(22)));
    assert_eq!(asks(&bench), "198.51.100.22");
    // The list was made before.
    tell(&mut bench, watched(of_version(21)));
    let listed = || ["default/web".to_owned()].into();
    bench.engine.handle(Input::TenantListed(name.clone(), TenantKind::Service, listed()));
    assert_eq!(asks(&bench), "198.51.100.22");
    // Or else the tenant's etcd was set back: then the next event tells so.
    tell(&mut bench, watched(of_version(13)));
    assert_eq!(asks(&bench), "198.51.100.13");
    bench.engine.handle(Input::TenantListing(name.clone(), TenantKind::Service));
    tell(&mut bench, watched(of_version(12)));
    bench.engine.handle(Input::TenantListed(name.clone(), TenantKind::Service, listed()));
    assert_eq!(asks(&bench), "198.51.100.12");
    tell(&mut bench, watched(of_version(11)));
    assert_eq!(asks(&bench), "198.51.100.12", "older than what was listed");
}
