//! The one task that knows everything: what was observed in, what follows out.
//!
//! ```text
//! watches ────────┐                      ┌─► Wanted of each VLAN ─► its task (one for each)
//! VLANs' tasks ───┼─► inputs ─► Heart ───┼─► Own ─► keeper of the Lease
//! status socket ──┘             ▲        └─► writes into Eips (so many at a time) ─┐
//!                               └──────────────────────────────────────────────────┘
//! ```
//! It waits for nobody: whoever follows is told by a channel that keeps the latest alone, and
//! inputs (bounded) hold up whoever tells. All that has come in is taken before anything is planned.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use cpo_api::Eip;
use kube::Api;
use kube::api::{Patch, PatchParams};
use speaker_core::node::NodeName;
use speaker_core::vlan::Member;
use speaker_core::world::{Part, VlanName};
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use crate::announcements::{Announcements, Write, Written};
use crate::input::{Input, Kind, Object, Source, Told};
use crate::lease::Own;
use crate::parse;
use crate::place::Ground;
use crate::status::{self, Status};
use crate::store::Store;
use crate::vlan::{Seen, Task, Wanted};
use crate::watch::describe;

/// Writes into `Eip`s under way at a time.
const WRITES: usize = 16;
/// How long one write may take.
const WRITE: Duration = Duration::from_secs(10);
/// So many inputs are taken before anything is planned.
const IN_A_ROW: usize = 4_096;
/// How long speakers may take to leave, and our entries to be removed.
const LEAVING: Duration = Duration::from_secs(3);
/// Complaints are told once; of more than so many none is remembered.
const COMPLAINTS: usize = 1_024;
/// The API server takes no longer name of a writer.
const LONGEST_WRITER: usize = 128;

/// What the heart is made of.
pub(crate) struct Heart {
    us: NodeName,
    ground: Arc<Ground>,
    /// Namespaces are removed at the end.
    remove: bool,
    store: Store,
    announcements: Announcements,
    vlans: BTreeMap<VlanName, Running>,
    /// VLANs whose namespaces an earlier run left, until it is known which are ours.
    left: BTreeSet<VlanName>,
    /// Where we are.
    own: watch::Sender<Own>,
    /// VLANs whose place is not known yet; until it is, our Lease is left as an earlier run had it.
    unknown: BTreeSet<VlanName>,
    members: BTreeMap<VlanName, Member>,
    complained: BTreeSet<String>,
    inputs: mpsc::Receiver<Input>,
    told: mpsc::Sender<Input>,
    eips: Api<Eip>,
    tasks: JoinSet<VlanName>,
    writes: JoinSet<(Write, Written)>,
    start: Instant,
}

/// A VLAN's task.
struct Running {
    /// What it is to do; nothing once it is to end.
    part: Option<Arc<Part>>,
    wanted: watch::Sender<Wanted>,
    seen: watch::Receiver<Seen>,
}

