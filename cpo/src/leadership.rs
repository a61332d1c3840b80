//! Who leads, as the rest of the process sees it.
//!
//! The Lease's task publishes; whoever is about to send something asks, each time: a process that
//! was paused past its deadline sends nothing when it wakes, whatever it had queued.

use std::time::Duration;

use cpo_core::election::Term;
use cpo_core::engine::JobId;
use tokio::sync::watch;

use crate::clock::Clock;

/// What is published about the leadership of this replica.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Standing {
    /// The term it is in, or was in last.
    pub(crate) term: Option<Term>,
    /// How often it began to lead, or ended.
    pub(crate) transitions: u64,
    /// When it wrote the Lease last (monotonic).
    pub(crate) renewed: Option<Duration>,
}

/// Tells whether this replica leads, now. Cheap to clone and to ask.
#[derive(Clone, Debug)]
pub(crate) struct Leadership {
    standing: watch::Receiver<Standing>,
    clock: Clock,
}

impl Leadership {
    /// Leadership as it is published, by this clock.
    pub(crate) const fn new(standing: watch::Receiver<Standing>, clock: Clock) -> Self {
        Self { standing, clock }
    }

    /// The number of the term this replica is in.
    pub(crate) fn term(&self) -> Option<u64> {
        let term = self.standing.borrow().term?;
        (self.clock.now().mono < term.until).then_some(term.number)
    }

    /// Whether what was decided in this term may be sent.
    pub(crate) fn admits(&self, term: u64) -> bool {
        self.term() == Some(term)
    }

    /// What was published last.
    pub(crate) fn standing(&self) -> Standing {
        *self.standing.borrow()
    }

    /// How long ago the Lease was written last.
    pub(crate) fn since_renewal(&self) -> Option<Duration> {
        let renewed = self.standing.borrow().renewed?;
        Some(self.clock.now().mono.saturating_sub(renewed))
    }

    /// Waits for something new to be published; for ever, when nobody publishes any more. Cancel
    /// safe.
    pub(crate) async fn changed(&mut self) {
        if self.standing.changed().await.is_err() {
            std::future::pending().await
        }
    }
}

/// A job on its way to its executor, and the term in which it was decided.
#[derive(Debug)]
pub(crate) struct Order<E> {
    /// The job.
    pub(crate) job: JobId,
    /// The term.
    pub(crate) term: u64,
    /// What is to be done.
    pub(crate) effect: E,
}

#[cfg(test)]
pub(crate) mod testing {
    use super::*;

    /// Leadership in this term for an hour, or none; and who publishes it.
    pub(crate) fn leadership(term: Option<u64>) -> (watch::Sender<Standing>, Leadership) {
        let (sender, standing) = watch::channel(Standing::default());
        sender.send_modify(|standing| *standing = in_term(term));
        (sender, Leadership::new(standing, Clock::start()))
    }

    /// What is published in this term.
    pub(crate) fn in_term(term: Option<u64>) -> Standing {
        let until = Duration::from_secs(3600);
        let term = term.map(|number| Term { number, until });
        Standing { term, ..Standing::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::testing::{in_term, leadership};
    use super::*;

    #[tokio::test]
    async fn a_term_is_over_at_its_deadline_though_nobody_says_so() {
        let (sender, leadership) = leadership(None);
        assert_eq!(leadership.term(), None);
        sender.send_modify(|standing| *standing = in_term(Some(3)));
        assert!(leadership.admits(3) && !leadership.admits(2));
        let past = Some(Term { number: 3, until: Duration::ZERO });
        sender.send_modify(|standing| standing.term = past);
        assert!(!leadership.admits(3));
    }

    #[tokio::test]
    async fn what_was_decided_in_an_earlier_term_is_not_admitted() {
        let (sender, leadership) = leadership(Some(1));
        sender.send_modify(|standing| *standing = in_term(Some(2)));
        assert!(!leadership.admits(1) && leadership.admits(2));
    }
}
