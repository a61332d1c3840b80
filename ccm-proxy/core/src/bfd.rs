//! Bidirectional forwarding detection (RFC 5880, 5881, 5883): whether another system is still
//! there, known within a few packets' time. Asynchronous mode, without echo, demand and
//! authentication.

pub mod packet;
mod session;

pub use packet::{Diagnostic, Packet, State};
pub use session::{Profile, Session};
