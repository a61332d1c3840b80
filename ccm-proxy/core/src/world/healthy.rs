//! A part without the machines that do not answer as they should.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use super::{Connection, Part};
use crate::health::{Failing, Target, kept};
use crate::order::Delivery;

impl Part {
    /// A part of this connection in which nothing is to be done.
    #[must_use]
    pub fn new(connection: Connection) -> Self {
        let (members, orders, ahead, routes) = Default::default();
        let (gate, probes, sources) = Default::default();
        Self { connection, members, orders, ahead, routes, gate, probes, sources }
    }

    /// Who is to be asked whether it takes connections: each machine behind an address that is
    /// probed, where we have an address to ask by.
    #[must_use]
    pub fn targets(&self) -> BTreeSet<Target> {
        let targets = self.probes.iter().flat_map(|(address, port)| {
            let machines = self.machines(*address).into_iter();
            machines.map(|machine| Target { machine, port: *port })
        });
        targets.filter(|target| self.asks(target.machine)).collect()
    }

    /// Whether we have an address to ask a machine by.
    #[must_use]
    pub fn asks(&self, machine: IpAddr) -> bool {
        self.sources.iter().any(|source| source.address.is_ipv4() == machine.is_ipv4())
    }

    /// The machines behind an address.
    fn machines(&self, address: IpAddr) -> BTreeSet<IpAddr> {
        let routed = self.routes.get(&address).into_iter().flat_map(|all| all.iter().copied());
        let direct = match self.orders.get(&address).map(|order| &order.delivery) {
            Some(Delivery::Direct { machines }) => Some(machines),
            Some(Delivery::Routed { .. } | Delivery::Local { .. }) | None => None,
        };
        let alike = |machine: &IpAddr| machine.is_ipv4() == address.is_ipv4();
        let direct = direct.into_iter().flat_map(|all| all.iter().map(|machine| machine.address));
        routed.chain(direct).filter(alike).collect()
    }

    /// The same, without the machines that are out: of an address all of whose machines are, none
    /// is taken away.
    #[must_use]
    pub fn without(&self, failing: &Failing) -> Self {
        let mut part = self.clone();
        let (mut ways, mut machines_of) = (BTreeMap::new(), BTreeMap::new());
        for (address, port) in &self.probes {
            let out = (*port, failing);
            if let Some(machines) = part.routes.get_mut(address) {
                *machines = kept_alike(&mut ways, machines, |machine| *machine, out);
            }
            match part.orders.get_mut(address).map(|order| &mut order.delivery) {
                Some(Delivery::Routed { machines } | Delivery::Direct { machines }) => {
                    *machines =
                        kept_alike(&mut machines_of, machines, |machine| machine.address, out);
                }
                Some(Delivery::Local { .. }) | None => {}
            }
        }
        part
    }
}

/// What is kept of machines that many addresses have alike, and have alike afterwards.
fn kept_alike<M: Clone + Ord>(
    found: &mut BTreeMap<(*const BTreeSet<M>, u16), Arc<BTreeSet<M>>>,
    machines: &Arc<BTreeSet<M>>,
    address: impl Fn(&M) -> IpAddr,
    (port, failing): (u16, &Failing),
) -> Arc<BTreeSet<M>> {
    let found = found.entry((Arc::as_ptr(machines), port));
    found.or_insert_with(|| kept(machines, address, (port, failing))).clone()
}
