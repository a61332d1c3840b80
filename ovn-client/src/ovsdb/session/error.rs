//! Why a session is over.

use std::time::Duration;

use super::Unsuitable;
use crate::ovsdb::message::{FrameError, MessageError, RpcError};
use crate::ovsdb::replica::ReplicaError;
use crate::ovsdb::schema::SchemaError;

/// Why a session is over.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// The stream of messages is broken.
    #[error("the server's messages cannot be told apart")]
    Frame(#[from] FrameError),
    /// A message cannot be understood.
    #[error("a message of the server cannot be understood")]
    Message(#[from] MessageError),
    /// The schema cannot be understood.
    #[error("the server's schema cannot be understood")]
    Schema(#[from] SchemaError),
    /// The contents of a message cannot be understood.
    #[error("the {method} of the server cannot be understood")]
    Contents {
        /// Which message.
        method: &'static str,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// The server refuses what a session needs.
    #[error("the server refuses {method}: {error}")]
    Refused {
        /// Which request.
        method: &'static str,
        /// What it answered.
        error: RpcError,
    },
    /// The server is silent.
    #[error("the server is silent")]
    Silent,
    /// What the server says about itself makes no sense.
    #[error("what the server says about itself does not fit together")]
    Server(#[source] ReplicaError),
    /// The server will not do; another may.
    #[error("the server will not do")]
    Unsuitable(#[from] Unsuitable),
    /// The server does not answer a request.
    #[error("the server has not answered {method} for {waited:.0?}")]
    Unanswered {
        /// Which request.
        method: &'static str,
        /// Since when.
        waited: Duration,
    },
}
