//! A speaker and the kernel's part at their place.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use ccm_proxy::bfd_socket::BfdSocket;
use ccm_proxy::groups::Groups;
use ccm_proxy::kernel::{self, Kernel};
use ccm_proxy::netlink::events::Events;
use ccm_proxy::nft::Nft;
use ccm_proxy::packet::PacketSocket;
use ccm_proxy::speaker::{Command, Speaker, Stands};
use speaker_core::bfd::Profile;
use speaker_core::node::NodeName;
use speaker_core::vlan::{Member, Us, Vlan};
use speaker_core::world::{Part, VlanName};
use tokio::sync::{mpsc, watch};
use tokio::task::{AbortHandle, JoinError, JoinSet};
use tokio::time::{Instant, timeout};

use crate::differences::Differences;
use crate::place::Place;

/// Commands that may wait; more wait with who gives them.
const COMMANDS: usize = 64;
/// How long a speaker may take to leave; all it does is to send a few packets.
const LEAVING: Duration = Duration::from_secs(1);
/// How fast speakers miss each other.
const PROFILE: Profile = Profile {
    receive: Duration::from_millis(100),
    transmit: Duration::from_millis(100),
    multiplier: 3,
    passive: false,
};

/// A speaker and the kernel's part, running.
pub(super) struct Running {
    /// Where we are.
    pub(super) member: Member,
    stands: watch::Receiver<Stands>,
    commands: mpsc::Sender<Command>,
    orders: watch::Sender<Option<kernel::Order>>,
    tasks: JoinSet<io::Result<()>>,
    kernel: AbortHandle,
    /// How the first of them ended.
    ended: Option<io::Result<()>>,
    /// What they were told.
    told: Option<Arc<Part>>,
}

impl Running {
    /// Starts them; they do nothing before they are told.
    pub(super) fn start(
        place: Place,
        (node, vlan): (&NodeName, &VlanName),
        nft: Nft,
    ) -> io::Result<Self> {
        let Place { namespace, interface, mac, opened, .. } = place;
        let us = Us { node: node.clone(), seed: seed(node, vlan), profile: PROFILE };
        let (commands, commanded) = mpsc::channel(COMMANDS);
        let (orders, ordered) = watch::channel(None);
        let groups = Groups::new(namespace.clone(), interface.index);
        let sockets = (PacketSocket::new(opened.packets)?, BfdSocket::new(opened.bfd)?, groups);
        let speaker = Vlan::new(us, mac);
        let (speaker, stands) = Speaker::new(speaker, sockets, commanded, Instant::now());
        let netlink = (opened.netlink, Events::new(opened.events)?);
        let at = (namespace, interface, mac);
        let kernel = Kernel::new(at, netlink, nft, ordered, commands.clone());
        let mut tasks = JoinSet::new();
        tasks.spawn(speaker.run());
        let kernel = tasks.spawn(kernel.run());
        let member = Member { mac, address: mac.link_local() };
        Ok(Self { member, stands, commands, orders, tasks, kernel, ended: None, told: None })
    }

    /// Tells them what is different from what they were told before.
    ///
    /// # Errors
    /// The speaker ended.
    pub(super) async fn tell(&mut self, part: Arc<Part>) -> io::Result<()> {
        let Differences { less, more } = Differences::between(self.told.as_deref(), &part);
        self.command(less).await?;
        let order = || kernel::Order { routes: part.routes.clone(), gate: part.gate.clone() };
        self.orders.send_if_modified(|known| {
            let same = known
                .as_ref()
                .is_some_and(|known| known.routes == part.routes && known.gate == part.gate);
            if !same {
                *known = Some(order());
            }
            !same
        });
        self.command(more).await?;
        self.told = Some(part);
        Ok(())
    }

    async fn command(&self, commands: Vec<Command>) -> io::Result<()> {
        for command in commands {
            let sent = self.commands.send(command).await;
            sent.map_err(|_| io::Error::other("the speaker ended"))?;
        }
        Ok(())
    }

    /// How the speaker stands, for whoever looks.
    pub(super) fn watch(&self) -> watch::Receiver<Stands> {
        self.stands.clone()
    }

    /// Waits until the speaker stands otherwise. Cancel safe.
    ///
    /// # Errors
    /// One of them ended; [`Self::end`] tells how.
    pub(super) async fn stands(&mut self) -> io::Result<Stands> {
        // Cancel safe: what changed stays changed, and who ended is noted at once.
        tokio::select! {
            changed = self.stands.changed() => {
                changed.map_err(|_| io::Error::other("the speaker ended"))?;
                Ok(self.stands.borrow_and_update().clone())
            }
            Some(ended) = self.tasks.join_next() => {
                let unexpectedly = Err(io::Error::other("a task of the VLAN ended unexpectedly"));
                self.ended = Some(flat(ended).and(unexpectedly));
                Err(io::Error::other("a task of the VLAN ended"))
            }
        }
    }

    /// Ends them: the speaker leaves. Gives how they ended.
    pub(super) async fn end(mut self) -> io::Result<()> {
        self.kernel.abort();
        // Nobody can command the speaker any more when the kernel's part is gone as well.
        drop(self.commands);
        let mut all = self.ended.unwrap_or(Ok(()));
        let joined = async {
            while let Some(ended) = self.tasks.join_next().await {
                match ended {
                    Err(error) if error.is_cancelled() => {}
                    ended if all.is_ok() => all = flat(ended),
                    _ => {}
                }
            }
        };
        let left = timeout(LEAVING, joined).await;
        if left.is_err() {
            tracing::warn!("a speaker did not leave in time");
            self.tasks.shutdown().await;
        }
        all
    }
}

fn flat(ended: Result<io::Result<()>, JoinError>) -> io::Result<()> {
    ended.unwrap_or_else(|error| Err(io::Error::other(error)))
}

/// A number for BFD's sessions, which is another at the next start and on another node.
fn seed(node: &NodeName, vlan: &VlanName) -> u64 {
    let start = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let mut hasher = DefaultHasher::new();
    (node, vlan, start).hash(&mut hasher);
    hasher.finish()
}
