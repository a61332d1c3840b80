//! A speaker and the kernel's part at their place.

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use ccm_proxy::bfd_socket::BfdSocket;
use ccm_proxy::groups::Groups;
use ccm_proxy::kernel::{self, Kernel, Passed};
use ccm_proxy::netlink::events::Events;
use ccm_proxy::nft::Nft;
use ccm_proxy::packet::PacketSocket;
use ccm_proxy::place::Place;
use ccm_proxy::probe::{Asked, Prober};
use ccm_proxy::speaker::{Speaker, Stands};
use speaker_core::bfd::Profile;
use speaker_core::health::{Failing, Target};
use speaker_core::node::NodeName;
use speaker_core::vlan::{Command, Member, Us, Vlan};
use speaker_core::world::{Part, VlanName};
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, timeout};

use crate::differences::{Differences, Known};

/// Commands that may wait; more wait with who gives them.
const COMMANDS: usize = 64;
/// How long a speaker may take to leave; all it does is to send a few packets.
const LEAVING: Duration = Duration::from_secs(1);
/// How long the kernel's pass that is under way may take; what `nft` may is the longest part of it.
const PASS: Duration = Duration::from_secs(25);
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
    /// What the kernel's passes come to.
    passed: watch::Receiver<Passed>,
    /// One task.
    speaker: JoinSet<io::Result<()>>,
    /// One task.
    kernel: JoinSet<io::Result<()>>,
    /// One task.
    prober: JoinSet<io::Result<()>>,
    asked: watch::Sender<Asked>,
    /// The machines that are out.
    failing: watch::Receiver<Arc<Failing>>,
    /// The last part without those machines, and what it was made of.
    healthy: Option<(Arc<Part>, Arc<Failing>, Arc<Part>)>,
    /// How the first of them ended.
    ended: Option<io::Result<()>>,
    /// What the speaker was told.
    known: Known,
}

/// What is new of them.
pub(super) enum News {
    /// The speaker stands so.
    Stands(Stands),
    /// The kernel's part made a pass.
    Passed,
    /// Other machines are out.
    Machines,
}

/// The kernel's part after the speaker left.
pub(super) struct Left {
    kernel: JoinSet<io::Result<()>>,
    ended: io::Result<()>,
}

impl Running {
    /// Starts them; they do nothing before they are told.
    pub(super) fn start(
        place: Place,
        (node, vlan): (&NodeName, &VlanName),
        nft: Nft,
    ) -> io::Result<Self> {
        let Place { namespace, interface, whose, mac, address, opened, .. } = place;
        let us = Us { node: node.clone(), seed: seed(node, vlan), profile: PROFILE };
        let (commands, commanded) = mpsc::channel(COMMANDS);
        let (orders, ordered) = watch::channel(None);
        let groups = Groups::new(namespace.clone(), interface.index);
        let sockets = (PacketSocket::new(opened.packets)?, BfdSocket::new(opened.bfd)?, groups);
        let (asked, asks) = watch::channel(Asked::default());
        let (prober, failing) = Prober::new(namespace.clone(), interface.name.clone(), asks);
        let speaker = Vlan::new(us, mac);
        let (speaker, stands) = Speaker::new(speaker, sockets, commanded, Instant::now());
        let netlink = (opened.netlink, Events::new(opened.events)?);
        let at = (namespace, interface, mac);
        let kernel = Kernel::new(whose, at, netlink, nft, ordered, commands.clone());
        let passed = kernel.passed();
        let (mut speaking, mut keeping, mut asking) = Default::default();
        JoinSet::spawn(&mut speaking, speaker.run());
        JoinSet::spawn(&mut keeping, kernel.run());
        JoinSet::spawn(&mut asking, prober.run());
        Ok(Self {
            member: Member { mac, address },
            stands,
            commands,
            orders,
            passed,
            speaker: speaking,
            kernel: keeping,
            prober: asking,
            asked,
            failing,
            healthy: None,
            ended: None,
            known: Known::default(),
        })
    }

    /// Tells them what is different from what they were told before.
    ///
    /// # Errors
    /// The speaker ended.
    pub(super) async fn tell(&mut self, part: &Arc<Part>) -> io::Result<()> {
        self.ask(part);
        let part = &self.healthy(part);
        if self.known.part().is_some_and(|known| Arc::ptr_eq(known, part)) {
            return Ok(());
        }
        let Differences { less, more } = self.known.take(part, &self.passed.borrow_and_update());
        self.command(less).await?;
        let same = self.orders.borrow().as_ref().is_some_and(|known| is_ordered(known, part));
        if !same {
            // A pass that ended before says nothing of what is new now.
            self.passed.mark_unchanged();
            let (routes, gate) = (part.routes.clone(), part.gate.clone());
            let addresses = addresses(part);
            self.orders.send_replace(Some(kernel::Order { routes, gate, addresses }));
        }
        self.command(more).await
    }

    /// Lets those machines be asked whose answers come through: where the last pass failed, no more
    /// than before.
    fn ask(&self, part: &Part) {
        let passed = self.passed.borrow();
        let order = passed.order.as_ref().filter(|_| passed.failures.is_empty());
        let lets_in = order.filter(|order| order.addresses == addresses(part));
        self.asked.send_if_modified(|asked| {
            let comes_in = |target: &Target| match &lets_in {
                Some(order) => order.gate.probed.contains(target),
                None => asked.targets.contains(target),
            };
            let probed = &part.gate.probed;
            let targets = probed.iter().filter(|target| comes_in(target)).copied().collect();
            let sources = part.sources.iter().map(|source| source.address).collect();
            let now = Asked { targets, sources };
            let changed = *asked != now;
            *asked = now;
            changed
        });
    }

