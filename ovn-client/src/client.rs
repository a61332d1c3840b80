//! The edge: connections, the task that drives the session, and the handles of its users.
//!
//! ```text
//!  Client::transact ──bounded queue──► Driver::run ──► Session ◄──► socket
//!  Client::snapshot ◄──latest state─── Replica ◄─────────┘
//!  Subscription     ◄──bounded ring─── events
//! ```
//!
//! One task does all the work ([`Driver::run`]); everything else is a handle. What happens when
//! something is full: a full queue of transactions makes `transact` wait; a subscriber that is
//! too slow loses its events and gets [`Event::Lagged`] instead, and the session goes on.

mod backoff;
mod driver;
mod endpoint;
mod serve;
mod stream;
mod subscription;
mod tls;

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::{broadcast, mpsc, oneshot};

use crate::ovsdb::message::FrameLimits;
use crate::ovsdb::replica::{Replica, RowChange};
use crate::ovsdb::schema::DatabaseSpec;
use crate::ovsdb::txn::{Outcome, Txn, UnknownReason};

pub use backoff::Backoff;
pub use driver::Driver;
pub use endpoint::{Endpoint, EndpointError, Endpoints, Host};
pub use subscription::Subscription;
pub use tls::{TlsError, TlsIdentity};

/// How a client behaves.
#[derive(Clone, Debug)]
pub struct ClientConfig {
    /// The servers of the database.
    pub endpoints: Endpoints,
    /// What to keep a replica of.
    pub database: DatabaseSpec,
    /// Who we are and whom we trust; needed for `ssl:` endpoints.
    pub tls: Option<TlsIdentity>,
    /// After this long without traffic the server is probed, after as long again the connection
    /// is given up. `None` or zero: never.
    pub probe_interval: Option<Duration>,
    /// How long opening a connection may take.
    pub connect_timeout: Duration,
    /// How long to wait once no endpoint could be used.
    pub backoff: Backoff,
    /// What a server may send.
    pub limits: FrameLimits,
    /// How many transactions may wait to be sent, and how many may be in flight.
    pub transaction_queue: usize,
    /// How many events a subscriber may lag behind.
    pub event_queue: usize,
}

impl ClientConfig {
    /// The defaults for these servers and this database.
    pub fn new(endpoints: Endpoints, database: DatabaseSpec) -> Self {
        Self {
            endpoints,
            database,
            tls: None,
            probe_interval: Some(Duration::from_secs(5)),
            connect_timeout: Duration::from_secs(5),
            backoff: Backoff::default(),
            limits: FrameLimits::default(),
            transaction_queue: 256,
            event_queue: 1024,
        }
    }
}

/// What happens to the replica.
#[derive(Clone, Debug)]
pub enum Event {
    /// The replica is complete and follows the server.
    Connected,
    /// The replica no longer follows the server; it keeps its last state.
    Disconnected {
        /// Why, for a reader.
        reason: String,
    },
    /// Rows changed. After a reconnection these are the real differences only.
    Changes(Arc<Vec<RowChange>>),
    /// Events were lost because this subscriber was too slow: take a new snapshot, which holds
    /// whatever they told, and see from it whether the client is connected.
    Lagged,
}

/// A handle to the database; cheap to clone.
#[derive(Clone, Debug)]
pub struct Client {
    requests: mpsc::Sender<Request>,
    shared: Arc<Shared>,
}

/// What the driver shares with its handles.
#[derive(Debug)]
struct Shared {
    replica: ArcSwap<Replica>,
    /// Weak, so that subscriptions end with the driver.
    events: broadcast::WeakSender<Event>,
}

/// A transaction on its way to the driver.
#[derive(Debug)]
struct Request {
    txn: Txn,
    reply: oneshot::Sender<Outcome>,
}

impl Client {
    /// A client, and the driver that has to run for it. Nothing happens before it does.
    pub fn new(config: ClientConfig) -> (Self, Driver) {
        let (requests, queue) = mpsc::channel(config.transaction_queue.max(1));
        let (events, _) = broadcast::channel(config.event_queue.max(1));
        let shared = Arc::new(Shared {
            replica: ArcSwap::from_pointee(Replica::default()),
            events: events.downgrade(),
        });
        let driver = Driver::new(config, queue, events, shared.clone());
        (Self { requests, shared }, driver)
    }

    /// The latest state of the replica: before the first connection it is empty, while there is
    /// none it is the last known.
    pub fn snapshot(&self) -> Arc<Replica> {
        self.shared.replica.load_full()
    }

    /// Follows what happens from now on. Subscribe before the driver runs to get the initial
    /// contents as insertions, or take a snapshot afterwards. A snapshot may already hold what
    /// the next events tell; it never lacks what was told.
    pub fn subscribe(&self) -> Subscription {
        Subscription::new(&self.shared.events)
    }

    /// Waits until the replica is complete and follows the server, and gives it back. `None` if
    /// the driver has ended.
    pub async fn connected(&self) -> Option<Arc<Replica>> {
        let mut events = self.subscribe();
        loop {
            let snapshot = self.snapshot();
            if snapshot.connected() {
                return Some(snapshot);
            }
            events.recv().await?;
        }
    }

    /// Commits a transaction. What it changed is in the replica and with the subscribers before
    /// this returns. Several may be in flight; they reach the server in the order of the calls.
    ///
    /// Waits while the queue is full. Once the call waits for its outcome, dropping it does not
    /// take the transaction back.
    pub async fn transact(&self, txn: Txn) -> Outcome {
        let (reply, outcome) = oneshot::channel();
        if self.requests.send(Request { txn, reply }).await.is_err() {
            return Outcome::NotConnected;
        }
        outcome.await.unwrap_or(Outcome::Unknown(UnknownReason::ConnectionLost))
    }
}
