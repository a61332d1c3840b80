//! Random histories of Services, pools, quotas, restarts, changes of leadership, events that come
//! late or twice, answers that come late, and clocks that are set: after each step no address is another's, none has moved
//! unasked, and what is counted equals a recount (which each rest of the bench holds); in the end
//! nothing is left over.

use std::collections::{BTreeMap, BTreeSet};

use jiff::SignedDuration;
use proptest::prelude::*;

use super::bench::{Bench, new_service};
use crate::engine::{Input, TenantObject, UnderKind};
use crate::ids::Uid;
use crate::ovn::RowChange;
use crate::service::Service;
use crate::testing::{only, pool, ranges, world};
use crate::under::Pool;

const SERVICES: usize = 5;

/// One thing that happens; Services by their number.
#[derive(Clone, Debug)]
enum Happening {
    Create(usize),
    Delete(usize),
    ForceDelete(usize),
    Ask(usize, Option<u8>),
    AskPool(usize, Option<bool>),
    Keep(usize, bool),
    Quota(Option<u32>),
    Drain(bool),
    Ranges(u8),
    Bound(bool),
    PoolGone(bool),
    OvnEipStolen(prop::sample::Index),
    EipDeleted(prop::sample::Index),
    RowDeleted(prop::sample::Index),
    Restart,
    LeaderChange,
    ListedAnew,
    ToldAgain,
    LateAnswer(prop::sample::Index),
    ClockSet(i64),
    Seconds(u64),
}

fn happening() -> impl Strategy<Value = Happening> {
    use Happening::*;
    let service = || 0..SERVICES;
    let any_of = || any::<prop::sample::Index>();
    prop_oneof![
        6 => service().prop_map(Create),
        3 => service().prop_map(Delete),
        1 => service().prop_map(ForceDelete),
        2 => (service(), prop::option::of(48_u8..54)).prop_map(|(s, a)| Ask(s, a)),
        1 => (service(), any::<Option<bool>>()).prop_map(|(s, p)| AskPool(s, p)),
        1 => (service(), any::<bool>()).prop_map(|(s, keep)| Keep(s, keep)),
        1 => prop::option::of(1_u32..4).prop_map(Quota),
        1 => any::<bool>().prop_map(Drain),
        1 => (50_u8..54).prop_map(Ranges),
        1 => any::<bool>().prop_map(Bound),
        1 => any::<bool>().prop_map(PoolGone),
        1 => any_of().prop_map(OvnEipStolen),
        1 => any_of().prop_map(EipDeleted),
        1 => any_of().prop_map(RowDeleted),
        1 => Just(Restart),
        1 => Just(LeaderChange),
        1 => Just(ListedAnew),
        1 => Just(ToldAgain),
        2 => any_of().prop_map(LateAnswer),
        1 => (-100_000_i64..100_000).prop_map(ClockSet),
        3 => (0_u64..20).prop_map(Seconds),
    ]
}

fn key(number: usize) -> String {
    format!("a/default/web-{number}")
}

/// Addresses 50 to `last` of the provider network, which Kube-OVN's pool leaves to us.
fn ours(last: u8) -> Pool {
    Pool { quarantine_seconds: 5, ..ranges(&[&format!("198.51.100.50-198.51.100.{last}")]) }
}

fn start() -> Bench {
    let mut world = world();
    let kube_ovns = Pool {
        quarantine_seconds: 5,
        excludes: vec!["198.51.100.50-198.51.100.59".parse().unwrap()],
        ..pool("external")
    };
    world.under.pools = [("kube-ovns".into(), kube_ovns), ("ours".into(), ours(52))].into();
    Bench::told(world)
}

