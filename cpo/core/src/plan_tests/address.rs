//! How an address is chosen, kept, changed and lost.

use super::*;
use crate::ids::Uid;
use crate::ovn::{Ovn, OvnLink, RowChange};
use crate::testing::{key, row_of};
use cpo_api::names;

fn ask(service: &mut Service, address: &str) {
    service.load_balancer_ip = Some(address.into());
}

/// Deletes the one `OvnEip` behind our back.
fn steal_ovn_eip(world: &mut crate::world::World) {
    let name = world.under.ovn_eips.keys().next().unwrap().clone();
    world.put_ovn_eip(&name, None);
}

fn take(world: &mut crate::world::World, address: &str) {
    let mut taken = testing::ovn_eip(None, "external", address.parse().ok());
    (taken.ready, taken.status_v4) = (true, taken.spec_v4);
    world.put_ovn_eip("somebody-elses", Some(taken));
}

#[test]
fn a_requested_address_is_granted() {
    let mut model = created();
    model.when(|w| ask(w.service(WEB), "198.51.100.50"));
    assert_eq!(model.published(WEB).as_deref(), Some("198.51.100.50"));
}

#[test]
fn a_recreated_service_of_the_same_name_gets_its_address_back() {
    let mut model = created();
    model.when(|w| ask(w.service(WEB), "198.51.100.50"));
    model.delete(WEB).after_seconds(30);
    model.when(|w| {
        w.put_service(WEB, Some(Service { uid: Uid::new("uid-web-2"), ..new_service() }));
    });
    assert_eq!(model.published(WEB).as_deref(), Some("198.51.100.50"));
    let eip = &model.world.under.eips["198.51.100.50"];
    assert_eq!(eip.spec.services[0].uid, "uid-web-2");
    assert!(eip.released().is_none());
    model.after_seconds(3_600);
    assert_eq!(model.published(WEB).as_deref(), Some("198.51.100.50"));
}

#[test]
fn a_namesake_in_another_tenant_gets_another_address() {
    let name = |tenant: &str| {
        crate::plan::ovn_eip_name(&"default".parse().unwrap(), &Uid::new(tenant), &key(WEB))
    };
    assert_ne!(name("uid-a"), name("uid-b"));
    assert_eq!(name("uid-a"), name("uid-a"));
}

#[test]
fn another_address_on_request_replaces_the_first() {
    let mut model = served();
    model.when(|w| ask(w.service(WEB), "198.51.100.50"));
    assert_eq!(model.published(WEB).as_deref(), Some("198.51.100.50"));
    assert_eq!(model.eip_reason("198.51.100.10"), "Quarantined");
    let order =
        ["rows emptied", "Eip released", "OvnEip", "Eip", "rows changed", "status", "Eip status"];
    assert_eq!(done(&model), order);
    model.after_seconds(61);
    assert_eq!(model.world.under.eips.keys().collect::<Vec<_>>(), ["198.51.100.50"]);
    assert_eq!(model.world.under.ovn_eips.len(), 1);
}

#[test]
fn what_a_service_moved_off_rests_with_its_ovn_eip_and_comes_back_on_request() {
    let mut model = served();
    let names = |model: &Model| -> Vec<String> {
        let granted = |name: &String| model.world.under.ovn_eips[name].granted().unwrap();
        let names = model.world.under.ovn_eips.keys();
        names.map(|name| format!("{} {}", &name[16..], granted(name))).collect()
    };
    model.when(|w| ask(w.service(WEB), "198.51.100.50"));
    model.when(|w| ask(w.service(WEB), "198.51.100.60"));
    assert_eq!(names(&model), [" 198.51.100.10", "-1 198.51.100.50", "-2 198.51.100.60"]);
    for rests in ["198.51.100.10", "198.51.100.50"] {
        assert_eq!(model.eip_reason(rests), "Quarantined");
        let other = Service { uid: Uid::new("uid-other"), ..new_service() };
        model.world.put_service("a/default/other", Some(other));
        model.when(|w| ask(w.service("a/default/other"), rests));
        assert_eq!(model.published("a/default/other"), None, "it rests for its Service alone");
    }
    model.world.put_service("a/default/other", None);
    model.settle();
    model.when(|w| ask(w.service(WEB), "198.51.100.50"));
    assert_eq!(model.published(WEB).as_deref(), Some("198.51.100.50"));
    assert_eq!(names(&model).len(), 3, "it has its OvnEip still");
    model.after_seconds(61);
    assert_eq!(names(&model), ["-1 198.51.100.50"]);
    model.log.clear();
    model.restart();
    assert!(model.settle().log.is_empty(), "the name stays");
    model.when(|w| ask(w.service(WEB), "198.51.100.60"));
    assert_eq!(names(&model), [" 198.51.100.60", "-1 198.51.100.50"], "the first name is free");
}

