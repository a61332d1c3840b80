//! Addresses that an operator reserved.

use cpo_api::{EipMode, EipSpec, EipStatus, EipTenant};

use super::bench::{Bench, key, with_services};
use crate::ids::Uid;
use crate::testing::{version, world};
use crate::under::Eip;

pub(super) fn reserved(address: &str, tenant: &str) -> Eip {
    Eip {
        uid: Uid::new(&format!("uid-of-{address}")),
        version: version(1),
        generation: 1,
        created: 0,
        deleting: false,
        owners: Vec::new(),
        silenced: std::collections::BTreeSet::new(),
        said: std::collections::BTreeMap::new(),
        spec: EipSpec {
            address: address.to_owned(),
            mode: EipMode::Overlay,
            pool: String::new(),
            tenant: EipTenant { name: tenant.to_owned(), uid: String::new() },
            services: Vec::new(),
            sharing: None,
            reserved: true,
            keep: false,
            overlay: None,
            vlan: None,
        },
        status: EipStatus::default(),
    }
}

fn reason(bench: &Bench, address: &str) -> String {
    let conditions = &bench.truth.under.eips[address].status.conditions;
    let ready = conditions.iter().find(|condition| condition.type_ == "Ready");
    ready.map(|ready| ready.reason.clone()).unwrap_or_default()
}

#[test]
fn a_reserved_address_is_held_bound_to_who_asks_for_it_and_set_aside_again() {
    let address = "198.51.100.77";
    let mut bench = Bench::told(with_services(world(), 1));
    bench.when(|w| drop(w.put_eip(address, Some(reserved(address, "a")))));
    assert_eq!(reason(&bench, address), "Reserved");
    let spec = bench.truth.under.eips[address].spec.clone();
    assert_eq!((spec.pool.as_str(), spec.tenant.uid.as_str()), ("public", "uid-a"));
    assert_eq!(bench.truth.under.ovn_eips.len(), 2, "Kube-OVN gives it to nobody else");
    assert_ne!(bench.published(&key(0)).as_deref(), Some(address), "nobody asked for it");

    bench.when(|w| w.service(&key(0)).load_balancer_ip = Some(address.into()));
    bench.wait(2);
    assert_eq!(bench.published(&key(0)).as_deref(), Some(address));
    assert_eq!(bench.truth.under.eips[address].spec.services.len(), 1);

    bench.when(|w| w.service(&key(0)).deleting = true);
    bench.wait(70);
    assert_eq!(reason(&bench, address), "Reserved");
    assert!(bench.truth.under.eips[address].spec.services.is_empty());
    assert_eq!(bench.truth.under.ovn_eips.len(), 1, "it is held all the while");

    bench.when(|w| drop(w.put_eip(address, None)));
    assert!(bench.truth.under.ovn_eips.is_empty(), "the reservation was taken back");
}

#[test]
fn a_reserved_address_is_for_its_tenant_alone_and_says_what_is_wrong_with_it() {
    let mut bench = Bench::told(with_services(world(), 1));
    let strange = [("198.51.100.77", "b", "TenantNotFound"), ("203.0.113.9", "a", "OutsidePools")];
    for (address, tenant, why) in strange {
        bench.when(|w| drop(w.put_eip(address, Some(reserved(address, tenant)))));
        assert_eq!(reason(&bench, address), why);
    }
    bench.when(|w| w.service(&key(0)).load_balancer_ip = Some("198.51.100.77".into()));
    bench.wait(2);
    assert_ne!(bench.published(&key(0)).as_deref(), Some("198.51.100.77"));
}

fn bound() -> Bench {
    let mut bench = Bench::told(with_services(world(), 1));
    bench.when(|w| drop(w.put_eip("198.51.100.77", Some(reserved("198.51.100.77", "a")))));
    bench.when(|w| w.service(&key(0)).load_balancer_ip = Some("198.51.100.77".into()));
    // Until what it had before has rested.
    bench.wait(70);
    assert_eq!(bench.published(&key(0)).as_deref(), Some("198.51.100.77"));
    bench
}

#[test]
fn a_service_that_moves_off_a_reserved_address_leaves_the_reservation() {
    let mut bench = bound();
    let uid = bench.truth.under.eips["198.51.100.77"].uid.clone();
    bench.when(|w| w.service(&key(0)).load_balancer_ip = Some("198.51.100.60".into()));
    bench.wait(2);
    assert_eq!(bench.published(&key(0)).as_deref(), Some("198.51.100.60"));
    assert_eq!(bench.truth.under.eips["198.51.100.77"].uid, uid, "it was never deleted");
    assert_eq!(reason(&bench, "198.51.100.77"), "Reserved");
    assert_eq!(bench.truth.under.ovn_eips.len(), 2);
}

#[test]
fn what_holds_a_reserved_address_outlives_the_service_whatever_others_do_to_it() {
    let holder = |bench: &Bench| -> String {
        let of = |eip: &&crate::under::OvnEip| eip.granted() == "198.51.100.77".parse().ok();
        let mut eips = bench.truth.under.ovn_eips.iter();
        eips.find(|(_, eip)| of(eip)).unwrap().0.clone()
    };
    for stolen in [true, false] {
        let mut bench = bound();
        let name = holder(&bench);
        if stolen {
            bench.when(|w| drop(w.put_ovn_eip(&name, None)));
        } else {
            let lost = bench.truth.under.ovn_eips[&name].clone();
            let lost = crate::under::OvnEip { labelled: false, reserved: None, ..lost };
            bench.when(|w| drop(w.put_ovn_eip(&name, Some(lost))));
        }
        bench.when(|w| w.service(&key(0)).deleting = true);
        bench.wait(70);
        assert_eq!(reason(&bench, "198.51.100.77"), "Reserved");
        assert_eq!(holder(&bench), name);
    }
}

#[test]
fn a_reservation_that_is_deleted_while_it_is_bound_is_held_as_long_as_it_is_served() {
    let mut bench = bound();
    bench.log.clear();
    bench.when(|w| drop(w.put_eip("198.51.100.77", None)));
    bench.wait(2);
    assert_eq!((bench.edits_of_rows(), bench.truth.under.ovn_eips.len()), (0, 1));
    let again = Eip { uid: Uid::new("uid-again"), ..reserved("198.51.100.77", "a") };
    bench.when(|w| drop(w.put_eip("198.51.100.77", Some(again))));
    bench.wait(12);
    assert_eq!(bench.edits_of_rows(), 0);
    let spec = bench.truth.under.eips["198.51.100.77"].spec.clone();
    assert_eq!(spec.services.len(), 1, "made again, it is bound again");
}
