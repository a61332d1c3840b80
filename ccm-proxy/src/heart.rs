//! The one task that knows everything: what was observed in, what follows out.
//!
//! ```text
//! watches ────────┐                      ┌─► Wanted of each VLAN ─► its task (one for each)
//! VLANs' tasks ───┼─► inputs ─► Heart ───┼─► Own ─► keeper of the Lease
//! status socket ──┤             ▲        └─► writes into Eips (so many at a time) ─┐
//! keeper ─────────┘             │                                                  │
//!                               └──────────────────────────────────────────────────┘
//! ```
//! It waits for nobody: whoever follows is told by a channel that keeps the latest alone, and
//! inputs (bounded) hold up whoever tells. All that has come in is taken before anything is planned.

mod places;
mod vlans;
mod writer;

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::Context as _;
use ccm_proxy::place::Ground;
use cpo_api::Eip;
use kube::Api;
use speaker_core::node::NodeName;
use speaker_core::world::VlanName;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinError;
use tokio::time::{Instant, sleep_until, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::announcements::{Announcements, Write, Written};
use crate::input::{Input, Kind, Object, Source, Told};
use crate::lease::Own;
use crate::shared::Alike;
use crate::status::Status;
use crate::store::Store;
use crate::vlan::Wanted;
use places::Places;
use vlans::Vlans;
use writer::Writer;

/// So many inputs are taken before anything is planned.
const IN_A_ROW: usize = 4_096;
/// After a plan the next one waits so many times as long as that took, and no longer than this: what
/// changes in a crowd is planned together.
const PACE: u32 = 4;
const LONGEST_REST: Duration = Duration::from_millis(500);
/// How long the speakers may take to leave.
const SPEAKERS: Duration = Duration::from_secs(2);
/// How long it may take in all until our entries are removed; it ends when they are.
pub(crate) const LEAVING: Duration = Duration::from_secs(45);
/// Complaints are told once; of more than so many none is remembered.
const COMPLAINTS: usize = 1_024;

/// What the heart is made of.
pub(crate) struct Heart {
    us: NodeName,
    /// Namespaces are removed at the end.
    remove: bool,
    alike: Alike,
    store: Store,
    announcements: Announcements,
    vlans: Vlans,
    writer: Writer,
    /// Where we are.
    own: watch::Sender<Own>,
    places: Places,
    /// There is no Node of our name.
    nameless: bool,
    complained: BTreeSet<String>,
    inputs: mpsc::Receiver<Input>,
    start: Instant,
    /// Nothing is planned before.
    rests_until: Instant,
}

impl Heart {
    /// A heart that knows nothing yet.
    pub(crate) fn new(
        (us, ground, remove): (NodeName, Ground, bool),
        (told, inputs): (mpsc::Sender<Input>, mpsc::Receiver<Input>),
        own: watch::Sender<Own>,
        eips: Api<Eip>,
    ) -> Self {
        let (places, complained) = Default::default();
        Self {
            alike: Alike::default(),
            store: Store::new(us.clone()),
            announcements: Announcements::default(),
            vlans: Vlans::new(us.clone(), ground, told),
            writer: Writer::new(us.clone(), eips),
            us,
            remove,
            own,
            places,
            nameless: false,
            complained,
            inputs,
            start: Instant::now(),
            rests_until: Instant::now(),
        }
    }

    /// Beats until told to stop. At the end the speakers have left, and our entries are removed.
    ///
    /// # Errors
    /// A task of a VLAN, or a write, panicked.
    pub(crate) async fn run(mut self, stop: CancellationToken) -> anyhow::Result<()> {
        while !stop.is_cancelled() {
            self.follow();
            // Cancel safe: a beat takes what it waited for before it waits again.
            tokio::select! {
                () = stop.cancelled() => {}
                beat = self.beat() => beat?,
            }
        }
        self.leave().await
    }

    /// Takes what comes next, and all that came with it. Cancel safe.
    async fn beat(&mut self) -> anyhow::Result<()> {
        let due = self.announcements.deadline().map(|due| self.start + due);
        let planned = self.store.has_news().then_some(self.rests_until);
        let due = [due, planned].into_iter().flatten().min();
        // Cancel safe: each loses nothing when another branch is taken.
        tokio::select! {
            Some(input) = self.inputs.recv() => self.take(input),
            Some(ended) = self.writer.ended() => self.written(ended)?,
            Some(ended) = self.vlans.ended() => {
                let name = ended.context("a VLAN's task panicked")?;
                self.gone(&name);
            }
            () = until(due) => {}
        }
        for _ in 0..IN_A_ROW {
            let Ok(input) = self.inputs.try_recv() else { break };
            self.take(input);
        }
        while let Some(ended) = self.writer.try_ended() {
            self.written(ended)?;
        }
        Ok(())
    }

    fn take(&mut self, input: Input) {
        match input {
            Input::Object(object, source) => self.object(object, source),
            Input::Complaint(what) => self.complain(what),
            Input::Unreadable(kind, name, what) => {
                self.store.unreadable(kind, &name);
                self.complain(what);
            }
            Input::Listed(kind, names) => {
                if kind == Kind::Eip {
                    self.announcements.listed(&names);
                }
                self.store.listed(kind, &names);
            }
            Input::Vlan(name, told) => self.told(&name, told),
            Input::Leased(vlans) => {
                self.places.written(vlans);
                self.placed();
            }
            // Whoever asked may be gone.
            Input::Look(answer) => drop(answer.send(self.status())),
        }
    }

    fn object(&mut self, mut object: Object, source: Source) {
        match &mut object {
            Object::Eip(address, seen) => {
                seen.iter_mut().for_each(|seen| self.alike.share(&mut seen.eip));
                if !self.announcements.see(*address, seen.as_deref(), source) {
                    return;
                }
            }
            Object::Speaker(node, None) if *node == self.us => {
                // Somebody deleted our Lease.
                self.own.send_modify(|own| own.lost += 1);
            }
            Object::Speaker(node, Some(vlans)) if *node == self.us => self.places.read(vlans),
            Object::Tenant(..)
            | Object::Advertisement(..)
            | Object::Pool(..)
            | Object::Node(..)
            | Object::Speaker(..) => {}
        }
        self.store.take(object);
    }

    fn complain(&mut self, what: String) {
        if self.complained.len() >= COMPLAINTS {
            self.complained.clear();
        }
        if !self.complained.contains(&what) {
            tracing::warn!(what, "cannot be read and is passed over");
            self.complained.insert(what);
        }
    }

    fn told(&mut self, name: &VlanName, told: Told) {
        match told {
            Told::Connected(member) => {
                self.places.set(name, member);
                self.placed();
            }
            Told::Entries(entries) => {
                for (address, entry) in entries {
                    self.announcements.say(name, address, entry);
                }
            }
            Told::Settled => self.announcements.settle(name),
        }
    }

    /// Tells where we are: the others by our Lease, and ourselves what that says by now.
    fn placed(&mut self) {
        self.store.set_own(self.places.counted());
        let vlans = self.places.lease().filter(|_| self.store.is_complete());
        if vlans.is_none() {
            return;
        }
        self.own.send_if_modified(|own| {
            let changed = own.vlans != vlans;
            if changed {
                own.vlans = vlans;
            }
            changed
        });
    }

    /// A VLAN's task ended, as it was told to.
    fn gone(&mut self, name: &VlanName) {
        self.announcements.settle(name);
        self.told(name, Told::Connected(None));
        // It may be wanted again by now.
        self.store.replan();
    }

    /// Does what follows from what is known.
    fn follow(&mut self) {
        let begun = Instant::now();
        if begun >= self.rests_until {
            self.plan();
            let rest = (begun.elapsed() * PACE).min(LONGEST_REST);
            self.rests_until = Instant::now() + rest;
        }
        self.write();
    }

    fn plan(&mut self) {
        // Where we are changes it once more at most.
        while let Some(plan) = self.store.plan() {
            self.know_us();
            for name in self.vlans.spread(plan, |name| self.store.is_spared(name)) {
                self.announcements.begin(name.clone());
                self.places.begin(name);
            }
            self.announcements.planned();
            self.placed();
        }
    }

    /// Says once that there is no Node of our name.
    fn know_us(&mut self) {
        let nameless = !self.store.knows_us();
        if !std::mem::replace(&mut self.nameless, nameless) && nameless {
            tracing::warn!(node = %self.us, "there is no Node of this name: nothing is announced");
        }
    }

    /// Begins the writes that are due.
    fn write(&mut self) {
        while self.writer.has_room()
            && let Some(write) = self.announcements.next(self.start.elapsed())
        {
            self.writer.begin(write);
        }
    }

    fn written(&mut self, ended: Result<(Write, Written), JoinError>) -> anyhow::Result<()> {
        let (write, ended) = ended.context("a write into an Eip panicked")?;
        let now = self.start.elapsed();
        if let Some(mut eip) = self.announcements.ended(&write, ended, now) {
            self.alike.share(&mut eip.eip);
            self.store.take(Object::Eip(write.address, Some(eip)));
        }
        Ok(())
    }

    fn status(&self) -> Status {
        let (node, complete) = (self.us.to_string(), self.store.is_complete());
        Status { node, complete, vlans: self.vlans.status() }
    }

    /// Lets the speakers leave and removes our entries, in bounded time.
    async fn leave(&mut self) -> anyhow::Result<()> {
        let so = if self.remove { Wanted::Remove } else { Wanted::Keep };
        self.vlans.end(&so);
        let begun = Instant::now();
        let silent = timeout_at(begun + SPEAKERS, self.until(|heart| heart.vlans.is_empty())).await;
        if silent.is_err() {
            tracing::warn!("not every speaker left in time");
        }
        self.vlans.abandon().await;
        silent.unwrap_or(Ok(()))?;
        self.announcements.silence();
        let at_rest = self.until(|heart| heart.announcements.is_at_rest());
        let withdrawn = timeout_at(begun + LEAVING, at_rest).await;
        if withdrawn.is_err() {
            tracing::warn!("not all is withdrawn in time, the rest is left to the next run");
        }
        self.writer.abandon().await;
        withdrawn.unwrap_or(Ok(()))
    }

    /// Writes what is due until something is so. Cancel safe, as a beat is.
    async fn until(&mut self, so: impl Fn(&Self) -> bool) -> anyhow::Result<()> {
        loop {
            self.write();
            if so(self) {
                return Ok(());
            }
            self.beat().await?;
        }
    }
}

async fn until(due: Option<Instant>) {
    match due {
        Some(due) => sleep_until(due).await,
        None => std::future::pending().await,
    }
}
