use proptest::prelude::*;

use super::*;

fn eip(number: u8) -> IpAddr {
    format!("198.51.100.{number}").parse().unwrap()
}

fn vm(number: u8) -> IpAddr {
    format!("10.0.0.{number}").parse().unwrap()
}

fn wanted(all: &[(u8, &[u8])]) -> Wanted {
    let machines = |numbers: &[u8]| Arc::new(numbers.iter().map(|number| vm(*number)).collect());
    all.iter().map(|(address, numbers)| (eip(*address), machines(numbers))).collect()
}

/// All changes in their order; what removes next hops comes last.
fn all(changes: Changes) -> Vec<Change> {
    let removes = |change: &Change| matches!(change, Change::DeleteNextHop(_));
    assert!(changes.sweep.iter().all(removes) && !changes.make.iter().any(removes));
    changes.make.into_iter().chain(changes.sweep).collect()
}

/// Applies changes one by one, as the kernel would take them.
fn apply(fib: &mut Fib, changes: &[Change]) {
    for change in changes {
        match change {
            Change::AddNextHop(id, _) => {
                assert!(!fib.next_hops.contains_key(id) && !fib.groups.contains_key(id));
            }
            Change::SetGroup(id, hops) => {
                assert!(!fib.next_hops.contains_key(id) && !hops.is_empty());
                assert!(hops.iter().all(|hop| fib.next_hops.contains_key(hop)));
            }
            Change::SetRoute(_, Way::Group(id)) => assert!(fib.groups.contains_key(id)),
            Change::SetRoute(_, Way::Unreachable) => {}
            Change::DeleteRoute(address) => assert!(fib.routes.contains_key(address)),
            Change::DeleteNextHop(id) => {
                // The kernel would take the routes with it.
                assert!(!fib.routes.values().any(|way| *way == Way::Group(*id)), "{id} is in use");
                assert!(!fib.groups.values().any(|hops| hops.contains(id)), "{id} is in use");
            }
        }
        fib.apply(change);
    }
}

/// Where packets of each address go.
fn ways(fib: &Fib) -> BTreeMap<IpAddr, Vec<IpAddr>> {
    let gateways = |way: &Way| match way {
        Way::Unreachable => Vec::new(),
        Way::Group(id) => fib.groups[id].iter().map(|hop| fib.next_hops[hop]).collect(),
    };
    fib.routes.iter().map(|(address, way)| (*address, gateways(way))).collect()
}

fn made(all: &[(u8, &[u8])]) -> Fib {
    let mut fib = Fib::default();
    let changes = self::all(fib.changes(&wanted(all)));
    apply(&mut fib, &changes);
    fib
}

#[test]
fn addresses_with_the_same_machines_share_a_group() {
    let fib = made(&[(1, &[3, 2]), (2, &[2, 3]), (3, &[2]), (4, &[])]);
    assert_eq!((fib.next_hops.len(), fib.groups.len()), (2, 2));
    let both = vec![vm(2), vm(3)];
    let ways = ways(&fib);
    assert_eq!((&ways[&eip(1)], &ways[&eip(2)]), (&both, &both), "in the order of the addresses");
    assert_eq!((&ways[&eip(3)], &ways[&eip(4)]), (&vec![vm(2)], &vec![]));
}

#[test]
fn what_is_right_is_not_touched() {
    let all: &[(u8, &[u8])] = &[(1, &[2, 3]), (2, &[]), (3, &[3])];
    assert_eq!(made(all).changes(&wanted(all)), Changes::default());
}

#[test]
fn a_machine_that_goes_is_one_change_however_many_addresses_it_had() {
    let before: Vec<(u8, &[u8])> = (1..=100).map(|number| (number, &[2, 3, 4][..])).collect();
    let fib = made(&before);
    let after: Vec<(u8, &[u8])> = (1..=100).map(|number| (number, &[2, 4][..])).collect();
    let changes = all(fib.changes(&wanted(&after)));
    assert!(
        matches!(&changes[..], [Change::SetGroup(..), Change::DeleteNextHop(_)]),
        "{changes:?}"
    );
}

