//! How much of what was written to a connection on loopback its other side has not read: its
//! socket is in the same network namespace, and the kernel tells (`sock_diag(7)`).

use std::io::{Read, Write};
use std::net::{SocketAddr, SocketAddrV4};

use anyhow::{Context, Result, bail};
use socket2::{Domain, Protocol, Socket, Type};

/// `AF_NETLINK`.
const NETLINK: i32 = 16;
/// `NETLINK_SOCK_DIAG`.
const SOCK_DIAG: i32 = 4;

/// `SOCK_DIAG_BY_FAMILY`.
const BY_FAMILY: u16 = 20;
/// `NLM_F_REQUEST`.
const REQUEST: u16 = 1;
/// Length of `struct nlmsghdr`.
const HEADER: usize = 16;
/// `idiag_rqueue` in `struct inet_diag_msg`, after the header.
const RECEIVED: usize = HEADER + 56;

/// Asks about one connection.
#[derive(Debug)]
pub(super) struct Unread {
    netlink: Socket,
    request: Vec<u8>,
}

impl Unread {
    /// About what `reader` has not read of what was written from `writer`.
    pub(super) fn new(reader: SocketAddr, writer: SocketAddr) -> Result<Self> {
        let (SocketAddr::V4(reader), SocketAddr::V4(writer)) = (reader, writer) else {
            bail!("the proxy is on 127.0.0.1");
        };
        let protocol = Some(Protocol::from(SOCK_DIAG));
        let netlink = Socket::new(Domain::from(NETLINK), Type::RAW, protocol)?;
        Ok(Self { netlink, request: request(reader, writer)? })
    }

    /// How many bytes.
    pub(super) fn bytes(&self) -> Result<u32> {
        (&self.netlink).write_all(&self.request)?;
        let mut answer = [0; 512];
        let length = (&self.netlink).read(&mut answer)?;
        let kind = answer.get(4..6).context("no kind")?;
        let found = kind == BY_FAMILY.to_ne_bytes() && length >= RECEIVED + 4;
        let bytes = answer.get(RECEIVED..RECEIVED + 4).filter(|_| found);
        Ok(u32::from_ne_bytes(bytes.context("the other side is gone")?.try_into()?))
    }
}

/// `struct nlmsghdr` and `struct inet_diag_req_v2` for one socket.
fn request(of: SocketAddrV4, peer: SocketAddrV4) -> Result<Vec<u8>> {
    const TCP: u8 = 6;
    const INET: u8 = 2;
    let mut body = vec![INET, TCP, 0, 0];
    body.extend(u32::MAX.to_ne_bytes());
    body.extend(of.port().to_be_bytes());
    body.extend(peer.port().to_be_bytes());
    for address in [of.ip(), peer.ip()] {
        body.extend(address.octets());
        body.extend([0; 12]);
    }
    // Any interface, any cookie.
    body.extend([0; 4]);
    body.extend([u8::MAX; 8]);
    let length = u32::try_from(HEADER + body.len())?;
    let mut message = length.to_ne_bytes().to_vec();
    message.extend(BY_FAMILY.to_ne_bytes());
    message.extend(REQUEST.to_ne_bytes());
    message.extend([0; 8]);
    message.extend(body);
    Ok(message)
}
