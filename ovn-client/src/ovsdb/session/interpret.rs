//! What a message means. Needs no session: a large message is interpreted elsewhere, while the
//! session goes on answering its server.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::SessionError;
use super::server::SERVER_MONITOR;
use super::start::{Beginning, Contents, ContentsSeed, MONITOR, Method, Phase};
use crate::ovsdb::message::{Message, RpcError, write_echo, write_unknown_method};
use crate::ovsdb::replica::{Updates, UpdatesSeed};
use crate::ovsdb::schema::{DatabaseSchema, Resolved};
use crate::ovsdb::value::Uuid;
use crate::ovsdb::value::decode::{Text, UuidText};

/// What has to be known to understand a message.
#[derive(Clone, Debug)]
pub(super) struct Context {
    pub(super) phase: Phase,
    pub(super) server: Option<Arc<Resolved>>,
}

/// What a message means.
#[derive(Debug)]
pub(super) enum Meaning {
    /// Of no concern.
    Nothing,
    /// To be answered by these bytes.
    Answered(Vec<u8>),
    /// The server does not know about itself: it is too old.
    NoServerDatabase,
    /// The schema of what the server knows about itself.
    ServerSchema(DatabaseSchema),
    /// What the server says about itself.
    ServerContents(Updates),
    /// What has changed of it.
    ServerUpdate(Updates),
    /// The schema of the database.
    Schema(DatabaseSchema),
    /// The contents of the monitored tables, or what has changed of them.
    Contents(Beginning),
    /// The server does not know this way to ask for contents.
    UnknownMethod,
    /// What has changed.
    Update { last_transaction: Option<Uuid>, updates: Updates },
    /// The server ended our monitor.
    Canceled,
    /// The answer to another request.
    Answer(u64, Result<Box<RawValue>, RpcError>),
}

/// A large message, to be decoded wherever there is time; see
/// [`Session::poll_decode`](super::Session::poll_decode).
#[derive(Debug)]
#[must_use]
pub struct Decode {
    pub(super) message: Bytes,
    pub(super) context: Context,
}

/// A decoded message.
#[derive(Debug)]
#[must_use]
pub struct Decoded(pub(super) Result<Interpreted, SessionError>);

/// A message that is understood.
#[derive(Debug)]
pub(super) struct Interpreted {
    /// The request it answers.
    pub(super) answers: Option<u64>,
    pub(super) meaning: Meaning,
}

impl Decode {
    /// Decodes it; takes a while.
    pub fn run(self) -> Decoded {
        Decoded(interpret(&self.message, &self.context))
    }
}

/// The reply, if the message is an `echo`.
pub(super) fn echo(message: &[u8]) -> Option<Vec<u8>> {
    match Message::parse(message) {
        Ok(Message::Request { id, method, params }) if method == "echo" => {
            let mut reply = Vec::new();
            write_echo(&mut reply, id, params);
            Some(reply)
        }
        Ok(_) | Err(_) => None,
    }
}

pub(super) fn interpret(message: &[u8], context: &Context) -> Result<Interpreted, SessionError> {
    let mut answers = None;
    let meaning = match Message::parse(message)? {
        Message::Request { id, method, params } => {
            let mut reply = Vec::new();
            match method.as_str() {
                "echo" => write_echo(&mut reply, id, params),
                _ => write_unknown_method(&mut reply, id),
            }
            Ok(Meaning::Answered(reply))
        }
        Message::Notification { method, params } => match method.as_str() {
            "update3" => update(Shape::Update3, params, context),
            "update2" => update(Shape::Update2, params, context),
            "monitor_canceled" => canceled(params),
            _ => Ok(Meaning::Nothing),
        },
        Message::Reply { id: Some(id), result } => {
            answers = Some(id);
            reply(id, result, context)
        }
        Message::Reply { id: None, .. } => Ok(Meaning::Nothing),
    };
    meaning.map(|meaning| Interpreted { answers, meaning })
}

