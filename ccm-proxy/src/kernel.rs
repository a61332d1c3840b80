//! Keeps the kernel's part of a VLAN as it should be: its interface, its routes, its gate.
//!
//! Each pass looks at the interface and the routes there are and changes what differs; the gate is
//! ours alone, and changed by what changed. A pass is made when something else is wanted, when the
//! kernel says that something changed, and again while something fails.

use std::io;
use std::time::Duration;

use speaker_core::fib::{Change, Changes, Wanted};
use speaker_core::gate::Gate;
use speaker_core::mac::MacAddress;
use tokio::sync::{mpsc, watch};

use crate::netlink::events::Events;
use crate::netlink::{Interface, Netlink};
use crate::netns::Namespace;
use crate::nft::Nft;
use crate::speaker::Command;

/// How long after a failure another pass is made.
const AGAIN: Duration = Duration::from_secs(1);

/// What the kernel is to have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Order {
    /// The machines behind each address.
    pub routes: Wanted,
    /// What may pass.
    pub gate: Gate,
}

/// Keeps the kernel's part of one VLAN.
#[derive(Debug)]
pub struct Kernel {
    place: Place,
    events: Events,
    ordered: watch::Receiver<Option<Order>>,
    speaker: mpsc::Sender<Command>,
    /// What the speaker was told of the interface.
    told: (MacAddress, bool),
}

/// The namespace, and what is known of it.
#[derive(Debug)]
struct Place {
    namespace: Namespace,
    interface: Interface,
    mac: MacAddress,
    netlink: Netlink,
    nft: Nft,
    /// The gate that is loaded, if that is certain.
    gate: Option<Gate>,
    /// A gate was loaded once: a change that fails leaves the one before.
    closed: bool,
    /// Every route was made once.
    routed: bool,
    /// Whether the interface ran when it was seen last.
    running: bool,
}

/// How a pass went.
struct Pass {
    mac: MacAddress,
    /// Whether addresses may be announced: the interface runs, and what is announced has its way
    /// and nothing else has. What fails later does not take that back: it would on all nodes alike.
    up: bool,
    failed: Vec<io::Error>,
    /// The interface is not in its namespace any more.
    gone: bool,
}

impl Kernel {
    /// For the interface of a namespace, with this Ethernet address; netlink and events are of that
    /// namespace. Nothing is touched before something is ordered.
    #[must_use]
    pub fn new(
        (namespace, interface, mac): (Namespace, Interface, MacAddress),
        (netlink, events): (Netlink, Events),
        nft: Nft,
        ordered: watch::Receiver<Option<Order>>,
        speaker: mpsc::Sender<Command>,
    ) -> Self {
        let (gate, closed, routed, running) = (None, false, false, false);
        let place =
            Place { namespace, interface, mac, netlink, nft, gate, closed, routed, running };
        Self { place, events, ordered, speaker, told: (mac, false) }
    }

    /// Keeps it until nobody orders anything any more.
    ///
    /// # Errors
    /// The interface is gone or another one than it was, the kernel tells of no changes any more, or the
    /// speaker is gone: all is to be set up anew.
    pub async fn run(mut self) -> io::Result<()> {
        loop {
            let order = self.ordered.borrow_and_update().clone();
            let mut failed = false;
            if let Some(order) = order {
                let mut place = self.place;
                let pass = move || {
                    let pass = place.pass(&order);
                    (place, pass)
                };
                // Another VLAN's speaker does not wait for this one's kernel.
                let passed = tokio::task::spawn_blocking(pass).await.map_err(io::Error::other)?;
                let (place, pass) = passed;
                self.place = place;
                failed = self.take(pass?).await?;
            }
            tokio::select! {
                changed = self.ordered.changed() => if changed.is_err() {
                    return Ok(());
                },
                changed = self.events.changed() => changed?,
                () = tokio::time::sleep(AGAIN), if failed => {}
            }
        }
    }

    /// Tells the speaker of the interface, and whoever reads the log of failures; gives whether
    /// there are any.
    async fn take(&mut self, pass: Pass) -> io::Result<bool> {
        let interface = &self.place.interface.name;
        if let Some(error) = pass.failed.first() {
            let failures = pass.failed.len();
            tracing::warn!(interface, failures, %error, "cannot be set up yet");
        }
        let now = (pass.mac, pass.up);
        if self.told != now {
            let told = self.speaker.send(Command::Interface(pass.mac, pass.up)).await;
            told.map_err(|_| io::Error::other("the speaker is gone"))?;
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
        match self.set_gate(&order.gate) {
            Ok(()) => self.closed = true,
            Err(error) => failed.push(error),
        }
        if self.running {
            // Next hops over an interface that is down are none.
            let before = failed.len();
            self.set_routes(&order.routes, &mut failed);
            self.routed |= failed.len() == before;
        }
        let up = self.running && self.closed && self.routed;
        Ok(Pass { mac: self.mac, up, failed, gone })
    }

    /// Our interface; the loopback is up afterwards.
    fn look(&mut self) -> io::Result<Interface> {
        let mut ours = None;
        for interface in self.netlink.interfaces()? {
            // Without its loopback a namespace has no gateways, and answers to nobody.
            if interface.name == "lo" && !interface.running {
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

    fn set_routes(&mut self, wanted: &Wanted, failed: &mut Vec<io::Error>) {
        let index = self.interface.index;
        failed.extend(self.netlink.set_sender(index, self.mac).err());
        let fib = match self.netlink.fib() {
            Ok(fib) => fib,
            Err(error) => return failed.push(error),
        };
        let changes = fib.changes(wanted);
        if changes == Changes::default() {
            return;
        }
        let count = changes.make.len() + changes.sweep.len();
        tracing::debug!(interface = self.interface.name, changes = count, "routes");
        let before = failed.len();
        for change in &changes.make {
            failed.extend(self.change(change).err());
        }
        if failed.len() == before {
            for change in &changes.sweep {
                failed.extend(self.change(change).err());
            }
        }
    }

    fn change(&mut self, change: &Change) -> io::Result<()> {
        let changed = self.netlink.change_fib(change, self.interface.index);
        changed.map_err(|error| io::Error::new(error.kind(), format!("{change:?}: {error}")))
    }

    fn set_gate(&mut self, gate: &Gate) -> io::Result<()> {
        let script = match &self.gate {
            Some(loaded) => loaded.change(gate),
            None => gate.load(&self.interface.name),
        };
        if !script.is_empty() {
            // What fails is loaded whole the next time.
            self.gate = None;
            self.nft.run(&self.namespace, &script)?;
        }
        self.gate = Some(gate.clone());
        Ok(())
    }
}
