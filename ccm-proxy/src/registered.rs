//! Sockets that the runtime waits for.

use std::io;
use std::os::fd::AsRawFd;

use tokio::io::unix::AsyncFd;

/// Lets the runtime wait for a socket.
///
/// # Errors
/// The kernel's.
#[allow(unsafe_code, reason = "the runtime has no other way for sockets that it does not know")]
pub(crate) fn register<S: AsRawFd>(socket: S) -> io::Result<AsyncFd<S>> {
    // SAFETY: this crate calls it for sockets alone that own their descriptor, which stays open and
    // the same until the socket is dropped; `AsyncFd` owns the socket, and nothing here takes it
    // out or changes it.
    let registered = unsafe { AsyncFd::register(socket) };
    registered.map_err(io::Error::from)
}