#[test]
fn an_address_that_was_to_be_kept_is_not_kept_by_who_moves_off() {
    let mut model = created();
    let keep = (names::ANNOTATION_KEEP.to_owned(), "true".to_owned());
    model.when(|w| w.service(WEB).annotations.extend([keep]));
    model.when(|w| ask(w.service(WEB), "198.51.100.50")).after_seconds(61);
    let kept: Vec<_> = model.world.under.eips.iter().map(|(n, e)| (&**n, e.spec.keep)).collect();
    assert_eq!(kept, [("198.51.100.50", true)]);
    model.delete(WEB).after_seconds(3_600);
    assert_eq!(model.eip_reason("198.51.100.50"), "Kept");
    // It comes back, and asks for another one.
    let again = Service { uid: Uid::new("uid-again"), ..new_service() };
    model.world.put_service(WEB, Some(again));
    model.when(|w| ask(w.service(WEB), "198.51.100.60")).after_seconds(61);
    assert_eq!(model.world.under.eips.keys().collect::<Vec<_>>(), ["198.51.100.60"]);
}

#[test]
fn what_was_drawn_in_vain_goes_with_its_service_and_what_rests_stays() {
    let mut model = served();
    model.kube_ovn = false;
    model.when(|w| ask(w.service(WEB), "198.51.100.50"));
    assert_eq!(model.world.under.ovn_eips.len(), 2);
    model.kube_ovn = true;
    model.delete(WEB);
    assert_eq!(model.world.under.ovn_eips.len(), 1);
    assert_eq!(model.eip_reason("198.51.100.10"), "Quarantined");
    model.after_seconds(61);
    assert!(model.world.under.ovn_eips.is_empty() && model.world.under.eips.is_empty());
}

#[test]
fn what_holds_the_address_is_told_by_the_grant_and_what_holds_none_is_deleted() {
    let mut model = served();
    let first = model.world.under.ovn_eips.keys().next().unwrap().clone();
    model.when(|w| {
        let mut eip = w.under.eips["198.51.100.10"].clone();
        eip.spec.overlay.as_mut().unwrap().ovn_eip = format!("{first}-7");
        w.put_eip("198.51.100.10", Some(eip));
    });
    assert_eq!(done(&model), ["Eip bound"], "the record is put right");
    model.log.clear();
    model.when(|w| {
        let mut stray = w.under.ovn_eips[&first].clone();
        stray.spec_v4 = "198.51.100.60".parse().ok();
        stray.status_v4 = stray.spec_v4;
        w.put_ovn_eip(&format!("{first}-3"), Some(stray));
    });
    assert_eq!(done(&model), ["OvnEip deleted"]);
    assert_eq!(model.world.under.ovn_eips.keys().collect::<Vec<_>>(), [&first]);
    assert_eq!(model.published(WEB).as_deref(), Some("198.51.100.10"));
}

#[test]
fn what_is_served_is_neither_freed_nor_refused_because_its_record_says_that_it_rests() {
    for keep in [false, true] {
        let mut model = served();
        model.when(|w| {
            let mut eip = w.under.eips["198.51.100.10"].clone();
            eip.spec.keep = keep;
            eip.status.released_at = Some("2026-01-01T00:00:00Z".into());
            w.put_eip("198.51.100.10", Some(eip));
        });
        model.after_seconds(3_600);
        assert!(model.world.under.eips["198.51.100.10"].released().is_none(), "bound again");
        assert_eq!(model.programmed(WEB), (true, "Programmed".into()));
        let words = done(&model);
        assert!(
            !words.contains(&"OvnEip deleted") && !words.contains(&"rows emptied"),
            "{words:?}"
        );
    }
}

/// A Service that moved from .10 to .50, with its first Eip and its rows as they were before.
fn moved() -> (Model, crate::under::Eip, RowChange) {
    let mut model = served();
    let (uuid, row) = row_of(&model.world, WEB).unwrap();
    let (before, rows) = (model.world.under.eips["198.51.100.10"].clone(), (uuid, row.clone()));
    model.when(|w| ask(w.service(WEB), "198.51.100.50"));
    assert_eq!(model.published(WEB).as_deref(), Some("198.51.100.50"));
    model.log.clear();
    (model, before, RowChange::LoadBalancer(rows.0, Some(rows.1)))
}

