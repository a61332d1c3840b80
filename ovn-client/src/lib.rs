//! An OVSDB (RFC 7047) client that keeps a replica of a database in memory, tells what changes,
//! and commits transactions; with typed rows of OVN's databases.
//!
//! - [`Client`] and [`Driver`]: the connection, which is found again for ever; snapshots of the
//!   replica, a subscription to its changes, transactions with typed outcomes.
//! - [`nb`], [`sb`]: typed rows of OVN's databases; [`table!`] declares those of another table.
//! - [`ovsdb`]: the protocol core without I/O, for those who bring their own.
//!
//! # Order
//! What a transaction changed is in the replica and queued to the subscribers before
//! [`Client::transact`] returns. On the first connection the contents come as insertions, then
//! [`Event::Connected`]; on later ones only the real differences, then [`Event::Connected`].
//!
//! # A first program
//! ```no_run
//! use ovn_client::nb::{self, LoadBalancer, Protocol};
//! use ovn_client::{Client, ClientConfig, Txn, TypedRow, Uuid};
//! use tokio_util::sync::CancellationToken;
//!
//! # async fn program() -> Result<(), Box<dyn std::error::Error>> {
//! let endpoints = "tcp:127.0.0.1:6641".parse()?;
//! let (client, driver) = Client::new(ClientConfig::new(endpoints, nb::database([LoadBalancer::spec()])));
//! let shutdown = CancellationToken::new();
//! let task = tokio::spawn(driver.run(shutdown.clone()));
//!
//! let replica = client.connected().await.ok_or("the driver has ended")?;
//! for row in replica.table(LoadBalancer::TABLE).iter() {
//!     let load_balancer = LoadBalancer::from_row(row);
//!     println!("{}: {:?}", load_balancer.name, load_balancer.vips);
//! }
//!
//! let fresh = Uuid::from_u128(0x5eed); // draw a random one
//! let load_balancer = LoadBalancer::new(fresh, "web", Protocol::Tcp);
//! let outcome = client.transact(Txn::new().insert(&load_balancer)).await;
//! println!("{outcome}");
//! assert!(client.snapshot().row(LoadBalancer::TABLE, fresh).is_some());
//!
//! shutdown.cancel();
//! task.await?;
//! # Ok(())
//! # }
//! ```

mod client;
pub mod nb;
pub mod ovsdb;
pub mod sb;
mod table;

pub use client::{
    Backoff, Client, ClientConfig, Driver, Endpoint, EndpointError, Endpoints, Event, Health, Host,
    MonitorError, Outcomes, Subscription, TlsError, TlsFiles, TlsIdentity, TlsSource, Verify,
    VerifyError,
};
pub use ovsdb::message::{FrameLimits, RpcError};
pub use ovsdb::replica::{Replica, Row, RowChange, Table};
pub use ovsdb::schema::{DatabaseSchema, DatabaseSpec, IndexSpec, Missing, RowFilter, TableSpec};
pub use ovsdb::session::{Progress, Unsuitable};
pub use ovsdb::txn::{
    Columns, Condition, CountMismatch, Delete, Function, Insert, Mutate, Operation,
    OperationResult, Outcome, Select, TransactError, Txn, UnknownReason, Update, Wait,
};
pub use ovsdb::value::{Atom, AtomMap, AtomSet, Datum, FromDatum, NamedUuid, ToDatum, Uuid};
pub use table::TypedRow;
