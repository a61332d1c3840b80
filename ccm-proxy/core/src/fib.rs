//! Which way packets of an address go through a speaker's namespace.
//!
//! An address has a route to a group of next hops, one for each virtual machine behind it. Groups
//! are shared by addresses with the same machines, and list them in the order of their addresses:
//! with the same seed for the hash, every speaker sends a connection to the same machine.
//!
//! The difference is taken between what should be and what a dump of the kernel shows. So what a
//! previous run left is adopted, and what an outage of the link took away comes back.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

/// Number of a next hop or of a group of them, in the kernel of one namespace.
pub type NextHopId = u32;

/// The routes that should be: the virtual machines behind each address, in one set for all addresses
/// that have the same. Packets to those without any go nowhere.
pub type Wanted = BTreeMap<IpAddr, Arc<BTreeSet<IpAddr>>>;

/// What the kernel has of ours.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fib {
    /// The gateway of each next hop.
    pub next_hops: BTreeMap<NextHopId, IpAddr>,
    /// The next hops of each group, in their order.
    pub groups: BTreeMap<NextHopId, Vec<NextHopId>>,
    /// The route of each address.
    pub routes: BTreeMap<IpAddr, Way>,
}

/// Where a route leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Way {
    /// To a group.
    Group(NextHopId),
    /// Nowhere; not even by another route.
    Unreachable,
}

/// One change of the kernel. Each can be repeated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Makes a next hop over our interface.
    AddNextHop(NextHopId, IpAddr),
    /// Makes a group, or gives it other members; routes to it follow at once.
    SetGroup(NextHopId, Vec<NextHopId>),
    /// Makes the route of an address, or leads it elsewhere.
    SetRoute(IpAddr, Way),
    /// Removes the route of an address.
    DeleteRoute(IpAddr),
    /// Removes a next hop or a group that nothing leads to.
    DeleteNextHop(NextHopId),
}

/// What makes of one state of the kernel another.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// In an order in which no route leads nowhere meanwhile. One that fails keeps no other from
    /// being made.
    pub make: Vec<Change>,
    /// Removes what nothing leads to any more; only when all of [`Self::make`] was made.
    pub sweep: Vec<Change>,
}

/// The sets of machines that are wanted.
fn sets(wanted: &Wanted) -> BTreeSet<&BTreeSet<IpAddr>> {
    wanted.values().map(|machines| &**machines).filter(|machines| !machines.is_empty()).collect()
}

impl Fib {
    /// What makes this what is wanted.
    #[must_use]
    pub fn changes(&self, wanted: &Wanted) -> Changes {
        let mut planned = Planned::new(self);
        let mut groups = self.reusable(wanted);
        for machines in sets(wanted) {
            let hops: Vec<NextHopId> = machines.iter().map(|m| planned.next_hop(*m)).collect();
            let id = *groups.entry(machines).or_insert_with(|| planned.unused());
            if planned.fib.groups.get(&id) != Some(&hops) {
                planned.apply(Change::SetGroup(id, hops));
            }
        }
        for (address, machines) in wanted {
            let way = groups.get(&**machines).map_or(Way::Unreachable, |id| Way::Group(*id));
            if self.routes.get(address) != Some(&way) {
                planned.apply(Change::SetRoute(*address, way));
            }
        }
        for address in self.routes.keys().filter(|address| !wanted.contains_key(*address)) {
            planned.apply(Change::DeleteRoute(*address));
        }
        let make = std::mem::take(&mut planned.changes);
        planned.sweep(&groups.into_values().collect());
        Changes { make, sweep: planned.changes }
    }

    /// Which group there is can be that of which machines: one that has them, or else one all of
    /// whose routes want the same ones, so that a machine that goes is one change and not one for
    /// each address.
    fn reusable<'w>(&self, wanted: &'w Wanted) -> BTreeMap<&'w BTreeSet<IpAddr>, NextHopId> {
        let mut found = BTreeMap::new();
        let sets = sets(wanted);
        let mut users: BTreeMap<NextHopId, BTreeSet<Option<&'w BTreeSet<IpAddr>>>> =
            BTreeMap::new();
        for (address, way) in &self.routes {
            if let Way::Group(id) = way {
                let machines = wanted.get(address).map(|machines| &**machines);
                let machines = machines.filter(|machines| !machines.is_empty());
                users.entry(*id).or_default().insert(machines);
            }
        }
        for (id, hops) in &self.groups {
            let gateways = hops.iter().map(|hop| self.next_hops.get(hop).copied());
            let gateways: Option<BTreeSet<IpAddr>> = gateways.collect();
            if let Some(set) = gateways.and_then(|gateways| sets.get(&gateways).copied()) {
                found.entry(set).or_insert(*id);
            }
        }
        let taken: BTreeSet<NextHopId> = found.values().copied().collect();
        for (id, users) in users.iter().filter(|(id, _)| !taken.contains(id)) {
            let mut users = users.iter();
            if let (Some(Some(set)), None) = (users.next(), users.next())
                && self.groups.contains_key(id)
            {
                found.entry(*set).or_insert(*id);
            }
        }
        found
    }
}

