//! What a speaker is to be told, for what it was told before. Pure.
//!
//! ```text
//! Part ─────────► Known ─► less ─► (the kernel's order) ─► more ─► speaker
//! kernel::Passed ───┴────────────► what waited for its way ──────────┘
//! ```
//! An address that is new to the speaker waits until its way is there: until then nobody is to be
//! led here. A fellow that is new waits until the gate lets it in: what it answers before would be
//! lost, and is said again a second later. What the speaker knows stays, whatever fails later.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use ccm_proxy::kernel::Passed;
use speaker_core::node::NodeName;
use speaker_core::order::Order;
use speaker_core::vlan::{Command, Member};
use speaker_core::world::Part;

/// What a speaker knows; one that was just set up knows nothing.
#[derive(Debug, Default)]
pub(crate) struct Known {
    part: Option<Arc<Part>>,
    /// Addresses of that part that the speaker was not told of.
    waiting: BTreeSet<IpAddr>,
    /// The members that it was told of.
    members: Option<BTreeMap<NodeName, Member>>,
}

/// What makes a speaker that knows one part know another.
#[derive(Debug, Default)]
pub(crate) struct Differences {
    /// What it has nothing to do with any more: told before the way is taken away.
    pub(crate) less: Vec<Command>,
    /// What else is new: told after the kernel's part is.
    pub(crate) more: Vec<Command>,
}

impl Known {
    /// The part that is known.
    pub(crate) const fn part(&self) -> Option<&Arc<Part>> {
        self.part.as_ref()
    }

    /// Takes another part; gives what is different, of new addresses those whose ways are there.
    pub(crate) fn take(&mut self, wanted: &Arc<Part>, passed: &Passed) -> Differences {
        let (known, waited) =
            (self.part.replace(wanted.clone()), std::mem::take(&mut self.waiting));
        let known = known.as_deref();
        let had = |address: &IpAddr| {
            let known = known.filter(|_| !waited.contains(address))?;
            known.orders.get(address)
        };
        let goes_on = |address: &IpAddr, order: &Order| {
            wanted.orders.get(address).is_some_and(|wanted| wanted.uid == order.uid)
        };
        let told = known.into_iter().flat_map(|known| known.orders.keys());
        let gone = told.filter(|at| had(at).is_some_and(|order| !goes_on(at, order)));
        let less = gone.map(|address| Command::Order(*address, None)).collect();
        let mut more = Vec::new();
        for (address, order) in &wanted.orders {
            let before = had(address).filter(|before| before.uid == order.uid);
            let told = match before {
                Some(before) => before != order,
                None => {
                    // Where the kernel is ordered something else, only its next pass tells.
                    let same = known.is_some_and(|known| is_same_way(*address, known, wanted));
                    let same = same || !wanted.routes.contains_key(address);
                    let there = same && passed.is_there(*address, &wanted.routes, &wanted.gate);
                    if !there {
                        self.waiting.insert(*address);
                    }
                    there
                }
            };
            if told {
                more.push(Command::Order(*address, Some(order.clone())));
            }
        }
        more.extend(self.members(wanted, passed));
        let asked = known.map(|known| known.ahead.clone()).unwrap_or_default();
        if asked != wanted.ahead {
            more.push(Command::Ahead(wanted.ahead.clone()));
        }
        Differences { less, more }
    }

    /// What waited, and need not any more after a pass.
    pub(crate) fn follow(&mut self, passed: &Passed) -> Vec<Command> {
        let Some(part) = self.part.clone() else { return Vec::new() };
        let there = |address: &IpAddr| passed.is_there(*address, &part.routes, &part.gate);
        let ready: BTreeSet<IpAddr> = self.waiting.iter().filter(|at| there(at)).copied().collect();
        self.waiting.retain(|address| !ready.contains(address));
        let order = |address: IpAddr| {
            part.orders.get(&address).map(|order| Command::Order(address, Some(order.clone())))
        };
        let orders: Vec<_> = ready.into_iter().filter_map(order).collect();
        self.members(&part, passed).into_iter().chain(orders).collect()
    }

