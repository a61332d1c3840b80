//! Requests, notifications and replies.

use std::fmt;

use serde::de::{Deserializer, MapAccess, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::ovsdb::value::decode::Text;

/// One message from a server; what it carries is borrowed and not looked into yet.
#[derive(Debug)]
pub enum Message<'m> {
    /// The server asks and waits for a reply.
    Request {
        /// To be repeated in the reply.
        id: &'m RawValue,
        /// For example `echo`.
        method: String,
        /// The arguments.
        params: &'m RawValue,
    },
    /// The server tells.
    Notification {
        /// For example `update3`.
        method: String,
        /// The arguments.
        params: &'m RawValue,
    },
    /// The reply to a request of ours.
    Reply {
        /// The id of the request; `None` if it is none that we could have used.
        id: Option<u64>,
        /// What the server answered.
        result: Result<&'m RawValue, RpcError>,
    },
}

/// An error the server answered with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RpcError {
    /// The short constant name, for example `constraint violation`.
    pub error: String,
    /// Words for a reader.
    pub details: Option<String>,
}

impl fmt::Display for RpcError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.details {
            Some(details) => write!(f, "{}: {details}", self.error),
            None => f.write_str(&self.error),
        }
    }
}

/// Why a message could not be understood.
#[derive(Debug, thiserror::Error)]
pub enum MessageError {
    /// It is no JSON object of the known members.
    #[error("a message is no JSON-RPC object")]
    Json(#[source] serde_json::Error),
    /// It is neither request, notification nor reply.
    #[error("a message has neither method nor result nor error")]
    Neither,
}

impl<'m> Message<'m> {
    /// Reads one message.
    ///
    /// # Errors
    /// The text is no JSON (invalid UTF-8 included), or lacks what every message has.
    pub fn parse(json: &'m [u8]) -> Result<Self, MessageError> {
        let envelope: Envelope<'m> = serde_json::from_slice(json).map_err(MessageError::Json)?;
        let Envelope { id, method, params, result, error } = envelope;
        match (method, params) {
            (Some(method), Some(params)) => Ok(match id {
                Some(id) => Self::Request { id, method, params },
                None => Self::Notification { method, params },
            }),
            (Some(_), None) => Err(MessageError::Neither),
            (None, _) => {
                let result = match (error, result) {
                    (Some(error), _) => Err(RpcError::parse(error)),
                    (None, Some(result)) => Ok(result),
                    (None, None) => return Err(MessageError::Neither),
                };
                let id = id.and_then(|id| id.get().parse().ok());
                Ok(Self::Reply { id, result })
            }
        }
    }
}

impl RpcError {
    /// Reads an error, which may be a string or an object.
    pub(crate) fn parse(json: &RawValue) -> Self {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Shape {
            Name(String),
            Object { error: String, details: Option<String> },
        }
        match serde_json::from_str(json.get()) {
            Ok(Shape::Name(error)) => Self { error, details: None },
            Ok(Shape::Object { error, details }) => Self { error, details },
            Err(_) => {
                Self { error: "unknown error".to_owned(), details: Some(json.get().to_owned()) }
            }
        }
    }
}

/// The members of any message; the last of a repeated one wins, `null` counts as absent
/// except as a result.
#[derive(Default)]
struct Envelope<'m> {
    id: Option<&'m RawValue>,
    method: Option<String>,
    params: Option<&'m RawValue>,
    result: Option<&'m RawValue>,
    error: Option<&'m RawValue>,
}

impl<'m> Deserialize<'m> for Envelope<'m> {
    fn deserialize<D: Deserializer<'m>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(EnvelopeVisitor)
    }
}

struct EnvelopeVisitor;

