//! One session: what is sent when, and when the other one counts as gone (RFC 5880, 6.8).

use std::num::NonZeroU32;
use std::time::Duration;

use super::packet::{Diagnostic, Packet, State};
use crate::drop_reason::DropReason;

/// How often is sent at most while the session is not up (RFC 5880, 6.8.3).
const SLOW: Duration = Duration::from_secs(1);

/// The times of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Profile {
    /// How often we can receive at most.
    pub receive: Duration,
    /// How often we want to send at most.
    pub transmit: Duration,
    /// How many of our packets must be missed in a row.
    pub multiplier: u8,
    /// Whether we wait for the other one to begin.
    pub passive: bool,
}

/// A session with another system. Hand in what was received before calling [`Self::poll`], or one
/// that was kept from running takes the others for gone.
#[derive(Clone, Debug)]
pub struct Session {
    profile: Profile,
    /// Our number of the session.
    mine: NonZeroU32,
    state: State,
    diagnostic: Diagnostic,
    /// When the state became what it is.
    since: Duration,
    remote: Remote,
    /// When the last packet was sent.
    sent: Option<Duration>,
    /// When the next one is due.
    next: Duration,
    /// We ask the other one to confirm our times.
    polling: bool,
    /// The times that were agreed upon before, until it has.
    before: Option<Profile>,
}

/// What is known of the other system.
#[derive(Clone, Copy, Debug)]
struct Remote {
    number: Option<NonZeroU32>,
    state: State,
    /// How often it can receive at most.
    receive: Duration,
    demand: bool,
    /// When it counts as gone, if it is not heard before.
    expires: Option<Duration>,
}

impl Session {
    /// A session by this number of ours, which no other of ours has; chosen at random, so that
    /// packets of a former life are told apart.
    #[must_use]
    pub const fn new(mine: NonZeroU32, profile: Profile, now: Duration) -> Self {
        Self {
            profile,
            mine,
            state: State::Down,
            diagnostic: Diagnostic::None,
            since: now,
            remote: Remote::unknown(),
            sent: None,
            next: now,
            polling: false,
            before: None,
        }
    }

    /// How the session stands.
    #[must_use]
    pub const fn state(&self) -> State {
        self.state
    }

    /// Since when it stands so (monotonic).
    #[must_use]
    pub const fn since(&self) -> Duration {
        self.since
    }

    /// Why it went down last.
    #[must_use]
    pub const fn diagnostic(&self) -> Diagnostic {
        self.diagnostic
    }

    /// Our number of the session.
    #[must_use]
    pub const fn number(&self) -> NonZeroU32 {
        self.mine
    }

    /// Takes other times. Where the session is up, the other system is asked to confirm them, and
    /// nothing becomes slower or stricter before it has (RFC 5880, 6.8.3).
    pub fn set_profile(&mut self, profile: Profile) {
        if self.profile == profile {
            return;
        }
        if self.state == State::Up {
            self.polling = true;
            self.before.get_or_insert(self.profile);
        }
        self.profile = profile;
    }

    /// Holds the session down, or lets it come up again.
    pub fn hold_down(&mut self, down: bool, now: Duration) {
        match (down, self.state) {
            (true, State::AdminDown) | (false, State::Down | State::Init | State::Up) => {}
            (true, _) => self.enter(State::AdminDown, Diagnostic::AdminDown, now),
            (false, State::AdminDown) => self.enter(State::Down, Diagnostic::AdminDown, now),
        }
    }

