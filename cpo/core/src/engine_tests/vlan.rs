//! Services in VLAN mode, beside speakers that obey.

use cpo_api::{AnnouncementState, Delivery, EipAnnouncement, EipProbe, Probe, names};

use super::bench::{Bench, WEB, new_service};
use crate::ids::Uid;
use crate::service::{Service, TrafficPolicy};
use crate::tenant::Vlan;
use crate::testing::{self, ranges, under_node};
use crate::under::{Advertisement, Eip, Subnet};
use crate::world::World;

/// Tenant `a` on a VLAN of its own, with `vm1` and `vm2`, a pool of ten addresses there and an
/// advertisement of all pools; two nodes of the under cluster.
pub(super) fn world() -> World {
    let mut world = testing::world();
    let subnet =
        Subnet { underlay: true, ..testing::subnet("", "10.205.0.0/24", "10.205.0.1", &[]) };
    world.under.subnets.insert("vlan-205".into(), subnet);
    world.under.pools = [("lan".to_owned(), ranges(&["10.205.0.50-10.205.0.59"]))].into();
    world.under.advertisements.insert("all".into(), Advertisement::default());
    for (name, address) in [("node1", "192.0.2.1"), ("node2", "192.0.2.2")] {
        world.under.nodes.insert(name.into(), under_node(address));
    }
    let spec = &mut world.tenant_a().spec;
    (spec.vpc, spec.subnets) = (None, vec!["vlan-205".into()]);
    let addresses = ["10.205.0.0/24".parse().unwrap()].into_iter().collect();
    spec.vlan =
        Some(Vlan { addresses, gateways: vec!["10.205.0.1".parse().unwrap()], ..Vlan::default() });
    world.with_ip("vm1.lan", "vm1", "vlan-205", "10.205.0.11").with_ip(
        "vm2.lan",
        "vm2",
        "vlan-205",
        "10.205.0.12",
    )
}

fn served() -> Bench {
    let mut bench = Bench::told(world().with_service(WEB, *new_service()));
    settle(&mut bench, Some("node1"));
    assert_eq!(bench.published(WEB).as_deref(), Some("10.205.0.50"));
    bench.log.clear();
    bench
}

/// Runs until nothing is left to do, with a speaker on a node that obeys; or with none.
pub(super) fn settle(bench: &mut Bench, node: Option<&str>) {
    for _ in 0..20 {
        bench.run();
        if !node.is_some_and(|node| speak(&mut bench.truth, node)) {
            return bench.wait(2);
        }
    }
    panic!("no rest");
}

/// A speaker does what it is told; whether it had to.
pub(super) fn speak(world: &mut World, node: &str) -> bool {
    let mut changed = false;
    for (name, eip) in world.under.eips.clone() {
        let ordered = eip.spec.vlan.as_ref().is_some_and(|vlan| !vlan.announce.l2.is_empty());
        let says = eip.status.announcements.iter().any(|by| by.node == node);
        if ordered == says {
            continue;
        }
        changed = true;
        say(world, &name, node, ordered.then_some(AnnouncementState::Announced));
    }
    changed
}

/// A speaker says that it does this for an address, or nothing.
pub(super) fn say(world: &mut World, name: &str, node: &str, state: Option<AnnouncementState>) {
    let mut eip = world.under.eips[name].clone();
    eip.version = testing::next(eip.version);
    eip.status.announcements.retain(|by| by.node != node);
    let message = "answered by 02:00:00:00:00:66".to_owned();
    eip.status.announcements.extend(state.map(|state| EipAnnouncement {
        node: node.into(),
        uid: eip.uid.to_string(),
        state,
        message,
    }));
    world.put_eip(name, Some(eip));
}

pub(super) fn eip<'b>(bench: &'b Bench, address: &str) -> &'b Eip {
    &bench.truth.under.eips[address]
}

