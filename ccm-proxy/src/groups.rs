//! The groups in which questions about IPv6 addresses are asked.
//!
//! The kernel joins them for us: so the interface lets their frames pass, and switches that look
//! who is in a group (RFC 4541) send them here.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::Ipv6Addr;

use socket2::{Domain, Protocol, Socket, Type};

use crate::netns::Namespace;

/// So many groups are joined with one socket: the kernel bounds what a socket may hold.
const GROUPS_PER_SOCKET: usize = 128;

/// The groups that are joined on one interface.
#[derive(Debug)]
pub struct Groups {
    namespace: Namespace,
    /// Number of the interface.
    index: u32,
    sockets: Vec<(Socket, usize)>,
    /// By which socket each is joined.
    joined: BTreeMap<Ipv6Addr, usize>,
}

impl Groups {
    /// None yet, of an interface of a namespace.
    #[must_use]
    pub const fn new(namespace: Namespace, index: u32) -> Self {
        Self { namespace, index, sockets: Vec::new(), joined: BTreeMap::new() }
    }

    /// Joins these, and leaves all others. One that fails keeps no other from being joined.
    ///
    /// # Errors
    /// The kernel's first.
    pub fn set(&mut self, wanted: &BTreeSet<Ipv6Addr>) -> io::Result<()> {
        let gone: Vec<_> = self.joined.keys().filter(|g| !wanted.contains(*g)).copied().collect();
        let mut first = Ok(());
        for group in gone {
            let Some(at) = self.joined.remove(&group) else { continue };
            if let Some((socket, members)) = self.sockets.get_mut(at) {
                *members -= 1;
                let left = socket.leave_multicast_v6(&group, self.index);
                first = first.and(left);
            }
        }
        for group in wanted {
            if !self.joined.contains_key(group) {
                let joined = self.join(*group);
                first = first.and(joined);
            }
        }
        first
    }

    fn join(&mut self, group: Ipv6Addr) -> io::Result<()> {
        let free = self.sockets.iter().position(|(_, members)| *members < GROUPS_PER_SOCKET);
        let at = match free {
            Some(at) => at,
            None => {
                let open = || Socket::new(Domain::IPV6, Type::DGRAM, Some(Protocol::UDP));
                self.sockets.push((self.namespace.run(open)?, 0));
                self.sockets.len() - 1
            }
        };
        if let Some((socket, members)) = self.sockets.get_mut(at) {
            socket.join_multicast_v6(&group, self.index)?;
            *members += 1;
            self.joined.insert(group, at);
        }
        Ok(())
    }
}
