use std::collections::VecDeque;

use proptest::prelude::*;

use super::*;
use crate::drop_reason::DropReason;
use crate::l2::Announced;
use crate::order::Machine;

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn node(number: usize) -> NodeName {
    format!("node{number}").parse().unwrap()
}

fn mac(number: usize) -> MacAddress {
    MacAddress::new([2, 0, 0, 0, 0, u8::try_from(number).unwrap()]).unwrap()
}

fn bfd_address(number: usize) -> Ipv6Addr {
    Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, u16::try_from(number).unwrap())
}

fn member(number: usize) -> (NodeName, Member) {
    (node(number), Member { mac: mac(number), address: bfd_address(number) })
}

fn eip(number: usize) -> IpAddr {
    format!("198.51.100.{number}").parse().unwrap()
}

const PROFILE: Profile = Profile {
    receive: Duration::from_millis(100),
    transmit: Duration::from_millis(100),
    multiplier: 3,
    passive: false,
};

fn speaker(number: usize, now: Duration) -> Vlan {
    let seed = u64::try_from(now.as_millis()).unwrap() + number as u64;
    let us = Us { node: node(number), seed, profile: PROFILE };
    let mut vlan = Vlan::new(us, mac(number));
    vlan.set_interface(mac(number), true, now);
    vlan
}

fn order(nodes: impl IntoIterator<Item = usize>) -> Order {
    Order {
        uid: "uid".into(),
        delivery: Delivery::Routed { machines: Arc::default() },
        nodes: Arc::new(nodes.into_iter().map(node).collect()),
        refresh: Duration::from_secs(60),
        announced: false,
    }
}

const fn announces(standing: Option<Standing>) -> bool {
    matches!(standing, Some(Standing::Announcing(_)))
}

#[test]
fn one_that_is_alone_announces_what_nobody_else_has() {
    let mut one = speaker(1, ms(0));
    one.set_order(eip(1), Some(order([1, 2])), ms(0));
    assert_eq!(one.standing(eip(1)), Some(Standing::Silent), "it does not know who else there is");
    one.set_members([member(1)].into(), ms(10));
    one.poll(ms(10), 0, true);
    assert_eq!(one.standing(eip(1)), Some(Standing::Probing));
    for at in [60, 110, 210] {
        one.poll(ms(at), 0, true);
    }
    assert!(announces(one.standing(eip(1))));
    assert_eq!(one.take_changed(), [eip(1)].into());
}

#[test]
fn one_that_starts_waits_for_the_others_and_not_for_ever() {
    let mut one = speaker(1, ms(0));
    one.set_order(eip(1), Some(Order { announced: true, ..order([1]) }), ms(0));
    one.set_members([member(1), member(2)].into(), ms(0));
    one.poll(ms(1_499), 0, true);
    assert!(!announces(one.standing(eip(1))));
    assert!(one.deadline(true) <= Some(ms(1_500)));
    one.poll(ms(1_500), 0, true);
    assert!(announces(one.standing(eip(1))));
}

#[test]
fn an_address_that_is_given_to_another_is_left_at_once_and_probed_anew() {
    let mut one = speaker(1, ms(0));
    one.set_members([member(1)].into(), ms(0));
    one.set_order(eip(1), Some(Order { announced: true, ..order([1]) }), ms(0));
    one.poll(ms(0), 0, true);
    assert!(announces(one.standing(eip(1))));
    one.set_order(eip(1), Some(Order { uid: "another".into(), ..order([1]) }), ms(1));
    assert_eq!(one.standing(eip(1)), Some(Standing::Probing));
    one.set_order(eip(1), None, ms(2));
    assert_eq!(one.standing(eip(1)), None);
    one.take_changed();
    one.set_order(eip(2), None, ms(3));
    assert_eq!(one.take_changed(), [].into(), "nothing is there to be changed");
}

#[test]
fn a_speaker_that_is_not_chosen_or_not_eligible_is_silent() {
    for (members, nodes) in [(vec![2], vec![1, 2]), (vec![1, 2], vec![2]), (vec![1], vec![])] {
        let mut one = speaker(1, ms(0));
        one.set_members(members.into_iter().map(member).collect(), ms(0));
        one.set_order(eip(1), Some(order(nodes)), ms(0));
        one.poll(ms(2_000), 0, true);
        assert_eq!(one.standing(eip(1)), Some(Standing::Silent));
    }
}