pub(super) fn reason(bench: &Bench, address: &str) -> String {
    let conditions = &eip(bench, address).status.conditions;
    conditions.iter().find(|c| c.type_ == "Ready").map(|c| c.reason.clone()).unwrap_or_default()
}

#[test]
fn a_service_is_assigned_announced_and_published_in_this_order() {
    let mut bench = Bench::told(world().with_service(WEB, *new_service()));
    settle(&mut bench, None);
    let found = eip(&bench, "10.205.0.50");
    let orders = found.spec.vlan.clone().unwrap();
    assert_eq!(orders.announce.l2, ["all"]);
    let hops: Vec<_> = orders.next_hops.iter().map(|hop| (&*hop.address, &*hop.vm)).collect();
    assert_eq!(hops, [("10.205.0.11", "vm1"), ("10.205.0.12", "vm2")]);
    assert_eq!(found.spec.services[0].ports[0].port, 80);
    assert_eq!(bench.published(WEB), None, "no speaker announces it");
    settle(&mut bench, Some("node1"));
    assert_eq!(bench.published(WEB).as_deref(), Some("10.205.0.50"));
    assert_eq!(eip(&bench, "10.205.0.50").status.announced_by.as_deref(), Some("node1"));
    assert_eq!(reason(&bench, "10.205.0.50"), "Ready");
    assert!(bench.truth.under.ovn_eips.is_empty() && bench.edits_of_rows() == 0);
    bench.log.clear();
    bench.wait(120);
    assert!(bench.log.is_empty(), "the steady state writes nothing: {:?}", bench.log);
}

#[test]
fn a_pool_on_a_vlan_names_the_addresses_that_it_gives_next() {
    let next = |bench: &Bench, pool: &str| bench.truth.under.pools[pool].status.next.clone();
    let mut world = world();
    world.under.pools.insert("elsewhere".into(), ranges(&["198.51.100.20-198.51.100.29"]));
    let mut bench = Bench::told(world);
    settle(&mut bench, Some("node1"));
    let before = next(&bench, "lan");
    assert_eq!(before.first().map(String::as_str), Some("10.205.0.50"));
    assert_eq!(before.len(), 10, "all it has");
    assert!(next(&bench, "elsewhere").is_empty(), "nobody asks for it on a link");
    bench.when(|world| world.put_service(WEB, Some(*new_service())));
    bench.wait(2);
    settle(&mut bench, Some("node1"));
    assert_eq!(bench.published(WEB).as_deref(), Some("10.205.0.50"));
    assert_eq!(next(&bench, "lan"), before[1..]);
}

#[test]
fn that_no_speaker_announces_it_is_told() {
    let mut bench = Bench::told(world().with_service(WEB, *new_service()));
    bench.run();
    bench.wait(6);
    assert_eq!(reason(&bench, "10.205.0.50"), "NoSpeaker");
    let mut world = world().with_service(WEB, *new_service());
    world.under.advertisements.clear();
    let mut bench = Bench::told(world);
    bench.run();
    bench.wait(2);
    assert_eq!(reason(&bench, "10.205.0.50"), "NoAdvertisement");
    bench.when(|w| drop(w.under.advertisements.insert("all".into(), Advertisement::default())));
    settle(&mut bench, Some("node1"));
    assert_eq!(bench.published(WEB).as_deref(), Some("10.205.0.50"));
}

#[test]
fn what_was_published_stays_while_another_speaker_takes_over() {
    let mut bench = served();
    bench.when(|w| say(w, "10.205.0.50", "node1", None));
    bench.wait(30);
    assert_eq!(bench.published(WEB).as_deref(), Some("10.205.0.50"));
    assert_eq!(reason(&bench, "10.205.0.50"), "NoSpeaker");
    bench.when(|w| say(w, "10.205.0.50", "node2", Some(AnnouncementState::Announced)));
    bench.wait(2);
    assert_eq!(eip(&bench, "10.205.0.50").status.announced_by.as_deref(), Some("node2"));
    assert_eq!(reason(&bench, "10.205.0.50"), "Ready");
}

