//! One connection, from its first byte to its last.

use std::collections::BTreeMap;
use std::error::Error;
use std::time::Instant;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::oneshot;
use tokio::task::{JoinError, JoinHandle};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::Request;
use super::driver::{Awaited, Driver, now};
use super::stream::{Reader, Writer};
use crate::ovsdb::message::RpcError;
use crate::ovsdb::session::{
    Decoded, FilterId, Session, SessionError, SessionEvent, TransactionId,
};
use crate::ovsdb::txn::{Outcome, UnknownReason};

/// How much is read at once.
const READ: usize = 64 * 1024;

/// With more than this waiting to be sent, in bytes, nothing more is taken from the callers. What
/// the server sends is read on: it may read only when that was.
const UNSENT: usize = 4 * 1024 * 1024;

/// The memory of more than this is given back when it is sent.
const RETAINED: usize = 1024 * 1024;

/// A connection being served.
pub(super) struct Serve<'d> {
    driver: &'d mut Driver,
    session: Session,
    reader: Reader,
    output: Output,
    replies: BTreeMap<TransactionId, oneshot::Sender<Outcome>>,
    /// Outcomes that were told since a transaction was asked for.
    told: usize,
    filters: BTreeMap<FilterId, Awaited>,
    /// A large message being decoded on a thread of its own.
    decoding: Option<JoinHandle<Decoded>>,
    synced_at: Option<Instant>,
}

/// Why a connection is of no more use; only ever shown to a reader.
type Failure = Box<dyn Error + Send + Sync>;

/// How a connection ended.
pub(super) struct Ended {
    /// When the replica was in sync, if it was.
    pub(super) synced_at: Option<Instant>,
    /// Why it ended, for a reader.
    pub(super) reason: String,
}

impl<'d> Serve<'d> {
    pub(super) fn new(driver: &'d mut Driver, reader: Reader, writer: Writer) -> Self {
        let (config, resume) = (driver.session_config(), driver.resume());
        let session = Session::new(config, resume, driver.progress, now());
        Self {
            driver,
            session,
            reader,
            output: Output { writer, bytes: Vec::new(), written: 0 },
            replies: BTreeMap::new(),
            told: 0,
            filters: BTreeMap::new(),
            decoding: None,
            synced_at: None,
        }
    }

    pub(super) async fn run(mut self, shutdown: &CancellationToken) -> Ended {
        let reason = match self.serve(shutdown).await {
            Ok(()) => "shutting down".to_owned(),
            Err(error) => {
                let refused = error.downcast_ref::<SessionError>();
                if let Some(SessionError::Refused { method, error }) = refused
                    && method.starts_with("monitor")
                {
                    self.driver.refuse_filters(error);
                }
                chain(&*error)
            }
        };
        for reply in self.replies.into_values() {
            let outcome = Outcome::Unknown(UnknownReason::ConnectionLost);
            self.driver.count(&outcome);
            // Whoever no longer waits for an outcome needs none.
            let _ = reply.send(outcome);
        }
        self.driver.filters_awaited.extend(self.filters.into_values());
        if !self.session.filters_settled() {
            self.driver.filters = None;
        }
        self.driver.progressed(self.session.progress());
        Ended { synced_at: self.synced_at, reason }
    }

    async fn serve(
        &mut self,
        shutdown: &CancellationToken,
    ) -> Result<(), Box<dyn Error + Send + Sync>> {
        let mut input = vec![0; READ];
        loop {
            self.drain()?;
            self.decode();
            self.session.poll_transmit(&mut self.output.bytes);
            let due = self.session.poll_timeout();
            let reads = self.session.wants_input();
            // Cancel safe: `read` and `recv` lose nothing, `Output::send` notes what is written,
            // the decoding thread is waited for by reference.
            // In this order: what the server sent counts before its silence does.
            tokio::select! {
                biased;
                () = shutdown.cancelled() => return Ok(()),
                sent = self.output.send(), if self.output.pending() => {
                    sent?;
                    self.session.handle_sent();
                }
                decoded = ended(&mut self.decoding) => {
                    self.decoding = None;
                    let handled = self.session.handle_decoded(decoded?, now());
                    self.drain()?;
                    handled?;
                }
                read = self.reader.read(&mut input), if reads => {
                    let bytes = input.get(..read?).unwrap_or_default();
                    if bytes.is_empty() {
                        return Err("the server closed the connection".into());
                    }
                    let handled = self.session.handle_input(bytes, now());
                    // What came before a broken message is whole.
                    self.drain()?;
                    handled?;
                }
                Some(request) = self.driver.requests.recv(), if self.has_room() => {
                    self.request(request);
                    self.gather().await;
                }
                () = sleep_until(due) => self.session.handle_timeout(now())?,
            }
        }
    }

    fn decode(&mut self) {
        if let Some(decode) = self.session.poll_decode() {
            self.decoding = Some(tokio::task::spawn_blocking(move || decode.run()));
        }
    }