#[test]
fn one_that_is_left_out_rests_and_begins_anew_when_it_is_back() {
    let mut one = speaker(1, ms(0));
    one.set_order(eip(1), Some(Order { announced: true, ..order([1]) }), ms(0));
    let both = || BTreeMap::from([member(1), member(2)]);
    one.set_members(both(), ms(0));
    one.set_members([member(2)].into(), ms(10));
    one.poll(ms(10), 0, true);
    assert_eq!(one.deadline(true), None, "nothing is due for ever");
    one.set_members(both(), ms(2_000));
    one.poll(ms(3_499), 0, true);
    assert!(!announces(one.standing(eip(1))), "the other may be there");
    one.poll(ms(3_500), 0, true);
    assert!(announces(one.standing(eip(1))));
    one.set_members([member(2)].into(), ms(4_000));
    one.set_members(both(), ms(4_010));
    one.poll(ms(4_020), 0, true);
    assert!(!announces(one.standing(eip(1))), "as before");
}

#[test]
fn without_room_no_frame_is_made_and_none_is_due() {
    let mut one = speaker(1, ms(0));
    one.set_members([member(1)].into(), ms(0));
    one.set_order(eip(1), Some(Order { announced: true, ..order([1]) }), ms(0));
    assert_eq!(one.poll(ms(0), 0, false), []);
    assert_eq!(one.deadline(false), None);
    assert_eq!(one.poll(ms(1), 0, true).len(), 2, "it was due still");
}

#[test]
fn a_link_that_is_down_is_silent_and_deaf_and_announces_when_it_is_back() {
    let mut one = speaker(1, ms(0));
    one.set_members([member(1)].into(), ms(0));
    one.set_order(eip(1), Some(Order { announced: true, ..order([1]) }), ms(0));
    assert!(!one.poll(ms(0), 0, true).is_empty());
    one.set_interface(mac(1), false, ms(10));
    assert_eq!(one.standing(eip(1)), Some(Standing::Silent));
    let question = l2::frame::probe(mac(9), eip(1));
    assert_eq!(one.hear(&question, ms(11)), []);
    assert_eq!(one.poll(ms(20), 0, true), []);
    one.set_interface(mac(7), true, ms(30));
    let frames = one.poll(ms(30), 0, true);
    let claim = l2::Claim { address: eip(1), mac: mac(7) };
    let announced: Vec<_> =
        l2::frame::announce(mac(7), claim).into_iter().map(Send::Frame).collect();
    assert_eq!(frames, announced);
}

#[test]
fn direct_delivery_leads_to_one_machine_that_is_known() {
    let mut one = speaker(1, ms(0));
    one.set_members([member(1)].into(), ms(0));
    let machine = |number: usize, mac| Machine { address: eip(100 + number), mac };
    let direct = |machines: BTreeSet<Machine>| Order {
        delivery: Delivery::Direct { machines: Arc::new(machines) },
        announced: true,
        ..order([1])
    };
    one.set_order(eip(1), Some(direct([machine(1, None)].into())), ms(0));
    assert_eq!(one.standing(eip(1)), Some(Standing::Silent), "nobody knows its interface");
    let both = [machine(1, Some(mac(11))), machine(2, Some(mac(12)))];
    one.set_order(eip(1), Some(direct(both.into())), ms(0));
    let Some(Standing::Announcing(Announced { mac: first, .. })) = one.standing(eip(1)) else {
        panic!("{:?}", one.standing(eip(1)));
    };
    let left: BTreeSet<_> = both.into_iter().filter(|m| m.mac != Some(first)).collect();
    let other = left.first().and_then(|machine| machine.mac);
    one.set_order(eip(1), Some(direct(left)), ms(0));
    let moved = Announced { mac: other.unwrap(), contested: None };
    assert_eq!(one.standing(eip(1)), Some(Standing::Announcing(moved)));
}

#[test]
fn bfd_from_strangers_and_from_afar_is_counted_and_has_no_effect() {
    let mut one = speaker(1, ms(0));
    one.set_members([member(1), member(2)].into(), ms(0));
    let payload = match &one.poll(ms(0), 0, true)[..] {
        [Send::Bfd(to, payload)] if *to == bfd_address(2) => payload.clone(),
        other => panic!("{other:?}"),
    };
    for (from, ttl, payload, why) in [
        (3, 255, &*payload, DropReason::BfdStranger),
        (2, 254, &*payload, DropReason::BfdTtl),
        (2, 255, &payload[..20], DropReason::MalformedBfd),
    ] {
        assert_eq!(one.hear_bfd(bfd_address(from), ttl, payload, ms(1)), []);
        assert_eq!(one.drops().of(why), 1);
    }
    let mut other = payload;
    other[8..12].fill(7);
    one.hear_bfd(bfd_address(2), 255, &other, ms(1));
    assert_eq!(one.drops().of(DropReason::BfdDiscriminator), 1);
    assert!(one.peers().all(|(_, liveness)| liveness.state == crate::bfd::State::Down));
}

