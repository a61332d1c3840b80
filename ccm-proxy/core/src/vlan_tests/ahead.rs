//! What is asked before it is needed.

use super::*;

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
