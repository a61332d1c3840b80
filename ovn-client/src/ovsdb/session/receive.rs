//! What the server sends.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::start::{MONITOR, Phase};
use super::{Session, SessionError, SessionEvent, TransactionId};
use crate::ovsdb::message::{Message, RpcError, write_echo, write_unknown_method};
use crate::ovsdb::replica::{Updates, UpdatesSeed};
use crate::ovsdb::schema::Resolved;
use crate::ovsdb::txn::{Outcome, UnknownReason, outcome};
use crate::ovsdb::value::Uuid;
use crate::ovsdb::value::decode::{Text, UuidText};

impl Session {
    pub(super) fn receive(&mut self, message: &[u8]) -> Result<(), SessionError> {
        match Message::parse(message)? {
            Message::Request { id, method, params } => {
                match method.as_str() {
                    "echo" => write_echo(&mut self.out, id, params),
                    _ => write_unknown_method(&mut self.out, id),
                }
                Ok(())
            }
            Message::Notification { method, params } => match method.as_str() {
                "update3" => self.receive_update(Shape::Update3, params),
                "update2" => self.receive_update(Shape::Update2, params),
                "monitor_canceled" => {
                    self.restart();
                    Ok(())
                }
                _ => Ok(()),
            },
            Message::Reply { id, result } => match id {
                Some(id) => self.receive_reply(id, result),
                None => Ok(()),
            },
        }
    }

    fn receive_reply(
        &mut self,
        id: u64,
        result: Result<&RawValue, RpcError>,
    ) -> Result<(), SessionError> {
        match &self.phase {
            Phase::Schema { request } if *request == id => self.receive_schema(result),
            Phase::Monitor { request, method, resolved } if *request == id => {
                self.receive_contents(*method, resolved.clone(), result)
            }
            Phase::Synced { resolved } => {
                // Replies to our echo, and to what was in flight before a restart, end here.
                if let Some(expectations) = self.transactions.remove(&id) {
                    let outcome = outcome(result, &expectations, &resolved.schema);
                    self.events.push_back(SessionEvent::Transacted(TransactionId(id), outcome));
                }
                Ok(())
            }
            Phase::Schema { .. } | Phase::Monitor { .. } => Ok(()),
        }
    }

    fn receive_update(&mut self, shape: Shape, params: &RawValue) -> Result<(), SessionError> {
        // Updates of a monitor that the server has ended may still be on their way.
        let Phase::Synced { resolved } = &self.phase else { return Ok(()) };
        let mut json = serde_json::Deserializer::from_str(params.get());
        let update = ParamsSeed(shape, resolved)
            .deserialize(&mut json)
            .map_err(|source| SessionError::Contents { method: "update", source })?;
        if let Some((last_transaction, updates)) = update {
            self.events.push_back(SessionEvent::Updated { updates, last_transaction });
        }
        Ok(())
    }

    /// The server ended the monitor. What is in flight may be answered before the new contents
    /// show its effects: its outcome counts as unknown.
    fn restart(&mut self) {
        for (id, _) in std::mem::take(&mut self.transactions) {
            let outcome = Outcome::Unknown(UnknownReason::ConnectionLost);
            self.events.push_back(SessionEvent::Transacted(TransactionId(id), outcome));
        }
        self.resume = None;
        self.events.push_back(SessionEvent::Restarted);
        self.start();
    }
}

/// The parameters of an update: the monitor, with `update3` the transaction, and the updates.
#[derive(Clone, Copy)]
enum Shape {
    Update2,
    Update3,
}

struct ParamsSeed<'r>(Shape, &'r Resolved);

impl<'de> DeserializeSeed<'de> for ParamsSeed<'_> {
    type Value = Option<(Option<Uuid>, Updates)>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for ParamsSeed<'_> {
    type Value = Option<(Option<Uuid>, Updates)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a monitor and its updates")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let short = || A::Error::invalid_length(0, &"more elements");
        let Text(monitor) = seq.next_element()?.ok_or_else(short)?;
        let last_transaction = match self.0 {
            Shape::Update2 => None,
            Shape::Update3 => {
                let UuidText(last) = seq.next_element()?.ok_or_else(short)?;
                Some(last).filter(|last| !last.is_nil())
            }
        };
        let updates = seq.next_element_seed(UpdatesSeed(self.1))?.ok_or_else(short)?;
        Ok((monitor == MONITOR).then_some((last_transaction, updates)))
    }
}
