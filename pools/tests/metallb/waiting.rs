//! Addresses that wait for who had them, and pools that close meanwhile.

use std::collections::BTreeSet;

use pools::{Closed, PerFamily, Quota, TenantSpec};

use super::*;

const REST: Afterwards<'_> = Afterwards::Rest(60);

fn let_go(scene: &mut Scene, name: &str, afterwards: Afterwards<'_>) {
    scene.allocator.release(&service("default", name), afterwards);
}

/// The pool as it is drained, delegated, or bound to another tenant.
fn closed(ranges: &[&str]) -> [PoolSpec; 3] {
    let other = Some(BTreeSet::from(["other".to_owned()]));
    [
        PoolSpec { drain: true, ..spec(ranges) },
        PoolSpec { delegated: true, ..spec(ranges) },
        PoolSpec { tenants: other, ..spec(ranges) },
    ]
}

#[test]
fn who_had_an_address_gets_it_back_from_the_pool_it_names() {
    let mut scene = Scene::new([("a", spec(&["10.0.0.0/30"])), ("b", spec(&["10.0.1.0/30"]))]);
    let of = |pool| Ask { pool: Some(pool), ..V4 };
    scene.gets("s", of("a"));
    let_go(&mut scene, "s", REST);
    scene.gets("other", of("b"));
    assert_eq!(scene.gets("s", of("b")), ["10.0.1.1"]);
    let_go(&mut scene, "s", Afterwards::Rest(90));
    assert_eq!(scene.gets("t", of("b")), ["10.0.1.2"], "another does not");
    assert_eq!(scene.gets("s", of("b")), ["10.0.1.1"]);
    let_go(&mut scene, "s", Afterwards::Rest(90));
    assert_eq!(scene.gets("s", V4), ["10.0.1.1"], "the one it had last");
}

#[test]
fn a_pool_that_closed_gives_back_what_is_reserved_and_not_what_rests() {
    let ranges = ["10.0.0.0/30", "2001:db8::/126"];
    for (afterwards, reserved) in [(REST, false), (Afterwards::Keep, true)] {
        for pool in closed(&ranges) {
            let mut scene = Scene::new([("pool", spec(&ranges))]);
            scene.gets("s", V4);
            let_go(&mut scene, "s", afterwards);
            scene.set([("pool", pool)]);
            let by_itself = scene.assign("s", V4);
            let asks = Ask { addresses: &["10.0.0.0"], ..V4 };
            if reserved {
                assert_eq!(scene.gets("s", asks), ["10.0.0.0"]);
                let_go(&mut scene, "s", afterwards);
                let named = Ask { pool: Some("pool"), ..V4 };
                assert_eq!(scene.gets("s", named), ["10.0.0.0"]);
            } else {
                assert!(by_itself.is_err(), "{by_itself:?}");
                let refused = scene.refused("s", asks);
                assert!(matches!(refused, Unavailable::PoolClosed { .. }), "{refused:?}");
            }
            // Nothing is given anew beside it.
            let both = scene.assign("s", Ask { families: Families::Both, ..asks });
            assert!(both.is_err(), "{both:?}");
        }
    }
    let mut scene = Scene::new([("pool", closed(&["10.0.0.0/30"])[1].clone())]);
    let named = scene.assign("s", Ask { pool: Some("pool"), ..V4 });
    assert!(matches!(named, Err(Refusal::PoolClosed { why: Closed::Delegated, .. })));
}

#[test]
fn a_shared_address_outside_its_pool_takes_no_more_services() {
    let mut scene = Scene::new([("pool", spec(&["10.0.0.0/28"]))]);
    let with = |port| Ask { sharing: Some(("k", "")), port, ..V4 };
    assert_eq!(scene.gets("s1", with(80)), ["10.0.0.0"]);
    scene.set([("pool", spec(&["10.0.0.8/29"]))]);
    assert_eq!(scene.gets("s2", with(81)), ["10.0.0.8"]);
    assert_eq!(scene.gets("s1", with(80)), ["10.0.0.0"], "it stays");
}

#[test]
fn an_empty_key_shares_nothing() {
    let mut scene = Scene::new([("pool", spec(&["10.0.0.0/31"]))]);
    let empty = |port| Ask { sharing: Some(("", "")), port, ..V4 };
    assert_eq!(scene.gets("s1", empty(80)), ["10.0.0.0"]);
    assert_eq!(scene.gets("s2", empty(81)), ["10.0.0.1"]);
}

#[test]
fn a_tenant_that_has_what_it_may_have_can_still_change_its_address() {
    let mut scene = Scene::new([("pool", spec(&["10.0.0.0/30"]))]);
    let addresses = PerFamily { v4: Some(1), v6: None };
    let quota = Quota { load_balancers: Some(1), addresses, ports: Some(1) };
    scene.allocator.set_tenant("tenant", TenantSpec { quota, ..TenantSpec::default() });
    scene.gets("s", V4);
    let moved = scene.assign("s", Ask { addresses: &["10.0.0.2"], ..V4 });
    assert!(matches!(moved, Ok(Assigned::Move { .. })), "{moved:?}");
    let more = scene.assign("t", V4);
    let Err(Refusal::Quota { limit: 1, .. }) = more else { panic!("{more:?}") };
}
