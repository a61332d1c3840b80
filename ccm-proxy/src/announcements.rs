//! What we say of addresses in their `Eip`s, and what of it is still to be written. Pure.
//!
//! ```text
//! VLANs' tasks ─► wanted ─┐
//!                         ├─► differences ─► writes (one at a time for an address)
//! watch, answers ─► seen ─┘
//! ```
//! What the watch shows is compared with what is wanted; so the steady state writes nothing, and
//! what somebody else takes away comes back. The answer to a write counts as seen.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::ops::Bound;
use std::sync::Arc;
use std::time::Duration;

use cpo_api::EipAnnouncement;
use serde_json::{Value, json};
use speaker_core::node::NodeName;
use speaker_core::world::VlanName;

use crate::input::{Entry, SeenEip, Source};

/// The first wait after a write that failed, and the longest.
const BACKOFF: [Duration; 2] = [Duration::from_millis(250), Duration::from_secs(10)];

/// A write that changes nothing but the text of an entry follows the last one of its address after
/// so long: what makes texts change is on the link, and not ours.
const TEXT_GAP: Duration = Duration::from_secs(1);

/// A write of our own entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Write {
    /// The address.
    pub(crate) address: IpAddr,
    /// UID of the `Eip` that was seen.
    pub(crate) uid: Arc<str>,
    /// What is said; nothing where the entry is to be removed.
    pub(crate) entry: Option<Entry>,
}

/// How a write ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Written {
    /// The `Eip` is so now; nothing where it is of no concern any more.
    Done(Option<Box<SeenEip>>),
    /// There is no such `Eip` any more: the watch will tell, or it is tried again.
    Refused,
    /// It may succeed later.
    Failed,
}

/// What is said, and what is to be said; nothing is known at first.
#[derive(Debug, Default)]
pub(crate) struct Announcements {
    seen: BTreeMap<IpAddr, Seen>,
    /// What the VLANs' speakers say of an address: one of them, of nearly all.
    wanted: BTreeMap<IpAddr, Vec<(VlanName, Entry)>>,
    /// Whether it is known which VLANs are ours.
    planned: bool,
    /// Nobody speaks any more; what comes late is not listened to.
    silent: bool,
    /// VLANs of which it is not known yet what of an earlier run's word is right.
    unsettled: BTreeSet<VlanName>,
    /// What is to be looked at, in turn.
    look: BTreeSet<IpAddr>,
    /// What had its turn last.
    last: Option<IpAddr>,
    under_way: BTreeSet<IpAddr>,
    /// When the last write of an address was begun (monotonic).
    begun: BTreeMap<IpAddr, Duration>,
    /// Texts that wait, and until when.
    texts: BTreeMap<IpAddr, Duration>,
    /// What failed: when it is tried again (monotonic), and after which wait.
    failed: BTreeMap<IpAddr, (Duration, Duration)>,
}

/// An `Eip` as it was seen last.
#[derive(Debug)]
struct Seen {
    uid: Arc<str>,
    vlan: VlanName,
    version: Option<u64>,
    ours: Option<EipAnnouncement>,
}

impl Announcements {
    /// Takes how an `Eip` is, or that it is gone; `false` where something newer is known of it.
    pub(crate) fn see(&mut self, address: IpAddr, eip: Option<&SeenEip>, source: Source) -> bool {
        let Some(eip) = eip else {
            self.forget(|other| *other != address);
            return true;
        };
        let known = self.seen.get(&address);
        // A list is never older than what it follows; a watch may be than an answer.
        let older = source == Source::Watch
            && known.is_some_and(|known| known.version > eip.version && known.uid == eip.eip.uid);
        if older {
            return false;
        }
        let (uid, vlan) = (eip.eip.uid.clone(), eip.eip.vlan.clone());
        let seen = Seen { uid, vlan, version: eip.version, ours: eip.ours.clone() };
        self.seen.insert(address, seen);
        self.look.insert(address);
        true
    }

    /// An `Eip`s' list is complete: whatever it does not name is gone.
    pub(crate) fn listed(&mut self, names: &BTreeSet<String>) {
        let there = |address: &IpAddr| names.contains(&cpo_api::Eip::name_of(*address));
        self.forget(there);
    }

