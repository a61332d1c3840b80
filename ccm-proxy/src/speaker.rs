//! One task for each VLAN: carries frames and packets between the sockets and the pure speaker.
//!
//! ```text
//! PacketSocket ─┐                      ┌─► PacketSocket
//! BfdSocket ────┼─► Vlan (pure) ───────┼─► BfdSocket
//! commands ─────┘                      └─► standings, to whoever asks for them
//! ```
//! What has come in is handed over before anything is due: one that was kept from running hears
//! first what the others said meanwhile.

use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;
use std::time::Duration;

use speaker_core::drop_reason::Drops;
use speaker_core::l2::Standing;
use speaker_core::mac::MacAddress;
use speaker_core::node::NodeName;
use speaker_core::order::Order;
use speaker_core::vlan::{Liveness, Member, Send, Vlan};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use crate::bfd_socket::BfdSocket;
use crate::packet::PacketSocket;

/// So many frames are heard before anything else has its turn.
const IN_A_ROW: usize = 256;

/// What changes for a speaker.
#[derive(Clone, Debug)]
pub enum Command {
    /// The speakers on the link.
    Members(BTreeMap<NodeName, Member>),
    /// What is to be done for an address, or that nothing is.
    Order(IpAddr, Option<Order>),
    /// Our interface.
    Interface(MacAddress, bool),
}

/// How a speaker stands.
#[derive(Clone, Debug, Default)]
pub struct Stands {
    /// Each of its addresses.
    pub addresses: BTreeMap<IpAddr, Standing>,
    /// The other speakers.
    pub peers: BTreeMap<NodeName, Liveness>,
    /// What had no effect.
    pub drops: Drops,
}

/// One speaker on one link.
#[derive(Debug)]
pub struct Speaker {
    vlan: Vlan,
    packets: PacketSocket,
    bfd: BfdSocket,
    commands: mpsc::Receiver<Command>,
    stands: watch::Sender<Stands>,
    start: Instant,
}

impl Speaker {
    /// A speaker with its sockets. `start` is the beginning of its time.
    #[must_use]
    pub fn new(
        vlan: Vlan,
        packets: PacketSocket,
        bfd: BfdSocket,
        commands: mpsc::Receiver<Command>,
        start: Instant,
    ) -> (Self, watch::Receiver<Stands>) {
        let (stands, watched) = watch::channel(Stands::default());
        (Self { vlan, packets, bfd, commands, stands, start }, watched)
    }

    /// Speaks until nobody can command it any more.
    ///
    /// # Errors
    /// A socket fails for good.
    pub async fn run(mut self) -> io::Result<()> {
        loop {
            let deadline = self.vlan.deadline().map(|deadline| self.start + deadline);
            // Each of them can be dropped while it waits: nothing is lost.
            tokio::select! {
                frame = self.packets.receive() => self.heard(frame)?,
                packet = self.bfd.receive() => {
                    let packet = packet?;
                    let said = self.vlan.hear_bfd(packet.from, packet.ttl, &packet.payload, self.now());
                    self.say(said);
                }
                command = self.commands.recv() => match command {
                    Some(command) => self.obey(command),
                    None => return Ok(()),
                },
                () = until(deadline) => {}
            }
            self.catch_up();
            let said = self.vlan.poll(self.now(), random());
            self.say(said);
            self.report();
        }
    }

    fn now(&self) -> Duration {
        self.start.elapsed()
    }

    fn heard(&mut self, frame: io::Result<Vec<u8>>) -> io::Result<()> {
        match frame {
            Ok(frame) => {
                let said = self.vlan.hear(&frame, self.now());
                self.say(said);
                Ok(())
            }
            // Told once each time the interface goes down; netlink tells when it is back.
            Err(error) if error.kind() == io::ErrorKind::NetworkDown => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Takes what has come in meanwhile.
    fn catch_up(&mut self) {
        for _ in 0..IN_A_ROW {
            let Some(packet) = self.bfd.try_receive() else { break };
            let said = self.vlan.hear_bfd(packet.from, packet.ttl, &packet.payload, self.now());
            self.say(said);
        }
        for _ in 0..IN_A_ROW {
            let Some(frame) = self.packets.try_receive() else { break };
            let said = self.vlan.hear(&frame, self.now());
            self.say(said);
        }
        for _ in 0..IN_A_ROW {
            let Ok(command) = self.commands.try_recv() else { break };
            self.obey(command);
        }
    }

    fn obey(&mut self, command: Command) {
        let now = self.now();
        match command {
            Command::Members(members) => self.vlan.set_members(members, now),
            Command::Order(address, order) => self.vlan.set_order(address, order, now),
            Command::Interface(mac, up) => self.vlan.set_interface(mac, up, now),
        }
    }

    /// Sends; what cannot be sent now is told again by the next refresh, or asked for again.
    fn say(&self, said: Vec<Send>) {
        for send in said {
            let sent = match &send {
                Send::Frame(frame) => self.packets.send(frame),
                Send::Bfd(to, payload) => self.bfd.send(*to, payload),
            };
            if let Err(error) = sent {
                tracing::debug!(%error, "not sent");
            }
        }
    }

    fn report(&mut self) {
        let changed = self.vlan.take_changed();
        let vlan = &self.vlan;
        self.stands.send_if_modified(|stands| {
            for address in &changed {
                match vlan.standing(*address) {
                    Some(standing) => drop(stands.addresses.insert(*address, standing)),
                    None => drop(stands.addresses.remove(address)),
                }
            }
            let peers = vlan.peers().map(|(node, liveness)| (node.clone(), liveness)).collect();
            let told = !changed.is_empty() || stands.peers != peers;
            stands.peers = peers;
            if stands.drops != *vlan.drops() {
                stands.drops = vlan.drops().clone();
            }
            told
        });
    }
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

/// Spreads packets in time; nothing depends on it being unknown.
fn random() -> u8 {
    use std::hash::{BuildHasher as _, RandomState};
    let [random, ..] = RandomState::new().hash_one(0).to_le_bytes();
    random
}