#[test]
fn a_foreign_host_with_the_address_is_named_to_the_operator_alone() {
    let mut bench = Bench::told(world().with_service(WEB, *new_service()));
    settle(&mut bench, None);
    bench.when(|w| say(w, "10.205.0.50", "node1", Some(AnnouncementState::Conflict)));
    bench.wait(2);
    assert_eq!(bench.published(WEB), None);
    assert_eq!(reason(&bench, "10.205.0.50"), "AddressConflict");
    let ready = eip(&bench, "10.205.0.50").status.conditions.last().unwrap();
    assert!(ready.message.contains("02:00:00:00:00:66 (node1)"), "{}", ready.message);
    let told = format!("{:?}", bench.truth.service(WEB).status.conditions);
    assert!(!told.contains("02:00") && !told.contains("node1"), "{told}");
}

#[test]
fn a_deleted_service_is_released_when_no_speaker_announces_it_any_more() {
    let mut bench = served();
    bench.when(|w| w.service(WEB).deleting = true);
    bench.wait(60);
    assert!(eip(&bench, "10.205.0.50").spec.vlan.as_ref().unwrap().announce.l2.is_empty());
    assert_eq!(reason(&bench, "10.205.0.50"), "Releasing");
    assert!(bench.truth.service(WEB).finalizer, "it waits for the speaker");
    settle(&mut bench, Some("node1"));
    assert!(bench.truth.tenant_a().services.is_empty());
    assert!(eip(&bench, "10.205.0.50").released().is_some());
    bench.wait(61);
    assert!(bench.truth.under.eips.is_empty());
}

/// A change of a world.
type Change = fn(&mut World);

#[test]
fn a_speaker_that_is_gone_for_good_holds_up_nothing() {
    let gone: [(&str, Change); 3] = [
        ("its Node is deleted", |w| drop(w.under.nodes.remove("node1"))),
        ("its Node is out of service", |w| {
            w.under.nodes.get_mut("node1").unwrap().out_of_service = true;
        }),
        ("an operator says so", |w| {
            let mut eip = w.under.eips["10.205.0.50"].clone();
            eip.silenced.insert("node1".into());
            eip.version = testing::next(eip.version);
            w.put_eip("10.205.0.50", Some(eip));
        }),
    ];
    for (what, change) in gone {
        let mut bench = served();
        bench.when(|w| w.service(WEB).deleting = true);
        bench.wait(5);
        assert!(!bench.truth.tenant_a().services.is_empty(), "{what}");
        // What it said stands there still.
        bench.when(change);
        bench.wait(5);
        assert!(bench.truth.tenant_a().services.is_empty(), "{what}");
    }
}

#[test]
fn backends_that_change_are_ordered_anew_and_nothing_else() {
    let mut bench = served();
    bench.when(|w| w.node("vm2").excluded = true);
    bench.wait(2);
    let orders = eip(&bench, "10.205.0.50").spec.vlan.clone().unwrap();
    assert_eq!(orders.next_hops.len(), 1);
    assert_eq!(bench.published(WEB).as_deref(), Some("10.205.0.50"));
}

#[test]
fn a_service_moves_on_request_alone_and_only_within_its_vlan() {
    let mut bench = served();
    bench.truth.under.pools.insert("elsewhere".into(), ranges(&["198.51.100.100-198.51.100.109"]));
    bench.when(|w| w.service(WEB).load_balancer_ip = Some("198.51.100.100".into()));
    settle(&mut bench, Some("node1"));
    assert_eq!(bench.published(WEB).as_deref(), Some("10.205.0.50"));
    assert_eq!(reason(&bench, "10.205.0.50"), "PoolNotInVlan");
    bench.when(|w| w.service(WEB).load_balancer_ip = Some("10.205.0.55".into()));
    settle(&mut bench, Some("node1"));
    assert_eq!(bench.published(WEB).as_deref(), Some("10.205.0.55"));
    assert!(eip(&bench, "10.205.0.50").released().is_some());
}

