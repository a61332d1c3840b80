//! Addresses that will be given next: whether another host has them is asked before anybody waits
//! for the answer.
//!
//! ```text
//! Asking ──nobody answers──► Free ──after a while, asked once more──► Renewing ──► Free
//!   ▲                          │                                        │
//!   └──after a while── Taken ◄─┴─────────────another claims─────────────┘
//! ```
//! What was found free stays so for a while, and no longer than nobody else is heard of it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use super::address::{CONFLICT_FOR, PROBE_GAP, PROBE_WAIT, PROBES, jittered};

/// How long an address that nobody has counts as free.
const FREE_FOR: Duration = Duration::from_secs(30);
/// How long after that it is asked for once more, before it counts no longer.
const AGAIN: Duration = Duration::from_secs(20);

/// The addresses that are asked for ahead, and when something is due.
#[derive(Clone, Debug, Default)]
pub(super) struct Ahead {
    states: BTreeMap<IpAddr, State>,
    due: BTreeSet<(Duration, IpAddr)>,
}

/// One address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// It is asked whether anybody has it.
    Asking { asked: u32, next: Duration },
    /// Nobody had it then.
    Free { found: Duration, next: Duration },
    /// The same, and it is asked once more.
    Renewing { found: Duration, next: Duration },
    /// Somebody has it, or wants it.
    Taken { until: Duration },
}

impl Ahead {
    /// Takes the addresses that are to be asked for; what is known of these stays.
    pub(super) fn set(&mut self, addresses: &BTreeSet<IpAddr>, now: Duration) {
        let gone: Vec<IpAddr> =
            self.states.keys().filter(|address| !addresses.contains(*address)).copied().collect();
        gone.into_iter().for_each(|address| self.forget(address));
        for address in addresses {
            if !self.states.contains_key(address) {
                self.put(*address, State::begun(now));
            }
        }
    }

    /// Whether an address was found free lately.
    pub(super) fn is_free(&self, address: IpAddr, now: Duration) -> bool {
        self.states.get(&address).is_some_and(|state| state.is_free(now))
    }

    /// Has nothing to do with an address any more.
    pub(super) fn forget(&mut self, address: IpAddr) {
        if let Some(state) = self.states.remove(&address) {
            self.due.remove(&(state.due(), address));
        }
    }

    /// Nobody may have heard us, nor we them.
    pub(super) fn begin_again(&mut self, now: Duration) {
        for address in self.states.keys().copied().collect::<Vec<_>>() {
            self.put(address, State::begun(now));
        }
    }

    /// Somebody else claims an address; whether that is one of these.
    pub(super) fn claimed(&mut self, address: IpAddr, now: Duration) -> bool {
        let known = self.states.contains_key(&address);
        if known {
            self.put(address, State::Taken { until: now + CONFLICT_FOR });
        }
        known
    }

    /// When something is due (monotonic).
    pub(super) fn deadline(&self) -> Option<Duration> {
        self.due.first().map(|(due, _)| *due)
    }

    /// An address to ask for now.
    pub(super) fn poll(&mut self, now: Duration) -> Option<IpAddr> {
        while let Some((_, address)) = self.due.first().filter(|(due, _)| *due <= now).copied() {
            let (state, asks) = self.states.get(&address)?.act(address, now);
            self.put(address, state);
            if asks {
                return Some(address);
            }
        }
        None
    }

    fn put(&mut self, address: IpAddr, state: State) {
        self.forget(address);
        self.due.insert((state.due(), address));
        self.states.insert(address, state);
    }
}

impl State {
    const fn begun(now: Duration) -> Self {
        Self::Asking { asked: 0, next: now }
    }

    fn is_free(&self, now: Duration) -> bool {
        match self {
            Self::Free { found, .. } | Self::Renewing { found, .. } => now < *found + FREE_FOR,
            Self::Asking { .. } | Self::Taken { .. } => false,
        }
    }

    const fn due(&self) -> Duration {
        match self {
            Self::Asking { next, .. } | Self::Free { next, .. } | Self::Renewing { next, .. } => {
                *next
            }
            Self::Taken { until } => *until,
        }
    }

    /// What it is when something was due, and whether it is asked for then. What was missed is past:
    /// what counts no longer is asked for as if nothing were known.
    fn act(self, address: IpAddr, now: Duration) -> (Self, bool) {
        match self {
            Self::Asking { asked, .. } if asked < PROBES => {
                let asked = asked + 1;
                let wait = if asked < PROBES { PROBE_GAP } else { PROBE_WAIT };
                (Self::Asking { asked, next: now + wait }, true)
            }
            Self::Asking { .. } => (Self::found(address, now), false),
            Self::Free { found, .. } if self.is_free(now) => {
                (Self::Renewing { found, next: now + PROBE_WAIT }, true)
            }
            Self::Renewing { .. } if self.is_free(now) => (Self::found(address, now), false),
            Self::Free { .. } | Self::Renewing { .. } | Self::Taken { .. } => {
                (Self::Asking { asked: 1, next: now + PROBE_GAP }, true)
            }
        }
    }

    fn found(address: IpAddr, now: Duration) -> Self {
        Self::Free { found: now, next: now + jittered(AGAIN, (address, now)) }
    }
}

#[cfg(test)]
#[path = "ahead_tests.rs"]
mod tests;