#[test]
fn a_link_that_lost_everything_gets_everything_back() {
    let all: &[(u8, &[u8])] = &[(1, &[2, 3]), (2, &[3])];
    let fresh = Fib::default().changes(&wanted(all));
    assert_eq!(fresh.make.len(), 2 + 2 + 2);
    let mut half = made(all);
    half.routes.clear();
    half.groups.pop_first();
    let changes = self::all(half.changes(&wanted(all)));
    apply(&mut half, &changes);
    assert_eq!(ways(&half), ways(&made(all)));
}

#[test]
fn what_is_left_of_another_run_goes() {
    let mut fib = made(&[(1, &[2, 3]), (2, &[3])]);
    let changes = all(fib.changes(&Wanted::new()));
    apply(&mut fib, &changes);
    assert_eq!(fib, Fib::default());
}

fn some() -> impl Strategy<Value = Wanted> {
    prop::collection::btree_map(
        (1_u8..12).prop_map(eip),
        prop::collection::btree_set((1_u8..6).prop_map(vm), 0..4).prop_map(Arc::new),
        0..10,
    )
}

proptest! {
    #[test]
    fn from_anywhere_it_becomes_what_is_wanted_and_then_rests(
        steps in prop::collection::vec(some(), 1..6),
        lost in prop::collection::vec(any::<prop::sample::Index>(), 0..4),
    ) {
        let mut fib = Fib::default();
        for wanted in steps {
            let before = ways(&fib);
            let changes = all(fib.changes(&wanted));
            for (at, change) in changes.iter().enumerate() {
                apply(&mut fib, &changes[at..=at]);
                // No address that stays is without its route for a moment.
                for address in wanted.keys().filter(|address| before.contains_key(*address)) {
                    prop_assert!(fib.routes.contains_key(address), "{change:?}");
                }
            }
            let expected: BTreeMap<IpAddr, Vec<IpAddr>> = wanted
                .iter()
                .map(|(address, machines)| (*address, machines.iter().copied().collect()))
                .collect();
            prop_assert_eq!(ways(&fib), expected);
            prop_assert_eq!(fib.changes(&wanted), Changes::default());
            // Somebody else removes some routes, as an outage of the link does.
            for index in &lost {
                let addresses: Vec<IpAddr> = fib.routes.keys().copied().collect();
                if !addresses.is_empty() {
                    fib.routes.remove(index.get(&addresses));
                }
            }
        }
    }
}

#[test]
fn only_addresses_whose_change_failed_are_held_back() {
    let fib = made(&[(1, &[1]), (2, &[2])]);
    let wanted = wanted(&[(1, &[1]), (2, &[2]), (3, &[1]), (4, &[3]), (5, &[3]), (6, &[])]);
    let changes = fib.changes(&wanted);
    let held = |fails: &dyn Fn(&Change) -> bool| {
        let failed: Vec<_> = changes.make.iter().filter(|c| fails(c)).cloned().collect();
        assert!(!failed.is_empty());
        fib.held_back(&changes.make, &failed)
    };
    assert_eq!(fib.held_back(&changes.make, &[]), [].into());
    let route = |number| move |c: &Change| matches!(c, Change::SetRoute(a, _) if *a == eip(number));
    assert_eq!(held(&route(3)), [eip(3)].into());
    assert_eq!(held(&route(6)), [eip(6)].into());
    let group = |change: &Change| matches!(change, Change::SetGroup(..));
    assert_eq!(held(&group), [eip(4), eip(5)].into());
}

#[test]
fn who_leads_to_a_group_that_could_not_be_changed_is_held_back() {
    let fib = made(&[(1, &[1])]);
    let changes = fib.changes(&wanted(&[(1, &[1, 2]), (2, &[1, 2])]));
    let group = |change: &&Change| matches!(change, Change::SetGroup(..));
    let failed: Vec<_> = changes.make.iter().filter(group).cloned().collect();
    assert_eq!(fib.held_back(&changes.make, &failed), [eip(1), eip(2)].into());
}
