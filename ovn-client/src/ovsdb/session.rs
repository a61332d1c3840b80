//! One connection to a server, as a state machine without I/O.
//!
//! ```text
//!  handle_input ──► framer ──► interpret ──► absorb ──► poll_event    (contents, updates, outcomes)
//!                     └ large ─► poll_decode … handle_decoded ┘ └──► poll_transmit (bytes to send)
//!  handle_timeout ► probe ───────────────────────────────────────► poll_timeout  (when to call again)
//! ```
//!
//! A session starts by itself: what the server says of itself (`_Server`), then `get_schema`, then
//! `monitor_cond_since`, or `monitor_cond` where that method is unknown. It never restarts after an
//! error: drop it and open another connection. Events come in the order of the messages: what a
//! transaction changed comes before its outcome.
//!
//! A large message is given out by `poll_decode`, to be decoded beside the session; until it comes
//! back by `handle_decoded`, what follows waits, but an `echo` of the server is answered at once,
//! as long as the session reads: not with very much waiting.

mod absorb;
mod error;
mod filters;
mod interpret;
mod probe;
mod server;
mod start;
mod unanswered;

use std::borrow::Cow;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::message::{FrameLimits, Framer, RpcError, write_request};
use super::replica::{Replica, Updates};
use super::schema::{DatabaseSpec, Layout, RowFilter};
use super::txn::{Expectation, Operation, Outcome, Txn};
use super::value::Uuid;
use filters::FilterChange;
use interpret::Context;
use probe::Probe;
use server::ServerWatch;
use start::Phase;
use unanswered::Unanswered;

pub use error::SessionError;
pub use filters::FilterId;
pub use interpret::{Decode, Decoded};
pub use server::{Acceptance, Progress, Unsuitable};

/// A message at least this long, in bytes, is decoded beside the session: some milliseconds.
const LARGE: usize = 512 * 1024;
/// With more than this waiting behind a message that is being decoded, in bytes, nothing more is
/// taken in.
const BACKLOG: usize = 16 * 1024 * 1024;
/// The memory of more to be sent than this is given back.
const RETAINED: usize = 64 * 1024;
/// With more than this to be sent in answers to the server, in bytes, nothing more is taken in.
const ANSWERS: usize = 1024 * 1024;

/// How a session behaves.
#[derive(Clone, Debug)]
pub struct SessionConfig {
    /// What to monitor.
    pub spec: Arc<DatabaseSpec>,
    /// After this long without traffic the server is probed, after as long again it counts as
    /// dead. `None` or zero: never.
    pub probe_interval: Option<Duration>,
    /// A request that is not answered for this long was lost, and the connection is worth nothing:
    /// whoever waits for it would wait for ever. `None`: never. Twice the probe interval counts if
    /// that is longer: a server that is busy is silent too.
    pub reply_timeout: Option<Duration>,
    /// What the server may send.
    pub limits: FrameLimits,
    /// Which servers will do.
    pub acceptance: Acceptance,
}

impl SessionConfig {
    fn patience(&self) -> Option<Duration> {
        let probed = self.probe_interval.unwrap_or_default().saturating_mul(2);
        self.reply_timeout.map(|timeout| timeout.max(probed))
    }
}

