//! JSON-RPC 1.0 messages as OVSDB uses them (RFC 7047 §4), and their framing.

mod framer;
mod rpc;

pub use framer::{FrameError, FrameLimits, Framer};
pub use rpc::{Message, MessageError, RpcError};
pub(crate) use rpc::{write_echo, write_request, write_unknown_method};
