//! What a tenant may have.

use pools::{Quota, Resource, TenantSpec, Used};

use super::*;

fn scene(v4: u64) -> Scene {
    let mut scene = Scene::new([("pool", spec(&["10.0.0.0/28", "2001:db8::/126"]))]);
    let addresses = PerFamily { v4: Some(v4), v6: None };
    let quota = Quota { addresses, ..Quota::default() };
    scene.allocator.set_tenant("tenant", TenantSpec { quota, ..TenantSpec::default() });
    scene
}

fn refusal(limit: u64, used: Used) -> Result<Assigned, Refusal> {
    Err(Refusal::Quota { resource: Resource::Addresses(Family::V4), limit, used })
}

#[test]
fn what_rests_and_what_is_kept_counts() {
    let mut scene = scene(3);
    for name in ["s1", "s2", "s3"] {
        scene.gets(name, V4);
    }
    scene.allocator.release(&service("default", "s1"), Afterwards::Rest(60));
    scene.allocator.release(&service("default", "s2"), Afterwards::Keep);
    let used = Used { assigned: 1, resting: 1, kept: 1 };
    assert_eq!(scene.assign("s4", V4), refusal(3, used));
    let text = refusal(3, used).unwrap_err().to_string();
    let expected = "the tenant's quota of 3 IPv4 addresses leaves no room: 1 in use, 1 resting \
                    since their release, 1 kept for Services that are gone";
    assert_eq!(text, expected);
    let usage = scene.allocator.usage("tenant");
    assert_eq!((usage.addresses.v4, usage.resting.v4, usage.kept.v4), (1, 1, 1));
    assert_eq!(scene.gets("s1", V4), ["10.0.0.0"], "its own is not counted twice");
    assert_eq!(scene.gets("s2", V4), ["10.0.0.1"]);
    scene.free("s3");
    assert_eq!(scene.gets("s4", V4), ["10.0.0.2"]);
}

#[test]
fn what_an_operator_reserved_counts_once_it_is_bound() {
    let mut scene = scene(1);
    for address in ["10.0.0.4", "10.0.0.5"] {
        tell(&mut scene, address, Owner::Reserved { tenant: "tenant", service: None }).unwrap();
    }
    assert_eq!(scene.gets("s1", Ask { addresses: &["10.0.0.4"], ..V4 }), ["10.0.0.4"]);
    let used = Used { assigned: 1, ..Used::default() };
    assert_eq!(scene.assign("s2", Ask { addresses: &["10.0.0.5"], ..V4 }), refusal(1, used));
    let usage = scene.allocator.usage("tenant");
    assert_eq!((usage.addresses.v4, usage.reserved.v4), (1, 1));
    // Released, it is as it was.
    scene.allocator.release(&service("default", "s1"), Afterwards::Reserved(None));
    assert_eq!(state(&scene, "10.0.0.4"), Some(State::Reserved(None)));
    assert_eq!(scene.gets("s2", V4), ["10.0.0.0"], "it is not handed out unasked");
}

#[test]
fn who_may_have_one_address_can_exchange_it_once_at_a_time() {
    let mut scene = scene(1);
    scene.gets("s", V4);
    let to = |address| Ask { addresses: address, ..V4 };
    assert!(matches!(scene.assign("s", to(&["10.0.0.5"])), Ok(Assigned::Move { .. })));
    scene.allocator.release(&service("default", "s"), Afterwards::Rest(60));
    assert_eq!(scene.gets("s", to(&["10.0.0.5"])), ["10.0.0.5"]);
    // A second exchange waits until the first address has rested: else it would drain the pool.
    let used = Used { assigned: 1, resting: 1, kept: 0 };
    assert_eq!(scene.assign("t", V4), refusal(1, used));
    scene.allocator.release(&service("default", "s"), Afterwards::Rest(60));
    let used = Used { assigned: 0, resting: 2, kept: 0 };
    assert_eq!(scene.assign("s", to(&["10.0.0.6"])), refusal(1, used));
}

#[test]
fn who_prefers_a_pair_gets_the_family_that_the_quota_has_room_for() {
    let mut scene = scene(0);
    assert_eq!(scene.gets("s", PREFER), ["2001:db8::"]);
    let wished = scene.assign("t", Ask { addresses: &["10.0.0.5"], ..PREFER });
    assert_eq!(wished, refusal(0, Used::default()));
}

#[test]
fn a_tenant_that_is_removed_keeps_what_it_has() {
    let mut scene = scene(1);
    scene.gets("s1", V4);
    scene.allocator.remove_tenant("tenant");
    assert_eq!(scene.gets("s2", V4), ["10.0.0.1"], "its quota is gone");
    assert_eq!(scene.gets("s1", V4), ["10.0.0.0"]);
    assert_eq!(scene.allocator.usage("tenant").addresses.v4, 2);
}
