//! The VLANs' tasks: which there are, and what each is to do.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ccm_proxy::place::Ground;
use speaker_core::node::NodeName;
use speaker_core::world::{Part, VlanName};
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinError, JoinSet};

use crate::input::Input;
use crate::status;
use crate::vlan::{Seen, Task, Wanted};

/// The VLANs' tasks.
pub(super) struct Vlans {
    us: NodeName,
    ground: Arc<Ground>,
    inputs: mpsc::Sender<Input>,
    running: BTreeMap<VlanName, Running>,
    tasks: JoinSet<VlanName>,
    /// VLANs whose namespaces were left, by an earlier run or for what is not known, until it is
    /// known which are ours.
    left: BTreeSet<VlanName>,
}

/// A VLAN's task.
struct Running {
    /// What it is to do; nothing once it is to end.
    part: Option<Arc<Part>>,
    wanted: watch::Sender<Wanted>,
    seen: watch::Receiver<Seen>,
}

impl Vlans {
    /// None runs yet; looks what an earlier run left.
    pub(super) fn new(us: NodeName, ground: Ground, inputs: mpsc::Sender<Input>) -> Self {
        let (left, ground) = (ground.left(), Arc::new(ground));
        Self { us, ground, inputs, running: BTreeMap::new(), tasks: JoinSet::new(), left }
    }

    /// Tells each task what is wanted of it; gives those that were begun. Of what is spared and not
    /// planned the namespace stays.
    pub(super) fn spread(
        &mut self,
        plan: BTreeMap<VlanName, Part>,
        is_spared: impl Fn(&VlanName) -> bool,
    ) -> BTreeSet<VlanName> {
        let mut begun = BTreeSet::new();
        for (name, running) in &mut self.running {
            if plan.contains_key(name) || running.part.is_none() {
                continue;
            }
            if is_spared(name) {
                running.end(Wanted::Keep);
                self.left.insert(name.clone());
            } else {
                running.end(Wanted::Remove);
            }
        }
        for (name, part) in plan {
            match self.running.get_mut(&name) {
                Some(running) => running.go_on(part),
                None => {
                    begun.insert(name.clone());
                    self.begin(name, Some(Arc::new(part)));
                }
            }
        }
        for name in std::mem::take(&mut self.left) {
            match self.running.get(&name) {
                None if is_spared(&name) => _ = self.left.insert(name),
                None => self.begin(name, None),
                // It is looked at again when that one has ended.
                Some(Running { part: None, .. }) => _ = self.left.insert(name),
                Some(Running { part: Some(_), .. }) => {}
            }
        }
        begun
    }

    /// Begins a task; without anything to do, it removes what an earlier run left.
    fn begin(&mut self, name: VlanName, part: Option<Arc<Part>>) {
        let (wanted, wants) = watch::channel(part.clone().map_or(Wanted::Remove, Wanted::Part));
        let (seen, sees) = watch::channel(Seen::default());
        let who = (name.clone(), self.us.clone());
        let task = Task::new(who, self.ground.clone(), wants, seen, self.inputs.clone());
        self.tasks.spawn(task.run());
        self.running.insert(name, Running { part, wanted, seen: sees });
    }

    /// Tells all tasks to end so.
    pub(super) fn end(&mut self, so: &Wanted) {
        self.running.values_mut().for_each(|running| running.end(so.clone()));
    }

    /// Waits for the end of one, as it was told to; nothing where none runs. Cancel safe.
    pub(super) async fn ended(&mut self) -> Option<Result<VlanName, JoinError>> {
        let ended = self.tasks.join_next().await?;
        if let Ok(name) = &ended {
            self.running.remove(name);
        }
        Some(ended)
    }

    /// Whether none runs.
    pub(super) fn is_empty(&self) -> bool {
        self.running.is_empty()
    }

    /// Abandons those that run.
    pub(super) async fn abandon(&mut self) {
        self.tasks.shutdown().await;
    }

    /// How each stands.
    pub(super) fn status(&self) -> BTreeMap<String, status::Vlan> {
        let stands = |(name, running): (&VlanName, &Running)| {
            let at = (&self.us, self.ground.pin(name));
            let vlan = status::vlan(at, running.part.as_deref(), &running.seen.borrow());
            (name.to_string(), vlan)
        };
        self.running.iter().map(stands).collect()
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

#[cfg(test)]
mod tests {
    use speaker_core::world::Connection;

    use super::*;

    fn vlans() -> Vlans {
        let ground = Ground {
            node: "n1".parse().unwrap(),
            host: "/run/netns/cpo-there-is-none".into(),
            prefix: "cpo-there-is-none-".to_owned(),
            nft: Vec::new(),
            ovs: Vec::new(),
        };
        Vlans::new("n1".parse().unwrap(), ground, mpsc::channel(64).0)
    }

    fn plan() -> BTreeMap<VlanName, Part> {
        let connection = Connection { interface: "eth0".to_owned(), ..Connection::default() };
        [("a".into(), Part::new(connection))].into()
    }

    #[tokio::test]
    async fn what_was_left_is_swept_once_it_is_known_that_it_is_not_ours() {
        let mut vlans = vlans();
        vlans.left.insert("a".into());
        vlans.spread(BTreeMap::new(), |_| true);
        assert!(vlans.is_empty(), "it may be ours");
        vlans.spread(BTreeMap::new(), |_| false);
        assert!(vlans.running.contains_key("a") && vlans.left.is_empty());
    }

    #[tokio::test]
    async fn a_speaker_that_is_spared_ends_and_its_namespace_stays_until_more_is_known() {
        let mut vlans = vlans();
        vlans.spread(plan(), |_| false);
        vlans.spread(BTreeMap::new(), |_| true);
        assert!(matches!(&*vlans.running["a"].wanted.borrow(), Wanted::Keep));
        vlans.spread(BTreeMap::new(), |_| false);
        assert!(vlans.left.contains("a"), "it is looked at when the task ended");
        vlans.ended().await.unwrap().unwrap();
        vlans.spread(BTreeMap::new(), |_| false);
        assert!(matches!(&*vlans.running["a"].wanted.borrow(), Wanted::Remove));
    }
}
