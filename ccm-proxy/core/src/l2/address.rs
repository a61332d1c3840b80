//! One address on one link: silent, probed, announced, or somebody else's.
//!
//! ```text
//! Silent ──elected, new──► Probing ──nobody answers──► Announcing
//!   │                        │  ▲                           ▲
//!   │          another claims│  │after a while              │
//!   │                        ▼  │                           │
//!   │                      Conflict                         │
//!   └───────────elected, taken over or asked ahead──────────┘
//! ```
//! From everywhere back to Silent when another speaker is elected. What was asked ahead is asked for
//! once more while it is announced: who answers then has it, and it is a Conflict.

use std::hash::{DefaultHasher, Hash, Hasher as _};
use std::net::IpAddr;
use std::time::Duration;

use super::Claim;
use crate::mac::MacAddress;

/// Questions of one probe, the time between them, and for answers to the last.
pub(super) const PROBES: u32 = 3;
pub(super) const PROBE_GAP: Duration = Duration::from_millis(50);
pub(super) const PROBE_WAIT: Duration = Duration::from_millis(100);
/// How long an address that somebody else uses is left to him before it is probed again.
pub(super) const CONFLICT_FOR: Duration = Duration::from_secs(30);
/// A take-over is told at once and then this far apart, for this long: switches and hosts may miss
/// the first.
const BURST_GAP: Duration = Duration::from_millis(1_100);
const BURST_FOR: Duration = Duration::from_secs(5);
/// An address that is claimed by others is defended this often at most (RFC 5227, 2.4).
const DEFEND_GAP: Duration = Duration::from_secs(10);
/// An address is contested until nobody has claimed it for so long.
const CONTESTED_FOR: Duration = Duration::from_secs(120);

/// What is to be done about an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Order {
    /// Our part.
    pub role: Role,
    /// How often it is announced anew; switches forget sooner than hosts.
    pub refresh: Duration,
}

/// Who announces an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Another speaker.
    Silent,
    /// We do.
    Announce {
        /// The interface that is to get the traffic: ours, or a virtual machine's.
        mac: MacAddress,
        /// Nobody announced it before: somebody else on the link may have it.
        fresh: bool,
    },
}

/// How an address stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Another speaker announces it.
    Silent,
    /// It is asked whether anybody has it.
    Probing,
    /// It is announced.
    Announcing(Announced),
    /// Somebody else has it: it is not announced.
    Conflict {
        /// The interface that claimed it first.
        with: MacAddress,
    },
}

/// An address that we announce.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Announced {
    /// The interface that gets the traffic.
    pub mac: MacAddress,
    /// Another interface that claims the address: the first, as long as anybody does.
    pub contested: Option<MacAddress>,
}

/// One address, and when something is due.
#[derive(Clone, Debug)]
pub(super) struct Address {
    pub(super) order: Order,
    state: State,
    /// A speaker announced it, we or another: nobody else has it.
    announced: bool,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Silent,
    Probing { mac: MacAddress, asked: u32, next: Duration },
    Conflict { mac: MacAddress, with: MacAddress, until: Duration },
    Announcing(Announcing),
}

#[derive(Clone, Copy, Debug)]
struct Announcing {
    mac: MacAddress,
    begun: Duration,
    /// How often it was told.
    told: u32,
    next: Duration,
    /// Who claimed it first of those who do lately, and when one did last.
    contested: Option<(MacAddress, Duration)>,
    defended: Option<Duration>,
    /// It was announced since nobody had it a while ago, and is asked for once more.
    trial: Option<Trial>,
}

/// Questions about an address that is announced already.
#[derive(Clone, Copy, Debug)]
struct Trial {
    asked: u32,
    next: Duration,
}

/// What is to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Say {
    Nothing,
    Ask,
    Announce(MacAddress),
}

impl Address {
    pub(super) fn new(order: Order, now: Duration) -> Self {
        let state = State::of(order.role, now);
        let announced = matches!(state, State::Announcing(_));
        Self { order, state, announced }
    }

