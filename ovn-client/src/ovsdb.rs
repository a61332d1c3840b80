//! The protocol core: values, schema, messages, the session state machine, the replica and
//! transactions.
//!
//! Nothing here opens a socket, starts a task, reads a clock or the environment: bytes and
//! instants are passed in (`handle_*`), bytes, deadlines and events are taken out (`poll_*`).

pub mod message;
pub mod replica;
pub mod schema;
pub mod session;
pub mod txn;
pub mod value;
