//! Which of the machines behind addresses say that they take connections.
//!
//! ```text
//! targets ─► Health ─► poll: who is to be asked now ─► the edge asks (HTTP)
//!              ▲                                          │
//!              └────────────── hear: what it answered ◄───┘
//! ```
//! Each machine is asked once at each port for all addresses that it is behind, and all are asked in
//! one round: what follows is told at its end, so that of many that come back together none is alone
//! for a while. One answer decides of a machine that nothing is known of; then several against are
//! needed to change that. Where none of the machines of an address answers as it should, all are
//! kept: more likely than all of them, what fails is the asking.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

/// From the beginning of a round to that of the next, unless it takes longer.
const INTERVAL: Duration = Duration::from_secs(2);
/// So many bad answers in a row take a machine out.
const FALL: u8 = 3;
/// So many good ones take it back in.
const RISE: u8 = 2;
/// So many are asked at a time.
const AT_A_TIME: usize = 64;

/// A machine, and the port at which it is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Target {
    /// The machine's address on the link.
    pub machine: IpAddr,
    /// The port.
    pub port: u16,
}

/// What a machine answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It takes connections.
    Healthy,
    /// It says that it does not, or says nothing: this.
    Unhealthy(String),
}

/// The targets that are out, and why.
pub type Failing = BTreeMap<Target, String>;

/// How each machine answers.
#[derive(Clone, Debug, Default)]
pub struct Health {
    targets: BTreeMap<Target, State>,
    /// When the next round begins (monotonic).
    next: Duration,
    /// Something else follows than was told.
    changed: bool,
}

#[derive(Clone, Debug)]
struct State {
    verdict: Verdict,
    /// Answers in a row that speak against it.
    against: u8,
    turn: Turn,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Verdict {
    Unknown,
    In,
    Out(String),
}

/// Where a target is in a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    Waits,
    Asked,
    Heard,
}

impl Health {
    /// Sets who is to be asked. What is known of those who stay is kept.
    pub fn set(&mut self, targets: &BTreeSet<Target>) {
        let mut lost = false;
        self.targets.retain(|target, state| {
            let stays = targets.contains(target);
            lost |= !stays && matches!(state.verdict, Verdict::Out(_));
            stays
        });
        self.changed |= lost;
        for target in targets {
            let new = || State { verdict: Verdict::Unknown, against: 0, turn: Turn::Waits };
            self.targets.entry(*target).or_insert_with(new);
        }
    }

    /// Who is to be asked now; each is asked until it is heard.
    pub fn poll(&mut self, now: Duration) -> Vec<Target> {
        if self.is_over() && now >= self.next {
            self.targets.values_mut().for_each(|state| state.turn = Turn::Waits);
        }
        let room = self.room();
        let waiting = self.targets.iter_mut().filter(|(_, state)| state.turn == Turn::Waits);
        let asked = waiting.take(room).map(|(target, state)| {
            state.turn = Turn::Asked;
            *target
        });
        let asked: Vec<Target> = asked.collect();
        if !asked.is_empty() && now >= self.next {
            self.next = now + INTERVAL;
        }
        asked
    }

    /// When [`Self::poll`] has something to give (monotonic); it may be past.
    #[must_use]
    pub fn deadline(&self) -> Option<Duration> {
        if self.targets.is_empty() {
            return None;
        }
        let waits = self.targets.values().any(|state| state.turn == Turn::Waits);
        match self.is_over() {
            true => Some(self.next),
            false => Some(Duration::ZERO).filter(|_| waits && self.room() > 0),
        }
    }

    /// Hears what a machine answers.
    pub fn hear(&mut self, target: Target, answer: Answer) {
        let Some(state) = self.targets.get_mut(&target) else { return };
        state.turn = Turn::Heard;
        let verdict = state.judge(answer);
        if state.verdict != verdict {
            // That one of which nothing was known is in is no news.
            let known = matches!((&state.verdict, &verdict), (Verdict::Unknown, Verdict::In));
            self.changed |= !known;
            state.verdict = verdict;
        }
    }

    /// The targets that are out, if that is another than the last time, at the end of a round.
    pub fn take_changed(&mut self) -> Option<Failing> {
        if !self.is_over() || !std::mem::take(&mut self.changed) {
            return None;
        }
        let out = self.targets.iter().filter_map(|(target, state)| match &state.verdict {
            Verdict::Out(why) => Some((*target, why.clone())),
            Verdict::Unknown | Verdict::In => None,
        });
        Some(out.collect())
    }

    /// Whether everybody was heard.
    fn is_over(&self) -> bool {
        self.targets.values().all(|state| state.turn == Turn::Heard)
    }

    /// How many more can be asked.
    fn room(&self) -> usize {
        let asked = self.targets.values().filter(|state| state.turn == Turn::Asked).count();
        AT_A_TIME.saturating_sub(asked)
    }
}

impl State {
    /// What an answer makes of what was known.
    fn judge(&mut self, answer: Answer) -> Verdict {
        let against = self.against.saturating_add(1);
        let (verdict, against) = match (&self.verdict, answer) {
            (Verdict::Unknown | Verdict::In, Answer::Healthy) => (Verdict::In, 0),
            (Verdict::In, Answer::Unhealthy(_)) if against < FALL => (Verdict::In, against),
            (Verdict::Out(why), Answer::Healthy) if against < RISE => {
                (Verdict::Out(why.clone()), against)
            }
            (Verdict::Out(_), Answer::Healthy) => (Verdict::In, 0),
            (Verdict::Unknown | Verdict::In | Verdict::Out(_), Answer::Unhealthy(why)) => {
                (Verdict::Out(why), 0)
            }
        };
        self.against = against;
        verdict
    }
}

/// The machines that are kept of those behind an address: those that are not out, or all.
pub fn kept<M: Clone + Ord>(
    machines: &Arc<BTreeSet<M>>,
    address: impl Fn(&M) -> IpAddr,
    (port, failing): (u16, &Failing),
) -> Arc<BTreeSet<M>> {
    let is_out = |machine: &&M| failing.contains_key(&Target { machine: address(machine), port });
    let kept: BTreeSet<M> = machines.iter().filter(|machine| !is_out(machine)).cloned().collect();
    let all = kept.is_empty() || kept.len() == machines.len();
    if all { machines.clone() } else { Arc::new(kept) }
}

#[cfg(test)]
#[path = "health_tests.rs"]
mod tests;
