//! Keeps the kernel's part of a VLAN as it should be: its interface, its routes, its gate.
//!
//! Each pass looks at the interface and the routes there are and changes what differs; the gate is
//! ours alone, and changed by what changed. A pass is made when something else is wanted, when the
//! kernel says that something changed, and again while something fails. What each pass came to is
//! told: an address is announced for the first time once its way is there.

use std::collections::BTreeSet;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use speaker_core::fib::{Change, Changes, Wanted};
use speaker_core::gate::{self, Gate};
use speaker_core::mac::MacAddress;
use speaker_core::vlan::Command;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};

use crate::netlink::events::Events;
use crate::netlink::{Interface, Netlink};
use crate::netns::Namespace;
use crate::nft::Nft;

/// How long after a failure another pass is made.
const AGAIN: Duration = Duration::from_secs(1);
/// After a pass the next one waits so many times as long as that took, and no longer than this: what
/// changes in a crowd is changed together.
const PACE: u32 = 4;
const LONGEST_REST: Duration = Duration::from_millis(100);

/// Whose a namespace is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose {
    /// Ours: all of it is as we make it.
    Ours,
    /// The node's: its interface is looked at, and nothing is changed.
    OfNode,
}

/// What the kernel is to have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Order {
    /// The machines behind each address.
    pub routes: Wanted,
    /// What may pass.
    pub gate: Gate,
    /// Our addresses on the link, with the lengths of their prefixes.
    pub addresses: BTreeSet<(IpAddr, u8)>,
}

/// What the last pass came to.
#[derive(Clone, Debug, Default)]
pub struct Passed {
    /// The order of which everything was tried; nothing where the interface did not run, or the
    /// kernel did not tell what there is.
    pub order: Option<Arc<Order>>,
    /// The addresses whose ways are not as it says: a change of theirs failed.
    pub held: BTreeSet<IpAddr>,
    /// The interface does not run.
    pub down: bool,
    /// What failed.
    pub failures: Vec<String>,
}

impl Passed {
    /// Whether the way of an address through the namespace is there, as these say.
    #[must_use]
    pub fn is_there(&self, address: IpAddr, routes: &Wanted, gate: &Gate) -> bool {
        // Without a way through it, packets go past the namespace.
        let Some(machines) = routes.get(&address) else { return true };
        self.order.as_ref().is_some_and(|order| {
            let same = order.routes.get(&address) == Some(machines);
            same && !self.held.contains(&address) && order.gate.of(address).eq(gate.of(address))
        })
    }
}

/// Keeps the kernel's part of one VLAN.
#[derive(Debug)]
pub struct Kernel {
    place: Place,
    events: Events,
    ordered: watch::Receiver<Option<Order>>,
    /// What was ordered last.
    order: Option<Arc<Order>>,
    passed: watch::Sender<Passed>,
    /// Weak: that the kernel's part is not over yet keeps no speaker from leaving.
    speaker: mpsc::WeakSender<Command>,
    /// What the speaker was told of the interface.
    told: (MacAddress, bool),
}

/// The namespace, and what is known of it.
#[derive(Debug)]
struct Place {
    whose: Whose,
    namespace: Namespace,
    interface: Interface,
    mac: MacAddress,
    netlink: Netlink,
    nft: Nft,
    /// The gate that is loaded, if that is certain.
    gate: Option<Gate>,
    /// A gate was loaded once: a change that fails leaves the one before.
    closed: bool,
    /// Every change of a route was tried once.
    routed: bool,
    /// Whether the interface ran when it was seen last.
    running: bool,
}

/// How a pass went.
struct Pass {
    mac: MacAddress,
    /// Whether anything may be announced: the interface runs, the gate is closed for whatever is no
    /// Service, and every change of a route was tried. What fails later does not take that back: it
    /// would on all nodes alike.
    up: bool,
    /// Everything was tried.
    tried: bool,
    /// Addresses whose ways are not as ordered.
    held: BTreeSet<IpAddr>,
    failed: Vec<io::Error>,
    /// The interface is not in its namespace any more.
    gone: bool,
}