    /// Takes a packet of the other system; gives the answer, if it asked for one at once
    /// (RFC 5880, 6.8.6).
    ///
    /// # Errors
    /// [`DropReason::BfdDiscriminator`] if it is of another session.
    pub fn receive(
        &mut self,
        packet: &Packet,
        now: Duration,
    ) -> Result<Option<Packet>, DropReason> {
        if packet.yours.is_some_and(|yours| yours != self.mine) {
            return Err(DropReason::BfdDiscriminator);
        }
        if packet.last {
            (self.polling, self.before) = (false, None);
        }
        let receive =
            self.before.map_or(self.profile.receive, |b| b.receive.max(self.profile.receive));
        let slowest = receive.max(packet.transmit);
        self.remote = Remote {
            number: Some(packet.mine),
            state: packet.state,
            receive: packet.receive,
            demand: packet.demand,
            expires: Some(now + slowest * u32::from(packet.multiplier)),
        };
        if self.state == State::AdminDown {
            return Ok(None);
        }
        let (state, diagnostic) = match (self.state, packet.state) {
            (State::Down, State::Down) => (State::Init, self.diagnostic),
            (State::Down, State::Init) | (State::Init, State::Init | State::Up) => {
                (State::Up, self.diagnostic)
            }
            (State::Init | State::Up, State::AdminDown) | (State::Up, State::Down) => {
                (State::Down, Diagnostic::NeighborDown)
            }
            (state, _) => (state, self.diagnostic),
        };
        if state != self.state {
            self.enter(state, diagnostic, now);
        }
        self.next = self.next.min(now + self.interval());
        Ok(packet.poll.then(|| Packet { poll: false, last: true, ..self.packet() }))
    }

    /// Notices that the other system is gone, and gives the packet that is due. `random` spreads
    /// the packets of many sessions in time.
    pub fn poll(&mut self, now: Duration, random: u8) -> Option<Packet> {
        if self.remote.expires.is_some_and(|expires| expires <= now) {
            self.remote = Remote::unknown();
            if matches!(self.state, State::Init | State::Up) {
                self.enter(State::Down, Diagnostic::Expired, now);
            }
        }
        if now < self.next || !self.sends() {
            return None;
        }
        self.sent = Some(now);
        self.next = now + jittered(self.interval(), self.profile.multiplier, random);
        Some(self.packet())
    }

    /// When [`Self::poll`] has something to do (monotonic).
    #[must_use]
    pub fn deadline(&self) -> Option<Duration> {
        let next = self.sends().then_some(self.next);
        [next, self.remote.expires].into_iter().flatten().min()
    }

    fn enter(&mut self, state: State, diagnostic: Diagnostic, now: Duration) {
        // Faster times are news to the other one.
        (self.polling, self.before) = (state == State::Up, None);
        (self.state, self.diagnostic, self.since) = (state, diagnostic, now);
        // What changed is told at once (RFC 5880, 6.8.7).
        self.next = now;
    }

    /// Whether anything is sent by itself (RFC 5880, 6.8.7).
    const fn sends(&self) -> bool {
        let begins = !self.profile.passive || self.remote.number.is_some();
        let wanted = self.remote.number.is_none() || !self.remote.receive.is_zero();
        let up = matches!((self.state, self.remote.state), (State::Up, State::Up));
        let demanded = self.remote.demand && up && !self.polling;
        begins && wanted && !demanded
    }

    /// How often is sent.
    fn interval(&self) -> Duration {
        let desired = self.desired();
        let agreed = self.before.map_or(desired, |before| before.transmit.min(desired));
        agreed.max(self.remote.receive)
    }

    /// How often we want to send.
    fn desired(&self) -> Duration {
        match self.state {
            State::Up => self.profile.transmit,
            State::AdminDown | State::Down | State::Init => self.profile.transmit.max(SLOW),
        }
    }

    fn packet(&self) -> Packet {
        Packet {
            diagnostic: self.diagnostic,
            state: self.state,
            poll: self.polling,
            last: false,
            independent: false,
            demand: false,
            multiplier: self.profile.multiplier,
            mine: self.mine,
            yours: self.remote.number,
            transmit: self.desired(),
            receive: self.profile.receive,
        }
    }
}

impl Remote {
    const fn unknown() -> Self {
        Self {
            number: None,
            state: State::Down,
            receive: Duration::from_micros(1),
            demand: false,
            expires: None,
        }
    }
}

/// Three quarters of a time to all of it, or to nine tenths where no packet may be missed
/// (RFC 5880, 6.8.7).
fn jittered(time: Duration, multiplier: u8, random: u8) -> Duration {
    let hundredths = if multiplier == 1 { 15 } else { 25 };
    time * 75 / 100 + time * hundredths / 100 * u32::from(random) / 255
}

#[cfg(test)]
#[path = "session_tests.rs"]
mod tests;
