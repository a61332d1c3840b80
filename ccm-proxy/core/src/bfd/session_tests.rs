use proptest::prelude::*;

use super::*;

const FAST: Duration = Duration::from_millis(100);

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

const fn profile() -> Profile {
    Profile { receive: FAST, transmit: FAST, multiplier: 3, passive: false }
}

fn number(number: u32) -> NonZeroU32 {
    NonZeroU32::new(number).unwrap()
}

fn session() -> Session {
    Session::new(number(1), profile(), ms(0))
}

/// A packet of the other system in a state.
fn from(state: State) -> Packet {
    Packet {
        diagnostic: Diagnostic::None,
        state,
        poll: false,
        last: false,
        independent: false,
        demand: false,
        multiplier: 3,
        mine: number(2),
        yours: Some(number(1)),
        transmit: FAST,
        receive: FAST,
    }
}

fn hear(session: &mut Session, packet: Packet, at: u64) -> Option<Packet> {
    session.receive(&packet, ms(at)).unwrap()
}

/// A session that stands so, as of `at`.
fn standing(state: State, at: u64) -> Session {
    let mut session = session();
    match state {
        State::AdminDown => session.hold_down(true, ms(at)),
        State::Down => {}
        State::Init => drop(hear(&mut session, from(State::Down), at)),
        State::Up => drop(hear(&mut session, from(State::Init), at)),
    }
    assert_eq!(session.state(), state);
    session
}

#[test]
fn every_state_and_every_packet_lead_to_these() {
    use State::{AdminDown, Down, Init, Up};
    let received = [AdminDown, Down, Init, Up];
    for (before, after) in [
        (AdminDown, [AdminDown, AdminDown, AdminDown, AdminDown]),
        (Down, [Down, Init, Up, Down]),
        (Init, [Down, Init, Up, Up]),
        (Up, [Down, Down, Up, Up]),
    ] {
        for (packet, after) in received.into_iter().zip(after) {
            let mut session = standing(before, 0);
            hear(&mut session, from(packet), 10);
            assert_eq!(session.state(), after, "{before:?} hears {packet:?}");
            let lost = after == Down && before != Down;
            let why = if lost { Diagnostic::NeighborDown } else { session.diagnostic() };
            assert_eq!(session.diagnostic(), why);
            assert_eq!(session.since(), if before == after { ms(0) } else { ms(10) });
        }
    }
}

#[test]
fn silence_takes_it_down_and_forgets_the_others_number() {
    for (state, down) in [(State::Init, true), (State::Up, true), (State::AdminDown, false)] {
        let mut session = standing(state, 0);
        hear(&mut session, from(if down { state } else { State::Down }), 0);
        let before = session.state();
        session.poll(ms(299), 0);
        assert_eq!(session.state(), before);
        session.poll(ms(300), 0);
        let after = if down { State::Down } else { before };
        assert_eq!(session.state(), after, "{before:?}");
        if down {
            assert_eq!(session.diagnostic(), Diagnostic::Expired);
            assert_eq!(session.packet().yours, None);
        }
    }
}

#[test]
fn the_slower_of_both_tells_when_it_is_silent() {
    let mut session = standing(State::Up, 0);
    hear(&mut session, Packet { transmit: ms(500), multiplier: 2, ..from(State::Up) }, 0);
    assert_eq!(session.remote.expires, Some(ms(1_000)));
    hear(&mut session, Packet { transmit: ms(10), multiplier: 5, ..from(State::Up) }, 0);
    assert_eq!(session.remote.expires, Some(ms(500)), "what we can receive counts");
}

#[test]
fn it_begins_slowly_and_is_fast_once_it_is_up() {
    let mut session = session();
    assert_eq!(session.poll(ms(0), 255).map(|packet| packet.transmit), Some(ms(1_000)));
    assert_eq!(session.deadline(), Some(ms(1_000)));
    hear(&mut session, from(State::Init), 10);
    assert_eq!(session.deadline(), Some(ms(10)), "news is told at once");
    let told = session.poll(ms(10), 255).unwrap();
    assert_eq!((told.state, told.transmit, told.poll), (State::Up, FAST, true));
    assert_eq!(session.deadline(), Some(ms(110)));
}

#[test]
fn who_asks_is_answered_at_once_and_what_we_ask_ends_with_the_answer() {
    let mut session = standing(State::Up, 0);
    assert!(session.poll(ms(0), 0).unwrap().poll, "its times became faster");
    let answer = hear(&mut session, Packet { poll: true, ..from(State::Up) }, 1).unwrap();
    assert_eq!((answer.poll, answer.last), (false, true));
    assert!(session.poll(ms(100), 0).unwrap().poll, "nobody confirmed yet");
    assert_eq!(hear(&mut session, Packet { last: true, ..from(State::Up) }, 101), None);
    assert!(!session.poll(ms(200), 0).unwrap().poll);
}

