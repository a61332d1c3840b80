//! What a speaker is to be told, for what it was told before. Pure.

use std::collections::BTreeMap;
use std::net::IpAddr;

use speaker_core::order::Order;
use speaker_core::world::Part;

use ccm_proxy::speaker::Command;

/// What makes a speaker that knows one part know another; one that was just set up knows nothing.
#[derive(Debug, Default)]
pub(crate) struct Differences {
    /// What it has nothing to do with any more: told before the way is taken away.
    pub(crate) less: Vec<Command>,
    /// What else is new: told after the way is there.
    pub(crate) more: Vec<Command>,
}

impl Differences {
    /// What is different.
    pub(crate) fn between(known: Option<&Part>, wanted: &Part) -> Self {
        static NONE: BTreeMap<IpAddr, Order> = BTreeMap::new();
        let had = known.map_or(&NONE, |known| &known.orders);
        let gone = had.keys().filter(|address| !wanted.orders.contains_key(*address));
        let less = gone.map(|address| Command::Order(*address, None)).collect();
        let changed = wanted
            .orders
            .iter()
            .filter(|(address, order)| had.get(*address).is_none_or(|known| known != *order));
        let orders = changed.map(|(address, order)| Command::Order(*address, Some(order.clone())));
        let members = known.is_none_or(|known| known.members != wanted.members);
        let members = members.then(|| Command::Members(wanted.members.clone()));
        Self { less, more: orders.chain(members).collect() }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::time::Duration;

    use speaker_core::gate::Gate;
    use speaker_core::mac::MacAddress;
    use speaker_core::order::Delivery;
    use speaker_core::vlan::Member;
    use speaker_core::world::Connection;

    use super::*;

    fn part(orders: &[(u8, &str)], members: &[u8]) -> Part {
        let order = |(last, uid): &(u8, &str)| {
            let order = Order {
                uid: (*uid).into(),
                delivery: Delivery::Routed { machines: BTreeSet::new() },
                nodes: BTreeSet::new(),
                refresh: Duration::from_secs(60),
                announced: false,
            };
            (IpAddr::from([10, 205, 0, *last]), order)
        };
        let member = |last: &u8| {
            let mac = MacAddress::new([2, 0, 0, 0, 0, *last]).unwrap();
            let node = format!("n{last}").parse().unwrap();
            (node, Member { mac, address: mac.link_local() })
        };
        Part {
            connection: Connection::default(),
            members: members.iter().map(member).collect(),
            orders: orders.iter().map(order).collect(),
            routes: BTreeMap::new(),
            gate: Gate::default(),
        }
    }

    /// The last octets of addresses that are ordered, and how many members are told.
    type Told = (Vec<(u8, bool)>, Option<usize>);

    fn told(commands: &[Command]) -> Told {
        let (mut orders, mut members) = (Vec::new(), None);
        for command in commands {
            match command {
                Command::Order(IpAddr::V4(address), order) => {
                    orders.push((address.octets()[3], order.is_some()));
                }
                Command::Members(named) => members = Some(named.len()),
                other => panic!("{other:?}"),
            }
        }
        (orders, members)
    }

    fn between(known: Option<&Part>, wanted: &Part) -> [Told; 2] {
        let Differences { less, more } = Differences::between(known, wanted);
        [told(&less), told(&more)]
    }

    #[test]
    fn one_that_knows_nothing_is_told_all() {
        let wanted = part(&[(1, "u1"), (2, "u2")], &[1, 2]);
        let expected = [(vec![], None), (vec![(1, true), (2, true)], Some(2))];
        assert_eq!(between(None, &wanted), expected);
        // Also that there is nobody.
        assert_eq!(between(None, &part(&[], &[])), [(vec![], None), (vec![], Some(0))]);
    }

    #[test]
    fn one_that_knows_all_is_told_nothing() {
        let wanted = part(&[(1, "u1")], &[1]);
        assert_eq!(between(Some(&wanted), &wanted), [(vec![], None), (vec![], None)]);
    }

    #[test]
    fn only_what_changed_is_told() {
        let known = part(&[(1, "u1"), (2, "u2"), (3, "u3")], &[1]);
        let wanted = part(&[(2, "u2"), (3, "another"), (4, "u4")], &[1, 2]);
        let expected = [(vec![(1, false)], None), (vec![(3, true), (4, true)], Some(2))];
        assert_eq!(between(Some(&known), &wanted), expected);
    }
}
