//! The task behind a client: finds a server, serves it, finds the next.

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{broadcast, mpsc};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::serve::{Ended, Serve};
use super::stream;
use super::tls::{TlsIdentity, TlsSource};
use super::{ClientConfig, Endpoint, Event, FilterReply, Request, Shared};
use crate::ovsdb::message::RpcError;
use crate::ovsdb::replica::{Replica, ReplicaError, RowChange, Updates};
use crate::ovsdb::schema::RowFilter;
use crate::ovsdb::session::{Acceptance, Progress, Resume, SessionConfig};
use crate::ovsdb::txn::{Name, Outcome};
use crate::ovsdb::value::Uuid;

/// The task behind a client. It ends only when told to: servers come and go.
#[derive(Debug)]
#[must_use = "a client without its driver does nothing"]
pub struct Driver {
    pub(super) config: ClientConfig,
    pub(super) requests: mpsc::Receiver<Request>,
    events: broadcast::Sender<Event>,
    shared: Arc<Shared>,
    /// What was seen of the cluster.
    pub(super) progress: Progress,
    /// The filters of the rows in the replica; `None` while that is not certain.
    pub(super) filters: Option<Vec<(Name, RowFilter)>>,
    /// Who waits for filters to come into effect with the next contents.
    pub(super) filters_awaited: Vec<Awaited>,
    identity: Option<TlsIdentity>,
}

/// A filter that comes into effect with the next contents.
#[derive(Debug)]
pub(super) struct Awaited {
    pub(super) table: Name,
    /// What is monitored without it.
    pub(super) before: RowFilter,
    pub(super) reply: FilterReply,
}

/// A connection that was in sync for this long was a good one: the next may follow at once.
const GOOD_CONNECTION: Duration = Duration::from_secs(1);

impl Driver {
    pub(super) fn new(
        config: ClientConfig,
        requests: mpsc::Receiver<Request>,
        events: broadcast::Sender<Event>,
        shared: Arc<Shared>,
    ) -> Self {
        Self {
            config,
            requests,
            events,
            shared,
            progress: Progress::default(),
            filters: None,
            filters_awaited: Vec::new(),
            identity: None,
        }
    }

    /// Runs until `shutdown`; transactions in flight then have an unknown outcome.
    pub async fn run(mut self, shutdown: CancellationToken) {
        let mut endpoints = shuffled(self.config.endpoints.iter().cloned());
        let (mut failures, mut rounds) = (0, 0);
        while let Some(endpoint) = endpoints.front().cloned() {
            let good = self.visit(&endpoint, &shutdown).await;
            if shutdown.is_cancelled() {
                return;
            }
            endpoints.rotate_left(1);
            if good {
                (failures, rounds) = (0, 0);
                continue;
            }
            failures += 1;
            if failures >= endpoints.len() {
                (failures, rounds) = (0, u32::saturating_add(rounds, 1));
                let delay = self.config.backoff.delay(rounds, random());
                debug!(?delay, "no endpoint could be used");
                self.answering(tokio::time::sleep(delay), &shutdown).await;
            }
        }
    }

    /// Connects to one server and serves the connection to its end. Tells whether it was good.
    async fn visit(&mut self, endpoint: &Endpoint, shutdown: &CancellationToken) -> bool {
        self.shared.pulse.visiting(endpoint);
        self.load_identity();
        let tls = self.identity.as_ref().map(|identity| identity.config().clone());
        let open = stream::open(endpoint, tls.as_ref());
        let open = tokio::time::timeout(self.config.connect_timeout, open);
        let (reader, writer) = match self.answering(open, shutdown).await {
            None => return false,
            Some(Ok(Ok(stream))) => stream,
            Some(Ok(Err(error))) => {
                warn!(%endpoint, %error, "connecting failed");
                self.shared.pulse.failed(&error.to_string(), self.progress);
                return false;
            }
            Some(Err(_)) => {
                warn!(%endpoint, "connecting took too long");
                self.shared.pulse.failed("connecting took too long", self.progress);
                return false;
            }
        };
        debug!(%endpoint, "connected");
        let ended = Serve::new(self, reader, writer).run(shutdown).await;
        let Ended { synced_at, reason } = ended;
        warn!(%endpoint, %reason, "connection ended");
        // First, so that whoever is told of the end finds it counted.
        self.shared.pulse.failed(&reason, self.progress);
        self.disconnect(&reason);
        synced_at.is_some_and(|at| now().saturating_duration_since(at) >= GOOD_CONNECTION)
    }

    /// Reads certificates that may have been replaced.
    fn load_identity(&mut self) {
        match &self.config.tls {
            None => {}
            Some(TlsSource::Fixed(identity)) => self.identity = Some(identity.clone()),
            Some(TlsSource::Files(files)) => match files.load() {
                Ok(identity) => self.identity = Some(identity),
                Err(error) => {
                    let source = std::error::Error::source(&error).map(ToString::to_string);
                    warn!(%error, source, "certificates cannot be used, the last ones go on");
                }
            },
        }
    }

