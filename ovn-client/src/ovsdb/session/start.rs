//! The way into sync: the schema, then the monitor.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::Serialize;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::{Session, SessionError, SessionEvent};
use crate::ovsdb::message::RpcError;
use crate::ovsdb::replica::{Updates, UpdatesSeed};
use crate::ovsdb::schema::{DatabaseSchema, Resolved};
use crate::ovsdb::value::Uuid;
use crate::ovsdb::value::decode::UuidText;

/// The name of our monitor in the server's messages.
pub(super) const MONITOR: &str = "ovn-client";

/// How far a session is.
#[derive(Debug)]
pub(super) enum Phase {
    /// The schema is asked for.
    Schema { request: u64 },
    /// The contents are asked for.
    Monitor { request: u64, method: Method, resolved: Arc<Resolved> },
    /// The contents are complete and followed.
    Synced { resolved: Arc<Resolved> },
}

/// How the contents are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Method {
    /// From the last transaction known, on servers from 2.12 on.
    CondSince,
    /// From the beginning.
    Cond,
}

impl Method {
    fn name(self) -> &'static str {
        match self {
            Self::CondSince => "monitor_cond_since",
            Self::Cond => "monitor_cond",
        }
    }
}

impl Session {
    /// Begins, or begins again on the same connection.
    pub(super) fn start(&mut self) {
        let request = self.request("get_schema", &[&self.config.spec.clone().name]);
        self.phase = Phase::Schema { request };
    }

    pub(super) fn receive_schema(
        &mut self,
        result: Result<&RawValue, RpcError>,
    ) -> Result<(), SessionError> {
        let schema =
            result.map_err(|error| SessionError::Refused { method: "get_schema", error })?;
        let schema = DatabaseSchema::parse(schema.get())?;
        let resolved = Arc::new(Resolved::new(schema, &self.config.spec));
        if self.resume.as_ref().is_some_and(|resume| resume.layouts != resolved.layouts) {
            self.resume = None;
        }
        self.monitor(Method::CondSince, resolved);
        Ok(())
    }

    pub(super) fn receive_contents(
        &mut self,
        method: Method,
        resolved: Arc<Resolved>,
        result: Result<&RawValue, RpcError>,
    ) -> Result<(), SessionError> {
        let result = match result {
            Ok(result) => result,
            Err(error) if error.error == "unknown method" && method == Method::CondSince => {
                self.monitor(Method::Cond, resolved);
                return Ok(());
            }
            Err(error) => return Err(SessionError::Refused { method: method.name(), error }),
        };
        let mut json = serde_json::Deserializer::from_str(result.get());
        let contents =
            match method {
                Method::CondSince => SinceSeed(&resolved).deserialize(&mut json),
                Method::Cond => UpdatesSeed(&resolved)
                    .deserialize(&mut json)
                    .map(|updates| Since { found: false, last_transaction: None, updates }),
            };
        let Since { found, last_transaction, updates } =
            contents.map_err(|source| SessionError::Contents { method: method.name(), source })?;
        // A difference is of use only if it was asked for.
        let event = if found && self.resume.is_some() {
            SessionEvent::Resumed { updates, last_transaction }
        } else {
            let (resolved, contents) = (resolved.clone(), updates);
            SessionEvent::Contents { resolved, contents, last_transaction }
        };
        self.events.push_back(event);
        self.phase = Phase::Synced { resolved };
        Ok(())
    }

    fn monitor(&mut self, method: Method, resolved: Arc<Resolved>) {
        let tables: BTreeMap<&str, [Columns<'_>; 1]> = resolved
            .layouts
            .iter()
            .map(|layout| {
                let columns = layout.names().iter().map(AsRef::as_ref).collect();
                (layout.table().as_ref(), [Columns { columns }])
            })
            .collect();
        let database = self.config.spec.clone();
        let database = &database.name;
        let request = match method {
            Method::CondSince => {
                let last = self.resume.as_ref().map_or(Uuid::nil(), |resume| resume.transaction);
                self.request(method.name(), &(database, MONITOR, tables, last.to_string()))
            }
            Method::Cond => self.request(method.name(), &(database, MONITOR, tables)),
        };
        self.phase = Phase::Monitor { request, method, resolved };
    }
}

#[derive(Serialize)]
struct Columns<'l> {
    columns: Vec<&'l str>,
}

/// The reply to `monitor_cond_since`: `[found, last transaction, updates]`.
struct Since {
    found: bool,
    last_transaction: Option<Uuid>,
    updates: Updates,
}

struct SinceSeed<'r>(&'r Resolved);

impl<'de> DeserializeSeed<'de> for SinceSeed<'_> {
    type Value = Since;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Since, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for SinceSeed<'_> {
    type Value = Since;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("whether the transaction was found, the last transaction, and updates")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Since, A::Error> {
        let short = || A::Error::invalid_length(3, &"three elements");
        let found = seq.next_element()?.ok_or_else(short)?;
        let UuidText(last) = seq.next_element()?.ok_or_else(short)?;
        let updates = seq.next_element_seed(UpdatesSeed(self.0))?.ok_or_else(short)?;
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Since { found, last_transaction: Some(last).filter(|last| !last.is_nil()), updates })
    }
}