impl<'m> Visitor<'m> for EnvelopeVisitor {
    type Value = Envelope<'m>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON-RPC message")
    }

    fn visit_map<A: MapAccess<'m>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let present = |raw: &'m RawValue| (raw.get() != "null").then_some(raw);
        let mut envelope = Envelope::default();
        while let Some(Text(member)) = map.next_key()? {
            match &*member {
                "id" => envelope.id = present(map.next_value()?),
                "method" => envelope.method = map.next_value()?,
                "params" => envelope.params = present(map.next_value()?),
                "result" => envelope.result = Some(map.next_value()?),
                "error" => envelope.error = present(map.next_value()?),
                _ => {
                    map.next_value::<serde::de::IgnoredAny>()?;
                }
            }
        }
        Ok(envelope)
    }
}

/// Appends a request to what is to be sent.
pub(crate) fn write_request(
    out: &mut Vec<u8>,
    id: u64,
    method: &str,
    params: &impl Serialize,
) -> serde_json::Result<()> {
    #[derive(Serialize)]
    struct Request<'r, P> {
        id: u64,
        method: &'r str,
        params: &'r P,
    }
    serde_json::to_writer(out, &Request { id, method, params })
}

/// Appends the reply to an `echo`: its own parameters.
pub(crate) fn write_echo(out: &mut Vec<u8>, id: &RawValue, params: &RawValue) {
    write_parts(out, &["{\"id\":", id.get(), ",\"result\":", params.get(), ",\"error\":null}"]);
}

/// Appends the reply to a request that is not known here.
pub(crate) fn write_unknown_method(out: &mut Vec<u8>, id: &RawValue) {
    let error = ",\"result\":null,\"error\":\"unknown method\"}";
    write_parts(out, &["{\"id\":", id.get(), error]);
}

fn write_parts(out: &mut Vec<u8>, parts: &[&str]) {
    for part in parts {
        out.extend_from_slice(part.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_may_be_a_string_or_an_object_and_need_no_result() {
        let error = |json: &str| match Message::parse(json.as_bytes()).unwrap() {
            Message::Reply { id: Some(3), result: Err(error) } => error.to_string(),
            other => panic!("{other:?}"),
        };
        assert_eq!(error(r#"{"id":3,"error":"unknown method","result":null}"#), "unknown method");
        assert_eq!(
            error(
                r#"{"id":3,"error":{"error":"unknown database","details":"no X","syntax":"[]"}}"#
            ),
            "unknown database: no X"
        );
        assert_eq!(error(r#"{"id":3,"error":[1]}"#), "unknown error: [1]");
    }

    #[test]
    fn the_last_of_a_repeated_member_wins() {
        let json = br#"{"id":1,"id":2,"error":"x","error":null,"result":1,"result":[2]}"#;
        let Message::Reply { id, result } = Message::parse(json).unwrap() else { panic!() };
        assert_eq!((id, result.unwrap().get()), (Some(2), "[2]"));
    }

    #[test]
    fn a_null_result_is_a_result() {
        let json = br#"{"id":1,"error":null,"result":null}"#;
        let Message::Reply { result, .. } = Message::parse(json).unwrap() else { panic!() };
        assert_eq!(result.unwrap().get(), "null");
    }

    #[test]
    fn hostile_messages_are_errors() {
        let hostile: [&[u8]; 8] = [
            b"{}",
            b"[]",
            b"{\"id\":1}",
            b"{\"method\":\"echo\"}",
            b"{\"method\":1,\"params\":[]}",
            b"{\"id\":[}",
            b"{\"id\":1,\"result\":\"\xff\"}",
            b"{\"id\":1,\"result\":]}",
        ];
        for json in hostile {
            assert!(Message::parse(json).is_err(), "{}", String::from_utf8_lossy(json));
        }
    }

    #[test]
    fn an_id_that_is_not_ours_is_no_id() {
        let json = br#"{"id":"echo","error":null,"result":[]}"#;
        let message = Message::parse(json).unwrap();
        assert!(matches!(message, Message::Reply { id: None, result: Ok(_) }));
    }
}