#[test]
fn times_that_get_slower_wait_until_they_are_confirmed() {
    let mut session = standing(State::Up, 0);
    hear(&mut session, Packet { last: true, ..from(State::Up) }, 0);
    let slower = Profile { transmit: ms(400), receive: ms(20), ..profile() };
    session.set_profile(slower);
    let asks = session.poll(ms(0), 255).unwrap();
    assert_eq!((asks.poll, asks.transmit, asks.receive), (true, ms(400), ms(20)));
    assert_eq!(session.deadline(), Some(ms(100)));
    hear(&mut session, Packet { transmit: ms(10), ..from(State::Up) }, 1);
    assert_eq!(session.remote.expires, Some(ms(301)));
    hear(&mut session, Packet { transmit: ms(10), last: true, ..from(State::Up) }, 2);
    assert_eq!(session.remote.expires, Some(ms(62)));
    assert_eq!(session.interval(), ms(400));
}

#[test]
fn a_passive_one_waits_to_be_spoken_to() {
    let mut session = Session::new(number(1), Profile { passive: true, ..profile() }, ms(0));
    assert_eq!((session.poll(ms(5_000), 0), session.deadline()), (None, None));
    hear(&mut session, from(State::Down), 5_000);
    assert_eq!(session.poll(ms(5_000), 0).map(|packet| packet.state), Some(State::Init));
}

#[test]
fn who_cannot_receive_or_demands_silence_is_sent_nothing() {
    let mut session = standing(State::Up, 0);
    session.poll(ms(0), 0);
    hear(&mut session, Packet { receive: ms(0), ..from(State::Up) }, 1);
    assert_eq!(session.poll(ms(200), 0), None);
    hear(&mut session, Packet { demand: true, last: true, ..from(State::Up) }, 201);
    assert_eq!(session.poll(ms(400), 0), None);
    hear(&mut session, from(State::Up), 401);
    assert!(session.poll(ms(700), 0).is_some());
}

#[test]
fn one_that_is_held_down_says_so_and_hears_nothing() {
    let mut session = standing(State::Up, 0);
    session.hold_down(true, ms(5));
    let told = session.poll(ms(5), 0).unwrap();
    assert_eq!((told.state, told.diagnostic), (State::AdminDown, Diagnostic::AdminDown));
    hear(&mut session, from(State::Init), 6);
    assert_eq!(session.state(), State::AdminDown);
    session.hold_down(false, ms(7));
    assert_eq!(session.state(), State::Down);
}

#[test]
fn a_packet_of_another_session_is_none_of_ours() {
    let mut session = session();
    let other = Packet { yours: Some(number(9)), ..from(State::Init) };
    assert_eq!(session.receive(&other, ms(0)), Err(DropReason::BfdDiscriminator));
    assert_eq!(session.state(), State::Down);
}

/// Two sessions and what is under way between them.
struct Pair {
    sessions: [Session; 2],
    /// When it arrives, at whom, and what.
    wire: Vec<(Duration, usize, Packet)>,
}

impl Pair {
    fn new(profiles: [Profile; 2]) -> Self {
        let [one, other] = profiles;
        let sessions = [Session::new(number(1), one, ms(0)), Session::new(number(2), other, ms(0))];
        Self { sessions, wire: Vec::new() }
    }

    /// Lets both run until a moment; `passes` tells whether the nth packet arrives.
    fn run(&mut self, from: u64, to: u64, delay: u64, mut passes: impl FnMut(usize) -> bool) {
        let mut now = ms(from);
        while now < ms(to) {
            let arrived: Vec<_> = self.wire.extract_if(.., |(at, ..)| *at <= now).collect();
            for (_, at, packet) in arrived {
                let answer = self.sessions[at].receive(&packet, now);
                if let Ok(Some(answer)) = answer {
                    self.send(at, answer, now + ms(delay), &mut passes);
                }
            }
            for at in [0, 1] {
                let random = u8::try_from(now.as_millis() % 251).unwrap();
                if let Some(packet) = self.sessions[at].poll(now, random) {
                    self.send(at, packet, now + ms(delay), &mut passes);
                }
            }
            let arrives = self.wire.iter().map(|(at, ..)| *at);
            let due = self.sessions.iter().filter_map(Session::deadline).chain(arrives).min();
            now = due.unwrap_or_else(|| ms(to)).max(now + ms(1));
        }
    }

