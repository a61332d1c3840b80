//! Random histories in VLAN mode, beside speakers that come, go and lie, and operators that say they
//! are gone for good: no address is another's, none moves unasked, none is published that nobody
//! says he announces, and in the end, when the speakers obey, nothing is left over. That nothing is
//! released while a speaker that counts says a word about it, the model holds itself.

use std::collections::{BTreeMap, BTreeSet};

use cpo_api::{AnnouncementState, EipAnnouncement, names};
use jiff::SignedDuration;
use proptest::prelude::*;
use proptest::sample::Index;

use super::bench::{Bench, key, new_service};
use super::vlan::{say, speak, world as vlan_world};
use crate::engine::{Input, UnderKind};
use crate::ids::Uid;
use crate::service::Service;
use crate::testing::{self, ranges, under_node};
use crate::under::{Advertisement, Eip, Pool};

const SERVICES: usize = 4;
const NODES: [&str; 2] = ["node1", "node2"];

/// What a speaker can say, or an entry that another Eip of this name had.
#[derive(Clone, Copy, Debug)]
enum Word {
    Nothing,
    Says(AnnouncementState),
    OfAnother,
}

/// One thing that happens; Services and nodes by their number.
#[derive(Clone, Debug)]
enum Happening {
    Create(usize),
    Delete(usize),
    ForceDelete(usize),
    Ask(usize, Option<u8>),
    Keep(usize, bool),
    /// A speaker does what it is told.
    Obeys(usize),
    /// It says so, whatever it is told.
    Lies(usize, Index, Word),
    NodeGone(usize, bool),
    OutOfService(usize, bool),
    Acknowledged(usize, Index),
    Advertised(bool),
    Drain(bool),
    Ranges(u8),
    PoolGone(bool),
    MachinesExcluded(bool, bool),
    EipDeleted(Index),
    Restart,
    LeaderChange,
    ListedAnew,
    ToldAgain,
    ClockSet(i64),
    Seconds(u64),
}

fn happening() -> impl Strategy<Value = Happening> {
    use Happening::*;
    let service = || 0..SERVICES;
    let node = || 0..NODES.len();
    let any_of = || any::<Index>();
    let word = prop_oneof![
        2 => Just(Word::Nothing),
        2 => Just(Word::Says(AnnouncementState::Announced)),
        1 => Just(Word::Says(AnnouncementState::Contested)),
        1 => Just(Word::Says(AnnouncementState::Conflict)),
        1 => Just(Word::OfAnother),
    ];
    prop_oneof![
        6 => service().prop_map(Create),
        3 => service().prop_map(Delete),
        1 => service().prop_map(ForceDelete),
        2 => (service(), prop::option::of(48_u8..54)).prop_map(|(s, a)| Ask(s, a)),
        1 => (service(), any::<bool>()).prop_map(|(s, keep)| Keep(s, keep)),
        8 => node().prop_map(Obeys),
        4 => (node(), any_of(), word).prop_map(|(n, eip, word)| Lies(n, eip, word)),
        1 => (node(), any::<bool>()).prop_map(|(n, gone)| NodeGone(n, gone)),
        1 => (node(), any::<bool>()).prop_map(|(n, out)| OutOfService(n, out)),
        1 => (node(), any_of()).prop_map(|(n, eip)| Acknowledged(n, eip)),
        1 => any::<bool>().prop_map(Advertised),
        1 => any::<bool>().prop_map(Drain),
        1 => (50_u8..54).prop_map(Ranges),
        1 => any::<bool>().prop_map(PoolGone),
        1 => (any::<bool>(), any::<bool>()).prop_map(|(one, other)| MachinesExcluded(one, other)),
        1 => any_of().prop_map(EipDeleted),
        1 => Just(Restart),
        1 => Just(LeaderChange),
        1 => Just(ListedAnew),
        1 => Just(ToldAgain),
        1 => (-100_000_i64..100_000).prop_map(ClockSet),
        3 => (0_u64..20).prop_map(Seconds),
    ]
}

/// Addresses 50 to `last` of the VLAN.
fn lan(last: u8) -> Pool {
    Pool { quarantine_seconds: 5, ..ranges(&[&format!("10.205.0.50-10.205.0.{last}")]) }
}

fn start() -> Bench {
    let mut world = vlan_world();
    world.under.pools.insert("lan".into(), lan(52));
    Bench::told(world)
}

fn exists(bench: &Bench, number: usize) -> bool {
    let key = testing::key(&key(number));
    bench.truth.tenants[key.tenant()].services.contains_key(&key)
}