    /// Takes what else is asked for by now, so that one call sends all of it. Callers whose
    /// outcomes came together have their next transactions ready together: they get their turn
    /// first.
    async fn gather(&mut self) {
        if std::mem::take(&mut self.told) > 1 {
            tokio::task::yield_now().await;
        }
        // Not for ever: whoever is refused may ask again at once.
        for _ in 1..self.queue() {
            if !self.has_room() {
                return;
            }
            let Ok(request) = self.driver.requests.try_recv() else { return };
            self.request(request);
        }
    }

    fn queue(&self) -> usize {
        self.driver.config.transaction_queue.max(1)
    }

    /// Whether to take more from the callers.
    fn has_room(&self) -> bool {
        let unsent = self.output.unsent() + self.session.to_transmit();
        unsent < UNSENT && self.session.in_flight() + self.filters.len() < self.queue()
    }

    fn request(&mut self, request: Request) {
        match request {
            Request::Transact { txn, reply } => match self.session.handle_transact(&txn, now()) {
                Some(id) => {
                    self.replies.insert(id, reply);
                }
                None => {
                    self.driver.count(&Outcome::NotConnected);
                    // Whoever no longer waits for an outcome needs none.
                    drop(reply.send(Outcome::NotConnected));
                }
            },
            Request::Monitor { table, filter, reply } => {
                let before = self.driver.config.database.filter(&table).clone();
                self.driver.config.database.set_filter(&table, filter.clone());
                let id = self.session.handle_filter(table.clone(), filter, now());
                self.filters.insert(id, Awaited { table, before, reply });
            }
        }
    }

    /// Brings what the session tells to the replica, the subscribers and the callers, in order.
    fn drain(&mut self) -> Result<(), Failure> {
        self.driver.progressed(self.session.progress());
        while let Some(event) = self.session.poll_event() {
            match event {
                SessionEvent::Contents(newest) => {
                    for missing in &newest.resolved().missing {
                        info!(%missing, "the server lacks it");
                    }
                    let changes = self.driver.supersede(newest);
                    self.synced(changes);
                }
                SessionEvent::Resumed { updates, last_transaction } => {
                    let changes = self.driver.update(updates, last_transaction)?;
                    self.synced(changes);
                }
                SessionEvent::Updated { updates, last_transaction } => {
                    self.driver.update(updates, last_transaction)?;
                }
                SessionEvent::Restarted => {
                    warn!("the server ended the monitor");
                    self.driver.disconnect("the server ended the monitor");
                }
                SessionEvent::Transacted(id, outcome) => {
                    debug!(%outcome, "transaction answered");
                    self.driver.count(&outcome);
                    if let Some(reply) = self.replies.remove(&id) {
                        self.told += 1;
                        // Whoever no longer waits for an outcome needs none.
                        let _ = reply.send(outcome);
                    }
                }
                SessionEvent::Filtered { filters, answer, restored } => {
                    for (table, filter) in restored {
                        self.driver.config.database.set_filter(&table, filter);
                    }
                    self.filtered(&filters, &answer);
                }
            }
        }
        Ok(())
    }

    fn filtered(&mut self, filters: &[FilterId], answer: &Result<(), RpcError>) {
        for Awaited { reply, .. } in filters.iter().filter_map(|id| self.filters.remove(id)) {
            // Whoever no longer waits needs no answer.
            let _ = reply.send(answer.clone());
        }
        self.settle();
    }

    /// Notes which rows the replica holds, if that is certain.
    fn settle(&mut self) {
        let settled = self.session.filters_settled();
        self.driver.filters = settled.then(|| self.driver.config.database.filters());
    }

    fn synced(&mut self, changes: usize) {
        info!(changes, "in sync");
        self.settle();
        self.driver.connect();
        self.synced_at = Some(now());
    }
}

/// What waits to be sent.
struct Output {
    writer: Writer,
    bytes: Vec<u8>,
    written: usize,
}

impl Output {
    /// Whether there is something to write or to flush.
    fn pending(&self) -> bool {
        !self.bytes.is_empty()
    }

    fn unsent(&self) -> usize {
        self.bytes.len() - self.written
    }

    async fn send(&mut self) -> std::io::Result<()> {
        while let Some(rest) = self.bytes.get(self.written..).filter(|rest| !rest.is_empty()) {
            match self.writer.write(rest).await? {
                0 => return Err(std::io::ErrorKind::WriteZero.into()),
                count => self.written += count,
            }
            if self.written > RETAINED {
                self.bytes.drain(..self.written);
                self.written = 0;
            }
        }
        self.writer.flush().await?;
        self.bytes.clear();
        self.bytes.shrink_to(RETAINED);
        self.written = 0;
        Ok(())
    }
}

/// Waits for the decoding thread; for ever where there is none.
async fn ended(decoding: &mut Option<JoinHandle<Decoded>>) -> Result<Decoded, JoinError> {
    match decoding {
        Some(decoding) => decoding.await,
        None => std::future::pending().await,
    }
}

async fn sleep_until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due.into()).await,
        None => std::future::pending().await,
    }
}

/// An error with everything behind it, for a reader.
fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