fn happen(bench: &mut Bench, what: &Happening, count: usize) {
    let exists = |bench: &Bench, number: usize| {
        let key = crate::testing::key(&key(number));
        bench.truth.tenants[key.tenant()].services.contains_key(&key)
    };
    let annotate = |service: &mut Service, name: &str, value: Option<&str>| {
        match value {
            Some(value) => service.annotations.insert(name.to_owned(), value.to_owned()),
            None => service.annotations.remove(name),
        };
    };
    let ours_of = |bench: &mut Bench, edit: &dyn Fn(&mut Pool)| {
        if let Some(pool) = bench.truth.under.pools.get_mut("ours") {
            edit(pool);
        }
    };
    match what {
        Happening::Create(n) if !exists(bench, *n) => {
            let uid = Uid::new(&format!("uid-{n}-{count}"));
            bench.truth.put_service(&key(*n), Some(Service { uid, ..*new_service() }));
        }
        Happening::Delete(n) if exists(bench, *n) => {
            let service = bench.truth.service(&key(*n));
            service.deleting = true;
            if !service.finalizer {
                bench.truth.put_service(&key(*n), None);
            }
        }
        Happening::ForceDelete(n) => bench.truth.put_service(&key(*n), None),
        Happening::Ask(n, last) if exists(bench, *n) => {
            let wish = last.map(|last| format!("198.51.100.{last}"));
            bench.truth.service(&key(*n)).load_balancer_ip = wish;
        }
        Happening::AskPool(n, wish) if exists(bench, *n) => {
            let pool = wish.map(|ours| if ours { "ours" } else { "kube-ovns" });
            annotate(bench.truth.service(&key(*n)), cpo_api::names::ANNOTATION_POOL, pool);
        }
        Happening::Keep(n, keep) if exists(bench, *n) => {
            let keep = keep.then_some("true");
            annotate(bench.truth.service(&key(*n)), cpo_api::names::ANNOTATION_KEEP, keep);
        }
        Happening::Quota(limit) => bench.truth.tenant_a().spec.quota.load_balancers = *limit,
        Happening::Drain(drain) => ours_of(bench, &|pool| pool.drain = *drain),
        Happening::Ranges(last) => ours_of(bench, &|pool| pool.source = ours(*last).source),
        Happening::Bound(to_another) => {
            ours_of(bench, &|pool| pool.tenants = only(&["b"]).filter(|_| *to_another));
        }
        Happening::PoolGone(gone) => {
            bench.truth.under.pools.remove("ours");
            if !gone {
                bench.truth.under.pools.insert("ours".into(), ours(52));
            }
        }
        Happening::OvnEipStolen(index) => {
            let names: Vec<_> = bench.truth.under.ovn_eips.keys().cloned().collect();
            if !names.is_empty() {
                bench.truth.put_ovn_eip(index.get(&names).as_str(), None);
            }
        }
        Happening::EipDeleted(index) => {
            let live = bench.truth.under.eips.iter().filter(|(_, eip)| eip.released().is_none());
            let names: Vec<_> = live.map(|(name, _)| name.clone()).collect();
            if !names.is_empty() {
                bench.truth.put_eip(index.get(&names).as_str(), None);
            }
        }
        Happening::RowDeleted(index) => {
            let rows: Vec<_> = bench.truth.ovn.load_balancers.keys().copied().collect();
            if !rows.is_empty() {
                bench.truth.put_row(RowChange::LoadBalancer(*index.get(&rows), None));
            }
        }
        Happening::Restart => {
            let mut after = Bench::told(bench.truth.clone());
            after.now = bench.now;
            *bench = after;
        }
        Happening::LeaderChange => {
            bench.engine.stand_by();
            bench.feed();
            bench.engine.lead();
        }
        Happening::ListedAnew => {
            bench.engine.handle(Input::UnderLost(UnderKind::Eip));
            bench.feed();
            bench.list_all();
        }
        Happening::ToldAgain => bench.tell_again(),
        Happening::LateAnswer(index) => late_answer(bench, index),
        Happening::ClockSet(seconds) => bench.now.wall += SignedDuration::from_secs(*seconds),
        Happening::Seconds(seconds) => bench.wait(*seconds),
        _ => {}
    }
    bench.run();
}

