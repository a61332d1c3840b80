//! What a speaker lets through its namespace: packets of assigned Services and nothing else
//! (invariant 14: it is no router between tenants, nor into the node).
//!
//! The gate is an nftables table of each family, loaded whole once, and changed by their elements
//! afterwards. Of one table for both, each rule would ask each packet of which family it is.
//! Nothing in it keeps track of connections, since replies go past the speaker. What opens one is
//! remembered for a moment, to know it again when a machine sends it back.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fmt::Write as _;
use std::net::{IpAddr, Ipv6Addr};

use pools::{Port, Protocol};

use crate::health::Target;

/// Name of the tables.
pub const TABLE: &str = "cloud-provider-ovn";

/// Counters of what does not pass as it came, and how an operator is told of each, beside the
/// [reasons](crate::drop_reason::DropReason) of the speaker.
const DROPS: [(&str, &str); 5] = [
    ("refused", "GateNoService"),
    ("strayed", "GateOffLink"),
    ("returned", "GateSentBack"),
    ("ended", "GateSentBackReset"),
    ("unwelcome", "GateUnwelcome"),
];

/// What did not pass as it came, for an operator, of what the counters have counted by their names.
pub fn drops(counted: &BTreeMap<String, u64>) -> impl Iterator<Item = (String, u64)> + '_ {
    DROPS.iter().filter_map(|(counter, reason)| {
        let packets = counted.get(*counter).copied().filter(|packets| *packets > 0)?;
        Some(((*reason).to_owned(), packets))
    })
}

/// The family of a table, as `nft` calls it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Family {
    /// `ip`.
    V4,
    /// `ip6`.
    V6,
}

impl Family {
    const fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(_) => Self::V4,
            IpAddr::V6(_) => Self::V6,
        }
    }
}

/// As `nft` reads it.
impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V4 => "ip",
            Self::V6 => "ip6",
        })
    }
}

/// What may pass.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Gate {
    /// Addresses and ports of Services. Errors about packets may be sent to these addresses.
    pub services: BTreeSet<(IpAddr, Port)>,
    /// Who may speak BFD with us.
    pub peers: BTreeSet<Ipv6Addr>,
    /// The machines that we ask, and the ports from which they answer.
    pub probed: BTreeSet<Target>,
}

impl Gate {
    /// The script for `nft -f` that makes the gate, in place of one that is there: at no moment
    /// there is none.
    #[must_use]
    pub fn load(&self, interface: &str) -> String {
        let mut script = String::new();
        // Adding a table that is there changes nothing; deleting one that is not there fails. That
        // for both families is of earlier versions.
        for family in ["inet", "ip", "ip6"] {
            let _ = writeln!(script, "table {family} {TABLE}\ndelete table {family} {TABLE}");
        }
        script.push_str(&RULES.replace("%table", TABLE).replace("%interface", interface));
        script.push_str(&Self::default().change(self));
        script
    }

    /// The script that makes this gate another; empty where nothing is to be done.
    #[must_use]
    pub fn change(&self, to: &Self) -> String {
        let mut script = String::new();
        let Change { less, more } = self.difference(to);
        for (verb, elements) in [("delete", less), ("add", more)] {
            let mut sets: BTreeMap<(Family, &str), Vec<String>> = BTreeMap::new();
            for element in elements {
                sets.entry(element.set()).or_default().push(element.to_string());
            }
            for ((family, set), elements) in sets {
                // Long lines are read slowly.
                for some in elements.chunks(1_000) {
                    let some = some.join(", ");
                    let _ = writeln!(script, "{verb} element {family} {TABLE} {set} {{ {some} }}");
                }
            }
        }
        script
    }

    /// What makes this gate another. Thousands of addresses stay as they are when one comes.
    #[must_use]
    pub fn difference(&self, to: &Self) -> Change {
        Change { less: self.beside(to), more: to.beside(self) }
    }

    /// The elements that another gate has not.
    fn beside(&self, other: &Self) -> BTreeSet<Element> {
        let services = || self.services.difference(&other.services);
        let alone = |address: &IpAddr| other.of(*address).next().is_none();
        let addresses = services().map(|(address, _)| *address).filter(alone);
        let peers = self.peers.difference(&other.peers).copied().map(Element::Peer);
        let ports = services().map(|(address, port)| Element::Service(*address, *port));
        let probed = self.probed.difference(&other.probed).copied().map(Element::Probed);
        ports.chain(addresses.map(Element::Address)).chain(peers).chain(probed).collect()
    }

    /// The ports of an address that are open.
    pub fn of(&self, address: IpAddr) -> impl Iterator<Item = Port> + '_ {
        let first = (address, Port { protocol: Protocol::Tcp, number: 0 });
        let from = self.services.range(first..);
        from.take_while(move |(other, _)| *other == address).map(|(_, port)| *port)
    }
}

/// What makes a gate another.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// What goes, before anything comes.
    pub less: BTreeSet<Element>,
    /// What comes.
    pub more: BTreeSet<Element>,
}

impl Change {
    /// How many elements come or go.
    #[must_use]
    pub fn len(&self) -> usize {
        self.less.len() + self.more.len()
    }

    /// Whether none does.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// An element of one of the gate's sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Element {
    /// A port of an address.
    Service(IpAddr, Port),
    /// An address with a port.
    Address(IpAddr),
    /// Who may speak BFD with us.
    Peer(Ipv6Addr),
    /// A machine that we ask, and the port from which it answers.
    Probed(Target),
}