/// The first Eip is as before it was released.
fn live_again(world: &mut crate::world::World, before: crate::under::Eip) {
    let version = world.under.eips["198.51.100.10"].version;
    world.put_eip("198.51.100.10", Some(crate::under::Eip { version, ..before }));
}

fn held(model: &Model) -> Vec<String> {
    let granted = model.world.under.ovn_eips.values().filter_map(|held| held.granted());
    granted.map(|address| address.to_string()).collect()
}

#[test]
fn what_rests_is_not_freed_while_rows_serve_it_again() {
    // The Northbound database was set back.
    let (mut model, _, rows) = moved();
    model.when(|w| drop(w.put_row(rows))).after_seconds(3_600);
    assert_eq!(held(&model), ["198.51.100.10", "198.51.100.50"]);
    assert!(!model.programmed(WEB).0, "it is told, and nothing is changed");
}

#[test]
fn what_was_drawn_is_not_deleted_while_rows_serve_it_and_its_record_is_not_seen() {
    // A new leader whose view of the Eips is behind.
    let (mut model, before, _) = moved();
    model.when(|w| {
        w.put_eip("198.51.100.50", None);
        live_again(w, before);
    });
    assert_eq!(held(&model), ["198.51.100.10", "198.51.100.50"]);
}

#[test]
fn of_two_live_eips_the_one_that_is_served_counts() {
    let (mut model, before, _) = moved();
    model.when(|w| live_again(w, before));
    assert_eq!(model.eip_reason("198.51.100.10"), "Quarantined", "it rests again");
    model.after_seconds(3_600);
    assert_eq!(model.published(WEB).as_deref(), Some("198.51.100.50"));
    assert_eq!(model.programmed(WEB), (true, "Programmed".into()));
}

#[test]
fn who_comes_back_waits_until_the_old_holder_of_its_address_is_gone() {
    let mut model = served();
    model.delete(WEB);
    model.kube_ovn = false;
    let again = Service { uid: Uid::new("uid-again"), ..new_service() };
    model.when(|w| {
        let name = w.under.ovn_eips.keys().next().unwrap().clone();
        let leaving = crate::under::OvnEip { deleting: true, ..w.under.ovn_eips[&name].clone() };
        w.put_ovn_eip(&name, Some(leaving));
        w.put_service(WEB, Some(again));
    });
    assert_eq!(model.eip_reason("198.51.100.10"), "Quarantined", "it may be anybody's yet");
    model.kube_ovn = true;
    model.settle();
    assert_eq!(model.published(WEB).as_deref(), Some("198.51.100.10"));
}

#[test]
fn a_rest_does_not_end_while_the_rows_are_not_seen() {
    let mut model = served();
    model.when(|w| ask(w.service(WEB), "198.51.100.50"));
    model.world.ovn.link = OvnLink::Down("cut".into());
    model.after_seconds(3_600);
    assert_eq!(model.world.under.ovn_eips.len(), 2);
    model.world.ovn.link = OvnLink::Up;
    model.after_seconds(61);
    assert_eq!(model.world.under.ovn_eips.len(), 1);
}

#[test]
fn a_name_of_an_ovn_eip_is_known_with_its_number() {
    let (install, tenant, key) = ("default".parse().unwrap(), Uid::new("uid-a"), key(WEB));
    let first = crate::plan::ovn_eip_name(&install, &tenant, &key);
    let known =
        |rest: &str| crate::plan::is_ovn_eip_of(&format!("{first}{rest}"), &install, &tenant, &key);
    assert!(["", "-1", "-2", "-10"].into_iter().all(known));
    assert!(!["-", "-0", "-01", "-+1", "-x", "1", "-1-1"].into_iter().any(known));
    assert!(!crate::plan::is_ovn_eip_of(&first, &install, &Uid::new("uid-b"), &key));
}

#[test]
fn a_wish_that_is_withdrawn_moves_nothing() {
    let mut model = created();
    model.when(|w| ask(w.service(WEB), "198.51.100.50"));
    model.when(|w| w.service(WEB).load_balancer_ip = None);
    assert_eq!(model.published(WEB).as_deref(), Some("198.51.100.50"));
}

