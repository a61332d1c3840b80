//! Records that are lost or wrong, addresses on the way from one Service to another, and those that
//! Kube-OVN does not grant.

use cpo_api::EipSpec;

use super::bench::{Bench, key, new_service, published, with_pool, with_services};
use crate::effect::{Effect, UnderEffect};
use crate::ids::Uid;
use crate::service::Service;
use crate::testing::{self, ranges, world};
use crate::under::Eip;

#[test]
fn the_record_of_a_served_address_is_made_anew_when_it_is_lost() {
    let mut bench = Bench::told(with_services(world(), 2));
    bench.run();
    let before = published(&mut bench, 2);
    bench.log.clear();
    bench.when(|w| {
        for name in w.under.eips.keys().cloned().collect::<Vec<_>>() {
            w.put_eip(&name, None);
        }
        for name in w.under.ovn_eips.keys().cloned().collect::<Vec<_>>() {
            w.put_ovn_eip(&name, None);
        }
    });
    bench.wait(2);
    let eips: Vec<_> = bench.truth.under.eips.keys().cloned().collect();
    assert_eq!(eips, before);
    assert_eq!(bench.truth.under.ovn_eips.len(), 2);
    assert_eq!(bench.edits_of_rows(), 0, "what is served is left alone");
    assert_eq!(published(&mut bench, 2), before);
}

/// Two Services that were served when the under cluster's etcd was set back: the first has its
/// record, the second's address belongs to the first by the record of an hour ago.
fn set_back() -> (Bench, Vec<String>) {
    let mut bench = Bench::told(with_services(world(), 2));
    bench.run();
    let served = published(&mut bench, 2);
    bench.log.clear();
    let (first, second) = (served[0].clone(), served[1].clone());
    bench.when(|w| {
        let spec = w.under.eips[&first].spec.clone();
        let old = w.under.eips[&second].clone();
        let stale = EipSpec { address: second.clone(), ..spec };
        w.put_eip(&first, None);
        w.put_eip(&second, None);
        for name in w.under.ovn_eips.keys().cloned().collect::<Vec<_>>() {
            w.put_ovn_eip(&name, None);
        }
        let owners = vec![testing::key(&key(0))];
        let uid = Uid::new("uid-stale");
        w.put_eip(&second, Some(Eip { uid, spec: stale, owners, ..old }));
    });
    (bench, served)
}

#[test]
fn what_is_served_goes_on_when_the_records_are_of_an_hour_ago() {
    let (mut bench, served) = set_back();
    bench.wait(120);
    assert_eq!(bench.edits_of_rows(), 0, "nothing is torn down");
    assert_eq!(published(&mut bench, 2), served);
    for number in 0..2 {
        let conditions = bench.truth.service(&key(number)).status.conditions.clone();
        let programmed = conditions.iter().find(|c| c.type_.ends_with("Programmed")).unwrap();
        assert_eq!(programmed.reason, "AddressNotInPool", "the conflict is shown");
        assert!(programmed.message.contains("record of it is lost"), "{}", programmed.message);
    }
}

#[test]
fn without_the_record_that_is_wrong_what_is_served_is_recorded_again() {
    let (mut bench, served) = set_back();
    let wrong = served[1].clone();
    bench.when(|w| drop(w.put_eip(&wrong, None)));
    bench.wait(2);
    assert_eq!(bench.edits_of_rows(), 0);
    assert_eq!(published(&mut bench, 2), served);
    let owners = bench.truth.under.eips.values().map(|eip| eip.owners[0].to_string());
    assert_eq!(owners.collect::<Vec<_>>(), [key(0), key(1)]);
}

#[test]
fn an_address_on_the_way_to_it_is_given_to_nobody_else() {
    let mut bench =
        Bench::told(with_services(with_pool(ranges(&["198.51.100.100-198.51.100.101"])), 1));
    bench.run();
    assert_eq!(published(&mut bench, 1), ["198.51.100.100"]);
    bench.truth.service(&key(0)).load_balancer_ip = Some("198.51.100.101".into());
    bench.feed();
    // The first step out of the old address, and somebody comes for the new one.
    let jobs = bench.poll();
    let uid = Uid::new("uid-thief");
    let thief = Service { uid, load_balancer_ip: Some("198.51.100.101".into()), ..*new_service() };
    bench.truth.put_service("a/default/a-thief", Some(thief));
    bench.feed();
    jobs.iter().for_each(|job| bench.finish(job));
    bench.run();
    bench.wait(2);
    assert_eq!(published(&mut bench, 1), ["198.51.100.101"]);
    assert_eq!(bench.published("a/default/a-thief"), None);
}