    /// Takes another order; what is under way goes on where it still fits.
    pub(super) fn set(&mut self, order: Order, now: Duration) {
        let same = match (self.answer(), order.role) {
            (None, Role::Silent) => true,
            (Some(had), Role::Announce { mac, .. }) => had == mac,
            (None, Role::Announce { .. }) | (Some(_), Role::Silent) => false,
        };
        if !same {
            self.state = match (self.state, order.role) {
                // Whom it leads to changed: that is a take-over.
                (State::Announcing(_), Role::Announce { mac, .. }) => {
                    State::Announcing(Announcing::new(mac, now))
                }
                (State::Probing { asked, next, .. }, Role::Announce { mac, fresh: true }) => {
                    State::Probing { mac, asked, next }
                }
                (_, Role::Announce { mac, fresh }) => {
                    let fresh = fresh && !self.announced;
                    State::of(Role::Announce { mac, fresh }, now)
                }
                (_, Role::Silent) => State::Silent,
            };
            self.announced |= matches!(self.state, State::Announcing(_));
        }
        self.order = order;
    }

    /// The interface that is the answer to questions, or will be.
    const fn answer(&self) -> Option<MacAddress> {
        match self.state {
            State::Silent => None,
            State::Probing { mac, .. } | State::Conflict { mac, .. } => Some(mac),
            State::Announcing(Announcing { mac, .. }) => Some(mac),
        }
    }

    pub(super) const fn standing(&self) -> Standing {
        match self.state {
            State::Silent => Standing::Silent,
            State::Probing { .. } => Standing::Probing,
            State::Conflict { with, .. } => Standing::Conflict { with },
            State::Announcing(Announcing { mac, contested, .. }) => {
                let contested = match contested {
                    Some((by, _)) => Some(by),
                    None => None,
                };
                Standing::Announcing(Announced { mac, contested })
            }
        }
    }

    /// Another speaker says that it has the address.
    pub(super) const fn announced(&mut self) {
        self.announced = true;
    }

    /// It is announced since nobody had it when it was asked ahead: somebody may have come since.
    pub(super) const fn ask_once_more(&mut self, now: Duration) {
        if let State::Announcing(announcing) = &mut self.state {
            announcing.trial = Some(Trial { asked: 0, next: now });
        }
    }

    /// Somebody who is none of the speakers says that it has the address.
    pub(super) fn claimed(&mut self, by: MacAddress, now: Duration) -> Say {
        match &mut self.state {
            // Who answers has it for longer than we have.
            State::Probing { mac, .. }
            | State::Announcing(Announcing { mac, trial: Some(_), .. })
                if *mac != by =>
            {
                let until = now + CONFLICT_FOR;
                self.state = State::Conflict { mac: *mac, with: by, until };
                self.announced = false;
                Say::Nothing
            }
            State::Announcing(announcing) if announcing.mac != by => {
                // The first one stays named: who claims by ever other names makes no news.
                let lately = announcing.contested.filter(|(_, at)| now < *at + CONTESTED_FOR);
                let first = lately.map_or(by, |(first, _)| first);
                announcing.contested = Some((first, now));
                let defended = announcing.defended.is_some_and(|at| now < at + DEFEND_GAP);
                if defended {
                    return Say::Nothing;
                }
                announcing.defended = Some(now);
                Say::Announce(announcing.mac)
            }
            // In a conflict the first one stays named as well.
            State::Probing { .. }
            | State::Conflict { .. }
            | State::Announcing(_)
            | State::Silent => Say::Nothing,
        }
    }

    /// The link came back: everybody may have forgotten.
    pub(super) fn announce_again(&mut self, now: Duration) {
        if let State::Announcing(announcing) = &mut self.state {
            let contested = announcing.contested;
            *announcing = Announcing { contested, ..Announcing::new(announcing.mac, now) };
        }
    }