impl Kernel {
    /// For the interface of a namespace, with this Ethernet address; netlink and events are of that
    /// namespace. Nothing is touched before something is ordered.
    #[must_use]
    pub fn new(
        whose: Whose,
        (namespace, interface, mac): (Namespace, Interface, MacAddress),
        (netlink, events): (Netlink, Events),
        nft: Nft,
        ordered: watch::Receiver<Option<Order>>,
        speaker: mpsc::Sender<Command>,
    ) -> Self {
        let (gate, closed, routed, running) = (None, false, false, false);
        let place =
            Place { whose, namespace, interface, mac, netlink, nft, gate, closed, routed, running };
        let (passed, _) = watch::channel(Passed::default());
        let (order, speaker) = (None, speaker.downgrade());
        Self { place, events, ordered, order, passed, speaker, told: (mac, false) }
    }

    /// What each pass comes to, for whoever waits for it.
    #[must_use]
    pub fn passed(&self) -> watch::Receiver<Passed> {
        self.passed.subscribe()
    }

    /// Keeps it until nobody orders anything any more; a pass that is under way is ended before.
    ///
    /// # Errors
    /// The interface is gone or another one than it was, the kernel tells of no changes any more, or the
    /// speaker is gone: all is to be set up anew.
    pub async fn run(mut self) -> io::Result<()> {
        let mut rests_until = Instant::now();
        while self.ordered.has_changed().is_ok() {
            sleep_until(rests_until).await;
            let Ok(changed) = self.ordered.has_changed() else { break };
            let begun = Instant::now();
            if changed || self.order.is_none() {
                self.order = self.ordered.borrow_and_update().clone().map(Arc::new);
            }
            let mut failed = false;
            if let Some(order) = self.order.clone() {
                let mut place = self.place;
                let pass = move || {
                    let pass = place.pass(&order);
                    (place, order, pass)
                };
                // Another VLAN's speaker does not wait for this one's kernel.
                let passed = tokio::task::spawn_blocking(pass).await.map_err(io::Error::other)?;
                let (place, order, pass) = passed;
                self.place = place;
                failed = self.take(order, pass?).await?;
            }
            rests_until = Instant::now() + (begun.elapsed() * PACE).min(LONGEST_REST);
            // Each can be dropped while it waits: what changed stays changed.
            tokio::select! {
                changed = self.ordered.changed() => match changed {
                    // To be taken by the next pass.
                    Ok(()) => self.ordered.mark_changed(),
                    Err(_) => return Ok(()),
                },
                changed = self.events.changed() => changed?,
                () = tokio::time::sleep(AGAIN), if failed => {}
            }
        }
        Ok(())
    }

    /// Tells what the pass came to, the speaker of the interface, and whoever reads the log of
    /// failures; gives whether there are any.
    async fn take(&mut self, order: Arc<Order>, pass: Pass) -> io::Result<bool> {
        let interface = &self.place.interface.name;
        if let Some(error) = pass.failed.first() {
            let failures = pass.failed.len();
            tracing::warn!(interface, failures, %error, "cannot be set up yet");
        }
        self.passed.send_replace(Passed {
            order: pass.tried.then_some(order),
            held: pass.held,
            down: !self.place.running,
            failures: pass.failed.iter().map(io::Error::to_string).collect(),
        });
        let now = (pass.mac, pass.up);
        if self.told != now {
            let told = match self.speaker.upgrade() {
                Some(speaker) => speaker.send(Command::Interface(pass.mac, pass.up)).await.is_ok(),
                None => false,
            };
            if !told && self.ordered.has_changed().is_ok() {
                return Err(io::Error::other("the speaker is gone"));
            }
            self.told = now;
        }
        if pass.gone {
            let text = format!("interface {interface} is gone from its namespace");
            return Err(io::Error::new(io::ErrorKind::NotConnected, text));
        }
        Ok(!pass.failed.is_empty())
    }
}

impl Place {
    /// Looks at everything, and changes what differs. One that fails does not keep the others from
    /// being made.
    fn pass(&mut self, order: &Order) -> io::Result<Pass> {
        let (mut failed, mut gone) = (Vec::new(), false);
        match self.look() {
            Ok(found) if found.index != self.interface.index => {
                let text = format!("interface {} was replaced by another", found.name);
                return Err(io::Error::new(io::ErrorKind::NotConnected, text));
            }
            Ok(found) => {
                self.mac = found.mac.unwrap_or(self.mac);
                self.running = found.running;
            }
            Err(error) => {
                // That the kernel does not tell says nothing of the interface.
                gone = error.kind() == io::ErrorKind::NotFound;
                self.running &= !gone;
                failed.push(error);
            }
        }
        if self.whose == Whose::OfNode {
            let (held, up) = (BTreeSet::new(), self.running);
            return Ok(Pass { mac: self.mac, up, tried: up, held, failed, gone });
        }
        let loaded = self.set_gate(&order.gate);
        let is_loaded = loaded.is_ok();
        match loaded {
            Ok(()) => self.closed = true,
            Err(error) => failed.push(within(&self.namespace, error)?),
        }
        let mut held = None;
        if self.running {
            let index = self.interface.index;
            failed.extend(self.netlink.set_addresses(index, &order.addresses).err());
            // Next hops over an interface that is down are none.
            held = self.set_routes(&order.routes, &mut failed);
        }
        let tried = held.is_some();
        self.routed |= tried;
        let mut held = held.unwrap_or_default();
        if !is_loaded {
            // The gate is changed as a whole, or not at all.
            held.extend(order.routes.keys());
        }
        let up = self.running && self.closed && self.routed;
        Ok(Pass { mac: self.mac, up, tried, held, failed, gone })
    }

