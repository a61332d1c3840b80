//! Several speakers on one link.

use proptest::prelude::*;

use super::bed::Bed;
use super::*;

#[test]
fn three_share_the_addresses_and_one_that_is_gone_is_missed_in_half_a_second() {
    let mut bed = Bed::new(3, 30);
    bed.run(2_000);
    bed.exactly_one_each("at the start");
    let had: Vec<_> = (1..=30).map(|address| bed.owners(address, 0)).collect();
    assert!((1..=3).all(|number| had.contains(&vec![number])), "each has some: {had:?}");
    bed.speakers.remove(&2);
    bed.run(310);
    bed.exactly_one_each("after one is gone");
    for (before, address) in had.into_iter().zip(1..) {
        assert!(before == [2] || before == bed.owners(address, 0), "nothing else moved");
    }
}

/// For how long each address was announced by nobody, and by two, while the bed runs.
fn holes_and_doubles(bed: &mut Bed, time: u64) -> BTreeMap<usize, (u64, u64)> {
    let mut found: BTreeMap<usize, (u64, u64)> = BTreeMap::new();
    for _ in 0..time {
        bed.run(1);
        for address in 1..=bed.addresses {
            let (holes, doubles) = found.entry(address).or_default();
            match bed.owners(address, 0).len() {
                0 => *holes += 1,
                1 => {}
                _ => *doubles += 1,
            }
        }
    }
    found
}

#[test]
fn one_that_joins_takes_over_without_a_hole_and_with_hardly_a_double_answer() {
    let mut bed = Bed::new(3, 30);
    bed.speakers.remove(&3);
    bed.run(6_000);
    bed.start(3);
    let found = holes_and_doubles(&mut bed, 1_000);
    bed.exactly_one_each("when it has joined");
    assert!((1..=30).any(|address| bed.owners(address, 0) == [3]), "it has some");
    // Word takes two milliseconds there and back.
    assert!(found.values().all(|(holes, doubles)| holes + doubles <= 4), "{found:?}");
}

#[test]
fn one_that_joins_does_not_wait_long_for_one_that_is_dead() {
    let mut bed = Bed::new(4, 30);
    bed.speakers.remove(&3);
    bed.speakers.remove(&4);
    bed.run(6_000);
    bed.start(4);
    let found = holes_and_doubles(&mut bed, 1_000);
    bed.exactly_one_each("when it has joined");
    assert!(found.values().all(|(holes, doubles)| holes + doubles <= 105), "{found:?}");
}

#[test]
fn one_that_leaves_is_followed_at_once() {
    let mut bed = Bed::new(3, 30);
    bed.run(6_000);
    bed.handle(2, Input::Leave);
    assert!((1..=30).all(|address| !bed.owners(address, 0).contains(&2)));
    let found = holes_and_doubles(&mut bed, 500);
    bed.exactly_one_each("after it left");
    assert!(found.values().all(|(holes, doubles)| holes + doubles <= 2), "{found:?}");
}

#[test]
fn one_that_is_left_out_is_followed_by_those_who_have_not_read_so_yet() {
    let mut bed = Bed::new(3, 30);
    bed.run(6_000);
    bed.tell(2, Command::Members([member(1), member(3)].into()));
    let found = holes_and_doubles(&mut bed, 500);
    bed.exactly_one_each("after it was left out");
    assert!((1..=30).all(|address| bed.owners(address, 0) != [2]));
    assert!(found.values().all(|(holes, doubles)| holes + doubles <= 3), "{found:?}");
}

#[test]
fn one_that_cannot_announce_is_not_counted_upon() {
    let mut bed = Bed::new(2, 30);
    bed.run(2_000);
    bed.tell(1, Command::Interface(mac(1), false));
    bed.run(10);
    let owners: Vec<_> = (1..=30).map(|address| bed.owners(address, 0)).collect();
    assert!(owners.iter().all(|owners| *owners == [2]), "{owners:?}");
    bed.tell(1, Command::Interface(mac(1), true));
    let found = holes_and_doubles(&mut bed, 1_500);
    bed.exactly_one_each("when it can again");
    assert!(found.values().all(|(holes, doubles)| holes + doubles <= 4), "{found:?}");
}

#[test]
fn after_a_heal_one_announces_and_was_heard_last() {
    let mut bed = Bed::new(2, 10);
    bed.run(2_000);
    bed.parts.insert(2, 1);
    // Longer than a take-over is told again and again.
    bed.run(8_000);
    bed.exactly_one_each("each in its part");
    bed.parts.insert(2, 0);
    let mut heard: BTreeMap<IpAddr, MacAddress> = BTreeMap::new();
    for _ in 0..2_000 {
        bed.run(1);
        for (_, _, send) in &bed.wire {
            let Send::Frame(frame) = send else { continue };
            let claim = l2::frame::read(frame, mac(99)).ok().and_then(|heard| heard.claim);
            heard.extend(claim.map(|claim| (claim.address, claim.mac)));
        }
    }
    bed.exactly_one_each("after the heal");
    for address in 1..=10 {
        let owner = bed.owners(address, 0).remove(0);
        assert_eq!(heard.get(&eip(address)), Some(&mac(owner)), "{address}");
    }
}

#[derive(Clone, Debug)]
enum Happens {
    Kill(usize),
    Start(usize),
    Leave(usize),
    Move(usize, usize),
    SetUp(usize, bool),
    TakeIn(usize, bool),
    Give(usize),
    Run(u64),
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, ..ProptestConfig::default() })]

    /// Whatever happens: two seconds later all who hear each other agree. What each took in makes
    /// another one do the same.
    #[test]
    fn at_most_one_announces_in_any_view_that_is_agreed_upon(
        what in prop::collection::vec(
            prop_oneof![
                (1_usize..=4).prop_map(Happens::Kill),
                (1_usize..=4).prop_map(Happens::Start),
                (1_usize..=4).prop_map(Happens::Leave),
                (1_usize..=4, any::<bool>()).prop_map(|(number, up)| Happens::SetUp(number, up)),
                (1_usize..=4, any::<bool>()).prop_map(|(number, is_in)| Happens::TakeIn(number, is_in)),
                (1_usize..=6).prop_map(Happens::Give),
                (1_usize..=4, 0_usize..2).prop_map(|(number, part)| Happens::Move(number, part)),
                (1_u64..3_000).prop_map(Happens::Run),
            ],
            1..16,
        ),
    ) {
        let mut bed = Bed::new(4, 6);
        for happens in what {
            match happens {
                Happens::Kill(number) => drop(bed.speakers.remove(&number)),
                Happens::Start(number) => bed.start(number),
                Happens::Leave(number) => bed.leave(number),
                Happens::SetUp(number, up) => bed.set_up(number, up),
                Happens::TakeIn(number, is_in) => bed.take_in(number, is_in),
                Happens::Give(address) => bed.give(address),
                Happens::Move(number, part) => drop(bed.parts.insert(number, part)),
                Happens::Run(time) => bed.run_and_watch(time),
            }
        }
        bed.run_and_watch(3_500);
        bed.exactly_one_each("in the end");
        bed.plays_again();
    }
}