/// One of the answers to patches so far comes only now. It brings no Service, exchanges none, and
/// makes none older; what follows from it is done before the watch tells more.
fn late_answer(bench: &mut Bench, index: &prop::sample::Index) {
    if bench.answers.is_empty() {
        return;
    }
    let known = |bench: &Bench| -> BTreeMap<_, _> {
        let services = &bench.engine.world().tenants[&"a".parse().unwrap()].services;
        services.iter().map(|(key, s)| ((key.clone(), s.uid.clone()), s.version)).collect()
    };
    let (key, service) = index.get(&bench.answers).clone();
    let before = known(bench);
    let (namespace, name) = (key.namespace().to_owned(), key.name().to_owned());
    let answer = TenantObject::Patched(namespace, name, Box::new(service));
    bench.engine.handle(Input::Tenant(key.tenant().clone(), answer));
    assert_eq!(known(bench), before, "what is known is as new");
    for job in bench.poll() {
        bench.finish(&job);
    }
}

/// The address that is published on each Service, by its UID.
fn published(bench: &Bench) -> BTreeMap<String, String> {
    let services = bench.truth.tenants[&"a".parse().unwrap()].services.values();
    services
        .filter_map(|s| Some((s.uid.to_string(), s.status.ingress.first()?.ip.clone())))
        .collect()
}

/// The UID of the Service that a step itself asks to move, or to lose its address.
fn asked(bench: &Bench, what: &Happening) -> Option<String> {
    let number = match what {
        Happening::Ask(n, _) | Happening::AskPool(n, _) | Happening::Delete(n) => *n,
        _ => return None,
    };
    let key = crate::testing::key(&key(number));
    bench.truth.tenants[key.tenant()].services.get(&key).map(|service| service.uid.to_string())
}

fn holds(
    bench: &Bench,
    before: &BTreeMap<String, String>,
    wishes: &BTreeSet<String>,
    what: &Happening,
) -> Result<(), TestCaseError> {
    let after = published(bench);
    let addresses: BTreeSet<_> = after.values().collect();
    prop_assert_eq!(addresses.len(), after.len(), "an address twice after {:?}", what);
    for (uid, address) in before {
        let Some(now) = after.get(uid).filter(|_| !wishes.contains(uid)) else { continue };
        prop_assert_eq!(now, address, "{} was moved by {:?}", uid, what);
    }
    // What one lets go of rests: in the same step it is nobody else's. A rest that nobody knows of
    // is none.
    if matches!(what, Happening::Seconds(_) | Happening::ClockSet(_) | Happening::EipDeleted(_)) {
        return Ok(());
    }
    let name = |uid: &str| uid.rsplit_once('-').map(|(name, _)| name.to_owned());
    for (uid, address) in &after {
        let had = before.iter().find(|(_, other)| *other == address).map(|(had, _)| name(had));
        prop_assert!(had.is_none_or(|had| had == name(uid)), "{} did not rest", address);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 200, failure_persistence: None, ..ProptestConfig::default()
    })]

    #[test]
    fn whatever_happens_no_address_is_doubled_moved_or_lost(
        history in prop::collection::vec(happening(), 20..80),
    ) {
        let mut bench = start();
        bench.run();
        // A wish that is refused for a while may be granted later.
        let mut wishes = BTreeSet::new();
        for (count, what) in history.iter().enumerate() {
            let before = published(&bench);
            wishes.extend(asked(&bench, what));
            happen(&mut bench, what, count);
            holds(&bench, &before, &wishes, what)?;
        }
        for number in 0..SERVICES {
            happen(&mut bench, &Happening::Keep(number, false), 0);
            happen(&mut bench, &Happening::Delete(number), 0);
        }
        bench.wait(150);
        let kept = |eip: &crate::under::Eip| eip.spec.keep;
        let left: Vec<_> = bench.truth.under.eips.values().filter(|eip| !kept(eip)).collect();
        prop_assert!(left.is_empty(), "left over: {:#?}", left);
        prop_assert_eq!(bench.truth.under.ovn_eips.len(), bench.truth.under.eips.len());
        prop_assert!(bench.truth.ovn.load_balancers.is_empty());
    }
}