impl Element {
    /// The family of its table, and the set there that it is of.
    #[must_use]
    pub const fn set(&self) -> (Family, &'static str) {
        match self {
            Self::Service(address, _) => (Family::of(*address), "services"),
            Self::Address(address) => (Family::of(*address), "addresses"),
            Self::Peer(_) => (Family::V6, "peers"),
            Self::Probed(Target { machine, .. }) => (Family::of(*machine), "probed"),
        }
    }
}

/// As `nft` reads it.
impl fmt::Display for Element {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Service(address, Port { protocol, number }) => {
                write!(f, "{address} . {} . {number}", name(*protocol))
            }
            Self::Address(address) => address.fmt(f),
            Self::Peer(address) => address.fmt(f),
            Self::Probed(Target { machine, port }) => write!(f, "{machine} . {port}"),
        }
    }
}

const fn name(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Tcp => "tcp",
        Protocol::Udp => "udp",
        Protocol::Sctp => "sctp",
    }
}

/// The rules; what comes and goes is in the sets.
const RULES: &str = include_str!("gate.nft");

#[cfg(test)]
mod tests {
    use super::*;

    fn gate(services: &[(&str, Protocol, u16)], peers: &[&str]) -> Gate {
        let services = services
            .iter()
            .map(|(address, protocol, port)| {
                (address.parse().unwrap(), Port { protocol: *protocol, number: *port })
            })
            .collect();
        let peers = peers.iter().map(|peer| peer.parse().unwrap()).collect();
        Gate { services, peers, ..Gate::default() }
    }

    #[test]
    fn a_gate_that_is_as_it_should_be_is_not_touched() {
        let one = gate(&[("198.51.100.9", Protocol::Tcp, 80)], &["fe80::2"]);
        assert_eq!(one.change(&one), "");
    }

    #[test]
    fn a_gate_is_changed_by_what_differs_and_closes_before_it_opens() {
        let one = gate(
            &[("198.51.100.9", Protocol::Tcp, 80), ("198.51.100.9", Protocol::Udp, 53)],
            &["fe80::2"],
        );
        let other = gate(
            &[("198.51.100.9", Protocol::Tcp, 80), ("2001:db8::9", Protocol::Sctp, 7)],
            &["fe80::2", "fe80::3"],
        );
        assert_eq!(
            one.change(&other),
            "delete element ip cloud-provider-ovn services { 198.51.100.9 . udp . 53 }\n\
             add element ip6 cloud-provider-ovn addresses { 2001:db8::9 }\n\
             add element ip6 cloud-provider-ovn peers { fe80::3 }\n\
             add element ip6 cloud-provider-ovn services { 2001:db8::9 . sctp . 7 }\n"
        );
    }

    #[test]
    fn machines_that_are_asked_are_let_in_by_the_port_they_answer_from() {
        let target = |machine: &str, port| Target { machine: machine.parse().unwrap(), port };
        let probed = [target("10.205.0.1", 10_256), target("2001:db8::1", 30_000)].into();
        let script = Gate::default().change(&Gate { probed, ..Gate::default() });
        assert_eq!(
            script,
            "add element ip cloud-provider-ovn probed { 10.205.0.1 . 10256 }\n\
             add element ip6 cloud-provider-ovn probed { 2001:db8::1 . 30000 }\n"
        );
    }

    #[test]
    fn what_is_told_of_is_counted_in_both_tables() {
        let counted = DROPS.map(|(counter, _)| (counter.to_owned(), 7)).into();
        assert_eq!(drops(&counted).count(), DROPS.len());
        assert_eq!(drops(&[("refused".to_owned(), 0), ("errors".to_owned(), 7)].into()).count(), 0);
        for (counter, _) in DROPS {
            assert_eq!(RULES.matches(&format!("counter {counter} {{")).count(), 2, "{counter}");
        }
    }

    #[test]
    fn each_address_has_its_own_ports() {
        use Protocol::{Sctp, Tcp, Udp};
        let (one, other) = ("198.51.100.9", "198.51.100.10");
        let gate = gate(&[(one, Tcp, 1), (one, Sctp, 7), (one, Udp, 53), (other, Tcp, 80)], &[]);
        let of = |text: &str| -> Vec<u16> {
            gate.of(text.parse().unwrap()).map(|port| port.number).collect()
        };
        assert_eq!((of(one), of(other)), (vec![1, 53, 7], vec![80]));
        assert_eq!(of("198.51.100.11"), []);
    }

    #[test]
    fn a_gate_that_is_loaded_replaces_what_was_there_and_names_its_interface() {
        let script = gate(&[("198.51.100.9", Protocol::Tcp, 80)], &[]).load("vlan205");
        let gone = |family| format!("table {family} {TABLE}\ndelete table {family} {TABLE}\n");
        let before = ["inet", "ip", "ip6"].map(gone).concat();
        assert!(script.starts_with(&before), "{script}");
        assert_eq!(script.matches(r#""vlan205""#).count(), 5);
        assert!(!script.contains('%'), "{script}");
        assert!(script.ends_with("services { 198.51.100.9 . tcp . 80 }\n"), "{script}");
    }

    #[test]
    fn many_services_are_told_in_many_lines() {
        let number = |number: u16| ("198.51.100.9", Protocol::Tcp, number);
        let many = gate(&(1..=2_500).map(number).collect::<Vec<_>>(), &[]);
        let script = Gate::default().change(&many);
        assert_eq!(script.lines().count(), 4, "three for the ports, one for the address");
    }
}
