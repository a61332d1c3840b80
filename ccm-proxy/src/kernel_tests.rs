use pools::{Port, Protocol};

use super::*;

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn order(addresses: &[&str], port: u16) -> Order {
    let port = Port { protocol: Protocol::Tcp, number: port };
    let routes =
        addresses.iter().map(|address| (ip(address), Arc::new([ip("10.0.0.1")].into()))).collect();
    let services = addresses.iter().map(|address| (ip(address), port)).collect();
    Order { routes, gate: Gate { services, ..Gate::default() }, ..Order::default() }
}

const ONE: &str = "10.205.0.50";
const OTHER: &str = "10.205.0.51";

#[test]
fn a_way_is_there_once_a_pass_made_it_as_it_is_wanted() {
    let both = order(&[ONE, OTHER], 80);
    let there =
        |passed: &Passed, wanted: &Order| passed.is_there(ip(ONE), &wanted.routes, &wanted.gate);
    let held = |addresses: &[&str]| addresses.iter().map(|address| ip(address)).collect();
    let passed = |held| Passed { order: Some(Arc::new(both.clone())), held, ..Passed::default() };
    assert!(!there(&Passed::default(), &both), "no pass was made");
    assert!(there(&passed(held(&[])), &both));
    assert!(there(&passed(held(&[OTHER])), &both), "what fails of another changes nothing");
    assert!(!there(&passed(held(&[ONE])), &both));
    let mut elsewhere = both.clone();
    elsewhere.routes.insert(ip(ONE), Arc::new([ip("10.0.0.2")].into()));
    assert!(!there(&passed(held(&[])), &elsewhere), "it leads to other machines");
    assert!(!there(&passed(held(&[])), &order(&[ONE], 81)), "its port is closed");
    assert!(there(&Passed::default(), &Order::default()), "it needs none");
}

#[test]
fn what_fails_in_a_namespace_that_is_gone_ends_the_kernels_part() {
    let failed = || io::Error::from(io::ErrorKind::NotFound);
    let there = Namespace::at("/proc/self/ns/net".into());
    assert_eq!(within(&there, failed()).unwrap().kind(), io::ErrorKind::NotFound);
    let gone = Namespace::at("/run/netns/cpo-there-is-none".into());
    assert_eq!(within(&gone, failed()).unwrap_err().kind(), io::ErrorKind::NotConnected);
}
