//! Keeps the kernel's part of a VLAN as it should be: its interface, its routes, its gate.
//!
//! Each pass looks at everything and changes what differs; it is made when something else is
//! wanted, when the kernel says that something changed, and again while something fails.

use std::io;
use std::time::Duration;

use speaker_core::fib::Wanted;
use speaker_core::gate::Gate;
use speaker_core::mac::MacAddress;
use tokio::sync::{mpsc, watch};

use crate::netlink::Netlink;
use crate::netlink::events::Events;
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
    namespace: Namespace,
    interface: String,
    netlink: Netlink,
    events: Events,
    nft: Nft,
    ordered: watch::Receiver<Order>,
    speaker: mpsc::Sender<Command>,
    /// The gate that is loaded, once one is.
    gate: Option<Gate>,
    /// What the speaker was told of the interface.
    told: Option<(MacAddress, bool)>,
}

impl Kernel {
    /// For the interface of a namespace; netlink and events are of that namespace.
    #[must_use]
    pub fn new(
        (namespace, interface): (Namespace, String),
        (netlink, events): (Netlink, Events),
        nft: Nft,
        ordered: watch::Receiver<Order>,
        speaker: mpsc::Sender<Command>,
    ) -> Self {
        let (gate, told) = (None, None);
        Self { namespace, interface, netlink, events, nft, ordered, speaker, gate, told }
    }

    /// Keeps it until nobody orders anything any more.
    ///
    /// # Errors
    /// The kernel tells of no changes any more, or the speaker is gone.
    pub async fn run(mut self) -> io::Result<()> {
        loop {
            let order = self.ordered.borrow_and_update().clone();
            let failed = match self.pass(&order).await {
                Ok(()) => false,
                Err(error) => {
                    tracing::warn!(interface = self.interface, %error, "cannot be set up yet");
                    true
                }
            };
            tokio::select! {
                changed = self.ordered.changed() => if changed.is_err() {
                    return Ok(());
                },
                changed = self.events.changed() => changed?,
                () = tokio::time::sleep(AGAIN), if failed => {}
            }
        }
    }

    /// Looks at everything, and changes what differs: first what closes, last what is announced.
    async fn pass(&mut self, order: &Order) -> io::Result<()> {
        let mut found = None;
        for interface in self.netlink.interfaces()? {
            // Without its loopback a namespace has no gateways, and answers to nobody.
            if interface.name == "lo" && !interface.running {
                self.netlink.set_up(interface.index, true)?;
            }
            if interface.name == self.interface {
                found = Some(interface);
            }
        }
        let missing = || {
            let text = format!("interface {} is gone from its namespace", self.interface);
            io::Error::new(io::ErrorKind::NotFound, text)
        };
        let found = found.ok_or_else(missing)?;
        self.set_gate(&order.gate)?;
        if found.running {
            // Next hops over an interface that is down are none.
            let changes = self.netlink.fib()?.changes(&order.routes);
            for change in &changes {
                let changed = self.netlink.change_fib(change, found.index);
                changed.map_err(|error| {
                    io::Error::new(error.kind(), format!("{change:?}: {error}"))
                })?;
            }
            if !changes.is_empty() {
                tracing::debug!(interface = self.interface, changes = changes.len(), "routes");
            }
        }
        let now = found.mac.map(|mac| (mac, found.running));
        if let Some((mac, up)) = now.filter(|_| now != self.told) {
            let told = self.speaker.send(Command::Interface(mac, up)).await;
            told.map_err(|_| io::Error::other("the speaker is gone"))?;
            self.told = now;
        }
        Ok(())
    }

    fn set_gate(&mut self, gate: &Gate) -> io::Result<()> {
        let script = match &self.gate {
            Some(loaded) => loaded.change(gate),
            None => gate.load(&self.interface),
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