#[test]
fn a_gateway_of_the_vlan_is_in_no_pool() {
    let mut world = world();
    world.under.pools = [("lan".to_owned(), ranges(&["10.205.0.0/28"]))].into();
    let mut bench = Bench::told(world.with_service(WEB, *new_service()));
    settle(&mut bench, Some("node1"));
    assert_eq!(bench.published(WEB), None);
    let conditions = &bench.truth.under.pools["lan"].status.conditions;
    let ready = conditions.iter().find(|c| c.type_ == "Ready").unwrap();
    let text = "10.205.0.1, which is";
    assert!(ready.reason == "RangeForbidden" && ready.message.contains(text), "{ready:?}");
}

#[test]
fn a_returning_service_gets_its_address_again() {
    let mut bench = served();
    bench.when(|w| w.service(WEB).deleting = true);
    settle(&mut bench, Some("node1"));
    let again = Service { uid: Uid::new("uid-again"), ..*new_service() };
    bench
        .truth
        .put_service("a/default/early", Some(Service { uid: Uid::new("e"), ..*new_service() }));
    bench.when(|w| w.put_service(WEB, Some(again)));
    settle(&mut bench, Some("node1"));
    assert_eq!(bench.published(WEB).as_deref(), Some("10.205.0.50"));
    assert_eq!(bench.published("a/default/early").as_deref(), Some("10.205.0.51"));
}

#[test]
fn a_reserved_address_is_set_aside_served_on_request_and_set_aside_again() {
    let mut world = world().with_service(WEB, *new_service());
    let mut reserved = super::reservations::reserved("10.205.0.58", "a");
    reserved.version = testing::version(1);
    world.put_eip("10.205.0.58", Some(reserved));
    let mut bench = Bench::told(world);
    settle(&mut bench, Some("node1"));
    assert_eq!(bench.published(WEB).as_deref(), Some("10.205.0.50"));
    assert_eq!(reason(&bench, "10.205.0.58"), "Reserved");
    assert!(bench.truth.under.ovn_eips.is_empty(), "Kube-OVN has no part in it");
    bench.when(|w| w.service(WEB).load_balancer_ip = Some("10.205.0.58".into()));
    settle(&mut bench, Some("node1"));
    assert_eq!(bench.published(WEB).as_deref(), Some("10.205.0.58"));
    bench.when(|w| w.service(WEB).deleting = true);
    settle(&mut bench, Some("node1"));
    assert_eq!(reason(&bench, "10.205.0.58"), "Reserved");
    assert!(eip(&bench, "10.205.0.58").spec.services.is_empty());
}

#[test]
fn what_a_speaker_said_that_is_gone_for_good_opens_no_gate() {
    let mut bench = served();
    bench.when(|w| drop(w.under.nodes.remove("node1")));
    bench.wait(6);
    assert_eq!(reason(&bench, "10.205.0.50"), "NoSpeaker");
    bench.when(|w| w.service(WEB).deleting = true);
    bench.wait(2);
    assert!(eip(&bench, "10.205.0.50").status.announcements.is_empty(), "it is forgotten");
    bench.when(|w| {
        w.under.nodes.insert("node1".into(), under_node("192.0.2.1"));
        w.put_service(WEB, Some(Service { uid: Uid::new("uid-again"), ..*new_service() }));
    });
    bench.wait(2);
    assert_eq!(bench.published(WEB), None, "no speaker announces it");
    settle(&mut bench, Some("node1"));
    assert_eq!(bench.published(WEB).as_deref(), Some("10.205.0.50"));
}

