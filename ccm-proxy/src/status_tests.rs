use std::sync::Arc;

use speaker_core::bfd::Diagnostic;
use speaker_core::mac::MacAddress;
use speaker_core::order::{Delivery, Order};
use speaker_core::vlan::{Liveness, Member};
use speaker_core::world::Connection;
use tokio::sync::watch;

use super::*;

fn node(number: u8) -> NodeName {
    format!("node{number}").parse().unwrap()
}

fn address() -> IpAddr {
    "10.205.0.50".parse().unwrap()
}

/// A part with one address that nodes may announce, and speakers.
fn part(nodes: &[u8], members: &[u8]) -> Part {
    let order = Order {
        uid: "u1".into(),
        delivery: Delivery::Routed { machines: Arc::default() },
        nodes: Arc::new(nodes.iter().map(|number| node(*number)).collect()),
        refresh: Duration::from_secs(60),
        announced: true,
    };
    let member = |number: &u8| {
        let mac = MacAddress::new([2, 0, 0, 0, 0, *number]).unwrap();
        (node(*number), Member { mac, address: mac.link_local() })
    };
    Part {
        members: members.iter().map(member).collect(),
        orders: [(address(), order)].into(),
        ..Part::new(Connection::default())
    }
}

/// One that knows who else is there, and is silent.
fn stands(up: &[u8]) -> Stands {
    let since = Duration::ZERO;
    let liveness = Liveness { state: State::Up, diagnostic: Diagnostic::None, since };
    let peers = up.iter().map(|number| (node(*number), liveness)).collect();
    let addresses = [(address(), Standing::Silent)].into();
    Stands { addresses, settled: true, peers, ..Stands::default() }
}

#[test]
fn who_does_not_announce_an_address_says_why() {
    let why = |part: &Part, stands: &Stands, us| {
        addresses(part, stands, &node(us)).remove(&address().to_string()).unwrap().message
    };
    let three = part(&[1, 2, 3], &[1, 2, 3]);
    let all = three.members.keys();
    let owner = election::owner(address(), all).unwrap().clone();
    let other = (1..=3).find(|number| node(*number) != owner).unwrap();
    let others: Vec<u8> = (1..=3).filter(|number| *number != other).collect();
    assert_eq!(why(&three, &stands(&others), other), format!("{owner} is elected to announce it"));
    let not_selected = part(&[2], &[1, 2]);
    assert_eq!(why(&not_selected, &stands(&[2]), 1), "no L2Advertisement of it selects this node");
    assert_eq!(
        why(&part(&[1, 2], &[2]), &stands(&[2]), 1),
        "this node is none of the speakers that take part on the VLAN"
    );
    assert_eq!(
        why(&three, &Stands::default(), 1),
        "its route or its packet filter is not there yet"
    );
}

#[test]
fn what_fails_in_the_kernel_is_shown_and_not_all_of_it() {
    let failures = (1..=5).map(|number| format!("failure {number}")).collect();
    let passed = Passed { down: true, failures, ..Passed::default() };
    let seen = Seen { passed: Some(watch::channel(passed).1), ..Seen::default() };
    let shown = vlan((&node(1), "cpo-a".to_owned()), None, &seen).messages;
    let down = "the interface does not run: it has no carrier, or was set down";
    let expected = [down, "failure 1", "failure 2", "failure 3", "and 2 failures more"];
    assert_eq!(shown, expected);
}
