//! One task for each VLAN: carries frames and packets between the sockets and the pure speaker.
//!
//! ```text
//! PacketSocket ─┐                      ┌─► PacketSocket
//! BfdSocket ────┼─► Vlan (pure) ───────┼─► BfdSocket
//! commands ─────┘                      └─► standings, to whoever asks for them
//! ```
//! What has come in is handed over before anything is due: one that was kept from running hears
//! first what the others said meanwhile.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use speaker_core::drop_reason::Drops;
use speaker_core::l2::Standing;
use speaker_core::node::NodeName;
use speaker_core::vlan::{Command, Input, Liveness, Send, Vlan};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use crate::bfd_socket::{BfdSocket, Received};
use crate::groups::Groups;
use crate::packet::PacketSocket;

/// So many frames are heard before anything else has its turn.
const IN_A_ROW: usize = 256;
/// So many frames wait for room; what is more is not sent: it is told again by the next refresh, or
/// asked for again.
const BACKLOG: usize = 4_096;
/// How long is waited for room.
const ROOM: Duration = Duration::from_millis(2);
/// How long after a failure groups are joined again.
const AGAIN: Duration = Duration::from_secs(1);

/// How a speaker stands.
#[derive(Clone, Debug, Default)]
pub struct Stands {
    /// Each of its addresses.
    pub addresses: BTreeMap<IpAddr, Standing>,
    /// UIDs of the `Eip`s for which they stand so.
    pub uids: BTreeMap<IpAddr, Arc<str>>,
    /// Whether it is known who else is there.
    pub settled: bool,
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
    groups: Groups,
    commands: mpsc::Receiver<Command>,
    stands: watch::Sender<Stands>,
    start: Instant,
    /// Frames that the kernel had no room for, in their order.
    backlog: VecDeque<Vec<u8>>,
    /// When groups are to be joined or left.
    regroup: Option<Instant>,
}

impl Speaker {
    /// A speaker with its sockets. `start` is the beginning of its time.
    #[must_use]
    pub fn new(
        vlan: Vlan,
        (packets, bfd, groups): (PacketSocket, BfdSocket, Groups),
        commands: mpsc::Receiver<Command>,
        start: Instant,
    ) -> (Self, watch::Receiver<Stands>) {
        let (stands, watched) = watch::channel(Stands::default());
        let (backlog, regroup) = (VecDeque::new(), None);
        let speaker =
            Self { vlan, packets, bfd, groups, commands, stands, start, backlog, regroup };
        (speaker, watched)
    }

    /// Speaks until nobody can command it any more.
    ///
    /// # Errors
    /// A socket fails for good.
    pub async fn run(mut self) -> io::Result<()> {
        loop {
            // While there is no room for frames, none are made.
            let room = self.backlog.is_empty();
            let deadline = self.vlan.deadline(room).map(|deadline| self.start + deadline);
            let deadline = [deadline, self.regroup].into_iter().flatten().min();
            // Each of them can be dropped while it waits: nothing is lost.
            tokio::select! {
                frame = self.packets.receive() => self.heard(frame)?,
                packet = self.bfd.receive() => self.handle(bfd(packet?)),
                command = self.commands.recv() => match command {
                    Some(command) => self.obey(command),
                    None => {
                        // The others need not miss us first.
                        self.handle(Input::Leave);
                        self.report();
                        return Ok(());
                    }
                },
                () = until(deadline) => {}
                () = tokio::time::sleep(ROOM), if !self.backlog.is_empty() => {}
            }
            self.catch_up();
            self.regroup();
            self.send_backlog();
            let room = self.backlog.is_empty();
            self.handle(Input::Poll { random: random(), room });
            self.report();
        }
    }

    fn handle(&mut self, input: Input) {
        let said = self.vlan.handle(input, self.start.elapsed());
        self.say(said);
    }

    fn heard(&mut self, frame: io::Result<Vec<u8>>) -> io::Result<()> {
        match frame {
            Ok(frame) => {
                self.handle(Input::Frame(frame));
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
            self.handle(bfd(packet));
        }
        for turn in 0..IN_A_ROW {
            // A flood of one protocol does not keep the other from being heard.
            let Some(frame) = self.packets.try_receive(turn % 2 == 0) else { break };
            self.handle(Input::Frame(frame));
        }
        for _ in 0..IN_A_ROW {
            let Ok(command) = self.commands.try_recv() else { break };
            self.obey(command);
        }
    }

    fn obey(&mut self, command: Command) {
        match &command {
            Command::Order(address, _) if address.is_ipv6() => self.regroup_now(),
            Command::Ahead(ahead) if ahead.addresses.iter().any(IpAddr::is_ipv6) => {
                self.regroup_now();
            }
            // What waits is withdrawn.
            Command::Interface(_, false) => self.backlog.clear(),
            Command::Members(_)
            | Command::Order(..)
            | Command::Ahead(_)
            | Command::Interface(_, true) => {}
        }
        self.handle(Input::Command(command));
    }

    fn regroup_now(&mut self) {
        self.regroup = Some(Instant::now());
    }

    /// Joins the groups in which questions about our addresses are asked.
    fn regroup(&mut self) {
        if self.regroup.is_none_or(|due| Instant::now() < due) {
            return;
        }
        let joined = self.groups.set(&self.vlan.groups());
        self.regroup = joined.is_err().then(|| Instant::now() + AGAIN);
        if let Err(error) = joined {
            tracing::warn!(%error, "cannot hear all questions about IPv6 addresses");
        }
    }

    /// Sends what there was no room for.
    fn send_backlog(&mut self) {
        while let Some(frame) = self.backlog.pop_front() {
            if !self.send(&frame) {
                self.backlog.push_front(frame);
                return;
            }
        }
    }

    /// Sends a frame; whether there was room.
    fn send(&self, frame: &[u8]) -> bool {
        match self.packets.send(frame) {
            Err(error) if is_full(&error) => false,
            Err(error) => {
                tracing::debug!(%error, "a frame is not sent");
                true
            }
            Ok(()) => true,
        }
    }

    fn say(&mut self, said: Vec<Send>) {
        for send in said {
            match send {
                Send::Frame(frame) => {
                    let room = self.backlog.is_empty() && self.send(&frame);
                    if !room && self.backlog.len() < BACKLOG {
                        self.backlog.push_back(frame);
                    }
                }
                Send::Bfd(to, payload) => {
                    if let Err(error) = self.bfd.send(to, &payload) {
                        tracing::debug!(%to, %error, "a packet of BFD is not sent");
                    }
                }
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
                match vlan.uid(*address) {
                    Some(uid) => drop(stands.uids.insert(*address, uid.clone())),
                    None => drop(stands.uids.remove(address)),
                }
            }
            let known = stands.peers.iter().map(|(node, liveness)| (node, *liveness));
            let same = vlan.peers().eq(known);
            if !same {
                let peers = vlan.peers().map(|(node, liveness)| (node.clone(), liveness));
                stands.peers = peers.collect();
            }
            if stands.drops != *vlan.drops() {
                stands.drops = vlan.drops().clone();
            }
            let settled = std::mem::replace(&mut stands.settled, vlan.settled());
            !same || !changed.is_empty() || settled != stands.settled
        });
    }
}

fn bfd(Received { from, ttl, payload }: Received) -> Input {
    Input::Bfd { from, ttl, payload }
}

/// Whether the kernel has no room at the moment.
fn is_full(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::WouldBlock || error.raw_os_error() == Some(libc::ENOBUFS)
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