/// The name of one of the Eips.
fn any_eip(bench: &Bench, index: &Index) -> Option<String> {
    let names: Vec<_> = bench.truth.under.eips.keys().cloned().collect();
    (!names.is_empty()).then(|| index.get(&names).clone())
}

fn happen(bench: &mut Bench, what: &Happening, count: usize) {
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
            let wish = last.map(|last| format!("10.205.0.{last}"));
            bench.truth.service(&key(*n)).load_balancer_ip = wish;
        }
        Happening::Keep(n, keep) if exists(bench, *n) => {
            let annotations = &mut bench.truth.service(&key(*n)).annotations;
            annotations.remove(names::ANNOTATION_KEEP);
            if *keep {
                annotations.insert(names::ANNOTATION_KEEP.to_owned(), "true".into());
            }
        }
        Happening::Obeys(n) => drop(speak(&mut bench.truth, NODES[*n])),
        Happening::Lies(n, index, word) => {
            if let Some(eip) = any_eip(bench, index) {
                lie(bench, &eip, NODES[*n], *word);
            }
        }
        Happening::NodeGone(n, true) => drop(bench.truth.under.nodes.remove(NODES[*n])),
        Happening::NodeGone(n, false) => {
            let node = || under_node(&format!("192.0.2.{}", n + 1));
            bench.truth.under.nodes.entry(NODES[*n].into()).or_insert_with(node);
        }
        Happening::OutOfService(n, out) => {
            if let Some(node) = bench.truth.under.nodes.get_mut(NODES[*n]) {
                node.out_of_service = *out;
            }
        }
        Happening::Acknowledged(n, index) => {
            if let Some(name) = any_eip(bench, index) {
                let mut eip = bench.truth.under.eips[&name].clone();
                eip.silenced = BTreeSet::from([NODES[*n].to_owned()]);
                eip.version = testing::next(eip.version);
                bench.truth.put_eip(&name, Some(eip));
            }
        }
        Happening::Advertised(yes) => {
            let advertisements = &mut bench.truth.under.advertisements;
            advertisements.clear();
            advertisements.extend(yes.then(|| ("all".to_owned(), Advertisement::default())));
        }
        Happening::Drain(drain) => {
            bench.truth.under.pools.entry("lan".into()).and_modify(|pool| pool.drain = *drain);
        }
        Happening::Ranges(last) => {
            bench
                .truth
                .under
                .pools
                .entry("lan".into())
                .and_modify(|pool| pool.source = lan(*last).source);
        }
        Happening::PoolGone(true) => drop(bench.truth.under.pools.remove("lan")),
        Happening::PoolGone(false) => drop(bench.truth.under.pools.insert("lan".into(), lan(52))),
        Happening::MachinesExcluded(one, other) => {
            bench.truth.node("vm1").excluded = *one;
            bench.truth.node("vm2").excluded = *other;
        }
        Happening::EipDeleted(index) => {
            let names = live_eips(bench);
            if !names.is_empty() {
                bench.truth.put_eip(index.get(&names).as_str(), None);
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
        Happening::ClockSet(seconds) => bench.now.wall += SignedDuration::from_secs(*seconds),
        Happening::Seconds(seconds) => bench.wait(*seconds),
        Happening::Create(_) | Happening::Delete(_) | Happening::Ask(..) | Happening::Keep(..) => {}
    }
    bench.run();
}

/// A speaker says what it pleases of an Eip.
fn lie(bench: &mut Bench, name: &str, node: &str, word: Word) {
    match word {
        Word::Nothing => say(&mut bench.truth, name, node, None),
        Word::Says(state) => say(&mut bench.truth, name, node, Some(state)),
        Word::OfAnother => {
            say(&mut bench.truth, name, node, Some(AnnouncementState::Announced));
            let mut eip = bench.truth.under.eips[name].clone();
            for by in eip.status.announcements.iter_mut().filter(|by| by.node == node) {
                by.uid = "uid-of-another".into();
            }
            bench.truth.put_eip(name, Some(eip));
        }
    }
}

/// The address that is published on each Service, by its UID; one that is being deleted shows what it
/// had until its end.
fn published(bench: &Bench) -> BTreeMap<String, String> {
    let services = bench.truth.tenants[&"a".parse().unwrap()].services.values();
    let of = |s: &Service| Some((s.uid.to_string(), s.status.ingress.first()?.ip.clone()));
    services.filter(|service| !service.deleting).filter_map(of).collect()
}