    /// A part without the machines that are out.
    fn healthy(&mut self, part: &Arc<Part>) -> Arc<Part> {
        let failing = self.failing.borrow().clone();
        if failing.is_empty() || part.probes.is_empty() {
            self.healthy = None;
            return part.clone();
        }
        match &self.healthy {
            Some((of, but, healthy)) if Arc::ptr_eq(of, part) && Arc::ptr_eq(but, &failing) => {
                healthy.clone()
            }
            Some(_) | None => {
                let healthy = Arc::new(part.without(&failing));
                self.healthy = Some((part.clone(), failing, healthy.clone()));
                healthy
            }
        }
    }

    /// Tells the speaker of the addresses whose ways are there since the last pass.
    ///
    /// # Errors
    /// The speaker ended.
    pub(super) async fn follow(&mut self) -> io::Result<()> {
        // Who is to be asked is looked at with the part, which is told again after this.
        let ready = self.known.follow(&self.passed.borrow_and_update());
        self.command(ready).await
    }

    /// Whether it is known of each address whether it is ours to announce.
    pub(super) fn is_settled(&self, stands: &Stands) -> bool {
        let orders = self.known.part().map(|part| &part.orders);
        let told = |address| stands.addresses.contains_key(address);
        stands.settled && orders.is_none_or(|orders| orders.keys().all(told))
    }

    async fn command(&self, commands: Vec<Command>) -> io::Result<()> {
        for command in commands {
            let sent = self.commands.send(command).await;
            sent.map_err(|_| io::Error::other("the speaker ended"))?;
        }
        Ok(())
    }

    /// How the speaker stands, and the kernel's part, for whoever looks.
    pub(super) fn watch(&self) -> Watched {
        (self.stands.clone(), self.passed.clone(), self.failing.clone())
    }

    /// Waits for news. Cancel safe.
    ///
    /// # Errors
    /// One of them ended; [`Left::end`] tells how.
    pub(super) async fn news(&mut self) -> io::Result<News> {
        // Cancel safe: what changed stays changed, and who ended is noted at once.
        tokio::select! {
            changed = self.stands.changed() => {
                changed.map_err(|_| io::Error::other("the speaker ended"))?;
                Ok(News::Stands(self.stands.borrow_and_update().clone()))
            }
            changed = self.passed.changed() => {
                changed.map_err(|_| io::Error::other("the kernel's part ended"))?;
                Ok(News::Passed)
            }
            changed = self.failing.changed() => {
                changed.map_err(|_| io::Error::other("the prober ended"))?;
                Ok(News::Machines)
            }
            Some(ended) = self.speaker.join_next() => Err(self.ended(ended)),
            Some(ended) = self.kernel.join_next() => Err(self.ended(ended)),
            Some(ended) = self.prober.join_next() => Err(self.ended(ended)),
        }
    }

    fn ended(&mut self, ended: Result<io::Result<()>, JoinError>) -> io::Error {
        let unexpectedly = Err(io::Error::other("a task of the VLAN ended unexpectedly"));
        self.ended = Some(flat(ended).and(unexpectedly));
        io::Error::other("a task of the VLAN ended")
    }

    /// The speaker leaves; the kernel's part has nothing to do any more.
    pub(super) async fn leave(mut self) -> Left {
        drop((self.orders, self.commands));
        self.prober.shutdown().await;
        let mut ended = self.ended.unwrap_or(Ok(()));
        match timeout(LEAVING, self.speaker.join_next()).await {
            Ok(Some(left)) => ended = ended.and_then(|()| flat(left)),
            Ok(None) => {}
            Err(_) => {
                tracing::warn!("a speaker did not leave in time");
                self.speaker.shutdown().await;
            }
        }
        Left { kernel: self.kernel, ended }
    }
}

impl Left {
    /// Waits for the end of the pass that is under way: nobody else touches the namespace before.
    ///
    /// # Errors
    /// What one of them ended by.
    pub(super) async fn end(mut self) -> io::Result<()> {
        match timeout(PASS, self.kernel.join_next()).await {
            Ok(Some(ended)) => self.ended.and_then(|()| flat(ended)),
            Ok(None) => self.ended,
            Err(_) => {
                tracing::warn!("what is set up in the kernel did not end in time");
                self.kernel.shutdown().await;
                self.ended
            }
        }
    }
}

/// What of a VLAN's tasks others look at.
pub(super) type Watched =
    (watch::Receiver<Stands>, watch::Receiver<Passed>, watch::Receiver<Arc<Failing>>);

/// Our addresses on the link.
fn addresses(part: &Part) -> BTreeSet<(IpAddr, u8)> {
    part.sources.iter().map(|source| (source.address, source.prefix)).collect()
}

/// Whether the kernel was ordered what a part says.
fn is_ordered(known: &kernel::Order, part: &Part) -> bool {
    let same = known.routes == part.routes && known.gate == part.gate;
    same && known.addresses == addresses(part)
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
