//! Traffic: servers that say who they are and clients that ask, all bounded in count and time.

mod client;
mod stream;
mod whoami;

use std::net::SocketAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use client::{ANSWER_TIMEOUT, Session, get, get_within, udp, udp_within};
pub use stream::{Failure, Report, Stream};
pub use whoami::WhoAmI;

/// Who answered, and whom it saw.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The pod that answered.
    pub pod: String,
    /// The node the pod runs on.
    pub node: String,
    /// The client's address as the pod saw it.
    pub client_address: SocketAddr,
    /// From the first packet to the whole answer.
    pub elapsed: Duration,
}

/// The body of an answer.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Body {
    pod: String,
    node: String,
    client: SocketAddr,
}
