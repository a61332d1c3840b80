//! Every reason for which a Service gets nothing, each brought about once and told in words.

use std::collections::BTreeSet;
use std::net::IpAddr;

use pools::{Closed, Quota, Request, Resource, ServiceAllocation, TenantSpec};

use super::*;

/// What makes the reason, and the Service `s` that asks.
type Case<'c> = (&'c str, fn(&mut Scene) -> Result<Assigned, Refusal>, &'c str);

/// The reason in one word: one that is new here must be added to the cases.
fn word(refusal: &Refusal) -> &'static str {
    let closed = |why: &Closed| match why {
        Closed::Tenant => "Tenant",
        Closed::NotListed => "NotListed",
        Closed::Service => "Service",
        Closed::OutOfReach => "OutOfReach",
        Closed::Drained => "Drained",
        Closed::Delegated => "Delegated",
        Closed::Gone => "Gone",
        Closed::Broken => "Broken",
        Closed::Conflicting => "Overlapping",
    };
    match refusal {
        Refusal::OneFamily(..) => "OneFamily",
        Refusal::UnknownPool(_) => "UnknownPool",
        Refusal::PoolClosed { why, .. } => closed(why),
        Refusal::NoPool { .. } => "NoPool",
        Refusal::Exhausted { .. } => "Exhausted",
        Refusal::Quota { resource: Resource::LoadBalancers, .. } => "LoadBalancers",
        Refusal::Quota { resource: Resource::Addresses(_), .. } => "Addresses",
        Refusal::Quota { resource: Resource::Ports, .. } => "Ports",
        Refusal::Unavailable { why, .. } => match why {
            Unavailable::NotInPool => "NotInPool",
            Unavailable::OtherPool(_) => "OtherPool",
            Unavailable::PoolClosed { .. } => "AddressOfClosedPool",
            Unavailable::Family(_) => "Family",
            Unavailable::Taken(_) => "Taken",
            Unavailable::NotShared(_) => "NotShared",
            Unavailable::Port { .. } => "Port",
            Unavailable::Resting(_) => "Resting",
            Unavailable::Conflicting => "Contradicted",
            Unavailable::Reserved(_) => "Reserved",
        },
    }
}

const POOL: Ask<'_> = Ask { pool: Some("pool"), ..V4 };
const FIRST: Ask<'_> = Ask { addresses: &["10.0.0.0"], ..V4 };
const KEY: Option<(&str, &str)> = Some(("key", ""));

/// `pool` with an edit, beside `other`.
fn edited(scene: &mut Scene, edit: impl FnOnce(&mut PoolSpec)) {
    let mut pool = spec(&["10.0.0.0/30", "2001:db8::/126"]);
    edit(&mut pool);
    scene.set([("pool", pool), ("other", spec(&["10.1.0.0/30"]))]);
}

/// `s` asks for pool `pool` after an edit of it.
fn closed(scene: &mut Scene, edit: impl FnOnce(&mut PoolSpec)) -> Result<Assigned, Refusal> {
    edited(scene, edit);
    scene.assign("s", POOL)
}

fn limited(scene: &mut Scene, quota: Quota) {
    scene.allocator.set_tenant("tenant", TenantSpec { quota, ..TenantSpec::default() });
}

fn only(name: &str) -> Option<BTreeSet<String>> {
    Some([name.to_owned()].into())
}

/// `s` asks for pool `pool` among none.
fn among_none(scene: &mut Scene) -> Result<Assigned, Refusal> {
    let none = BTreeSet::from([String::new()]);
    scene.allocator.assign(&Request {
        service: service("default", "s"),
        labels: &scene::labels(&[]),
        namespace_labels: None,
        families: Families::Only(Family::V4),
        addresses: &[] as &[IpAddr],
        pool: Some("pool"),
        ports: &[],
        sharing: None,
        among: Some(&none),
    })
}

