//! The task behind a client: finds a server, serves it, finds the next.

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{broadcast, mpsc};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::serve::{Ended, Serve};
use super::stream;
use super::{ClientConfig, Endpoint, Event, Request, Shared};
use crate::ovsdb::replica::{Replica, RowChange};
use crate::ovsdb::session::{Resume, SessionConfig};
use crate::ovsdb::txn::Outcome;

/// The task behind a client. It ends only when told to: servers come and go.
#[derive(Debug)]
#[must_use = "a client without its driver does nothing"]
pub struct Driver {
    pub(super) config: ClientConfig,
    pub(super) requests: mpsc::Receiver<Request>,
    events: broadcast::Sender<Event>,
    shared: Arc<Shared>,
    pub(super) replica: Replica,
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
        Self { config, requests, events, shared, replica: Replica::default() }
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
        let tls = self.config.tls.as_ref().map(|tls| tls.config().clone());
        let open = stream::open(endpoint, tls.as_ref());
        let open = tokio::time::timeout(self.config.connect_timeout, open);
        let (reader, writer) = match self.answering(open, shutdown).await {
            None => return false,
            Some(Ok(Ok(stream))) => stream,
            Some(Ok(Err(error))) => {
                warn!(%endpoint, %error, "connecting failed");
                return false;
            }
            Some(Err(_)) => {
                warn!(%endpoint, "connecting took too long");
                return false;
            }
        };
        info!(%endpoint, "connected");
        let ended = Serve::new(self, reader, writer).run(shutdown).await;
        let Ended { synced_at, reason } = ended;
        warn!(%endpoint, %reason, "connection ended");
        self.disconnect(&reason);
        synced_at.is_some_and(|at| now().saturating_duration_since(at) >= GOOD_CONNECTION)
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
                Some(request) = self.requests.recv() => {
                    // Whoever no longer waits for an outcome needs none.
                    let _ = request.reply.send(Outcome::NotConnected);
                }
            }
        }
    }

    pub(super) fn session_config(&self) -> SessionConfig {
        SessionConfig {
            spec: Arc::new(self.config.database.clone()),
            probe_interval: self.config.probe_interval,
            limits: self.config.limits,
        }
    }

    pub(super) fn resume(&self) -> Option<Resume> {
        let layouts = self.replica.resolved().layouts.clone();
        self.replica.last_transaction().map(|transaction| Resume { transaction, layouts })
    }

    /// Makes the replica visible, then tells the subscribers what changed.
    pub(super) fn publish(&self, changes: Vec<RowChange>) {
        if changes.is_empty() {
            return;
        }
        self.show();
        self.tell(Event::Changes(Arc::new(changes)));
    }

    pub(super) fn connect(&mut self) {
        self.replica.set_connected(true);
        self.show();
        self.tell(Event::Connected);
    }

    pub(super) fn disconnect(&mut self, reason: &str) {
        if self.replica.connected() {
            self.replica.set_connected(false);
            self.show();
            self.tell(Event::Disconnected { reason: reason.to_owned() });
        }
    }

    fn show(&self) {
        self.shared.replica.store(Arc::new(self.replica.clone()));
    }

    fn tell(&self, event: Event) {
        // Without subscribers nobody needs the event.
        let _ = self.events.send(event);
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