    /// Knows nothing any more of what is not to be kept.
    fn forget(&mut self, keep: impl Fn(&IpAddr) -> bool) {
        self.seen.retain(|address, _| keep(address));
        self.failed.retain(|address, _| keep(address));
        self.begun.retain(|address, _| keep(address));
        self.texts.retain(|address, _| keep(address));
    }

    /// Takes what a VLAN's speaker does for an address.
    pub(crate) fn say(&mut self, vlan: &VlanName, address: IpAddr, entry: Option<Entry>) {
        if self.silent {
            return;
        }
        let said = self.wanted.entry(address).or_default();
        said.retain(|(by, _)| by != vlan);
        if let Some(entry) = entry {
            // There is seldom another one to come.
            said.reserve_exact(1);
            said.push((vlan.clone(), entry));
            said.sort_by(|(one, _), (other, _)| one.cmp(other));
        }
        if said.is_empty() {
            self.wanted.remove(&address);
        }
        self.look.insert(address);
    }

    /// These VLANs begin: what an earlier run said of their addresses stands until they are settled.
    pub(crate) fn begin(&mut self, vlan: VlanName) {
        self.unsettled.insert(vlan);
    }

    /// It is known which VLANs are ours.
    pub(crate) fn planned(&mut self) {
        if !std::mem::replace(&mut self.planned, true) {
            self.look_at_all();
        }
    }

    /// Whatever a VLAN's speaker does not speak of is not announced there.
    pub(crate) fn settle(&mut self, vlan: &VlanName) {
        if self.unsettled.remove(vlan) {
            self.look_at_all();
        }
    }

    /// Nobody speaks any more: nothing is announced.
    pub(crate) fn silence(&mut self) {
        self.wanted.clear();
        self.unsettled.clear();
        (self.planned, self.silent) = (true, true);
        self.look_at_all();
    }

    fn look_at_all(&mut self) {
        let entries = self.seen.iter().filter(|(_, seen)| seen.ours.is_some());
        self.look.extend(entries.map(|(address, _)| *address));
    }

    /// The next write that is due; the caller makes it.
    pub(crate) fn next(&mut self, now: Duration) -> Option<Write> {
        let failed = self.failed.iter().filter(|(_, (due, _))| *due <= now);
        let texts = self.texts.iter().filter(|(_, due)| **due <= now);
        let due = failed.map(|(address, _)| *address).chain(texts.map(|(address, _)| *address));
        self.look.extend(due);
        while let Some(address) = self.turn() {
            // When it ended it is looked at again.
            let waits = self.failed.get(&address).is_some_and(|(due, _)| *due > now);
            if self.under_way.contains(&address) || waits {
                continue;
            }
            self.texts.remove(&address);
            let Some(write) = self.difference(address) else {
                self.failed.remove(&address);
                continue;
            };
            let begun = self.begun.get(&address).map(|begun| *begun + TEXT_GAP);
            if let Some(due) = begun.filter(|due| *due > now && self.is_text(&write)) {
                self.texts.insert(address, due);
                continue;
            }
            self.under_way.insert(address);
            self.begun.insert(address, now);
            return Some(write);
        }
        None
    }

    /// What is looked at next: whatever comes after the last one, so that none waits for ever.
    fn turn(&mut self) -> Option<IpAddr> {
        let after = self.last.map_or(Bound::Unbounded, Bound::Excluded);
        let next = self.look.range((after, Bound::Unbounded)).next();
        let next = next.or_else(|| self.look.first()).copied()?;
        self.look.remove(&next);
        self.last = Some(next);
        Some(next)
    }

    /// Whether a write changes the text of an entry alone.
    fn is_text(&self, write: &Write) -> bool {
        let ours = self.seen.get(&write.address).and_then(|seen| seen.ours.as_ref());
        let same = |ours: &EipAnnouncement, entry: &Entry| {
            (&*ours.uid, ours.state) == (&*entry.uid, entry.state)
        };
        ours.zip(write.entry.as_ref()).is_some_and(|(ours, entry)| same(ours, entry))
    }