const CASES: &[Case<'_>] = &[
    (
        "OneFamily",
        |s| s.assign("s", Ask { addresses: &["10.0.0.0", "10.0.0.1"], ..V4 }),
        "10.0.0.0 and 10.0.0.1 are of one family: ask for at most one address of each",
    ),
    (
        "UnknownPool",
        |s| s.assign("s", Ask { pool: Some("gold"), ..V4 }),
        "pool \"gold\" does not exist",
    ),
    (
        "Tenant",
        |s| closed(s, |pool| pool.tenants = only("b")),
        "pool \"pool\" is not open to the Service: it is bound to other tenants",
    ),
    (
        "NotListed",
        |s| {
            let pools = only("other").unwrap();
            s.allocator.set_tenant("tenant", TenantSpec { pools, ..TenantSpec::default() });
            s.assign("s", POOL)
        },
        "pool \"pool\" is not open to the Service: the TenantCluster names other pools",
    ),
    (
        "Service",
        |s| {
            let namespaces = only("web").unwrap();
            let allocation = ServiceAllocation { namespaces, ..ServiceAllocation::default() };
            closed(s, |pool| pool.allocation = Some(allocation))
        },
        "pool \"pool\" is not open to the Service: its serviceAllocation selects other Services",
    ),
    (
        "OutOfReach",
        among_none,
        "pool \"pool\" is not open to the Service: its addresses do not reach the Service",
    ),
    (
        "Drained",
        |s| closed(s, |pool| pool.drain = true),
        "pool \"pool\" is not open to the Service: it is being drained",
    ),
    (
        "Delegated",
        |s| closed(s, |pool| pool.delegated = true),
        "pool \"pool\" is not open to the Service: it is delegated to a tenant's own MetalLB",
    ),
    (
        "Gone",
        |s| {
            s.gets("other", POOL);
            s.set([("other", spec(&["10.1.0.0/30"]))]);
            s.assign("s", POOL)
        },
        "pool \"pool\" is not open to the Service: it is deleted",
    ),
    (
        "Broken",
        |s| closed(s, |pool| pool.broken = true),
        "pool \"pool\" is not open to the Service: it is not ready: see its condition",
    ),
    (
        "Overlapping",
        |s| {
            let created = |spec: PoolSpec, created| PoolSpec { created, ..spec };
            s.set([
                ("pool", created(spec(&["10.0.0.0/30"]), 2)),
                ("older", created(spec(&["10.0.0.3"]), 1)),
            ]);
            s.assign("s", POOL)
        },
        "pool \"pool\" is not open to the Service: it overlaps an older pool",
    ),
    (
        "NoPool",
        |s| {
            edited(s, |pool| pool.auto_assign = false);
            let pools = s.pools.clone().into_iter().filter(|(name, _)| name == "pool");
            s.allocator.set_pools(pools.collect());
            s.assign("s", V4)
        },
        "no pool of 1 is open to the Service and assigns addresses by itself",
    ),
    (
        "Exhausted",
        |s| {
            s.set([("pool", spec(&["10.0.0.0/31"]))]);
            s.gets("one", V4);
            s.gets("two", V4);
            s.allocator.release(&service("default", "two"), Afterwards::Rest(60));
            s.assign("s", V4)
        },
        "no IPv4 address is free in \"pool\" (IPv4: 0 of 2 free, 1 assigned, 1 resting)",
    ),
    (
        "LoadBalancers",
        |s| {
            limited(s, Quota { load_balancers: Some(1), ..Quota::default() });
            s.gets("one", V4);
            s.assign("s", V4)
        },
        "the tenant's quota of 1 load balancers leaves no room: 1 in use",
    ),
    (
        "Addresses",
        |s| {
            let addresses = PerFamily { v4: None, v6: Some(0) };
            limited(s, Quota { addresses, ..Quota::default() });
            s.assign("s", V6)
        },
        "the tenant's quota of 0 IPv6 addresses leaves no room: 0 in use",
    ),
    (
        "Ports",
        |s| {
            limited(s, Quota { ports: Some(1), ..Quota::default() });
            s.gets("one", V4);
            s.assign("s", V4)
        },
        "the tenant's quota of 1 ports leaves no room: 1 in use",
    ),
    (
        "NotInPool",
        |s| s.assign("s", Ask { addresses: &["10.9.0.0"], ..V4 }),
        "10.9.0.0 cannot be given: it is in no pool, or excluded there",
    ),
    (
        "OtherPool",
        |s| s.assign("s", Ask { addresses: &["10.1.0.0"], ..POOL }),
        "10.1.0.0 cannot be given: it is in pool \"other\"",
    ),
    (
        "AddressOfClosedPool",
        |s| {
            edited(s, |pool| pool.drain = true);
            s.assign("s", FIRST)
        },
        "10.0.0.0 cannot be given: pool \"pool\" is closed: it is being drained",
    ),
    (
        "Family",
        |s| s.assign("s", Ask { addresses: &["10.0.0.0"], ..V6 }),
        "10.0.0.0 cannot be given: the Service wants no IPv4",
    ),
    (
        "Taken",
        |s| {
            tell(s, "10.0.0.0", Owner::Foreign("Vip router")).unwrap();
            s.assign("s", FIRST)
        },
        "10.0.0.0 cannot be given: it belongs to Vip router",
    ),
    (
        "NotShared",
        |s| {
            s.gets("one", FIRST);
            s.assign("s", FIRST)
        },
        "10.0.0.0 cannot be given: default/one has it under another sharing key, or for other \
         backends",
    ),
    (
        "Port",
        |s| {
            s.gets("one", Ask { sharing: KEY, ..FIRST });
            s.assign("s", Ask { sharing: KEY, ..FIRST })
        },
        "10.0.0.0 cannot be given: default/one has port TCP/80 of it",
    ),
    (
        "Resting",
        |s| {
            tell(s, "10.0.0.0", resting("one")).unwrap();
            s.assign("s", FIRST)
        },
        "10.0.0.0 cannot be given: it rests until 60 (Unix time) since its release",
    ),
    (
        "Contradicted",
        |s| {
            bound(s, "10.0.0.1", &["one"]).unwrap();
            // One Service, two addresses of a family: the lower counts, the other is nobody's.
            bound(s, "10.0.0.2", &["one"]).unwrap_err();
            s.assign("s", Ask { addresses: &["10.0.0.2"], ..V4 })
        },
        "10.0.0.2 cannot be given: its records contradict each other",
    ),
    (
        "Reserved",
        |s| {
            let service = Some(("default", "one"));
            tell(s, "10.0.0.0", Owner::Reserved { tenant: "tenant", service }).unwrap();
            s.assign("s", FIRST)
        },
        "10.0.0.0 cannot be given: it is reserved for tenant/default/one",
    ),
];

#[test]
fn each_reason_is_told_with_what_is_behind_it_and_changes_nothing() {
    for (reason, ask, text) in CASES {
        let mut scene = Scene::default();
        edited(&mut scene, |_| {});
        let refusal = ask(&mut scene).unwrap_err();
        assert_eq!((word(&refusal), refusal.to_string().as_str()), (*reason, *text));
        assert_eq!(scene.allocator.of(&service("default", "s")), None, "{reason}");
        // Asked again, it says the same: nothing was taken for it.
        let entries: Vec<_> = scene.allocator.iter().collect();
        assert!(!format!("{entries:?}").contains("default/s\""), "{reason}: {entries:?}");
    }
    let told: BTreeSet<&str> = CASES.iter().map(|(reason, ..)| *reason).collect();
    assert_eq!((told.len(), CASES.len()), (26, 26), "a reason has no case");
}