/// The state of a replica from which a server may send the difference only.
#[derive(Clone, Debug)]
pub struct Resume {
    /// The last transaction in the replica.
    pub transaction: Uuid,
    /// The columns in the replica: if they are others now, nothing is resumed.
    pub layouts: Vec<Arc<Layout>>,
    /// The filters of the rows in the replica: likewise.
    pub filters: Vec<(Cow<'static, str>, RowFilter)>,
}

/// A transaction in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TransactionId(u64);

/// What a session has to tell.
#[derive(Debug)]
pub enum SessionEvent {
    /// The whole of the monitored tables; the session is in sync from here on.
    Contents(Replica),
    /// What changed since [`Resume::transaction`]; the session is in sync from here on.
    Resumed {
        /// What changed.
        updates: Updates,
        /// The transaction it ends with.
        last_transaction: Option<Uuid>,
    },
    /// What changed since.
    Updated {
        /// What changed.
        updates: Updates,
        /// The transaction it ends with, where the server tells.
        last_transaction: Option<Uuid>,
    },
    /// The server ended the monitor; the session starts again on the same connection.
    Restarted,
    /// A transaction has an outcome.
    Transacted(TransactionId, Outcome),
    /// Filters have come into effect, or were refused.
    Filtered {
        /// Which.
        filters: Vec<FilterId>,
        /// Whether.
        answer: Result<(), RpcError>,
        /// Refused, the tables keep the filters they had.
        restored: Vec<(Cow<'static, str>, RowFilter)>,
    },
}

/// One connection to a server.
#[derive(Debug)]
pub struct Session {
    config: SessionConfig,
    resume: Option<Resume>,
    framer: Framer,
    probe: Probe,
    phase: Phase,
    server: Option<ServerWatch>,
    progress: Progress,
    next_id: u64,
    now: Instant,
    unanswered: Unanswered,
    transactions: BTreeMap<u64, Vec<Expectation>>,
    filters_due: Vec<FilterChange>,
    filters_asked: BTreeMap<u64, Vec<FilterChange>>,
    decoding: Decoding,
    waiting: VecDeque<Bytes>,
    out: Vec<u8>,
    /// Bytes of answers to the server of which it is not known that they were sent.
    unsent_answers: usize,
    events: VecDeque<SessionEvent>,
}

/// Whether a large message is being decoded.
#[derive(Debug)]
enum Decoding {
    /// None is.
    No,
    /// One is to be given out.
    Due(Bytes),
    /// One was given out.
    Out,
}

impl Session {
    /// A session on a connection that was just opened. `progress` is what earlier sessions saw of
    /// the cluster.
    pub fn new(
        config: SessionConfig,
        resume: Option<Resume>,
        progress: Progress,
        now: Instant,
    ) -> Self {
        let mut session = Self {
            framer: Framer::new(config.limits),
            probe: Probe::new(config.probe_interval, now),
            unanswered: Unanswered::new(config.patience()),
            now,
            config,
            resume,
            phase: Phase::ServerSchema { request: 0 },
            server: None,
            progress,
            next_id: 0,
            transactions: BTreeMap::new(),
            filters_due: Vec::new(),
            filters_asked: BTreeMap::new(),
            decoding: Decoding::No,
            waiting: VecDeque::new(),
            out: Vec::new(),
            unsent_answers: 0,
            events: VecDeque::new(),
        };
        session.start();
        session
    }

    /// Takes bytes from the server.
    ///
    /// # Errors
    /// The session is over.
    pub fn handle_input(&mut self, bytes: &[u8], now: Instant) -> Result<(), SessionError> {
        self.now = now;
        self.probe.handle_traffic(now);
        self.framer.push(bytes);
        while let Some(message) = self.framer.next_message()? {
            self.arrive(message)?;
        }
        Ok(())
    }

    /// Whether to read on. Not while too much waits behind a message that is being decoded, and not
    /// while the server takes none of the answers it asks for. What waits to be sent otherwise is no
    /// reason: a server may read on only when what it has sent was read.
    pub fn wants_input(&self) -> bool {
        !self.is_behind() && self.unsent_answers < ANSWERS
    }

    fn is_behind(&self) -> bool {
        self.waiting.iter().map(Bytes::len).sum::<usize>() >= BACKLOG
    }

    /// A large message to be decoded, wherever there is time; its [`Decode::run`] goes to
    /// [`handle_decoded`](Self::handle_decoded).
    pub fn poll_decode(&mut self) -> Option<Decode> {
        match std::mem::replace(&mut self.decoding, Decoding::Out) {
            Decoding::Due(message) => Some(Decode { message, context: self.context() }),
            before @ (Decoding::No | Decoding::Out) => {
                self.decoding = before;
                None
            }
        }
    }

    /// Takes a decoded message, and then what waited behind it.
    ///
    /// # Errors
    /// The session is over.
    pub fn handle_decoded(&mut self, decoded: Decoded, now: Instant) -> Result<(), SessionError> {
        self.now = now;
        self.decoding = Decoding::No;
        self.absorb(decoded.0?)?;
        while matches!(self.decoding, Decoding::No)
            && let Some(message) = self.waiting.pop_front()
        {
            self.take(message)?;
        }
        Ok(())
    }