#[test]
fn orders_on_an_address_that_rests_are_taken_back_before_it_is_free() {
    let mut bench = served();
    let orders = eip(&bench, "10.205.0.50").spec.clone();
    bench.when(|w| w.service(WEB).deleting = true);
    settle(&mut bench, Some("node1"));
    // It was about to be taken again when the Service ended.
    bench.when(|w| {
        let eip = Eip { spec: orders, ..w.under.eips["10.205.0.50"].clone() };
        let version = testing::next(eip.version);
        w.put_eip("10.205.0.50", Some(Eip { version, ..eip }));
        say(w, "10.205.0.50", "node1", Some(AnnouncementState::Announced));
    });
    bench.wait(70);
    assert!(bench.truth.under.eips.contains_key("10.205.0.50"), "it is announced still");
    settle(&mut bench, Some("node1"));
    bench.wait(70);
    assert!(bench.truth.under.eips.is_empty());
}

#[test]
fn over_a_quota_of_ports_machines_still_come_and_go() {
    let mut bench = served();
    bench.when(|w| w.tenant_a().spec.quota.ports = Some(1));
    bench.when(|w| {
        let more = testing::port(crate::service::Protocol::Tcp, 443, 30443);
        w.service(WEB).ports.push(more);
        w.node("vm2").excluded = true;
    });
    settle(&mut bench, Some("node1"));
    assert_eq!(reason(&bench, "10.205.0.50"), "QuotaExceeded");
    let spec = &eip(&bench, "10.205.0.50").spec;
    assert_eq!(spec.vlan.as_ref().unwrap().next_hops.len(), 1);
    assert_eq!(spec.services[0].ports.len(), 1);
}

#[test]
fn the_pool_may_go_and_an_advertisement_that_goes_takes_the_address_with_it() {
    let mut bench = served();
    bench.when(|w| w.under.pools.clear());
    settle(&mut bench, Some("node1"));
    assert_eq!(bench.published(WEB).as_deref(), Some("10.205.0.50"));
    assert_eq!(reason(&bench, "10.205.0.50"), "Ready", "it is announced as before");
    bench.when(|w| drop(w.under.pools.insert("lan".into(), ranges(&["10.205.0.50-10.205.0.59"]))));
    bench.when(|w| w.under.advertisements.clear());
    settle(&mut bench, Some("node1"));
    assert_eq!(reason(&bench, "10.205.0.50"), "NoAdvertisement");
    assert!(eip(&bench, "10.205.0.50").status.announcements.is_empty());
}

#[test]
fn a_hand_over_is_no_news() {
    let mut bench = served();
    bench.when(|w| say(w, "10.205.0.50", "node1", None));
    bench.when(|w| say(w, "10.205.0.50", "node2", Some(AnnouncementState::Announced)));
    let told = |effect: &crate::effect::Effect| effect.name() == "patch-service";
    assert!(!bench.log.iter().any(told), "{:?}", bench.log);
}

#[test]
fn an_address_that_a_foreign_host_has_is_not_published_for_want_of_machines_either() {
    let mut bench = Bench::told(world().with_service(WEB, *new_service()));
    bench.when(|w| {
        w.node("vm1").excluded = true;
        w.node("vm2").excluded = true;
    });
    let name = bench.truth.under.eips.keys().next().unwrap().clone();
    assert!(bench.published(WEB).is_some(), "there is nobody to wait for");
    bench.when(|w| say(w, &name, "node1", Some(AnnouncementState::Conflict)));
    bench.when(|w| w.service(WEB).status.ingress.clear());
    bench.wait(2);
    assert_eq!(bench.published(WEB), None);
}

#[test]
fn an_overlay_tenant_gets_no_address_of_a_vlan() {
    let mut world = world();
    let mut other = testing::tenant("b");
    other.vpc = None;
    let mut tenant = crate::tenant::Tenant::new(other);
    tenant.synced = true;
    world.tenants.insert("b".parse().unwrap(), tenant);
    let of_b = "b/default/web";
    let mut bench = Bench::told(world.with_service(of_b, *new_service()));
    bench.wait(8);
    assert!(bench.truth.under.eips.is_empty() && bench.truth.under.ovn_eips.is_empty());
    let conditions = format!("{:?}", bench.truth.service(of_b).status.conditions);
    assert!(conditions.contains("no address pool is open"), "{conditions}");
    let ask = names::ANNOTATION_POOL.to_owned();
    bench.when(|w| drop(w.service(of_b).annotations.insert(ask, "lan".into())));
    bench.wait(2);
    let conditions = format!("{:?}", bench.truth.service(of_b).status.conditions);
    assert!(conditions.contains("PoolNotAllowed"), "{conditions}");
}