impl Heart {
    /// A heart that knows nothing yet.
    pub(crate) fn new(
        (us, ground, remove): (NodeName, Ground, bool),
        (told, inputs): (mpsc::Sender<Input>, mpsc::Receiver<Input>),
        own: watch::Sender<Own>,
        eips: Api<Eip>,
    ) -> Self {
        let (vlans, unknown, members, complained) = Default::default();
        let left = ground.left();
        Self {
            store: Store::new(us.clone()),
            announcements: Announcements::default(),
            us,
            ground: Arc::new(ground),
            remove,
            vlans,
            left,
            own,
            unknown,
            members,
            complained,
            inputs,
            told,
            eips,
            tasks: JoinSet::new(),
            writes: JoinSet::new(),
            start: Instant::now(),
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
        // Cancel safe: each loses nothing when another branch is taken.
        tokio::select! {
            Some(input) = self.inputs.recv() => self.take(input),
            Some(ended) = self.writes.join_next() => self.written(ended)?,
            Some(ended) = self.tasks.join_next() => {
                let name = ended.context("a VLAN's task panicked")?;
                self.gone(&name);
            }
            () = until(due) => {}
        }
        for _ in 0..IN_A_ROW {
            let Ok(input) = self.inputs.try_recv() else { break };
            self.take(input);
        }
        while let Some(ended) = self.writes.try_join_next() {
            self.written(ended)?;
        }
        Ok(())
    }

    fn take(&mut self, input: Input) {
        match input {
            Input::Object(object, source) => self.object(object, source),
            Input::Complaint(what) => self.complain(what),
            Input::Listed(kind, names) => {
                if kind == Kind::Eip {
                    self.announcements.listed(&names);
                }
                self.store.listed(kind, &names);
            }
            Input::Vlan(name, told) => self.told(&name, told),
            // Whoever asked may be gone.
            Input::Look(answer) => drop(answer.send(self.status())),
        }
    }

    fn object(&mut self, object: Object, source: Source) {
        match &object {
            Object::Eip(address, seen) => {
                if !self.announcements.see(*address, seen.as_deref(), source) {
                    return;
                }
            }
            Object::Speaker(node, None) if *node == self.us => {
                // Somebody deleted our Lease.
                self.own.send_modify(|own| own.lost += 1);
            }
            Object::Tenant(..)
            | Object::Advertisement(..)
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
                self.unknown.remove(name);
                match member {
                    Some(member) => drop(self.members.insert(name.clone(), member)),
                    None => drop(self.members.remove(name)),
                }
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

    /// Tells where we are: ourselves at once, and the others by our Lease.
    fn placed(&mut self) {
        self.store.set_own(self.members.clone());
        if !self.unknown.is_empty() || !self.store.is_complete() {
            return;
        }
        let vlans = Some(self.members.clone());
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
        self.vlans.remove(name);
        self.announcements.settle(name);
        self.told(name, Told::Connected(None));
        // It may be wanted again by now.
        self.store.replan();
    }

    /// Does what follows from what is known.
    fn follow(&mut self) {
        // Where we are changes it once more at most.
        while let Some(plan) = self.store.plan() {
            self.spread(plan);
            self.announcements.planned();
            self.placed();
        }
        self.write();
    }

    /// Tells each VLAN's task what is wanted of it.
    fn spread(&mut self, plan: BTreeMap<VlanName, Part>) {
        for (name, running) in &mut self.vlans {
            if !plan.contains_key(name) {
                running.end(Wanted::Remove);
            }
        }
        for (name, part) in plan {
            match self.vlans.get_mut(&name) {
                Some(running) => running.go_on(part),
                None => {
                    self.announcements.begin(name.clone());
                    self.unknown.insert(name.clone());
                    self.begin(name, Some(Arc::new(part)));
                }
            }
        }
        for name in std::mem::take(&mut self.left) {
            if !self.vlans.contains_key(&name) {
                self.begin(name, None);
            }
        }
    }

    /// Begins a VLAN's task; without anything to do, it removes what an earlier run left.
    fn begin(&mut self, name: VlanName, part: Option<Arc<Part>>) {
        let (wanted, wants) = watch::channel(part.clone().map_or(Wanted::Remove, Wanted::Part));
        let (seen, sees) = watch::channel(Seen::default());
        let who = (name.clone(), self.us.clone());
        let task = Task::new(who, self.ground.clone(), wants, seen, self.told.clone());
        self.tasks.spawn(task.run());
        self.vlans.insert(name, Running { part, wanted, seen: sees });
    }

    /// Begins the writes that are due.
    fn write(&mut self) {
        while self.writes.len() < WRITES
            && let Some(write) = self.announcements.next(self.start.elapsed())
        {
            let (eips, us) = (self.eips.clone(), self.us.clone());
            self.writes.spawn(async move {
                let written = apply(&eips, &us, &write).await;
                (write, written)
            });
        }
    }

    fn written(&mut self, ended: Result<(Write, Written), JoinError>) -> anyhow::Result<()> {
        let (write, ended) = ended.context("a write into an Eip panicked")?;
        let now = self.start.elapsed();
        if let Some(eip) = self.announcements.ended(&write, ended, now) {
            self.store.take(Object::Eip(write.address, Some(eip)));
        }
        Ok(())
    }

    fn status(&self) -> Status {
        let vlans = self.vlans.iter().map(|(name, running)| {
            let namespace = self.ground.pin(name);
            (
                name.to_string(),
                status::vlan(
                    (&self.us, namespace),
                    running.part.as_deref(),
                    &running.seen.borrow(),
                ),
            )
        });
        Status {
            node: self.us.to_string(),
            complete: self.store.is_complete(),
            vlans: vlans.collect(),
        }
    }

    /// Lets the speakers leave and removes our entries, in bounded time.
    async fn leave(&mut self) -> anyhow::Result<()> {
        let so = if self.remove { Wanted::Remove } else { Wanted::Keep };
        self.vlans.values_mut().for_each(|running| running.end(so.clone()));
        let left = async {
            while !self.vlans.is_empty() || !self.announcements.is_at_rest() {
                self.write();
                self.beat().await?;
            }
            anyhow::Ok(())
        };
        let left = timeout(LEAVING, left).await;
        if left.is_err() {
            tracing::warn!("not all is withdrawn in time, the rest is left to the next run");
        }
        self.tasks.shutdown().await;
        self.writes.shutdown().await;
        left.unwrap_or(Ok(()))
    }
}

impl Running {
    fn go_on(&mut self, part: Part) {
        if self.part.as_deref() != Some(&part) {
            let part = Arc::new(part);
            self.wanted.send_replace(Wanted::Part(part.clone()));
            self.part = Some(part);
        }
    }

    fn end(&mut self, so: Wanted) {
        if self.part.take().is_some() {
            self.wanted.send_replace(so);
        }
    }
}

/// Writes our own entry.
async fn apply(eips: &Api<Eip>, us: &NodeName, write: &Write) -> Written {
    let params = PatchParams::apply(&writer(us)).force();
    let (name, body) = (Eip::name_of(write.address), write.body(us));
    let patch = Patch::Apply(&body);
    let error = match timeout(WRITE, eips.patch_status(&name, &params, &patch)).await {
        Ok(Ok(eip)) => {
            return match parse::eip(eip, us).0 {
                Some(Object::Eip(_, eip)) => Written::Done(eip),
                _ => Written::Done(None),
            };
        }
        Ok(Err(kube::Error::Api(status))) if matches!(status.code, 404 | 409) => {
            tracing::debug!(eip = name, error = status.message, "another Eip by now, or none");
            return Written::Done(None);
        }
        Ok(Err(error)) => describe(&error),
        Err(_) => "no answer in time".to_owned(),
    };
    tracing::warn!(eip = name, error, "what is announced is not written, is tried again");
    Written::Failed
}

/// Who writes our own entries: each speaker by itself. A name that is too long is cut, and told
/// apart by a hash (FNV-1a).
fn writer(us: &NodeName) -> String {
    let whole = format!("ccm-proxy-{us}");
    if whole.len() <= LONGEST_WRITER {
        return whole;
    }
    let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    let hash = whole.bytes().fold(0xcbf2_9ce4_8422_2325, step);
    let kept: String = whole.chars().take(LONGEST_WRITER - 17).collect();
    format!("{kept}-{hash:016x}")
}

async fn until(due: Option<Instant>) {
    match due {
        Some(due) => sleep_until(due).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_node_writes_by_a_name_of_its_own_that_the_api_server_takes() {
        assert_eq!(writer(&"n1".parse().unwrap()), "ccm-proxy-n1");
        let [one, other] = ["a", "b"].map(|end| format!("{}{end}", "n".repeat(250)));
        let [one, other] = [one, other].map(|name| writer(&name.parse().unwrap()));
        assert_eq!((one.len(), other.len()), (LONGEST_WRITER, LONGEST_WRITER));
        assert_ne!(one, other);
    }
}