/// Some speakers on one link that may be cut, with what is under way.
struct Bed {
    speakers: BTreeMap<usize, Vlan>,
    /// In which part of the link each is; those of one part hear each other.
    parts: BTreeMap<usize, usize>,
    wire: VecDeque<(Duration, usize, Send)>,
    now: Duration,
    addresses: usize,
}

impl Bed {
    fn new(speakers: usize, addresses: usize) -> Self {
        let mut bed = Self {
            speakers: BTreeMap::new(),
            parts: (1..=speakers).map(|number| (number, 0)).collect(),
            wire: VecDeque::new(),
            now: ms(0),
            addresses,
        };
        (1..=speakers).for_each(|number| bed.start(number));
        bed
    }

    fn start(&mut self, number: usize) {
        let mut vlan = speaker(number, self.now);
        vlan.set_members(self.parts.keys().map(|number| member(*number)).collect(), self.now);
        for address in 1..=self.addresses {
            let order = Order { announced: self.now > ms(0), ..order(self.parts.keys().copied()) };
            vlan.set_order(eip(address), Some(order), self.now);
        }
        self.speakers.insert(number, vlan);
    }

    /// Lets everybody run for a while.
    fn run(&mut self, time: u64) {
        let end = self.now + ms(time);
        while self.now < end {
            while self.wire.front().is_some_and(|(at, ..)| *at <= self.now) {
                let Some((_, by, send)) = self.wire.pop_front() else { break };
                self.arrive(by, &send);
            }
            let numbers: Vec<usize> = self.speakers.keys().copied().collect();
            for number in numbers {
                let random = u8::try_from(self.now.as_millis() % 251).unwrap();
                let said = self.speakers.get_mut(&number).unwrap().poll(self.now, random, true);
                self.send(number, said);
            }
            let due = self.speakers.values().filter_map(|vlan| vlan.deadline(true));
            let next = due.chain(self.wire.front().map(|(at, ..)| *at)).min().unwrap_or(end);
            self.now = next.max(self.now + ms(1)).min(end);
        }
    }

    fn send(&mut self, by: usize, said: Vec<Send>) {
        let at = self.now + ms(1);
        self.wire.extend(said.into_iter().map(|send| (at, by, send)));
    }

    fn arrive(&mut self, by: usize, send: &Send) {
        let part = self.parts.get(&by).copied();
        let numbers: Vec<usize> = self.speakers.keys().copied().collect();
        for number in numbers.into_iter().filter(|number| *number != by) {
            if self.parts.get(&number).copied() != part {
                continue;
            }
            let now = self.now;
            let vlan = self.speakers.get_mut(&number).unwrap();
            let said = match send {
                Send::Frame(frame) => vlan.hear(frame, now),
                Send::Bfd(to, payload) if *to == bfd_address(number) => {
                    vlan.hear_bfd(bfd_address(by), 255, payload, now)
                }
                Send::Bfd(..) => Vec::new(),
            };
            self.send(number, said);
        }
    }

    /// Who announces an address, of those in one part.
    fn owners(&self, address: usize, part: usize) -> Vec<usize> {
        let there =
            self.speakers.iter().filter(|(number, _)| self.parts.get(number) == Some(&part));
        let announces = there.filter(|(_, vlan)| announces(vlan.standing(eip(address))));
        announces.map(|(number, _)| *number).collect()
    }

    /// Whether all who hear each other know it, and nobody else.
    fn agree(&self) -> bool {
        self.speakers.iter().all(|(number, vlan)| {
            let part = self.parts.get(number);
            vlan.peers().all(|(node, liveness)| {
                let other = self.speakers.keys().find(|other| self::node(**other) == *node);
                let hears = other.is_some_and(|other| self.parts.get(other) == part);
                hears == (liveness.state == crate::bfd::State::Up)
            })
        })
    }