    /// Waits for something while there is no connection; `None` on shutdown.
    async fn answering<F: Future>(
        &mut self,
        future: F,
        shutdown: &CancellationToken,
    ) -> Option<F::Output> {
        let mut future = pin!(future);
        loop {
            // Cancel safe: the future is pinned outside, and `recv` loses no request.
            tokio::select! {
                biased;
                () = shutdown.cancelled() => return None,
                output = &mut future => return Some(output),
                Some(request) = self.requests.recv() => self.answer_unconnected(request),
            }
        }
    }

    fn answer_unconnected(&mut self, request: Request) {
        match request {
            Request::Transact { reply, .. } => {
                self.shared.pulse.count(&Outcome::NotConnected);
                // Whoever no longer waits for an outcome needs none.
                let _ = reply.send(Outcome::NotConnected);
            }
            Request::Monitor { table, filter, reply } => {
                let before = self.config.database.filter(&table).clone();
                self.config.database.set_filter(&table, filter);
                self.filters_awaited.push(Awaited { table, before, reply });
            }
        }
    }

    pub(super) fn session_config(&self) -> SessionConfig {
        SessionConfig {
            spec: Arc::new(self.config.database.clone()),
            probe_interval: self.config.probe_interval,
            reply_timeout: self.config.reply_timeout,
            limits: self.config.limits,
            acceptance: Acceptance {
                leader_only: self.config.leader_only,
                cluster: self.config.cluster,
            },
        }
    }

    pub(super) fn resume(&self) -> Option<Resume> {
        let replica = self.shared.replica.read();
        let layouts = replica.resolved().layouts.clone();
        let filters = self.filters.clone()?;
        replica.last_transaction().map(|transaction| Resume { transaction, layouts, filters })
    }

    /// Applies what changed, then tells the subscribers. Gives how many rows really did.
    ///
    /// # Errors
    /// It does not fit the replica.
    pub(super) fn update(
        &self,
        updates: Updates,
        last_transaction: Option<Uuid>,
    ) -> Result<usize, ReplicaError> {
        let rows = updates.rows();
        let apply = |replica: &mut Replica| replica.apply(updates, last_transaction);
        self.shared.replica.change(rows, apply).map(|changes| self.publish(changes))
    }

    /// Takes new contents, then tells the subscribers what differs. Gives how many rows do.
    pub(super) fn supersede(&self, newest: Replica) -> usize {
        self.publish(self.shared.replica.change_beside(|replica| replica.supersede(newest)))
    }

    fn publish(&self, changes: Vec<RowChange>) -> usize {
        let count = changes.len();
        if count > 0 {
            self.tell(Event::Changes(Arc::new(changes)));
        }
        count
    }

    pub(super) fn connect(&mut self) {
        self.shared.pulse.synced(self.progress);
        self.set_connected(true);
        self.tell(Event::Connected);
        for Awaited { reply, .. } in std::mem::take(&mut self.filters_awaited) {
            // Whoever no longer waits needs no answer.
            let _ = reply.send(Ok(()));
        }
    }

    /// The server refuses contents with filters that nobody tried before: they are taken back, or
    /// no server would ever be in sync again.
    pub(super) fn refuse_filters(&mut self, error: &RpcError) {
        for Awaited { table, before, reply } in
            std::mem::take(&mut self.filters_awaited).into_iter().rev()
        {
            self.config.database.set_filter(&table, before);
            // Whoever no longer waits needs no answer.
            let _ = reply.send(Err(error.clone()));
        }
    }

    /// Notes how far the cluster's log was seen.
    pub(super) fn progressed(&mut self, progress: Progress) {
        if self.progress != progress {
            self.progress = progress;
            self.shared.pulse.progressed(progress);
        }
    }

    pub(super) fn count(&self, outcome: &Outcome) {
        self.shared.pulse.count(outcome);
    }

    pub(super) fn disconnect(&mut self, reason: &str) {
        if self.shared.replica.read().connected() {
            self.shared.pulse.lost();
            self.set_connected(false);
            self.tell(Event::Disconnected { reason: reason.to_owned() });
        }
    }

    fn set_connected(&self, connected: bool) {
        self.shared.replica.change(0, |replica| replica.set_connected(connected));
    }

    fn tell(&self, event: Event) {
        // Without subscribers nobody needs the event.
        let _ = self.events.send(event);
    }
}

/// However it ends: what nobody keeps up to date is not connected.
impl Drop for Driver {
    fn drop(&mut self) {
        self.disconnect("the client's driver has ended");
    }
}

/// In random order, so that many clients do not meet at one server.
fn shuffled(endpoints: impl Iterator<Item = Endpoint>) -> VecDeque<Endpoint> {
    let mut endpoints: Vec<(u32, Endpoint)> =
        endpoints.map(|endpoint| (random(), endpoint)).collect();
    endpoints.sort();
    endpoints.into_iter().map(|(_, endpoint)| endpoint).collect()
}

/// Random bits to scatter things; without a source of them, nothing is scattered.
fn random() -> u32 {
    getrandom::u32().unwrap_or_default()
}

/// The clock of the runtime, which tests can stop.
pub(super) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}