#[test]
fn machines_are_asked_as_the_advertisement_and_the_policy_have_it() {
    let cluster = || new_service();
    let local = |port| {
        let policy = TrafficPolicy::Local;
        Box::new(Service { policy, health_check_node_port: port, ..*new_service() })
    };
    let kube_proxy = Some(EipProbe { kind: Probe::KubeProxy, port: 10_256 });
    let own = Some(EipProbe { kind: Probe::HealthCheckNodePort, port: 30_000 });
    for (probe, service, expected) in [
        (Probe::None, local(Some(30_000)), None),
        (Probe::KubeProxy, cluster(), kube_proxy),
        (Probe::KubeProxy, local(Some(30_000)), kube_proxy),
        (Probe::HealthCheckNodePort, local(Some(30_000)), own),
        (Probe::HealthCheckNodePort, local(None), kube_proxy),
        (Probe::HealthCheckNodePort, cluster(), kube_proxy),
    ] {
        let mut world = world().with_service(WEB, *service);
        let all = Advertisement { probe, ..Advertisement::default() };
        world.under.advertisements.insert("all".into(), all);
        let mut bench = Bench::told(world);
        settle(&mut bench, Some("node1"));
        let orders = eip(&bench, "10.205.0.50").spec.vlan.clone().unwrap();
        assert_eq!(orders.probe, expected, "{probe:?}");
    }
}

#[test]
fn advertisements_that_contradict_each_other_say_so_and_the_older_is_followed() {
    let mut bench = served();
    let younger =
        Advertisement { created: 5, delivery: Delivery::Direct, ..Advertisement::default() };
    bench.when(|w| drop(w.under.advertisements.insert("a-direct-one".into(), younger)));
    bench.wait(2);
    let ready = |bench: &Bench, name: &str| {
        bench.truth.under.advertisements[name].status.conditions[0].reason.clone()
    };
    assert_eq!(ready(&bench, "all"), "Ready");
    assert_eq!(ready(&bench, "a-direct-one"), "Contradicted");
    let orders = eip(&bench, "10.205.0.50").spec.vlan.clone().unwrap();
    assert_eq!((orders.announce.l2, orders.delivery), (vec!["all".to_owned()], Delivery::Routed));
    bench.log.clear();
    bench.wait(120);
    assert!(bench.log.is_empty(), "the steady state writes nothing: {:?}", bench.log);
    bench.when(|w| drop(w.under.advertisements.remove("all")));
    settle(&mut bench, Some("node1"));
    assert_eq!(ready(&bench, "a-direct-one"), "Ready");
    let orders = eip(&bench, "10.205.0.50").spec.vlan.clone().unwrap();
    assert_eq!(orders.delivery, Delivery::Direct);
}

#[test]
fn who_cannot_announce_an_address_says_why_and_holds_up_nothing() {
    let mut bench = Bench::told(world().with_service(WEB, *new_service()));
    settle(&mut bench, None);
    bench.when(|w| say(w, "10.205.0.50", "node1", Some(AnnouncementState::Unable)));
    bench.wait(6);
    let status = &eip(&bench, "10.205.0.50").status;
    let ready = status.conditions.iter().find(|c| c.type_ == "Ready").unwrap();
    assert_eq!((&*ready.reason, &status.announced_by), ("NoSpeaker", &None));
    assert!(ready.message.contains("node1: answered by"), "its message is told: {ready:?}");
    assert_eq!(bench.published(WEB), None);
    bench.when(|w| w.service(WEB).deleting = true);
    bench.wait(5);
    assert!(!bench.truth.under.eips["10.205.0.50"].is_ordered());
    assert_ne!(reason(&bench, "10.205.0.50"), "Releasing");
}