    /// Runs, and looks at each moment in which all have agreed for a while.
    fn run_and_watch(&mut self, time: u64) {
        let mut agreed = 0;
        for _ in 0..time {
            self.run(1);
            agreed = if self.agree() { agreed + 1 } else { 0 };
            if agreed > 3 {
                let parts: BTreeSet<usize> = self.parts.values().copied().collect();
                for (part, address) in
                    parts.into_iter().flat_map(|part| (1..=self.addresses).map(move |a| (part, a)))
                {
                    let owners = self.owners(address, part);
                    assert!(owners.len() <= 1, "{address} in part {part}: {owners:?}");
                }
            }
        }
    }

    fn exactly_one_each(&self, why: &str) {
        let parts: BTreeSet<usize> =
            self.speakers.keys().filter_map(|number| self.parts.get(number)).copied().collect();
        for part in parts {
            for address in 1..=self.addresses {
                let owners = self.owners(address, part);
                assert_eq!(owners.len(), 1, "{why}: {address} in part {part}: {owners:?}");
            }
        }
    }
}

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
    let now = bed.now;
    let said = bed.speakers.get_mut(&2).unwrap().leave(now);
    assert!((1..=30).all(|address| !bed.owners(address, 0).contains(&2)));
    bed.send(2, said);
    let found = holes_and_doubles(&mut bed, 500);
    bed.exactly_one_each("after it left");
    assert!(found.values().all(|(holes, doubles)| holes + doubles <= 2), "{found:?}");
}

#[test]
fn one_that_cannot_announce_is_not_counted_upon() {
    let mut bed = Bed::new(2, 30);
    bed.run(2_000);
    let now = bed.now;
    bed.speakers.get_mut(&1).unwrap().set_interface(mac(1), false, now);
    bed.run(10);
    let owners: Vec<_> = (1..=30).map(|address| bed.owners(address, 0)).collect();
    assert!(owners.iter().all(|owners| *owners == [2]), "{owners:?}");
    let now = bed.now;
    bed.speakers.get_mut(&1).unwrap().set_interface(mac(1), true, now);
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
    Move(usize, usize),
    Run(u64),
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, ..ProptestConfig::default() })]

    /// Whatever happens: two seconds later all who hear each other agree.
    #[test]
    fn at_most_one_announces_in_any_view_that_is_agreed_upon(
        what in prop::collection::vec(
            prop_oneof![
                (1_usize..=4).prop_map(Happens::Kill),
                (1_usize..=4).prop_map(Happens::Start),
                (1_usize..=4, 0_usize..2).prop_map(|(number, part)| Happens::Move(number, part)),
                (1_u64..3_000).prop_map(Happens::Run),
            ],
            1..12,
        ),
    ) {
        let mut bed = Bed::new(4, 6);
        for happens in what {
            match happens {
                Happens::Kill(number) => drop(bed.speakers.remove(&number)),
                Happens::Start(number) => bed.start(number),
                Happens::Move(number, part) => drop(bed.parts.insert(number, part)),
                Happens::Run(time) => bed.run_and_watch(time),
            }
        }
        bed.run_and_watch(3_500);
        bed.exactly_one_each("in the end");
    }
}

/// What is to be asked of some addresses that nodes 1 and 2 may announce.
fn ahead(addresses: impl IntoIterator<Item = usize>) -> Ahead {
    let addresses = addresses.into_iter().map(eip).collect();
    Ahead { addresses, nodes: [Arc::new([node(1), node(2)].into())].into() }
}

/// A speaker on node 1, alone, that has asked ahead for an address.
fn asked_ahead() -> Vlan {
    let mut one = speaker(1, ms(0));
    one.set_members([member(1)].into(), ms(0));
    one.set_ahead(ahead([1]), ms(0));
    for at in [0, 50, 100, 200] {
        let asks =
            if at < 200 { vec![Send::Frame(l2::frame::probe(mac(1), eip(1)))] } else { vec![] };
        assert_eq!(one.poll(ms(at), 0, true), asks, "{at}");
        assert_eq!(one.take_changed(), [].into(), "it stands nowhere");
    }
    one
}

