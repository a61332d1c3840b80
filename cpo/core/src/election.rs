//! Who leads: an election by one shared record, a Kubernetes Lease.
//!
//! ```text
//!                    free, or ours of before              renewed
//!  ┌──────────┐ ───────────────────────────────► ┌──────────┐ ─┐
//!  │ standing │            replace               │ leading  │  │
//!  │    by    │ ◄─────────────────────────────── └──────────┘ ◄┘
//!  └──────────┘  deadline, taken, fenced, handed over, stopped
//! ```
//! A holder leads until its renew deadline, counted from the *beginning* of its last renewal that
//! succeeded. Another replica leaves a record alone until it has not changed for the lease duration
//! written in it, counted on its own monotonic clock from the moment it *saw* the last change. The
//! lease duration is the longer, so with clocks of one speed the holder has stopped before. Every
//! write is bound to the version that was seen.
//!
//! [`Election::handle`] takes in what happened, [`Election::poll_call`] gives out at most one call
//! at a time, [`Election::poll_timeout`] says when to poll again.

mod record;
mod timing;

use std::time::Duration;

pub use record::{Answer, Call, Change, Claim, End, Input, Record, Term};
pub use timing::{Timing, TimingError};

/// One replica's part in the election.
#[derive(Debug)]
pub struct Election {
    me: String,
    timing: Timing,
    /// What the server was last seen to have; `None`: it was never asked.
    seen: Option<Option<Record>>,
    /// From then on no other replica can believe to lead.
    free_at: Duration,
    /// When to read; `None`: what is known will do.
    read_at: Option<Duration>,
    /// When to write at the earliest.
    write_at: Duration,
    under_way: Option<UnderWay>,
    /// What a watch told during a call.
    told: Option<Option<String>>,
    term: Option<Leading>,
    terms: u64,
    fit: bool,
    unfit_since: Duration,
    /// The term was handed over: the record is to be given back.
    giving_back: bool,
    /// Fenced: whether the record is still ours has to be seen.
    doubt: bool,
    usurped: bool,
    stopping: bool,
    changes: Vec<Change>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Purpose {
    Look,
    Hold,
    GiveBack,
}

#[derive(Clone, Copy, Debug)]
struct UnderWay {
    purpose: Purpose,
    began: Duration,
}

#[derive(Clone, Copy, Debug)]
struct Leading {
    term: Term,
    /// It could do the work at some time in this term.
    was_fit: bool,
}

impl Election {
    /// A replica called `me`, which no other living one may be called.
    #[must_use]
    pub const fn new(me: String, timing: Timing) -> Self {
        Self {
            me,
            timing,
            seen: None,
            free_at: Duration::ZERO,
            read_at: Some(Duration::ZERO),
            write_at: Duration::ZERO,
            under_way: None,
            told: None,
            term: None,
            terms: 0,
            fit: false,
            unfit_since: Duration::ZERO,
            giving_back: false,
            doubt: false,
            usurped: false,
            stopping: false,
            changes: Vec::new(),
        }
    }

    /// The term of leadership this replica is in (`now` monotonic).
    #[must_use]
    pub fn term(&self, now: Duration) -> Option<Term> {
        self.term.map(|leading| leading.term).filter(|term| now < term.until)
    }

    /// Another writer took the database while the record was ours: two installations share a name.
    #[must_use]
    pub const fn usurped(&self) -> bool {
        self.usurped
    }

    /// Told to stop, and nothing is left to be given back.
    #[must_use]
    pub fn done(&self) -> bool {
        self.stopping && self.under_way.is_none() && !self.ours()
    }

    /// What is to be logged since the last call.
    pub fn take_changes(&mut self) -> Vec<Change> {
        std::mem::take(&mut self.changes)
    }

