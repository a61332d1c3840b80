//! One task for each VLAN of this node: sets up its place, and runs the speaker and the kernel's
//! part there.
//!
//! ```text
//! heart ─► Wanted (the latest counts) ─► Task ─┬─► Command (bounded) ─► Speaker ─► Stands ─┐
//!                                        ▲     ├─► kernel::Order ─► Kernel ─► Passed ──────┤
//!                                        │     └─► Asked ─► Prober ─► Failing ─────────────┤
//!                                        └─────────────────────────────────────────────────┘
//! heart ◄─ Told (bounded: a full heart holds up the VLAN's word, and not its speaker) ◄─ Task
//! ```
//! One that fails is set up anew after a pause, and no other VLAN notices.

mod entries;
mod running;

use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use ccm_proxy::kernel::Passed;
use ccm_proxy::place::Ground;
use ccm_proxy::speaker::Stands;
use ccm_proxy::sysctl;
use speaker_core::health::Failing;
use speaker_core::node::NodeName;
use speaker_core::vlan::Member;
use speaker_core::world::{Connection, Part, VlanName};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};

use crate::input::{Entry, Input, Told};
use entries::{entries, unable};
use running::{News, Running};

/// The first pause after a failure, and the longest.
const PAUSES: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(30)];
/// Who ran for so long and fails begins with the first pause again.
const RAN: Duration = Duration::from_secs(60);
/// How often is said why nothing can be announced.
const TELL: Duration = Duration::from_secs(3);
/// Until then what an earlier run announced is left standing, or until the speakers found each
/// other.
const GRACE: Duration = Duration::from_secs(10);

/// What is wanted of a VLAN's task.
#[derive(Clone, Debug)]
pub(crate) enum Wanted {
    /// It does this.
    Part(Arc<Part>),
    /// It ends. Packets are led on, and the next run takes the namespace over.
    Keep,
    /// It ends, and leaves nothing.
    Remove,
}

/// How a VLAN stands, for whoever looks.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    /// Why nothing is announced here, if it cannot be set up.
    pub(crate) trouble: Option<String>,
    /// Where we are on it.
    pub(crate) member: Option<Member>,
    /// Connections may break when another speaker takes over: the kernel is too old.
    pub(crate) own_hash: bool,
    /// How the speaker stands.
    pub(crate) stands: Option<watch::Receiver<Stands>>,
    /// What the kernel's part came to.
    pub(crate) passed: Option<watch::Receiver<Passed>>,
    /// The machines that are out.
    pub(crate) failing: Option<watch::Receiver<Arc<Failing>>>,
}

/// A VLAN's task.
pub(crate) struct Task {
    name: VlanName,
    us: NodeName,
    ground: Arc<Ground>,
    wanted: watch::Receiver<Wanted>,
    seen: watch::Sender<Seen>,
    inputs: mpsc::Sender<Input>,
    /// What the heart was told of addresses.
    said: BTreeMap<IpAddr, Entry>,
    /// The heart was told that nothing else is announced.
    settled: bool,
}

impl Task {
    /// A task that has not begun.
    pub(crate) fn new(
        (name, us): (VlanName, NodeName),
        ground: Arc<Ground>,
        wanted: watch::Receiver<Wanted>,
        seen: watch::Sender<Seen>,
        inputs: mpsc::Sender<Input>,
    ) -> Self {
        let (said, settled) = (BTreeMap::new(), false);
        Self { name, us, ground, wanted, seen, inputs, said, settled }
    }

    /// Runs until it is not wanted any more.
    pub(crate) async fn run(mut self) -> VlanName {
        let mut pause = PAUSES[0];
        while let Some(connection) = self.connection() {
            let begun = Instant::now();
            let ended = match self.set_up(&connection).await {
                Ok(running) => self.follow(running, &connection).await,
                Err(error) => Err(error),
            };
            if let Err(error) = ended {
                pause = if begun.elapsed() > RAN { PAUSES[0] } else { pause };
                self.wait(&connection, pause, &error).await;
                pause = (pause * 2).min(PAUSES[1]);
            }
        }
        let remove = matches!(*self.wanted.borrow(), Wanted::Remove);
        if remove {
            self.remove().await;
        }
        tracing::info!(vlan = %self.name, removed = remove, "the speaker left");
        self.name
    }

    /// The connection that is wanted, while one is.
    fn connection(&self) -> Option<Connection> {
        // Nobody can want anything else any more.
        self.wanted.has_changed().ok()?;
        match &*self.wanted.borrow() {
            Wanted::Part(part) => Some(part.connection.clone()),
            Wanted::Keep | Wanted::Remove => None,
        }
    }

    /// What is wanted of this connection; nothing where another is wanted, or none.
    fn part(&mut self, connection: &Connection) -> Option<Arc<Part>> {
        match &*self.wanted.borrow_and_update() {
            Wanted::Part(part) if part.connection.is_alike(connection) => Some(part.clone()),
            Wanted::Part(_) | Wanted::Keep | Wanted::Remove => None,
        }
    }

    async fn set_up(&self, connection: &Connection) -> io::Result<Running> {
        let (ground, name, at) = (self.ground.clone(), self.name.clone(), connection.clone());
        let set_up = tokio::task::spawn_blocking(move || ground.set_up(&name, &at));
        let place = set_up.await.map_err(io::Error::other)??;
        let own_hash = place.hash == sysctl::Hash::OfItsOwn;
        if own_hash {
            tracing::warn!(vlan = %self.name, "the kernel (before 6.11) cannot send connections \
                to the same machine as other speakers do: they break when another takes over");
        }
        let running = Running::start(place, (&self.us, &self.name), self.ground.nft())?;
        let (member, (stands, passed, failing)) = (running.member, running.watch());
        let (interface, mac) = (&connection.interface, member.mac);
        tracing::info!(vlan = %self.name, interface, %mac, "the speaker runs");
        let member = Some(member);
        let (stands, passed, failing) = (Some(stands), Some(passed), Some(failing));
        self.seen.send_replace(Seen { trouble: None, member, own_hash, stands, passed, failing });
        Ok(running)
    }