/// The UIDs of the Services that a step itself asks to move, or to lose their address.
fn asked(bench: &Bench, what: &Happening) -> Vec<String> {
    let services = &bench.truth.tenants[&"a".parse().unwrap()].services;
    let uid = |key: &crate::ids::ServiceKey| services.get(key).map(|s| s.uid.to_string());
    match what {
        Happening::Ask(number, _) | Happening::Delete(number) => {
            uid(&testing::key(&key(*number))).into_iter().collect()
        }
        Happening::EipDeleted(index) => {
            let live = live_eips(bench);
            let name = (!live.is_empty()).then(|| index.get(&live));
            let eip = name.and_then(|name| bench.truth.under.eips.get(name));
            eip.into_iter().flat_map(|eip| &eip.owners).filter_map(uid).collect()
        }
        _ => Vec::new(),
    }
}

/// The names of the Eips that are not released.
fn live_eips(bench: &Bench) -> Vec<String> {
    let live = bench.truth.under.eips.iter().filter(|(_, eip)| eip.released().is_none());
    live.map(|(name, _)| name.clone()).collect()
}

/// Whether a speaker whose word counts says of this very Eip that it announces it.
fn is_announced(bench: &Bench, eip: &Eip) -> bool {
    let counts = |by: &&EipAnnouncement| {
        let node = bench.truth.under.nodes.get(&by.node);
        node.is_some_and(|node| !node.out_of_service) && !eip.silenced.contains(&by.node)
    };
    let all = eip.status.announcements.iter().filter(counts);
    all.filter(|by| by.uid == eip.uid.as_str()).any(|by| by.state != AnnouncementState::Conflict)
}

fn holds(
    bench: &Bench,
    (before, told): (&BTreeMap<String, String>, &BTreeSet<String>),
    wishes: &BTreeSet<String>,
    what: &Happening,
) -> Result<(), TestCaseError> {
    let after = published(bench);
    let addresses: BTreeSet<_> = after.values().collect();
    prop_assert_eq!(addresses.len(), after.len(), "an address twice after {:?}", what);
    let mut machines = bench.truth.tenants[&"a".parse().unwrap()].nodes.values();
    let without_machines = machines.all(|node| node.excluded);
    for (uid, address) in &after {
        let eip = bench.truth.under.eips.get(address);
        prop_assert!(eip.is_some(), "{} is published without an Eip", address);
        let known = before.get(uid) == Some(address) || told.contains(address);
        let announced = eip.is_some_and(|eip| is_announced(bench, eip));
        prop_assert!(
            known || announced || without_machines,
            "{} is published after {:?}, and nobody announces it",
            address,
            what
        );
    }
    for (uid, address) in before {
        let Some(now) = after.get(uid).filter(|_| !wishes.contains(uid)) else { continue };
        prop_assert_eq!(now, address, "{} was moved by {:?}", uid, what);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 200, failure_persistence: None, ..ProptestConfig::default()
    })]

    #[test]
    fn whatever_speakers_say_no_address_is_doubled_moved_or_given_away(
        history in prop::collection::vec(happening(), 20..80),
    ) {
        let mut bench = start();
        bench.run();
        let mut wishes = BTreeSet::new();
        for (count, what) in history.iter().enumerate() {
            let before = published(&bench);
            let eips = bench.truth.under.eips.values();
            let told = eips.filter(|eip| is_announced(&bench, eip));
            let told = told.map(|eip| eip.spec.address.clone()).collect();
            wishes.extend(asked(&bench, what));
            happen(&mut bench, what, count);
            holds(&bench, (&before, &told), &wishes, what)?;
        }
        for number in 0..SERVICES {
            happen(&mut bench, &Happening::Keep(number, false), 0);
            happen(&mut bench, &Happening::Delete(number), 0);
        }
        for number in (0..NODES.len()).cycle().take(20) {
            happen(&mut bench, &Happening::Obeys(number), 0);
        }
        bench.wait(150);
        let left = bench.truth.under.eips.values().filter(|eip| !eip.spec.keep);
        let left: Vec<_> = left.collect();
        prop_assert!(left.is_empty(), "left over: {:#?}", left);
        prop_assert!(bench.truth.tenants[&"a".parse().unwrap()].services.is_empty());
        prop_assert!(bench.truth.ovn.load_balancers.is_empty());
        prop_assert!(bench.truth.under.ovn_eips.is_empty());
    }
}