    /// When [`Self::act`] has something to do.
    pub(super) fn due(&self) -> Option<Duration> {
        match self.state {
            State::Silent => None,
            State::Probing { next, .. } => Some(next),
            State::Conflict { until, .. } => Some(until),
            State::Announcing(Announcing { next, contested, trial, .. }) => {
                let calm = contested.map(|(_, at)| at + CONTESTED_FOR);
                let asks = trial.map(|trial| trial.next);
                [Some(next), calm, asks].into_iter().flatten().min()
            }
        }
    }

    /// Does what is due. Nothing of it is made up for: what was missed is past.
    pub(super) fn act(&mut self, address: IpAddr, now: Duration) -> Say {
        match &mut self.state {
            State::Silent => Say::Nothing,
            State::Probing { next, .. } if now < *next => Say::Nothing,
            State::Probing { asked, next, .. } if *asked < PROBES => {
                *asked += 1;
                *next = now + if *asked < PROBES { PROBE_GAP } else { PROBE_WAIT };
                Say::Ask
            }
            State::Probing { mac, .. } => {
                let mut announcing = Announcing::new(*mac, now);
                let said = announcing.act(address, self.order.refresh, now);
                self.announced = true;
                self.state = State::Announcing(announcing);
                said
            }
            State::Conflict { until, .. } if now < *until => Say::Nothing,
            State::Conflict { mac, .. } => {
                self.state = State::Probing { mac: *mac, asked: 1, next: now + PROBE_GAP };
                Say::Ask
            }
            State::Announcing(announcing) => announcing.act(address, self.order.refresh, now),
        }
    }

    /// The answer to a question, while it is announced.
    pub(super) const fn claim(&self, address: IpAddr) -> Option<Claim> {
        match self.state {
            State::Announcing(Announcing { mac, .. }) => Some(Claim { address, mac }),
            State::Silent | State::Probing { .. } | State::Conflict { .. } => None,
        }
    }
}

impl State {
    const fn of(role: Role, now: Duration) -> Self {
        match role {
            Role::Silent => Self::Silent,
            Role::Announce { mac, fresh: true } => Self::Probing { mac, asked: 0, next: now },
            Role::Announce { mac, fresh: false } => Self::Announcing(Announcing::new(mac, now)),
        }
    }
}

impl Announcing {
    const fn new(mac: MacAddress, now: Duration) -> Self {
        let (contested, defended, trial) = (None, None, None);
        Self { mac, begun: now, told: 0, next: now, contested, defended, trial }
    }

    fn act(&mut self, address: IpAddr, refresh: Duration, now: Duration) -> Say {
        self.contested = self.contested.filter(|(_, at)| now < *at + CONTESTED_FOR);
        if now < self.next {
            return self.ask(now);
        }
        let burst = now + BURST_GAP <= self.begun + BURST_FOR;
        let refresh = refresh.max(BURST_GAP);
        let gap = if burst { BURST_GAP } else { jittered(refresh, (address, self.mac, self.told)) };
        self.next = now + gap;
        self.told = self.told.saturating_add(1);
        Say::Announce(self.mac)
    }
}

impl Announcing {
    /// The next question of a trial, if one is due; after the last it is over.
    fn ask(&mut self, now: Duration) -> Say {
        let Some(trial) = self.trial.as_mut().filter(|trial| trial.next <= now) else {
            return Say::Nothing;
        };
        if trial.asked == PROBES {
            self.trial = None;
            return Say::Nothing;
        }
        trial.asked += 1;
        trial.next = now + if trial.asked < PROBES { PROBE_GAP } else { PROBE_WAIT };
        Say::Ask
    }
}

/// Seven to nine eighths of a time, so that what began together does not stay together.
pub(super) fn jittered(time: Duration, what: impl Hash) -> Duration {
    let mut hasher = DefaultHasher::new();
    what.hash(&mut hasher);
    let eighth = time / 8;
    let [part, ..] = hasher.finish().to_le_bytes();
    time - eighth + eighth * 2 * u32::from(part) / 255
}

#[cfg(test)]
#[path = "address_tests.rs"]
mod tests;
