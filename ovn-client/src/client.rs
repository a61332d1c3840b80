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
mod health;
mod serve;
mod shown;
mod stream;
mod subscription;
mod tls;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{broadcast, mpsc, oneshot};

use crate::ovsdb::message::{FrameLimits, RpcError};
use crate::ovsdb::replica::{Replica, RowChange};
use crate::ovsdb::schema::{DatabaseSpec, RowFilter};
use crate::ovsdb::txn::{Name, Outcome, Txn, UnknownReason};
use crate::ovsdb::value::Uuid;

pub use backoff::Backoff;
pub use driver::Driver;
pub use endpoint::{Endpoint, EndpointError, Endpoints, Host};
pub use health::{Health, Outcomes};
pub use subscription::Subscription;
pub use tls::{TlsError, TlsFiles, TlsIdentity, TlsSource, Verify, VerifyError};

/// How a client behaves.
#[derive(Clone, Debug)]
pub struct ClientConfig {
    /// The servers of the database.
    pub endpoints: Endpoints,
    /// What to keep a replica of.
    pub database: DatabaseSpec,
    /// Who we are and whom we trust; needed for `ssl:` endpoints.
    pub tls: Option<TlsSource>,
    /// Of a cluster, only the leader will do. A follower answers too, later; one that was cut off
    /// from its cluster does not know it at once.
    pub leader_only: bool,
    /// Only members of this cluster will do; `None`: of any, and of another one once the cluster
    /// is rebuilt.
    pub cluster: Option<Uuid>,
    /// After this long without traffic the server is probed, after as long again the connection
    /// is given up. `None` or zero: never.
    pub probe_interval: Option<Duration>,
    /// A request that is not answered for this long was lost: the connection is given up, and what
    /// waits for it has an unknown outcome. `None`: never. Twice the probe interval counts if that
    /// is longer: a server that is busy is silent too.
    pub reply_timeout: Option<Duration>,
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
            leader_only: true,
            cluster: None,
            probe_interval: Some(Duration::from_secs(5)),
            reply_timeout: Some(Duration::from_secs(60)),
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
    tables: Arc<[Name]>,
}

/// What the driver shares with its handles.
#[derive(Debug)]
struct Shared {
    replica: shown::Shown,
    pulse: health::Pulse,
    /// Weak, so that subscriptions end with the driver.
    events: broadcast::WeakSender<Event>,
}

/// What is asked of the driver.
#[derive(Debug)]
enum Request {
    /// To commit a transaction.
    Transact { txn: Txn, reply: oneshot::Sender<Outcome> },
    /// To monitor other rows of a table.
    Monitor { table: Name, filter: RowFilter, reply: FilterReply },
}

type FilterReply = oneshot::Sender<Result<(), RpcError>>;

/// Why other rows are not monitored.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MonitorError {
    /// The [`DatabaseSpec`] does not have that table.
    #[error("table {0} is not among those that are monitored")]
    UnknownTable(String),
    /// The server refuses the filter.
    #[error("the server refuses to monitor these rows: {0}")]
    Refused(RpcError),
    /// The driver has ended.
    #[error("the client's driver has ended")]
    Ended,
}

impl Client {
    /// A client, and the driver that has to run for it. Nothing happens before it does.
    pub fn new(config: ClientConfig) -> (Self, Driver) {
        let (requests, queue) = mpsc::channel(config.transaction_queue.max(1));
        let (events, _) = broadcast::channel(config.event_queue.max(1));
        let shared = Arc::new(Shared {
            replica: shown::Shown::default(),
            pulse: health::Pulse::default(),
            events: events.downgrade(),
        });
        let tables = config.database.tables.iter().map(|table| table.name.clone()).collect();
        let driver = Driver::new(config, queue, events, shared.clone());
        (Self { requests, shared, tables }, driver)
    }

    /// The latest state of the replica: before the first connection it is empty, while there is
    /// none it is the last known.
    pub fn snapshot(&self) -> Arc<Replica> {
        self.shared.replica.read()
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
        if self.requests.send(Request::Transact { txn, reply }).await.is_err() {
            return Outcome::NotConnected;
        }
        outcome.await.unwrap_or(Outcome::Unknown(UnknownReason::ConnectionLost))
    }

    /// Monitors other rows of a table from now on, also after a reconnection. When this returns,
    /// the replica holds exactly those rows; they came and went as [`Event::Changes`]. Waits for a
    /// connection if there is none.
    ///
    /// # Errors
    /// The table is not monitored at all, or the server refuses the filter.
    pub async fn monitor(
        &self,
        table: impl Into<Name>,
        filter: RowFilter,
    ) -> Result<(), MonitorError> {
        let table = table.into();
        if !self.tables.contains(&table) {
            return Err(MonitorError::UnknownTable(table.into_owned()));
        }
        let (reply, answer) = oneshot::channel();
        let request = Request::Monitor { table, filter, reply };
        self.requests.send(request).await.map_err(|_| MonitorError::Ended)?;
        answer.await.map_err(|_| MonitorError::Ended)?.map_err(MonitorError::Refused)
    }

    /// How the connection is doing.
    pub fn health(&self) -> Health {
        self.shared.pulse.read()
    }
}