#[test]
fn a_refused_change_keeps_the_old_address() {
    let mut model = served();
    model.when(|w| ask(w.service(WEB), "198.51.100.254"));
    assert_eq!(model.published(WEB).as_deref(), Some("198.51.100.10"));
    assert!(row_of(&model.world, WEB).is_some());
    assert_eq!(model.programmed(WEB), (false, "AddressNotInPool".into()));
    model.when(|w| w.service(WEB).load_balancer_ip = None);
    assert_eq!(model.programmed(WEB), (true, "Programmed".into()));
}

#[test]
fn the_old_address_of_a_refused_change_goes_on_being_served() {
    let mut model = served();
    model.when(|w| ask(w.service(WEB), "198.51.100.254"));
    model.when(|w| w.node("vm1").excluded = true);
    let row = row_of(&model.world, WEB).unwrap().1;
    assert_eq!(row.vips["198.51.100.10:80"], "10.0.0.3:30080");
    model.when(steal_ovn_eip);
    assert_eq!(model.world.under.ovn_eips.len(), 1, "its OvnEip is made again");
}

#[test]
fn a_change_to_a_pool_the_tenant_may_not_use_keeps_the_old_address() {
    let mut model = served();
    let wish = (names::ANNOTATION_POOL.to_owned(), "gold".to_owned());
    model.when(|w| w.service(WEB).annotations.extend([wish]));
    assert_eq!(model.published(WEB).as_deref(), Some("198.51.100.10"));
    assert_eq!(model.programmed(WEB), (false, "PoolNotAllowed".into()));
}

#[test]
fn an_address_is_not_changed_while_the_rows_are_unknown() {
    let mut model = served();
    model.world.ovn = Ovn::default();
    model.when(|w| ask(w.service(WEB), "198.51.100.50"));
    assert_eq!(model.world.under.ovn_eips.len(), 1);
    let held = model.world.under.ovn_eips.values().next().unwrap();
    assert_eq!(held.granted(), "198.51.100.10".parse().ok(), "it may be on the network still");
    assert!(!held.deleting);
}

#[test]
fn an_ovn_eip_deleted_by_others_comes_back_with_its_address() {
    let mut model = served();
    model.kube_ovn = false;
    model.when(steal_ovn_eip);
    let wanted = model.world.under.ovn_eips.values().next().unwrap().spec_v4;
    assert_eq!(wanted, "198.51.100.10".parse().ok());
    assert!(row_of(&model.world, WEB).is_some(), "the row stays meanwhile");
    model.kube_ovn = true;
    model.settle();
    assert_eq!(done(&model), ["OvnEip"]);
}

#[test]
fn an_address_not_granted_again_within_two_seconds_is_withdrawn() {
    let mut model = served();
    model.kube_ovn = false;
    model.when(steal_ovn_eip).after(std::time::Duration::from_millis(1_999));
    assert!(row_of(&model.world, WEB).is_some());
    model.after(std::time::Duration::from_millis(1));
    assert!(row_of(&model.world, WEB).is_none());
    assert_eq!(model.published(WEB), None);
    assert_eq!(model.eip_reason("198.51.100.10"), "AddressConflict");
    assert_eq!(model.programmed(WEB).1, "AddressNotInPool");
    model.kube_ovn = true;
    model.settle();
    assert_eq!(model.published(WEB).as_deref(), Some("198.51.100.10"));
    assert_eq!(model.programmed(WEB), (true, "Programmed".into()));
}

#[test]
fn lost_labels_of_an_ovn_eip_are_put_back() {
    let mut model = served();
    model.when(|world| {
        let (name, mut eip) = world.under.ovn_eips.pop_first().unwrap();
        (eip.labelled, eip.service) = (false, None);
        world.put_ovn_eip(&name, Some(eip));
    });
    assert_eq!(done(&model), ["label"]);
}

#[test]
fn an_ovn_eip_whose_labels_are_lost_while_it_rests_is_deleted_all_the_same() {
    let mut model = served();
    model.delete(WEB);
    model.when(|world| {
        let (name, mut eip) =
            world.under.ovn_eips.first_key_value().map(|(n, e)| (n.clone(), e.clone())).unwrap();
        (eip.labelled, eip.service) = (false, None);
        world.put_ovn_eip(&name, Some(eip));
    });
    model.after_seconds(60);
    assert!(model.world.under.ovn_eips.is_empty() && model.world.under.eips.is_empty());
}

