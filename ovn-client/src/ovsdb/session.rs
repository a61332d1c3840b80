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

use super::message::{FrameError, FrameLimits, Framer, MessageError, RpcError, write_request};
use super::replica::{Replica, ReplicaError, Updates};
use super::schema::{DatabaseSpec, Layout, RowFilter, SchemaError};
use super::txn::{Expectation, Operation, Outcome, Txn};
use super::value::Uuid;
use filters::FilterChange;
use interpret::Context;
use probe::Probe;
use server::ServerWatch;
use start::Phase;
use unanswered::Unanswered;

pub use filters::FilterId;
pub use interpret::{Decode, Decoded};
pub use server::{Acceptance, Progress, Unsuitable};

/// A message at least this long, in bytes, is decoded beside the session: some milliseconds.
const LARGE: usize = 512 * 1024;
/// With more than this waiting behind a message that is being decoded, in bytes, nothing more is
/// taken in.
const BACKLOG: usize = 16 * 1024 * 1024;

/// How a session behaves.
#[derive(Clone, Debug)]
pub struct SessionConfig {
    /// What to monitor.
    pub spec: Arc<DatabaseSpec>,
    /// After this long without traffic the server is probed, after as long again it counts as
    /// dead. `None` or zero: never.
    pub probe_interval: Option<Duration>,
    /// A request that is not answered for this long was lost, and the connection is worth nothing:
    /// whoever waits for it would wait for ever. `None`: never.
    pub reply_timeout: Option<Duration>,
    /// What the server may send.
    pub limits: FrameLimits,
    /// Which servers will do.
    pub acceptance: Acceptance,
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

/// Why a session is over.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// The stream of messages is broken.
    #[error("the server's messages cannot be told apart")]
    Frame(#[from] FrameError),
    /// A message cannot be understood.
    #[error("a message of the server cannot be understood")]
    Message(#[from] MessageError),
    /// The schema cannot be understood.
    #[error("the server's schema cannot be understood")]
    Schema(#[from] SchemaError),
    /// The contents of a message cannot be understood.
    #[error("the {method} of the server cannot be understood")]
    Contents {
        /// Which message.
        method: &'static str,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// The server refuses what a session needs.
    #[error("the server refuses {method}: {error}")]
    Refused {
        /// Which request.
        method: &'static str,
        /// What it answered.
        error: RpcError,
    },
    /// The server is silent.
    #[error("the server is silent")]
    Silent,
    /// What the server says about itself makes no sense.
    #[error("what the server says about itself does not fit together")]
    Server(#[source] ReplicaError),
    /// The server will not do; another may.
    #[error("the server will not do")]
    Unsuitable(#[from] Unsuitable),
    /// The server is alive, and does not answer.
    #[error("the server does not answer a request")]
    Unanswered,
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
            unanswered: Unanswered::new(config.reply_timeout),
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

    /// Whether to read on. Not while too much waits behind a message that is being decoded.
    pub fn wants_input(&self) -> bool {
        self.waiting.iter().map(Bytes::len).sum::<usize>() < BACKLOG
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
            Some(mut reply) => self.out.append(&mut reply),
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
        if !self.wants_input() {
            // It is we who do not listen.
            self.probe.handle_traffic(now);
            return Ok(());
        }
        self.now = now;
        if self.answer_due().is_some_and(|due| now >= due) {
            return Err(SessionError::Unanswered);
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
        let id = self.request("transact", &Params { database: &spec.name, txn });
        let expectations = txn.operations().iter().map(Operation::expectation).collect();
        self.transactions.insert(id, expectations);
        Some(TransactionId(id))
    }

    /// Appends what is to be sent to `out`.
    pub fn poll_transmit(&mut self, out: &mut Vec<u8>) {
        out.append(&mut self.out);
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        [self.probe.deadline(), self.answer_due()].into_iter().flatten().min()
    }

    /// When the oldest request has waited for too long; while a message is on its way in, it may be
    /// the answer.
    fn answer_due(&self) -> Option<Instant> {
        let arriving = !self.framer.is_empty() || !matches!(self.decoding, Decoding::No);
        self.unanswered.deadline().filter(|_| !arriving)
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

    fn request(&mut self, method: &str, params: &impl serde::Serialize) -> u64 {
        self.next_id += 1;
        write_request(&mut self.out, self.next_id, method, params)
            .expect("strings, numbers and lists of them are JSON, and a Vec takes all of it");
        self.unanswered.ask(self.next_id, self.now);
        self.next_id
    }
}

/// The parameters of `transact`: the database, then the operations.
struct Params<'t> {
    database: &'t str,
    txn: &'t Txn,
}

impl serde::Serialize for Params<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeSeq;
        let mut params = serializer.serialize_seq(Some(self.txn.len() + 1))?;
        params.serialize_element(self.database)?;
        for operation in self.txn.operations() {
            params.serialize_element(operation)?;
        }
        params.end()
    }
}

#[cfg(test)]
mod tests;