/// What the kernel will have, and what leads there.
struct Planned {
    fib: Fib,
    changes: Vec<Change>,
    /// The next hop to each gateway.
    hops: BTreeMap<IpAddr, NextHopId>,
    /// Every number below is taken.
    lowest: NextHopId,
}

impl Planned {
    fn new(fib: &Fib) -> Self {
        let hops = fib.next_hops.iter().map(|(id, gateway)| (*gateway, *id)).collect();
        // Zero is none.
        Self { fib: fib.clone(), changes: Vec::new(), hops, lowest: 1 }
    }

    /// The next hop to a machine, made if need be.
    fn next_hop(&mut self, gateway: IpAddr) -> NextHopId {
        if let Some(id) = self.hops.get(&gateway) {
            return *id;
        }
        let id = self.unused();
        self.hops.insert(gateway, id);
        self.apply(Change::AddNextHop(id, gateway));
        id
    }

    /// The lowest number that nothing has and that was not given before.
    fn unused(&mut self) -> NextHopId {
        let (hops, groups) = (&self.fib.next_hops, &self.fib.groups);
        let free = |id: &NextHopId| !hops.contains_key(id) && !groups.contains_key(id);
        let id = (self.lowest..NextHopId::MAX).find(free).unwrap_or(NextHopId::MAX);
        self.lowest = id.saturating_add(1);
        id
    }

    fn apply(&mut self, change: Change) {
        self.fib.apply(&change);
        self.changes.push(change);
    }

    /// Removes groups that are not wanted, then next hops that no group has.
    fn sweep(&mut self, groups: &BTreeSet<NextHopId>) {
        let idle: Vec<_> =
            self.fib.groups.keys().filter(|id| !groups.contains(id)).copied().collect();
        idle.into_iter().for_each(|id| self.apply(Change::DeleteNextHop(id)));
        let used: BTreeSet<NextHopId> = self.fib.groups.values().flatten().copied().collect();
        let idle: Vec<_> =
            self.fib.next_hops.keys().filter(|id| !used.contains(id)).copied().collect();
        idle.into_iter().for_each(|id| self.apply(Change::DeleteNextHop(id)));
    }
}

impl Fib {
    /// The addresses that have not the way they should have when some of the changes that make it
    /// failed: by one of their own, or by one of the group that they lead to.
    #[must_use]
    pub fn held_back(&self, make: &[Change], failed: &[Change]) -> BTreeSet<IpAddr> {
        let (mut groups, mut held) = (BTreeSet::new(), BTreeSet::new());
        for change in failed {
            match change {
                Change::SetGroup(id, _) => drop(groups.insert(Way::Group(*id))),
                Change::SetRoute(address, _) => drop(held.insert(*address)),
                // A group with a next hop that is not there fails as well.
                Change::AddNextHop(..) | Change::DeleteRoute(_) | Change::DeleteNextHop(_) => {}
            }
        }
        if !groups.is_empty() {
            let mut made = self.clone();
            make.iter().for_each(|change| made.apply(change));
            let ways = made.routes.into_iter().filter(|(_, way)| groups.contains(way));
            held.extend(ways.map(|(address, _)| address));
        }
        held
    }

    /// What a change makes of it.
    pub fn apply(&mut self, change: &Change) {
        match change {
            Change::AddNextHop(id, gateway) => drop(self.next_hops.insert(*id, *gateway)),
            Change::SetGroup(id, hops) => drop(self.groups.insert(*id, hops.clone())),
            Change::SetRoute(address, way) => drop(self.routes.insert(*address, *way)),
            Change::DeleteRoute(address) => drop(self.routes.remove(address)),
            Change::DeleteNextHop(id) => {
                self.groups.remove(id);
                self.next_hops.remove(id);
            }
        }
    }
}

#[cfg(test)]
#[path = "fib_tests.rs"]
mod tests;