    /// Our interface; the loopback of a namespace of ours is up afterwards.
    fn look(&mut self) -> io::Result<Interface> {
        let mut ours = None;
        for interface in self.netlink.interfaces()? {
            // Without its loopback a namespace has no gateways, and answers to nobody.
            let lo = interface.name == "lo" && self.whose == Whose::Ours;
            if lo && !interface.running {
                self.netlink.set_up(interface.index, true)?;
            }
            if interface.name == self.interface.name {
                ours = Some(interface);
            }
        }
        ours.ok_or_else(|| {
            let text = format!("interface {} is gone from its namespace", self.interface.name);
            io::Error::new(io::ErrorKind::NotFound, text)
        })
    }

    /// Makes the routes; gives the addresses that have none as wanted afterwards, if it is known
    /// which routes there are.
    fn set_routes(
        &mut self,
        wanted: &Wanted,
        failed: &mut Vec<io::Error>,
    ) -> Option<BTreeSet<IpAddr>> {
        let index = self.interface.index;
        failed.extend(self.netlink.set_sender(index, self.mac).err());
        // Known before anything is led to them.
        let machines = wanted.values().flat_map(|machines| machines.iter().copied()).collect();
        failed.extend(self.netlink.keep_resolved(index, &machines).err());
        let fib = match self.netlink.fib() {
            Ok(fib) => fib,
            Err(error) => {
                failed.push(error);
                return None;
            }
        };
        let changes = fib.changes(wanted);
        if changes == Changes::default() {
            return Some(BTreeSet::new());
        }
        let count = changes.make.len() + changes.sweep.len();
        tracing::debug!(interface = self.interface.name, changes = count, "routes");
        let mut refused = Vec::new();
        for change in &changes.make {
            if let Err(error) = self.change(change) {
                failed.push(error);
                refused.push(change.clone());
            }
        }
        if refused.is_empty() {
            for change in &changes.sweep {
                failed.extend(self.change(change).err());
            }
        }
        Some(fib.held_back(&changes.make, &refused))
    }

    fn change(&mut self, change: &Change) -> io::Result<()> {
        let changed = self.netlink.change_fib(change, self.interface.index);
        changed.map_err(|error| io::Error::new(error.kind(), format!("{change:?}: {error}")))
    }

    fn set_gate(&mut self, gate: &Gate) -> io::Result<()> {
        // What fails is loaded whole the next time.
        let loaded = self.gate.take();
        match loaded {
            Some(loaded) if loaded == *gate => {}
            Some(loaded) if self.change_gate(&loaded.difference(gate)) => {}
            Some(loaded) => self.nft.run(&self.namespace, &loaded.change(gate))?,
            None => self.nft.run(&self.namespace, &gate.load(&self.interface.name))?,
        }
        self.gate = Some(gate.clone());
        Ok(())
    }

    /// Changes a few elements of the gate; whether that is done. A process for each would take
    /// longer than all the rest.
    fn change_gate(&mut self, change: &gate::Change) -> bool {
        let changed = self.netlink.change_gate(change);
        changed.unwrap_or_else(|error| {
            tracing::debug!(%error, "the gate is changed by nft");
            false
        })
    }
}

/// What failed in a namespace.
///
/// # Errors
/// The namespace is not there any more: all is to be set up anew.
fn within(namespace: &Namespace, error: io::Error) -> io::Result<io::Error> {
    if namespace.is_pinned() {
        return Ok(error);
    }
    let text = format!("the namespace is gone: {error}");
    Err(io::Error::new(io::ErrorKind::NotConnected, text))
}

#[cfg(test)]
#[path = "kernel_tests.rs"]
mod tests;