#[test]
fn what_was_asked_ahead_in_vain_is_announced_at_once() {
    let mut one = asked_ahead();
    one.set_order(eip(1), Some(order([1, 2])), ms(201));
    assert!(announces(one.standing(eip(1))));
    one.set_ahead(ahead([1, 3]), ms(201));
    assert_eq!(
        one.poll(ms(201), 0, true).len(),
        4,
        "two announcements, a question, and one about 3"
    );
    one.set_order(eip(2), Some(order([1, 2])), ms(201));
    assert_eq!(one.standing(eip(2)), Some(Standing::Probing), "nobody asked for it");
    one.set_order(eip(1), Some(Order { uid: "another".into(), ..order([1]) }), ms(202));
    assert_eq!(one.standing(eip(1)), Some(Standing::Probing), "that was for the one before");
}

#[test]
fn who_came_since_it_was_asked_ahead_is_left_the_address() {
    let question = Send::Frame(l2::frame::probe(mac(1), eip(1)));
    let stranger = mac(9);
    let claim = l2::Claim { address: eip(1), mac: stranger };
    let reply = l2::frame::announce(stranger, claim).pop().unwrap();
    let mut one = asked_ahead();
    one.set_order(eip(1), Some(order([1])), ms(201));
    for (at, asks) in [(201, true), (251, true), (301, true), (401, false), (451, false)] {
        assert_eq!(one.poll(ms(at), 0, true).contains(&question), asks, "{at}");
    }
    one.hear(&reply, ms(500));
    let contested = |announced: Announced| announced.contested == Some(stranger);
    let stands = one.standing(eip(1));
    assert!(matches!(stands, Some(Standing::Announcing(by)) if contested(by)), "{stands:?}");

    let mut one = asked_ahead();
    one.set_order(eip(1), Some(order([1])), ms(201));
    one.poll(ms(201), 0, true);
    one.hear(&reply, ms(202));
    assert_eq!(one.standing(eip(1)), Some(Standing::Conflict { with: stranger }));
}

#[test]
fn what_another_host_is_heard_of_is_probed_when_it_is_needed() {
    let stranger = mac(9);
    let claim = l2::Claim { address: eip(1), mac: stranger };
    let [request, reply]: [Vec<u8>; 2] = l2::frame::announce(stranger, claim).try_into().unwrap();
    for heard in [request, reply, l2::frame::probe(stranger, eip(1))] {
        let mut one = asked_ahead();
        one.hear(&heard, ms(300));
        one.set_order(eip(1), Some(order([1, 2])), ms(400));
        assert_eq!(one.standing(eip(1)), Some(Standing::Probing));
    }
    let mut one = asked_ahead();
    one.set_members([member(1), member(2)].into(), ms(300));
    one.hear(&l2::frame::probe(mac(2), eip(1)), ms(300));
    assert!(one.drops().of(DropReason::NotOurs) == 1, "another speaker that asks has it not");
}

#[test]
fn what_was_asked_before_the_link_was_down_counts_no_more() {
    let mut one = asked_ahead();
    one.set_interface(mac(1), false, ms(300));
    one.set_interface(mac(1), true, ms(400));
    one.set_order(eip(1), Some(order([1, 2])), ms(401));
    assert_eq!(one.standing(eip(1)), Some(Standing::Probing));
}

#[test]
fn of_several_speakers_the_one_asks_ahead_that_would_announce() {
    let members: BTreeMap<_, _> = [member(1), member(2)].into();
    let asks = |number: usize, other: usize| -> BTreeSet<usize> {
        let mut one = speaker(number, ms(0));
        one.set_members(members.clone(), ms(0));
        one.set_ahead(ahead(10..30), ms(0));
        let mut peer = speaker(other, ms(0));
        peer.set_members(members.clone(), ms(0));
        for at in (0..3_000).step_by(10) {
            for is_ours in [true, false] {
                let (from, speaks, hears) = match is_ours {
                    true => (number, &mut one, &mut peer),
                    false => (other, &mut peer, &mut one),
                };
                for said in speaks.poll(ms(at), 0, true) {
                    if let Send::Bfd(_, payload) = said {
                        hears.hear_bfd(bfd_address(from), 255, &payload, ms(at));
                    }
                }
            }
        }
        let order = order([1, 2]);
        let at_once = |number: &usize| {
            one.set_order(eip(*number), Some(order.clone()), ms(3_000));
            announces(one.standing(eip(*number)))
        };
        (10..30).filter(at_once).collect()
    };
    let (one, other) = (asks(1, 2), asks(2, 1));
    assert!(!one.is_empty() && !other.is_empty());
    assert!(one.is_disjoint(&other));
    assert_eq!(one.union(&other).count(), 20);
}