#[test]
fn an_address_not_granted_is_told_after_five_seconds() {
    let mut model = created();
    model.kube_ovn = false;
    model.settle().after(std::time::Duration::from_millis(4_999));
    assert_eq!(model.programmed(WEB), (false, "Pending".into()));
    model.after(std::time::Duration::from_millis(1));
    assert_eq!(model.programmed(WEB), (false, "OvnEipPending".into()));
    assert_eq!(model.published(WEB), None);
    model.kube_ovn = true;
    model.settle();
    assert_eq!(model.programmed(WEB), (true, "Programmed".into()));
}

#[test]
fn a_requested_address_kube_ovn_does_not_grant_is_given_up_and_told_as_taken() {
    let mut model = created();
    model.kube_ovn = false;
    model.when(|w| ask(w.service(WEB), "198.51.100.50"));
    let key = key(WEB);
    model.now = testing::at(105_000);
    let plan = model.plan(&key);
    assert_eq!(plan.problems[0].reason, cpo_api::Reason::AddressInUse);
    let words: Vec<_> = plan.effects.iter().map(word).collect();
    assert!(words.contains(&"OvnEip deleted") && words.contains(&"status"), "{words:?}");
}

#[test]
fn who_gives_up_an_impossible_wish_gets_any_address() {
    let mut model = created();
    model.kube_ovn = false;
    model.when(|w| ask(w.service(WEB), "198.51.100.50"));
    // Removed before Kube-OVN's silence was noticed: the OvnEip still asks for the address.
    model.when(|w| w.service(WEB).load_balancer_ip = None);
    model.world.under.vips.insert("taken".into(), vec!["198.51.100.50".parse().unwrap()]);
    model.world.under.subnets.get_mut("external").unwrap().cidr = "198.51.100.0/27".parse().ok();
    model.kube_ovn = true;
    model.settle().after_seconds(6).after_seconds(6);
    assert_eq!(model.published(WEB).as_deref(), Some("198.51.100.10"));
}

#[test]
fn what_kube_ovn_records_a_moment_before_it_grants_it_is_left_alone() {
    let mut model = created();
    model.kube_ovn = false;
    model.settle().after_seconds(40);
    let record = |world: &mut crate::world::World, granted: bool| {
        let name = crate::plan::ovn_eip_name(&world.install, &Uid::new("uid-a"), &key(WEB));
        let mut eip = world.under.ovn_eips[&name].clone();
        eip.spec_v4 = "198.51.100.10".parse().ok();
        (eip.ready, eip.status_v4) = (granted, eip.spec_v4.filter(|_| granted));
        world.put_ovn_eip(&name, Some(eip));
    };
    model.when(|world| record(world, false)).when(|world| record(world, true));
    assert_eq!(model.published(WEB).as_deref(), Some("198.51.100.10"));
}

#[test]
fn an_address_another_service_holds_is_a_conflict() {
    let mut model = served();
    // Kube-OVN grants the address a second time: somebody deleted its OvnEip.
    model.kube_ovn = false;
    model.world.tenant_a().synced = true;
    let other = Service { uid: Uid::new("uid-other"), ..new_service() };
    model.when(|w| w.put_service("a/default/other", Some(other)));
    model.when(|world| {
        let name =
            crate::plan::ovn_eip_name(&world.install, &Uid::new("uid-a"), &key("a/default/other"));
        let mut eip = world.under.ovn_eips[&name].clone();
        (eip.spec_v4, eip.ready) = ("198.51.100.10".parse().ok(), true);
        eip.status_v4 = eip.spec_v4;
        world.put_ovn_eip(&name, Some(eip));
    });
    let plan = model.plan(&key("a/default/other"));
    assert_eq!(plan.problems[0].reason, cpo_api::Reason::AddressConflict);
    assert!(row_of(&model.world, WEB).is_some(), "who had it keeps it");
    assert!(row_of(&model.world, "a/default/other").is_none());
}

#[test]
fn a_refused_wish_is_tried_again_when_nothing_happens() {
    let mut model = created();
    take(&mut model.world, "198.51.100.50");
    model.when(|w| ask(w.service(WEB), "198.51.100.50"));
    assert_eq!(model.programmed(WEB), (false, "AddressNotInPool".into()));
    let plan = model.plan(&key(WEB));
    assert!(plan.wake.is_some(), "nobody tells when the address is free again");
    model.world.put_ovn_eip("somebody-elses", None);
    model.settle();
    assert_eq!(model.published(WEB).as_deref(), Some("198.51.100.50"));
}

#[test]
fn an_assigned_address_stays_when_its_pool_is_closed_to_the_tenant() {
    let mut model = served();
    model.when(|w| w.under.pools.get_mut("public").unwrap().tenants = Some(Default::default()));
    model.when(|w| w.under.pools.get_mut("public").unwrap().auto_assign = false);
    assert!(model.log.is_empty());
}

