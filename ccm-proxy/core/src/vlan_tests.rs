use super::*;
use crate::drop_reason::DropReason;
use crate::l2::Announced;
use crate::order::Machine;

#[path = "vlan_tests/ahead.rs"]
mod ahead;
#[path = "vlan_tests/bed.rs"]
mod bed;
#[path = "vlan_tests/several.rs"]
mod several;

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
