use super::super::Heard;
use super::super::address::{Announced, Role};
use super::*;

fn mac(last: u8) -> MacAddress {
    MacAddress::new([2, 0, 0, 0, 0, last]).unwrap()
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

const US: u8 = 1;
const PEER: u8 = 2;
const CLIENT: u8 = 3;
const STRANGER: u8 = 9;
const ALL: usize = usize::MAX;

fn order(role: Role) -> Order {
    Order { role, refresh: Duration::from_secs(60) }
}

fn link() -> Link {
    let mut link = Link::new(mac(US));
    link.set_peers([mac(PEER)].into());
    link
}

fn announcing(mut link: Link, addresses: &[&str]) -> Link {
    for address in addresses {
        let role = Role::Announce { mac: mac(US), fresh: false };
        link.order(ip(address), order(role), ms(0));
    }
    link.poll(ms(0), ALL);
    link.take_changed();
    link
}

/// A question of a client about an address.
fn question(about: &str, from: u8) -> Vec<u8> {
    match ip(about) {
        IpAddr::V4(_) => {
            let mut frame = frame::probe(mac(from), ip(about));
            frame[28..32].copy_from_slice(&[198, 51, 100, 2]);
            frame
        }
        IpAddr::V6(_) => frame::probe(mac(from), ip(about)),
    }
}

fn heard_by(frame: &[u8], whom: u8) -> Heard {
    frame::read(frame, mac(whom)).unwrap()
}

fn claim_of(address: &str, by: u8) -> Vec<u8> {
    frame::announce(mac(by), Claim { address: ip(address), mac: mac(by) }).remove(0)
}

const BOTH: [&str; 2] = ["198.51.100.9", "2001:db8::9"];

#[test]
fn who_asks_for_an_announced_address_is_answered() {
    let mut link = announcing(link(), &BOTH);
    for about in BOTH {
        let said = link.hear(&question(about, CLIENT), ms(1));
        let claims: Vec<_> = said.iter().map(|frame| heard_by(frame, CLIENT).claim).collect();
        assert_eq!(claims, [Some(Claim { address: ip(about), mac: mac(US) })]);
    }
    assert_eq!(link.drops().iter().count(), 0);
}

#[test]
fn what_is_not_ours_to_answer_is_counted_by_reason() {
    let mut link = announcing(link(), &BOTH[..1]);
    link.order(ip("198.51.100.8"), order(Role::Silent), ms(0));
    let fresh = Role::Announce { mac: mac(US), fresh: true };
    link.order(ip("198.51.100.7"), order(fresh), ms(0));
    let direct = Role::Announce { mac: mac(CLIENT), fresh: false };
    link.order(ip("198.51.100.6"), order(direct), ms(0));
    for (about, why) in [
        ("198.51.100.5", DropReason::NotOurs),
        ("198.51.100.8", DropReason::NotElected),
        ("198.51.100.7", DropReason::Probing),
        ("198.51.100.6", DropReason::AskerIsAnswer),
    ] {
        assert_eq!(link.hear(&question(about, CLIENT), ms(1)), [] as [Vec<u8>; 0], "{about}");
        assert_eq!(link.drops().of(why), 1, "{about}");
    }
    link.hear(&claim_of("198.51.100.5", STRANGER), ms(1));
    assert_eq!(link.drops().of(DropReason::NotOurs), 2, "a claim to what is not ours");
    link.hear(&[0; 9], ms(1));
    assert_eq!(link.drops().of(DropReason::Truncated), 1);
}

#[test]
fn in_direct_delivery_the_answer_is_the_virtual_machines_and_the_frame_ours() {
    let mut link = link();
    let direct = Role::Announce { mac: mac(7), fresh: false };
    link.order(ip("198.51.100.9"), order(direct), ms(0));
    let said = link.hear(&question("198.51.100.9", CLIENT), ms(1)).remove(0);
    assert_eq!(heard_by(&said, CLIENT).claim.map(|claim| claim.mac), Some(mac(7)));
    assert_eq!(said[6..12], mac(US).octets());
}

#[test]
fn who_answers_a_probe_or_probes_as_well_has_the_address() {
    for about in BOTH {
        for other in [claim_of(about, STRANGER), frame::probe(mac(STRANGER), ip(about))] {
            let mut link = link();
            let role = Role::Announce { mac: mac(US), fresh: true };
            link.order(ip(about), order(role), ms(0));
            link.take_changed();
            assert_eq!(link.poll(ms(0), ALL), [frame::probe(mac(US), ip(about))]);
            assert_eq!(link.hear(&other, ms(10)), [] as [Vec<u8>; 0]);
            let with = mac(STRANGER);
            assert_eq!(link.standing(ip(about)), Some(Standing::Conflict { with }));
            assert_eq!(link.take_changed(), [ip(about)].into());
            assert_eq!(link.poll(ms(1_000), ALL), [] as [Vec<u8>; 0], "it is announced by nobody");
            link.hear(&question(about, CLIENT), ms(1_000));
            let why = link.drops().of(DropReason::Conflict);
            assert_eq!(why, 1);
        }
    }
}

#[test]
fn another_speaker_may_claim_an_address_that_we_have() {
    let mut link = announcing(link(), &BOTH[..1]);
    assert_eq!(link.hear(&claim_of(BOTH[0], PEER), ms(1)), [] as [Vec<u8>; 0]);
    let contested = |link: &Link| match link.standing(ip(BOTH[0])) {
        Some(Standing::Announcing(Announced { contested, .. })) => contested,
        other => panic!("{other:?}"),
    };
    assert_eq!(contested(&link), None);
    let said = link.hear(&claim_of(BOTH[0], STRANGER), ms(1));
    assert_eq!(said, frame::announce(mac(US), Claim { address: ip(BOTH[0]), mac: mac(US) }));
    assert_eq!(contested(&link), Some(mac(STRANGER)));
    assert_eq!(link.take_changed(), [ip(BOTH[0])].into());
}

#[test]
fn what_another_speaker_announced_is_taken_over_without_a_probe() {
    for (claim, then) in [(PEER, true), (STRANGER, false)] {
        let mut link = link();
        link.order(ip(BOTH[0]), order(Role::Silent), ms(0));
        link.hear(&claim_of(BOTH[0], claim), ms(1));
        let role = Role::Announce { mac: mac(US), fresh: true };
        link.order(ip(BOTH[0]), order(role), ms(2));
        let announces = matches!(link.standing(ip(BOTH[0])), Some(Standing::Announcing(_)));
        assert_eq!(announces, then, "after a claim by {claim}");
    }
}

#[test]
fn a_host_that_uses_an_address_of_ours_to_ask_for_another_claims_it() {
    let mut link = announcing(link(), &["198.51.100.2", "198.51.100.9"]);
    // Its question is from 198.51.100.2.
    let said = link.hear(&question("198.51.100.9", STRANGER), ms(1));
    assert_eq!(said.len(), 3, "a defence in two frames, and the answer");
}

#[test]
fn who_claims_an_address_of_ours_is_told_off_whatever_it_asks() {
    let mut link = announcing(link(), &["198.51.100.2"]);
    // As a host does that has the address and asks for its gateway.
    let said = link.hear(&question("198.51.100.254", STRANGER), ms(1));
    let claim = Claim { address: ip("198.51.100.2"), mac: mac(US) };
    assert_eq!(said, frame::announce(mac(US), claim));
    assert_eq!(link.drops().iter().count(), 0, "it had an effect");
}

#[test]
fn another_speaker_that_announces_a_virtual_machine_is_no_stranger() {
    let vm = mac(7);
    let by_peer = |address| frame::announce(mac(PEER), Claim { address, mac: vm }).remove(0);
    let mut link = link();
    link.order(ip(BOTH[0]), order(Role::Announce { mac: vm, fresh: true }), ms(0));
    link.poll(ms(0), ALL);
    link.hear(&by_peer(ip(BOTH[0])), ms(10));
    assert_eq!(link.standing(ip(BOTH[0])), Some(Standing::Probing));
    link.order(ip(BOTH[1]), order(Role::Silent), ms(0));
    link.hear(&by_peer(ip(BOTH[1])), ms(10));
    link.order(ip(BOTH[1]), order(Role::Announce { mac: vm, fresh: true }), ms(20));
    assert!(matches!(link.standing(ip(BOTH[1])), Some(Standing::Announcing(_))));
}

#[test]
fn of_ten_thousand_addresses_some_have_their_turn_at_a_time() {
    let mut link = link();
    for number in 0..1_000_u16 {
        let role = Role::Announce { mac: mac(US), fresh: false };
        let [high, low] = number.to_be_bytes();
        link.order(std::net::Ipv4Addr::new(10, 0, high, low).into(), order(role), ms(0));
    }
    let mut frames = 0;
    while link.deadline() == Some(ms(0)) {
        let some = link.poll(ms(0), 100).len();
        assert!((1..=101).contains(&some), "{some}");
        frames += some;
    }
    assert_eq!(frames, 2_000);
}

#[test]
fn what_is_forgotten_is_said_nothing_of() {
    let mut link = announcing(link(), &BOTH);
    link.forget(ip(BOTH[0]));
    assert_eq!(link.standing(ip(BOTH[0])), None);
    let frames = link.poll(ms(3_000_000), ALL);
    assert!(
        frames.iter().all(|frame| heard_by(frame, CLIENT).claim.unwrap().address == ip(BOTH[1]))
    );
    assert_eq!(link.take_changed(), [ip(BOTH[0])].into());
    link.hear(&question(BOTH[0], CLIENT), ms(1));
    assert_eq!(link.drops().of(DropReason::NotOurs), 1);
}

#[test]
fn the_deadline_is_that_of_the_next_address() {
    let mut link = link();
    assert_eq!(link.deadline(), None);
    let role = Role::Announce { mac: mac(US), fresh: true };
    link.order(ip(BOTH[0]), order(role), ms(100));
    link.order(ip(BOTH[1]), order(role), ms(120));
    assert_eq!(link.deadline(), Some(ms(100)));
    link.poll(ms(100), ALL);
    assert_eq!(link.deadline(), Some(ms(120)));
    link.poll(ms(120), ALL);
    assert_eq!(link.deadline(), Some(ms(150)));
}

#[test]
fn one_that_asks_a_thousand_times_gets_a_thousand_answers_and_costs_no_memory() {
    let mut link = announcing(link(), &BOTH[..1]);
    let before = format!("{link:?}");
    for _ in 0..1_000 {
        assert_eq!(link.hear(&question(BOTH[0], CLIENT), ms(1)).len(), 1);
    }
    assert_eq!(format!("{link:?}"), before);
}