#[test]
fn the_pool_that_is_recorded_is_the_one_drawn_from() {
    let mut model = created();
    let closed = crate::under::Pool { tenants: testing::only(&["b"]), ..testing::pool("external") };
    let broken = crate::under::Pool { broken: Some("no".into()), ..testing::pool("external") };
    model.world.under.pools.insert("a-closed-one".into(), closed);
    model.world.under.pools.insert("a-broken-one".into(), broken);
    model.settle();
    assert_eq!(model.world.under.eips["198.51.100.10"].spec.pool, "public");
}

#[test]
fn a_pool_named_after_the_draw_is_not_recorded_for_an_address_of_another() {
    let mut model = created();
    model.kube_ovn = false;
    model.settle();
    let wish = (names::ANNOTATION_POOL.to_owned(), "gold".to_owned());
    model.kube_ovn = true;
    model.when(|w| w.service(WEB).annotations.extend([wish]));
    assert!(model.world.under.eips.values().all(|eip| eip.spec.pool != "gold"));
    assert_eq!(model.programmed(WEB).1, "PoolNotAllowed");
}

#[test]
fn the_addresses_a_gone_tenant_retained_are_not_freed_by_its_namesake() {
    let mut model = served();
    model.when(|world| {
        world.tenant_a().spec.uid = Uid::new("uid-a-2");
        world.put_service(WEB, None);
    });
    assert_eq!(model.world.under.eips.len(), 1);
    assert_eq!(model.world.under.ovn_eips.len(), 1, "the Eip that is kept needs its OvnEip");
}

#[test]
fn nothing_published_is_taken_back_while_the_rows_are_unknown() {
    let mut model = served();
    // As after a restart: the API servers answered, the Northbound database has not yet.
    let rows = std::mem::take(&mut model.world.ovn);
    model.restart();
    model.settle();
    assert!(model.log.is_empty(), "{:?}", done(&model));
    model.after_seconds(11);
    assert_eq!(model.published(WEB).as_deref(), Some("198.51.100.10"));
    assert_eq!(model.programmed(WEB), (false, "OVNUnavailable".into()));
    model.when(|w| w.ovn = rows);
    assert_eq!(model.programmed(WEB), (true, "Programmed".into()));
    assert!(matches!(model.world.ovn.link, OvnLink::Up));
}

#[test]
fn who_is_granted_an_address_of_another_leaves_it_to_him_and_draws_again() {
    let mut model = served();
    model.kube_ovn = false;
    let other = Service { uid: Uid::new("uid-other"), ..new_service() };
    model.when(|w| w.put_service("a/default/other", Some(other)));
    // Somebody deletes the OvnEip, and Kube-OVN grants its address to the newcomer.
    let name =
        crate::plan::ovn_eip_name(&"default".parse().unwrap(), &Uid::new("uid-a"), &key(WEB));
    model.world.put_ovn_eip(&name, None);
    testing::kube_ovn(&mut model.world);
    model.settle().after_seconds(3);
    assert_eq!(model.published(WEB), None);
    model.kube_ovn = true;
    model.after_seconds(3);
    assert_eq!(model.published(WEB).as_deref(), Some("198.51.100.10"));
    assert_eq!(model.published("a/default/other").as_deref(), Some("198.51.100.11"));
}

#[test]
fn the_address_of_a_service_whose_wishes_cannot_be_served_is_held_all_the_same() {
    let mut model = served();
    model.when(|w| w.service(WEB).source_ranges = vec!["203.0.113.0/24".into()]);
    model.when(steal_ovn_eip);
    let held = model.world.under.ovn_eips.values().next().unwrap();
    assert_eq!(held.granted(), "198.51.100.10".parse().ok());
}

#[test]
fn what_was_drawn_for_a_service_that_is_refused_meanwhile_is_given_back() {
    let mut model = created();
    model.kube_ovn = false;
    model.settle();
    assert_eq!(model.world.under.ovn_eips.len(), 1);
    model.kube_ovn = true;
    model.when(|w| w.service(WEB).source_ranges = vec!["203.0.113.0/24".into()]);
    assert!(model.world.under.ovn_eips.is_empty() && model.world.under.eips.is_empty());
    model.when(|w| w.service(WEB).source_ranges.clear());
    assert_eq!(model.published(WEB).as_deref(), Some("198.51.100.10"));
}