    fn arrive(&mut self, message: Bytes) -> Result<(), SessionError> {
        if matches!(self.decoding, Decoding::No) {
            return self.take(message);
        }
        match (message.len() < LARGE).then(|| interpret::echo(&message)).flatten() {
            Some(reply) => self.answer(&reply),
            None => self.waiting.push_back(message),
        }
        Ok(())
    }

    fn take(&mut self, message: Bytes) -> Result<(), SessionError> {
        if message.len() >= LARGE {
            self.decoding = Decoding::Due(message);
            return Ok(());
        }
        let understood = interpret::interpret(&message, &self.context())?;
        self.absorb(understood)
    }

    fn context(&self) -> Context {
        let server = self.server.as_ref().map(|server| server.resolved().clone());
        Context { phase: self.phase.clone(), server }
    }

    /// To be called when the time of [`poll_timeout`](Self::poll_timeout) has come.
    ///
    /// # Errors
    /// The server is silent.
    pub fn handle_timeout(&mut self, now: Instant) -> Result<(), SessionError> {
        if self.is_behind() {
            // It is we who do not listen.
            self.probe.handle_traffic(now);
            return Ok(());
        }
        self.now = now;
        if self.answer_due().is_some_and(|due| now >= due) {
            return Err(self.unanswered());
        }
        match self.probe.handle_timeout(now) {
            probe::Verdict::Alive => Ok(()),
            probe::Verdict::Ask => {
                self.request("echo", &[(); 0]);
                Ok(())
            }
            probe::Verdict::Silent => Err(SessionError::Silent),
        }
    }

    /// Sends a transaction; any number may be in flight. `None`: nothing is sent, because the
    /// replica is not in sync.
    pub fn handle_transact(&mut self, txn: &Txn, now: Instant) -> Option<TransactionId> {
        self.now = now;
        if !self.is_synced() {
            return None;
        }
        let spec = self.config.spec.clone();
        let id = self.request("transact", &start::Transact { database: &spec.name, txn });
        let expectations = txn.operations().iter().map(Operation::expectation).collect();
        self.transactions.insert(id, expectations);
        Some(TransactionId(id))
    }

    /// Appends what is to be sent to `out`.
    pub fn poll_transmit(&mut self, out: &mut Vec<u8>) {
        out.append(&mut self.out);
        self.out.shrink_to(RETAINED);
    }

    /// How many bytes [`poll_transmit`](Self::poll_transmit) would append.
    pub fn to_transmit(&self) -> usize {
        self.out.len()
    }

    /// To be called when all that was appended by [`poll_transmit`](Self::poll_transmit) is sent.
    pub fn handle_sent(&mut self) {
        if self.out.is_empty() {
            self.unsent_answers = 0;
        }
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        [self.probe.deadline(), self.answer_due()].into_iter().flatten().min()
    }

    /// When the oldest request has waited for too long; not while what may be the answer is being
    /// decoded.
    fn answer_due(&self) -> Option<Instant> {
        let decodes = !matches!(self.decoding, Decoding::No);
        self.unanswered.deadline(self.framer.len()).filter(|_| !decodes)
    }

    fn unanswered(&self) -> SessionError {
        let oldest = self.unanswered.oldest();
        SessionError::Unanswered {
            method: oldest.map_or("", |waiting| waiting.method),
            waited: oldest.map_or(Duration::ZERO, |w| self.now.saturating_duration_since(w.since)),
        }
    }

    fn answer(&mut self, reply: &[u8]) {
        self.out.extend_from_slice(reply);
        self.unsent_answers += reply.len();
    }

    /// The next event.
    pub fn poll_event(&mut self) -> Option<SessionEvent> {
        self.events.pop_front()
    }

    /// How far the log of the cluster was seen.
    pub fn progress(&self) -> Progress {
        self.progress
    }

    /// Whether the monitored tables are complete and followed.
    pub fn is_synced(&self) -> bool {
        matches!(self.phase, Phase::Synced { .. })
    }

    /// How many transactions are in flight.
    pub fn in_flight(&self) -> usize {
        self.transactions.len()
    }

    fn request(&mut self, method: &'static str, params: &impl serde::Serialize) -> u64 {
        self.next_id += 1;
        write_request(&mut self.out, self.next_id, method, params)
            .expect("strings, numbers and lists of them are JSON, and a Vec takes all of it");
        self.unanswered.ask(self.next_id, method, self.now);
        self.next_id
    }
}

#[cfg(test)]
mod tests;