    /// Takes in what happened.
    pub fn handle(&mut self, input: Input, now: Duration) {
        self.expire(now);
        match input {
            Input::Ended(answer) => self.ended(answer, now),
            Input::Told(version) if self.under_way.is_some() => self.told = Some(version),
            Input::Told(version) => self.look_if_new(&version, now),
            Input::Fit(fit) => self.set_fit(fit, now),
            Input::Fenced(term) => {
                if self.term.is_some_and(|leading| leading.term.number == term) {
                    self.end(End::Fenced);
                    self.doubt = true;
                    self.read_at = Some(now);
                }
            }
            Input::Stop => {
                self.stopping = true;
                self.read_at = None;
                self.write_at = self.write_at.min(now);
                self.end(End::Stopped);
            }
        }
    }

    /// The call to make now, if any. Its end is handed in before the next is given out.
    pub fn poll_call(&mut self, now: Duration) -> Option<Call> {
        self.expire(now);
        if self.under_way.is_some() {
            return None;
        }
        let (purpose, call) = self.wanted(now)?;
        self.under_way = Some(UnderWay { purpose, began: now });
        Some(call)
    }

    /// When to poll again though nothing happens.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Duration> {
        let until = self.term.map(|leading| leading.term.until);
        let hand_over = self.hand_over_at();
        let call = if self.under_way.is_some() {
            None
        } else {
            [self.next_read(), self.next_write()].into_iter().flatten().min()
        };
        [until, hand_over, call].into_iter().flatten().min()
    }

    fn wanted(&self, now: Duration) -> Option<(Purpose, Call)> {
        if self.next_read().is_some_and(|at| at <= now) {
            return Some((Purpose::Look, Call::Read));
        }
        if self.next_write()? > now {
            return None;
        }
        if self.stopping || self.gives_back() {
            return Some((Purpose::GiveBack, self.write(String::new())));
        }
        Some((Purpose::Hold, self.write(self.me.clone())))
    }

    /// When the record is to be read: to the end, as long as there is something to give back.
    fn next_read(&self) -> Option<Duration> {
        self.read_at.filter(|_| !self.stopping || self.ours())
    }

    /// When the next write is due: a renewal, a claim, or to give the record back.
    fn next_write(&self) -> Option<Duration> {
        self.seen.as_ref()?;
        if self.stopping {
            return self.ours().then_some(self.write_at);
        }
        if self.doubt {
            return None;
        }
        if self.term.is_some() || self.gives_back() {
            return Some(self.write_at);
        }
        // Who cannot do the work stands back for a whole lease: perhaps another can.
        let patience = if self.fit { Duration::ZERO } else { self.timing.lease() };
        Some((self.free_at + patience).max(self.write_at))
    }

    fn gives_back(&self) -> bool {
        self.giving_back && self.ours()
    }

    fn write(&self, holder: String) -> Call {
        let lease = self.timing.lease();
        let Some(record) = self.seen.as_ref().and_then(Option::as_ref) else {
            return Call::Create(Claim { holder, lease, acquired: None, transitions: 0 });
        };
        let same = record.holder == holder;
        let taken = u32::from(!same && !holder.is_empty());
        let claim = Claim {
            lease,
            acquired: record.acquired.filter(|_| same || holder.is_empty()),
            transitions: record.transitions.saturating_add(taken),
            holder,
        };
        Call::Replace { version: record.version.clone(), claim }
    }

    /// Whether the record, as last seen, names us.
    fn ours(&self) -> bool {
        self.seen.as_ref().and_then(Option::as_ref).is_some_and(|record| record.holder == self.me)
    }