    /// What is to be written of an address.
    fn difference(&self, address: IpAddr) -> Option<Write> {
        let seen = self.seen.get(&address)?;
        let said = self.wanted.get(&address).into_iter().flatten().map(|(_, entry)| entry);
        let entry = said.into_iter().find(|entry| entry.uid == seen.uid).cloned();
        let same = match (&entry, &seen.ours) {
            (None, None) => true,
            (Some(entry), Some(ours)) => {
                (&*entry.uid, entry.state, &entry.message) == (&ours.uid, ours.state, &ours.message)
            }
            (None, Some(_)) => !self.planned || self.unsettled.contains(&seen.vlan),
            (Some(_), None) => false,
        };
        (!same).then(|| Write { address, uid: seen.uid.clone(), entry })
    }

    /// A write ended; gives the `Eip` that it made, where that is news.
    pub(crate) fn ended(
        &mut self,
        write: &Write,
        ended: Written,
        now: Duration,
    ) -> Option<Box<SeenEip>> {
        let address = write.address;
        self.under_way.remove(&address);
        // What was deleted meanwhile does not come back by an answer.
        let there = self.seen.get(&address).is_some_and(|seen| seen.uid == write.uid);
        let eip = match ended {
            Written::Failed => {
                self.fail(address, now);
                return None;
            }
            Written::Done(None) if there => {
                self.forget(|other| *other != address);
                return None;
            }
            Written::Done(None) | Written::Refused => None,
            Written::Done(Some(eip)) => Some(eip).filter(|eip| there && eip.eip.uid == write.uid),
        };
        let news = eip.filter(|eip| self.see(address, Some(eip), Source::Watch));
        if self.difference(address).as_ref() == Some(write) {
            // It had no effect: again at once it would have none either.
            self.fail(address, now);
        } else {
            // What changed meanwhile was not looked at.
            self.failed.remove(&address);
            self.look.insert(address);
        }
        news
    }

    fn fail(&mut self, address: IpAddr, now: Duration) {
        let last = self.failed.get(&address).map(|(_, wait)| *wait);
        let wait = last.map_or(BACKOFF[0], |last| (last * 2).min(BACKOFF[1]));
        self.failed.insert(address, (now + wait, wait));
    }

    /// When something that failed is tried again (monotonic).
    pub(crate) fn deadline(&self) -> Option<Duration> {
        let failed = self.failed.iter().map(|(address, (due, _))| (address, *due));
        let texts = self.texts.iter().map(|(address, due)| (address, *due));
        let waiting = failed.chain(texts).filter(|(address, _)| !self.under_way.contains(*address));
        waiting.map(|(_, due)| due).min()
    }

    /// Whether all is written.
    pub(crate) fn is_at_rest(&self) -> bool {
        let none_waits = self.failed.is_empty() && self.texts.is_empty();
        none_waits && self.look.is_empty() && self.under_way.is_empty()
    }
}

impl Write {
    /// The body of the apply. Without an entry it names nothing: what we applied before is removed,
    /// and the API server forgets who wrote it.
    ///
    /// The API server does not look at a UID here (seen with 1.36: it takes no metadata from an
    /// apply to a status). An entry that hits the next `Eip` of this address names the UID of the
    /// one before, counts for nobody, and goes as soon as the watch shows it.
    pub(crate) fn body(&self, us: &NodeName) -> Value {
        let mut body = json!({
            "apiVersion": "cloud-provider-ovn.io/v1alpha1",
            "kind": "Eip",
            "metadata": { "name": cpo_api::Eip::name_of(self.address) },
        });
        let announcement = self.entry.as_ref().map(|entry| EipAnnouncement {
            node: us.to_string(),
            uid: entry.uid.to_string(),
            state: entry.state,
            message: entry.message.clone(),
        });
        if let (Some(announcement), Some(body)) = (announcement, body.as_object_mut()) {
            body.insert("status".to_owned(), json!({ "announcements": [announcement] }));
        }
        body
    }
}

#[cfg(test)]
#[path = "announcements_tests.rs"]
mod tests;