#[test]
fn a_wish_that_is_withdrawn_on_the_way_leaves_the_address_to_others() {
    let mut bench =
        Bench::told(with_services(with_pool(ranges(&["198.51.100.100-198.51.100.101"])), 1));
    bench.run();
    bench.truth.service(&key(0)).load_balancer_ip = Some("198.51.100.101".into());
    bench.feed();
    let jobs = bench.poll();
    bench.truth.service(&key(0)).load_balancer_ip = None;
    bench.feed();
    jobs.iter().for_each(|job| bench.finish(job));
    bench.run();
    bench.wait(2);
    assert_eq!(published(&mut bench, 1), ["198.51.100.100"], "it goes back where it was");
    let uid = Uid::new("uid-other");
    bench.when(|w| w.put_service("a/default/other", Some(Service { uid, ..*new_service() })));
    assert_eq!(bench.published("a/default/other").as_deref(), Some("198.51.100.101"));
}

/// Lets seconds pass in which Kube-OVN grants everything but this address: it knows something that
/// we do not see.
fn withhold(bench: &mut Bench, address: &str, seconds: u64) {
    let withheld = address.parse().ok();
    for _ in 0..seconds {
        bench.now = testing::at(u64::try_from(bench.now.mono.as_millis()).unwrap() + 1_000);
        for _ in 0..20 {
            let eips = bench.truth.under.ovn_eips.iter();
            let blocked = eips.filter(|(_, eip)| eip.spec_v4 == withheld && !eip.deleting);
            let blocked: Vec<_> = blocked.map(|(n, eip)| (n.clone(), eip.clone())).collect();
            for (name, _) in &blocked {
                bench.truth.under.ovn_eips.remove(name);
            }
            testing::kube_ovn(&mut bench.truth);
            bench.truth.under.ovn_eips.extend(blocked);
            bench.feed();
            let jobs = bench.poll();
            jobs.iter().for_each(|job| bench.finish(job));
        }
    }
}

/// How often an address was asked of Kube-OVN.
fn asked(bench: &Bench, address: &str) -> usize {
    let wanted = address.parse().ok();
    let asks = |effect: &&Effect| matches!(effect, Effect::Under(UnderEffect::CreateOvnEip { v4, .. }) if *v4 == wanted);
    bench.log.iter().filter(asks).count()
}

#[test]
fn an_address_that_is_never_granted_does_not_stop_a_pool() {
    let mut bench =
        Bench::told(with_services(with_pool(ranges(&["198.51.100.100-198.51.100.102"])), 1));
    withhold(&mut bench, "198.51.100.100", 15);
    assert_eq!(bench.published(&key(0)).as_deref(), Some("198.51.100.101"));
}

#[test]
fn who_moves_to_an_address_that_is_never_granted_is_told_and_can_go_back() {
    let mut bench =
        Bench::told(with_services(with_pool(ranges(&["198.51.100.100-198.51.100.101"])), 1));
    bench.run();
    bench.truth.service(&key(0)).load_balancer_ip = Some("198.51.100.101".into());
    withhold(&mut bench, "198.51.100.101", 40);
    assert_eq!(asked(&bench, "198.51.100.101"), 1, "it is not tried again at once");
    bench.truth.service(&key(0)).load_balancer_ip = None;
    withhold(&mut bench, "198.51.100.101", 5);
    assert_eq!(bench.published(&key(0)).as_deref(), Some("198.51.100.100"));
    bench.truth.service(&key(0)).load_balancer_ip = Some("198.51.100.101".into());
    withhold(&mut bench, "198.51.100.102", 70);
    assert_eq!(bench.published(&key(0)).as_deref(), Some("198.51.100.101"), "a minute later");
}

#[test]
fn while_kube_ovn_is_away_no_address_is_taken_for_refused() {
    let mut bench =
        Bench::told(with_services(with_pool(ranges(&["198.51.100.100-198.51.100.139"])), 3));
    for _ in 0..40 {
        bench.now = testing::at(u64::try_from(bench.now.mono.as_millis()).unwrap() + 1_000);
        bench.feed();
        let jobs = bench.poll();
        jobs.iter().for_each(|job| bench.finish(job));
    }
    for last in 100..103 {
        assert_eq!(asked(&bench, &format!("198.51.100.{last}")), 1);
    }
    assert_eq!(asked(&bench, "198.51.100.103"), 0);
    bench.run();
    bench.wait(2);
    let expected = ["198.51.100.100", "198.51.100.101", "198.51.100.102"];
    assert_eq!(published(&mut bench, 3), expected);
}