    /// Follows what is wanted, and how the speaker stands, until something else is wanted or it
    /// fails. At the end the speaker has left.
    async fn follow(&mut self, mut running: Running, connection: &Connection) -> io::Result<()> {
        self.tell(Told::Connected(Some(running.member))).await;
        let followed = self.attend(&mut running, connection).await;
        let left = running.leave().await;
        self.report(&Stands::default()).await;
        // What an error is due to is what the tasks say.
        left.end().await.and(followed)
    }

    async fn attend(&mut self, running: &mut Running, connection: &Connection) -> io::Result<()> {
        let grace = Instant::now() + GRACE;
        while let Some(part) = self.part(connection) {
            running.tell(&part).await?;
            // Each can be dropped while it waits: what changed stays changed, who ended stays ended.
            tokio::select! {
                changed = self.wanted.changed() => if changed.is_err() { return Ok(()) },
                news = running.news() => match news? {
                    News::Stands(stands) => {
                        self.report(&stands).await;
                        if running.is_settled(&stands) {
                            self.settle().await;
                        }
                    }
                    News::Passed => running.follow().await?,
                    // What is told is looked at anew.
                    News::Machines => {}
                },
                () = sleep_until(grace), if !self.settled => self.settle().await,
            }
        }
        Ok(())
    }

    /// Waits after a failure, or until something else is wanted.
    async fn wait(&mut self, connection: &Connection, pause: Duration, error: &io::Error) {
        let (vlan, interface) = (self.name.clone(), &connection.interface);
        let trouble = Some(error.to_string());
        let seen = Seen { trouble: trouble.clone(), ..Seen::default() };
        if self.seen.send_replace(seen).trouble == trouble {
            tracing::debug!(%vlan, interface, %error, ?pause, "nothing is announced still");
        } else {
            tracing::warn!(%vlan, interface, %error, "nothing is announced, is tried again");
        }
        self.tell(Told::Connected(None)).await;
        self.settle().await;
        let over = Instant::now() + pause;
        let mut tell = Instant::now() + TELL;
        while let Some(part) = self.part(connection) {
            let mut unable = unable(&part, &self.us, &error.to_string());
            if Instant::now() < tell {
                // Most of what is new is announced by another in a moment.
                unable.retain(|address, entry| self.said.get(address) == Some(entry));
            } else {
                tell = Instant::now() + TELL;
            }
            self.say(unable).await;
            // Either way it is looked at what is wanted now. Cancel safe: what changed stays changed.
            tokio::select! {
                changed = self.wanted.changed() => if changed.is_err() { return },
                () = sleep_until(tell.min(over)) => if Instant::now() >= over { return },
            }
        }
    }

    async fn remove(&self) {
        let (ground, name) = (self.ground.clone(), self.name.clone());
        let removed = tokio::task::spawn_blocking(move || ground.remove(&name)).await;
        if let Err(error) = removed.map_err(io::Error::other).flatten() {
            tracing::warn!(vlan = %self.name, %error, "the namespace cannot be removed");
        }
    }

    /// Tells the heart what is to be said of addresses now.
    async fn report(&mut self, stands: &Stands) {
        self.say(entries(stands, &self.said)).await;
    }

    async fn say(&mut self, entries: BTreeMap<IpAddr, Entry>) {
        let gone = self.said.keys().filter(|address| !entries.contains_key(*address));
        let mut changed: BTreeMap<_, _> = gone.map(|address| (*address, None)).collect();
        let other = entries.iter().filter(|(at, entry)| self.said.get(*at) != Some(*entry));
        changed.extend(other.map(|(address, entry)| (*address, Some(entry.clone()))));
        self.said = entries;
        if !changed.is_empty() {
            self.tell(Told::Entries(changed)).await;
        }
    }

    async fn settle(&mut self) {
        if !std::mem::replace(&mut self.settled, true) {
            self.tell(Told::Settled).await;
        }
    }

    async fn tell(&self, told: Told) {
        // The heart is gone only when the process ends.
        let _ = self.inputs.send(Input::Vlan(self.name.clone(), told)).await;
    }
}

#[cfg(test)]
mod tests {
    use pools::Selector;

    use super::*;

    #[test]
    fn a_speaker_goes_on_when_its_interface_is_chosen_by_another_selector() {
        let at = |interface: &str, nodes| Connection {
            interface: interface.to_owned(),
            nodes,
            ..Connection::default()
        };
        let labels = [("rack".to_owned(), "b".to_owned())].into();
        let other = Selector { labels, requirements: Vec::new() };
        let part = |connection| Wanted::Part(Arc::new(Part::new(connection)));
        let connection = at("eth1", Selector::default());
        let (wanted, wants) = watch::channel(part(connection.clone()));
        let (inputs, _) = mpsc::channel(1);
        let ground = Ground {
            node: "n1".parse().unwrap(),
            host: "/".into(),
            prefix: "x".to_owned(),
            nft: Vec::new(),
            ovs: Vec::new(),
        };
        let (seen, _) = watch::channel(Seen::default());
        let who = ("a".into(), "n1".parse().unwrap());
        let mut task = Task::new(who, Arc::new(ground), wants, seen, inputs);
        wanted.send_replace(part(at("eth1", other)));
        assert!(task.part(&connection).is_some());
        wanted.send_replace(part(at("eth2", Selector::default())));
        assert!(task.part(&connection).is_none());
    }
}