fn reply(
    id: u64,
    result: Result<&RawValue, RpcError>,
    context: &Context,
) -> Result<Meaning, SessionError> {
    match &context.phase {
        Phase::ServerSchema { request } if *request == id => match result {
            Ok(schema) => Ok(Meaning::ServerSchema(DatabaseSchema::parse(schema.get())?)),
            Err(_) => Ok(Meaning::NoServerDatabase),
        },
        Phase::Server { request, resolved } if *request == id => {
            let method = Method::Cond;
            let result =
                result.map_err(|error| SessionError::Refused { method: method.name(), error })?;
            contents(method, resolved, result).map(|c| Meaning::ServerContents(c.updates))
        }
        Phase::Schema { request } if *request == id => {
            let schema =
                result.map_err(|error| SessionError::Refused { method: "get_schema", error })?;
            Ok(Meaning::Schema(DatabaseSchema::parse(schema.get())?))
        }
        Phase::Monitor { request, method, resolved } if *request == id => match result {
            Ok(result) => {
                let contents = contents(*method, resolved, result)?;
                Ok(Meaning::Contents(contents.placed(resolved)))
            }
            Err(error) if error.error == "unknown method" && *method == Method::CondSince => {
                Ok(Meaning::UnknownMethod)
            }
            Err(error) => Err(SessionError::Refused { method: method.name(), error }),
        },
        Phase::ServerSchema { .. }
        | Phase::Server { .. }
        | Phase::Schema { .. }
        | Phase::Monitor { .. }
        | Phase::Synced { .. } => Ok(Meaning::Answer(id, result.map(RawValue::to_owned))),
    }
}

fn contents(
    method: Method,
    resolved: &Resolved,
    result: &RawValue,
) -> Result<Contents, SessionError> {
    let mut json = serde_json::Deserializer::from_str(result.get());
    let read = ContentsSeed { method, resolved }.deserialize(&mut json);
    read.map_err(|source| SessionError::Contents { method: method.name(), source })
}

fn update(shape: Shape, params: &RawValue, context: &Context) -> Result<Meaning, SessionError> {
    let mut json = serde_json::Deserializer::from_str(params.get());
    let read = UpdateSeed(shape, context).deserialize(&mut json);
    read.map_err(|source| SessionError::Contents { method: "update", source })
}

/// The parameters of `monitor_canceled`: the monitor.
fn canceled(params: &RawValue) -> Result<Meaning, SessionError> {
    let read: Result<(Text<'_>,), _> = serde_json::from_str(params.get());
    let (Text(monitor),) =
        read.map_err(|source| SessionError::Contents { method: "monitor_canceled", source })?;
    Ok(if monitor == MONITOR { Meaning::Canceled } else { Meaning::Nothing })
}

/// The parameters of an update: the monitor, with `update3` the transaction, and the updates.
#[derive(Clone, Copy)]
enum Shape {
    Update2,
    Update3,
}

struct UpdateSeed<'c>(Shape, &'c Context);

impl<'de> DeserializeSeed<'de> for UpdateSeed<'_> {
    type Value = Meaning;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Meaning, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for UpdateSeed<'_> {
    type Value = Meaning;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a monitor and its updates")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Meaning, A::Error> {
        let Self(shape, Context { phase, server }) = self;
        let short = || A::Error::invalid_length(0, &"more elements");
        let Text(monitor) = seq.next_element()?.ok_or_else(short)?;
        let last_transaction = match shape {
            Shape::Update2 => None,
            Shape::Update3 => {
                let UuidText(last) = seq.next_element()?.ok_or_else(short)?;
                Some(last).filter(|last| !last.is_nil())
            }
        };
        let (resolved, of_server) = match (&*monitor, phase, server) {
            (MONITOR, Phase::Synced { resolved }, _) => (resolved, false),
            (SERVER_MONITOR, _, Some(resolved)) => (resolved, true),
            // Updates of a monitor that the server has ended may still be on their way.
            _ => {
                seq.next_element::<IgnoredAny>()?.ok_or_else(short)?;
                return Ok(Meaning::Nothing);
            }
        };
        let updates = seq.next_element_seed(UpdatesSeed(resolved))?.ok_or_else(short)?;
        Ok(match of_server {
            true => Meaning::ServerUpdate(updates),
            false => Meaning::Update { last_transaction, updates },
        })
    }
}