#[test]
fn who_took_over_is_named_before_those_who_have_not_taken_their_word_back() {
    let mut bench = served();
    for (time, node) in [(7, "node1"), (9, "node2")] {
        bench.when(|w| {
            let mut eip = w.under.eips["10.205.0.50"].clone();
            eip.said.insert(node.into(), time);
            w.put_eip("10.205.0.50", Some(eip));
            say(w, "10.205.0.50", node, Some(AnnouncementState::Announced));
        });
        bench.wait(2);
    }
    let by = eip(&bench, "10.205.0.50").status.announced_by.clone();
    assert_eq!(by.as_deref(), Some("node2,node1"));
    bench.when(|w| say(w, "10.205.0.50", "node2", None));
    bench.wait(2);
    let by = eip(&bench, "10.205.0.50").status.announced_by.clone();
    assert_eq!(by.as_deref(), Some("node1"), "it is back");
}

#[test]
fn an_address_whose_record_was_deleted_is_not_shown_until_another_is_announced() {
    let mut bench = Bench::told(world().with_service("a/default/early", *new_service()));
    settle(&mut bench, Some("node1"));
    let web = Service { uid: Uid::new("uid-later"), ..*new_service() };
    bench.when(|w| w.put_service(WEB, Some(web)));
    settle(&mut bench, Some("node1"));
    assert_eq!(bench.published(WEB).as_deref(), Some("10.205.0.51"));
    bench.when(|w| w.service("a/default/early").deleting = true);
    settle(&mut bench, Some("node1"));
    bench.wait(61);
    // The lowest is free again, and the next to be given.
    bench.when(|w| drop(w.put_eip("10.205.0.51", None)));
    assert_eq!(bench.published(WEB), None, "it may be another's in a moment");
    settle(&mut bench, Some("node1"));
    assert_eq!(bench.published(WEB).as_deref(), Some("10.205.0.50"));
}

#[test]
fn a_clock_that_is_set_back_makes_nobody_forget_who_announces() {
    let mut bench = served();
    bench.when(|w| w.service(WEB).load_balancer_ip = Some("10.205.0.55".into()));
    settle(&mut bench, Some("node1"));
    assert!(eip(&bench, "10.205.0.50").released().is_some());
    bench.now.wall -= jiff::SignedDuration::from_hours(2);
    // Somebody who was cut off is back, and has it still.
    bench.when(|w| say(w, "10.205.0.50", "node2", Some(AnnouncementState::Announced)));
    assert_eq!(eip(&bench, "10.205.0.50").status.announcements.len(), 1);
    bench.wait(90);
    assert!(bench.truth.under.eips.contains_key("10.205.0.50"), "it is announced");
    bench.when(|w| say(w, "10.205.0.50", "node2", None));
    bench.wait(2);
    assert!(!bench.truth.under.eips.contains_key("10.205.0.50"));
}

#[test]
fn machines_are_asked_no_more_when_nobody_wants_that() {
    let mut bench = served();
    let probed = |w: &mut World, probe| {
        let all = Advertisement { probe, ..Advertisement::default() };
        w.under.advertisements.insert("all".into(), all);
    };
    bench.when(|w| probed(w, Probe::KubeProxy));
    settle(&mut bench, Some("node1"));
    let asked = |bench: &Bench| eip(bench, "10.205.0.50").spec.vlan.clone().unwrap().probe;
    assert!(asked(&bench).is_some());
    bench.when(|w| probed(w, Probe::None));
    settle(&mut bench, Some("node1"));
    assert_eq!(asked(&bench), None);
    bench.log.clear();
    bench.wait(120);
    assert!(bench.log.is_empty(), "the steady state writes nothing: {:?}", bench.log);
}
