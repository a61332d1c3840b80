//! Word from the kernel that an interface, a next hop or a route is not what it was.

use std::io;

use netlink_sys::Socket;
use netlink_sys::protocols::NETLINK_ROUTE;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::registered::register;

/// Groups of `linux/rtnetlink.h`: links, routes of both families, next hops.
const GROUPS: [u32; 4] = [1, 7, 11, 32];

/// Word from the kernel of one namespace.
#[derive(Debug)]
pub struct Events(AsyncFd<Socket>);

/// The same before it is handed to the runtime.
#[derive(Debug)]
pub struct Opened(Socket);

impl Opened {
    /// Listens in the namespace that the thread is in.
    ///
    /// # Errors
    /// The kernel's.
    pub fn open() -> io::Result<Self> {
        let mut socket = Socket::new(NETLINK_ROUTE)?;
        socket.bind_auto()?;
        socket.set_non_blocking(true)?;
        GROUPS.iter().try_for_each(|group| socket.add_membership(*group))?;
        Ok(Self(socket))
    }
}

impl Events {
    /// Takes an open socket into the runtime.
    ///
    /// # Errors
    /// The runtime's.
    pub fn new(Opened(socket): Opened) -> io::Result<Self> {
        register(socket).map(Self)
    }

    /// Waits until something changed. What it was is not told: whoever asks looks at all of it,
    /// which is also right where word was lost. Cancel safe.
    ///
    /// # Errors
    /// The kernel's.
    pub async fn changed(&self) -> io::Result<()> {
        let read = |socket: &Socket| match socket.recv_from_full() {
            // The kernel had more to tell than it could keep.
            Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => Ok(()),
            other => other.map(drop),
        };
        self.0.async_io(Interest::READABLE, read).await?;
        while read(self.0.get_ref()).is_ok() {}
        Ok(())
    }
}