    fn send(
        &mut self,
        by: usize,
        packet: Packet,
        at: Duration,
        passes: &mut impl FnMut(usize) -> bool,
    ) {
        if passes(by) {
            // As it goes over the wire.
            self.wire.push((at, 1 - by, Packet::read(&packet.write()).unwrap()));
        }
    }

    fn states(&self) -> [State; 2] {
        [self.sessions[0].state(), self.sessions[1].state()]
    }
}

#[test]
fn two_come_up_together_and_go_down_within_three_packets_of_silence() {
    let mut pair = Pair::new([profile(), profile()]);
    pair.run(0, 1_500, 1, |_| true);
    assert_eq!(pair.states(), [State::Up, State::Up]);
    pair.run(1_500, 1_500 + 301, 1, |_| false);
    assert_eq!(pair.states(), [State::Down, State::Down]);
    pair.run(1_801, 4_000, 1, |_| true);
    assert_eq!(pair.states(), [State::Up, State::Up]);
}

#[test]
fn where_one_way_is_cut_both_know() {
    let mut pair = Pair::new([profile(), profile()]);
    pair.run(0, 1_500, 1, |_| true);
    pair.run(1_500, 2_000, 1, |by| by == 0);
    let [one, other] = pair.states();
    assert_ne!(one, State::Up, "it hears nothing");
    assert_ne!(other, State::Up, "it hears that it is not heard");
}

#[test]
fn one_that_starts_anew_comes_up_again() {
    let mut pair = Pair::new([profile(), profile()]);
    pair.run(0, 1_500, 1, |_| true);
    pair.sessions[0] = Session::new(number(7), profile(), ms(1_500));
    pair.run(1_500, 4_500, 1, |_| true);
    assert_eq!(pair.states(), [State::Up, State::Up]);
}

proptest! {
    #[test]
    fn two_that_lose_some_packets_come_up_and_stay_up(
        delay in 0_u64..20,
        multipliers in [3_u8..6, 3_u8..6],
        intervals in [20_u64..200, 20_u64..200, 20_u64..200, 20_u64..200],
        lost in prop::collection::vec(any::<bool>(), 1..20),
    ) {
        let [a, b, c, d] = intervals.map(ms);
        let [m, n] = multipliers;
        let mut pair = Pair::new([
            Profile { receive: a, transmit: b, multiplier: m, passive: false },
            Profile { receive: c, transmit: d, multiplier: n, passive: true },
        ]);
        pair.run(0, 8_000, delay, |_| true);
        prop_assert_eq!(pair.states(), [State::Up, State::Up]);
        // Never two in a row of the same one.
        let (mut sent, mut missed) = (0, [false; 2]);
        pair.run(8_000, 12_000, delay, |by| {
            sent += 1;
            let miss = lost[sent % lost.len()] && !missed[by];
            missed[by] = miss;
            !miss
        });
        prop_assert_eq!(pair.states(), [State::Up, State::Up]);
        let times = [a, b, c, d].into_iter().max().unwrap_or_default();
        let gone = times * u32::from(m.max(n)) + ms(delay + 1);
        let end = 12_000 + u64::try_from(gone.as_millis()).unwrap();
        pair.run(12_000, end, delay, |_| false);
        prop_assert_eq!(pair.states(), [State::Down, State::Down]);
    }

    #[test]
    fn no_packet_and_no_order_of_calls_is_too_strange(
        calls in prop::collection::vec((0_u8..6, any::<[u8; 24]>(), 0_u64..2_000), 0..60),
    ) {
        let mut session = session();
        let mut now = ms(0);
        for (call, mut bytes, later) in calls {
            now += ms(later);
            match call {
                0 => session.hold_down(true, now),
                1 => session.hold_down(false, now),
                2 => drop(session.poll(now, bytes[0])),
                _ => {
                    (bytes[0], bytes[3]) = (0x20, 24);
                    bytes[1] &= 0xfa;
                    if call > 3 {
                        bytes[8..12].copy_from_slice(&1_u32.to_be_bytes());
                    }
                    if let Ok(packet) = Packet::read(&bytes) {
                        let answer = session.receive(&packet, now);
                        prop_assert!(answer.is_err() || answer.unwrap().is_some() == packet.poll
                            || session.state() == State::AdminDown);
                    }
                }
            }
            if session.poll(now, 0).is_some() {
                prop_assert!(session.poll(now, 0).is_none(), "one packet at a time");
            }
        }
    }
}
