//! The way into sync: what the server says of itself, the schema, the monitor.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::Serialize;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, SeqAccess, Visitor};

use super::Session;
use super::server::{SERVER_DATABASE, SERVER_MONITOR};
use crate::ovsdb::replica::{Replica, Updates, UpdatesSeed};
use crate::ovsdb::schema::{DatabaseSpec, Resolved, RowFilter};
use crate::ovsdb::txn::Txn;
use crate::ovsdb::value::Uuid;
use crate::ovsdb::value::decode::UuidText;

/// The name of our monitor in the server's messages.
pub(super) const MONITOR: &str = "ovn-client";

/// How far a session is.
#[derive(Clone, Debug)]
pub(super) enum Phase {
    /// It is asked whether the server knows about itself.
    ServerSchema { request: u64 },
    /// It is asked what the server knows about itself.
    Server { request: u64, resolved: Arc<Resolved> },
    /// The schema is asked for.
    Schema { request: u64 },
    /// The contents are asked for.
    Monitor { request: u64, method: Method, resolved: Arc<Resolved> },
    /// The contents are complete and followed.
    Synced { resolved: Arc<Resolved> },
}

/// How contents are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Method {
    /// From the last transaction known, on servers from 2.12 on.
    CondSince,
    /// From the beginning.
    Cond,
}

impl Method {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::CondSince => "monitor_cond_since",
            Self::Cond => "monitor_cond",
        }
    }
}

impl Session {
    /// Begins on a connection that was just opened. Aware of changes of databases, the client is
    /// told of them instead of being cut off.
    pub(super) fn start(&mut self) {
        self.request("set_db_change_aware", &[true]);
        let request = self.request("get_schema", &[SERVER_DATABASE]);
        self.phase = Phase::ServerSchema { request };
    }

    pub(super) fn ask_server(&mut self, resolved: Arc<Resolved>) {
        let spec = super::server::spec();
        let tables = requests(&resolved, &spec);
        let method = Method::Cond.name();
        let request = self.request(method, &(SERVER_DATABASE, SERVER_MONITOR, tables));
        self.phase = Phase::Server { request, resolved };
    }

    /// Begins with the database itself, or begins again on the same connection.
    pub(super) fn ask_for_schema(&mut self) {
        let spec = self.config.spec.clone();
        let request = self.request("get_schema", &[&spec.name]);
        self.phase = Phase::Schema { request };
    }

    pub(super) fn ask_for_contents(&mut self, method: Method, resolved: Arc<Resolved>) {
        let spec = self.config.spec.clone();
        let tables = requests(&resolved, &spec);
        let request = match method {
            Method::CondSince => {
                let last = self.resume.as_ref().map_or(Uuid::nil(), |resume| resume.transaction);
                self.request(method.name(), &(&spec.name, MONITOR, tables, last.to_string()))
            }
            Method::Cond => self.request(method.name(), &(&spec.name, MONITOR, tables)),
        };
        self.phase = Phase::Monitor { request, method, resolved };
    }
}

/// What to monitor, by table (ovsdb-server(7), "monitor_cond").
fn requests<'r>(
    resolved: &'r Resolved,
    spec: &'r DatabaseSpec,
) -> BTreeMap<&'r str, [TableRequest<'r>; 1]> {
    let request = |layout: &'r Arc<crate::ovsdb::schema::Layout>| {
        let columns = layout.names().iter().map(AsRef::as_ref).collect();
        let filter = spec.filter(layout.table());
        (layout.table().as_ref(), [TableRequest { columns, filter }])
    };
    resolved.layouts.iter().map(request).collect()
}

#[derive(Serialize)]
struct TableRequest<'r> {
    columns: Vec<&'r str>,
    #[serde(rename = "where", skip_serializing_if = "RowFilter::is_all")]
    filter: &'r RowFilter,
}

/// The parameters of `transact`: the database, then the operations.
pub(super) struct Transact<'t> {
    pub(super) database: &'t str,
    pub(super) txn: &'t Txn,
}

impl Serialize for Transact<'_> {
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

/// The reply to `monitor_cond_since`, `[found, last transaction, updates]`, or to `monitor_cond`,
/// the updates alone.
#[derive(Debug)]
pub(super) struct Contents {
    pub(super) found: bool,
    pub(super) last_transaction: Option<Uuid>,
    pub(super) updates: Updates,
}

/// What a monitor begins with. Putting all rows in their places takes longer than anything else,
/// so it is done where they are decoded.
#[derive(Debug)]
pub(super) enum Beginning {
    /// Everything.
    Whole(Replica),
    /// What has changed since the transaction that was named.
    Difference { updates: Updates, last_transaction: Option<Uuid> },
}

impl Contents {
    pub(super) fn placed(self, resolved: &Arc<Resolved>) -> Beginning {
        let Self { found, last_transaction, updates } = self;
        match found {
            true => Beginning::Difference { updates, last_transaction },
            false => Beginning::Whole(Replica::complete(resolved, updates, last_transaction)),
        }
    }
}

pub(super) struct ContentsSeed<'r> {
    pub(super) method: Method,
    pub(super) resolved: &'r Resolved,
}

impl<'de> DeserializeSeed<'de> for ContentsSeed<'_> {
    type Value = Contents;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Contents, D::Error> {
        match self.method {
            Method::CondSince => deserializer.deserialize_seq(self),
            Method::Cond => {
                let updates = UpdatesSeed(self.resolved).deserialize(deserializer)?;
                Ok(Contents { found: false, last_transaction: None, updates })
            }
        }
    }
}

impl<'de> Visitor<'de> for ContentsSeed<'_> {
    type Value = Contents;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("whether the transaction was found, the last transaction, and updates")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Contents, A::Error> {
        let short = || A::Error::invalid_length(3, &"three elements");
        let found = seq.next_element()?.ok_or_else(short)?;
        let UuidText(last) = seq.next_element()?.ok_or_else(short)?;
        let updates = seq.next_element_seed(UpdatesSeed(self.resolved))?.ok_or_else(short)?;
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        let last_transaction = Some(last).filter(|last| !last.is_nil());
        Ok(Contents { found, last_transaction, updates })
    }
}