    /// The members of a part, if they are others than the speaker knows: all at the beginning, and
    /// later those that it knows or that the gate lets in.
    fn members(&mut self, part: &Part, passed: &Passed) -> Option<Command> {
        let lets_in = |member: &Member| {
            passed.order.as_ref().is_some_and(|order| order.gate.peers.contains(&member.address))
        };
        let now = match &self.members {
            None => part.members.clone(),
            Some(told) => {
                let all = part.members.iter();
                let there = all.filter(|(node, at)| told.get(*node) == Some(at) || lets_in(at));
                there.map(|(node, at)| (node.clone(), *at)).collect()
            }
        };
        if self.members.as_ref() == Some(&now) {
            return None;
        }
        self.members = Some(now.clone());
        Some(Command::Members(now))
    }
}

/// Whether the kernel's part of an address is the same.
fn is_same_way(address: IpAddr, one: &Part, other: &Part) -> bool {
    let routes = one.routes.get(&address) == other.routes.get(&address);
    routes && one.gate.of(address).eq(other.gate.of(address))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use ccm_proxy::kernel;
    use speaker_core::mac::MacAddress;
    use speaker_core::order::Delivery;
    use speaker_core::world::Connection;

    use super::*;

    fn address(last: u8) -> IpAddr {
        IpAddr::from([10, 205, 0, last])
    }

    /// A part whose addresses lead past the namespace.
    fn part(orders: &[(u8, &str)], members: &[u8]) -> Arc<Part> {
        let order = |(last, uid): &(u8, &str)| {
            let order = Order {
                uid: (*uid).into(),
                delivery: Delivery::Routed { machines: Arc::default() },
                nodes: Arc::default(),
                refresh: Duration::from_secs(60),
                announced: false,
            };
            (address(*last), order)
        };
        let member = |last: &u8| {
            let mac = MacAddress::new([2, 0, 0, 0, 0, *last]).unwrap();
            let node = format!("n{last}").parse().unwrap();
            (node, Member { mac, address: mac.link_local() })
        };
        Arc::new(Part {
            members: members.iter().map(member).collect(),
            orders: orders.iter().map(order).collect(),
            ..Part::new(Connection::default())
        })
    }

    /// The same, whose addresses lead to a machine each.
    fn routed(orders: &[(u8, &str)], machine: u8) -> Arc<Part> {
        let mut part = Part::clone(&part(orders, &[]));
        let machine = IpAddr::from([10, 205, 0, machine]);
        part.routes =
            part.orders.keys().map(|address| (*address, Arc::new([machine].into()))).collect();
        Arc::new(part)
    }

    /// A pass of a part, that failed for these.
    fn passed(part: &Part, held: &[u8]) -> Passed {
        let (routes, gate) = (part.routes.clone(), part.gate.clone());
        let order = kernel::Order { routes, gate, ..kernel::Order::default() };
        let held = held.iter().map(|last| address(*last)).collect();
        Passed { order: Some(Arc::new(order)), held, ..Passed::default() }
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

    fn take(known: &mut Known, wanted: &Arc<Part>, passed: &Passed) -> [Told; 2] {
        let Differences { less, more } = known.take(wanted, passed);
        [told(&less), told(&more)]
    }

    fn between(known: Option<&Arc<Part>>, wanted: &Arc<Part>) -> [Told; 2] {
        let (part, members) = (known.cloned(), known.map(|known| known.members.clone()));
        let mut known = Known { part, members, ..Known::default() };
        take(&mut known, wanted, &Passed::default())
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
        let wanted = part(&[(2, "u2"), (3, "another"), (4, "u4")], &[]);
        let less = vec![(1, false), (3, false)];
        let expected = [(less, None), (vec![(3, true), (4, true)], Some(0))];
        assert_eq!(between(Some(&known), &wanted), expected);
    }

    const NOTHING: Told = (vec![], None);

    #[test]
    fn a_new_member_is_told_of_after_a_pass_that_lets_it_in() {
        let mut known = Known::default();
        let with = |members: &[u8]| {
            let mut part = Part::clone(&part(&[], members));
            part.gate.peers = part.members.values().map(|member| member.address).collect();
            Arc::new(part)
        };
        let (one, two, other) = (with(&[1]), with(&[1, 2]), with(&[1, 3]));
        assert_eq!(take(&mut known, &one, &Passed::default()), [NOTHING, (vec![], Some(1))]);
        assert_eq!(take(&mut known, &two, &passed(&one, &[])), [NOTHING, NOTHING]);
        assert_eq!(
            told(&known.follow(&passed(&one, &[]))),
            NOTHING,
            "that pass did not know of it"
        );
        assert_eq!(told(&known.follow(&passed(&two, &[]))), (vec![], Some(2)));
        assert_eq!(told(&known.follow(&passed(&two, &[]))), NOTHING, "once");
        // Who is gone is told of at once, who came after a pass.
        assert_eq!(take(&mut known, &other, &passed(&two, &[])), [NOTHING, (vec![], Some(1))]);
        assert_eq!(told(&known.follow(&passed(&other, &[]))), (vec![], Some(2)));
    }

    #[test]
    fn a_new_address_is_told_of_after_a_pass_that_succeeded_for_it() {
        let mut known = Known::default();
        let one = routed(&[(1, "u1")], 9);
        assert_eq!(take(&mut known, &one, &Passed::default()), [NOTHING, (vec![], Some(0))]);
        assert_eq!(told(&known.follow(&passed(&one, &[1]))), NOTHING, "its route was refused");
        let yes = passed(&one, &[]);
        assert_eq!(told(&known.follow(&yes)), (vec![(1, true)], None));
        assert_eq!(told(&known.follow(&yes)), NOTHING, "once");
        let two = routed(&[(1, "u1"), (2, "u2")], 9);
        assert_eq!(take(&mut known, &two, &yes), [NOTHING, NOTHING]);
        assert_eq!(told(&known.follow(&yes)), NOTHING, "that pass did not know of it");
        assert_eq!(told(&known.follow(&passed(&two, &[1]))), (vec![(2, true)], None));
    }

    #[test]
    fn what_a_speaker_knows_stays_whatever_fails_later() {
        let mut known = Known::default();
        let one = routed(&[(1, "u1")], 9);
        known.take(&one, &Passed::default());
        known.follow(&passed(&one, &[]));
        let elsewhere = routed(&[(1, "u1")], 8);
        assert_eq!(take(&mut known, &elsewhere, &passed(&one, &[])), [NOTHING, NOTHING]);
        assert_eq!(told(&known.follow(&passed(&elsewhere, &[1]))), NOTHING);
    }

    #[test]
    fn an_address_of_another_eip_is_withdrawn_and_waits_for_its_new_way() {
        let mut known = Known::default();
        let one = routed(&[(1, "u1")], 9);
        known.take(&one, &Passed::default());
        let before = passed(&one, &[]);
        known.follow(&before);
        let other = routed(&[(1, "u2")], 8);
        assert_eq!(take(&mut known, &other, &before), [(vec![(1, false)], None), NOTHING]);
        assert_eq!(told(&known.follow(&before)), NOTHING, "it leads to the machines of the other");
        assert_eq!(told(&known.follow(&passed(&other, &[]))), (vec![(1, true)], None));
    }

    #[test]
    fn what_waits_and_is_gone_is_never_told_of() {
        let mut known = Known::default();
        let (one, none) = (routed(&[(1, "u1")], 9), routed(&[], 9));
        known.take(&one, &Passed::default());
        assert_eq!(take(&mut known, &none, &Passed::default()), [NOTHING, NOTHING]);
        assert_eq!(told(&known.follow(&passed(&one, &[]))), NOTHING);
    }

    #[test]
    fn an_order_for_an_address_whose_way_is_there_is_told_at_once() {
        let mut known = Known::default();
        let one = routed(&[(1, "u1")], 9);
        let without = Arc::new(Part { orders: BTreeMap::new(), ..Part::clone(&one) });
        known.take(&without, &Passed::default());
        let there = passed(&without, &[]);
        assert_eq!(take(&mut known, &one, &there), [NOTHING, (vec![(1, true)], None)]);
    }
}
