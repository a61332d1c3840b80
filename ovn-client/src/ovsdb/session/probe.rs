//! Is the server still there?

use std::time::{Duration, Instant};

/// Asks a silent server for a sign of life, and gives it up when it stays silent.
#[derive(Debug)]
pub(super) struct Probe {
    interval: Option<Duration>,
    since: Instant,
    asked: bool,
}

/// What to do about a silent server.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Nothing yet.
    Alive,
    /// Send an `echo`.
    Ask,
    /// Give up.
    Silent,
}

impl Probe {
    pub(super) fn new(interval: Option<Duration>, now: Instant) -> Self {
        let interval = interval.filter(|interval| !interval.is_zero());
        Self { interval, since: now, asked: false }
    }

    /// Any byte is a sign of life.
    pub(super) fn handle_traffic(&mut self, now: Instant) {
        self.since = now;
        self.asked = false;
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) -> Verdict {
        if self.deadline().is_none_or(|deadline| now < deadline) {
            Verdict::Alive
        } else if self.asked {
            Verdict::Silent
        } else {
            self.since = now;
            self.asked = true;
            Verdict::Ask
        }
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.interval.and_then(|interval| self.since.checked_add(interval))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_silent_server_is_asked_once_and_then_given_up() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut probe = Probe::new(Some(Duration::from_secs(5)), start);
        assert_eq!(probe.handle_timeout(at(4)), Verdict::Alive);
        assert_eq!(probe.handle_timeout(at(5)), Verdict::Ask);
        assert_eq!(probe.handle_timeout(at(9)), Verdict::Alive);
        probe.handle_traffic(at(9));
        assert_eq!(probe.deadline(), Some(at(14)));
        assert_eq!(probe.handle_timeout(at(14)), Verdict::Ask);
        assert_eq!(probe.handle_timeout(at(19)), Verdict::Silent);
    }

    #[test]
    fn without_an_interval_there_is_no_probe() {
        for interval in [None, Some(Duration::ZERO)] {
            let mut probe = Probe::new(interval, Instant::now());
            assert_eq!(probe.deadline(), None);
            assert_eq!(probe.handle_timeout(Instant::now()), Verdict::Alive);
        }
    }
}