    fn ended(&mut self, answer: Answer, now: Duration) {
        let Some(UnderWay { purpose, began }) = self.under_way.take() else { return };
        self.read_at = None;
        match answer {
            Answer::Read(record) => {
                self.observe(record, now);
                self.usurped |= std::mem::take(&mut self.doubt) && self.ours();
            }
            Answer::Written(record) => {
                self.observe(Some(record), now);
                // What was under way when the term was handed over, or ended, begins none.
                let ends = self.stopping || self.giving_back;
                self.write_at = if ends { now } else { began + self.timing.retry() };
                if purpose == Purpose::Hold && !ends && !self.doubt {
                    self.hold(began + self.timing.renew_deadline(), now);
                }
            }
            Answer::Conflict => {
                self.read_at = Some(now);
                self.write_at = now + self.timing.retry() / 4;
            }
            Answer::Failed => {
                self.write_at = now + self.timing.retry();
                // What was written, if anything, is for a read to tell, or for a conflict.
                let known = self.seen.is_some() && self.term.is_some();
                self.read_at = (!known).then_some(self.write_at);
            }
        }
        if self.doubt {
            self.read_at = Some(self.read_at.unwrap_or(now));
        } else if self.term.is_none() && self.read_at.is_none() && !self.stopping {
            self.read_at = Some(now + self.timing.retry());
        }
        if let Some(version) = self.told.take() {
            self.look_if_new(&version, now);
        }
    }

    fn look_if_new(&mut self, version: &Option<String>, now: Duration) {
        let seen = self.seen.as_ref().map(|seen| seen.as_ref().map(|record| &record.version));
        if seen != Some(version.as_ref()) {
            self.read_at = Some(self.read_at.map_or(now, |at| at.min(now)));
        }
    }

    /// Remembers what the server has, and when it changed.
    fn observe(&mut self, record: Option<Record>, now: Duration) {
        let version = |record: &Option<Record>| record.as_ref().map(|r| r.version.clone());
        let before = self.seen.as_ref();
        if before.is_some_and(|before| version(before) == version(&record)) {
            return;
        }
        let holder = |record: Option<&Record>| record.map_or("", |r| r.holder.as_str()).to_owned();
        let is = holder(record.as_ref());
        if before.is_none_or(|before| holder(before.as_ref()) != is) && is != self.me {
            self.changes.push(Change::Holder(is.clone()));
        }
        self.giving_back &= is == self.me;
        match &record {
            // Whoever held it when it was deleted may believe to lead until it would have been
            // free. If that is us, it is made again at once.
            None if before.is_some() => self.write_at = self.write_at.min(now),
            None => self.free_at = now,
            // A former process of our name is dead.
            Some(_) if is == self.me => self.free_at = now,
            Some(record) => {
                let lease = record.lease.unwrap_or_else(|| self.timing.lease());
                self.free_at = if is.is_empty() { now } else { now + lease };
                self.end(End::Taken);
            }
        }
        self.seen = Some(record);
    }

    fn hold(&mut self, until: Duration, now: Duration) {
        if now >= until {
            return;
        }
        match &mut self.term {
            Some(leading) => leading.term.until = until,
            None => {
                self.terms += 1;
                let term = Term { number: self.terms, until };
                self.term = Some(Leading { term, was_fit: self.fit });
                self.changes.push(Change::Began(self.terms));
            }
        }
    }

    fn set_fit(&mut self, fit: bool, now: Duration) {
        if self.fit && !fit {
            self.unfit_since = now;
        }
        self.fit = fit;
        self.giving_back &= !fit;
        if let Some(leading) = &mut self.term {
            leading.was_fit |= fit;
        }
    }

    /// When the term is handed over, unless this replica can do the work again by then. One that
    /// never could in this term keeps it: nobody else could either, or he would have come first.
    fn hand_over_at(&self) -> Option<Duration> {
        let lost = !self.fit && self.term.is_some_and(|leading| leading.was_fit);
        lost.then(|| self.unfit_since + self.timing.renew_deadline())
    }

    /// Ends a term whose time is over.
    fn expire(&mut self, now: Duration) {
        if self.term.is_some_and(|leading| now >= leading.term.until) {
            self.end(End::Deadline);
            self.read_at = Some(now);
        } else if self.hand_over_at().is_some_and(|at| now >= at) {
            self.end(End::HandedOver);
            self.giving_back = true;
            self.write_at = self.write_at.min(now);
        }
    }

    fn end(&mut self, why: End) {
        if let Some(leading) = self.term.take() {
            self.changes.push(Change::Ended(leading.term.number, why));
        }
    }
}

#[cfg(test)]
#[path = "election_tests.rs"]
mod tests;
