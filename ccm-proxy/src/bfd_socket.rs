//! A socket for BFD with the speakers on one link (RFC 5881).
//!
//! Sessions run between the link-local addresses of the interfaces: every interface has one by
//! itself, so that no operator has to give the speakers addresses.

use std::io::{self, IoSliceMut};
use std::net::{Ipv6Addr, SocketAddr, SocketAddrV6};
use std::os::fd::AsRawFd as _;

use nix::sys::socket::{ControlMessageOwned, MsgFlags, SockaddrIn6, recvmsg};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::registered::register;

/// Single hop (RFC 5881, 4).
const PORT: u16 = 3784;
/// A packet comes from one of these ports (RFC 5881, 4).
const SOURCE_PORTS: std::ops::RangeInclusive<u16> = 49_152..=65_535;
/// Whoever is further than the link cannot send this (RFC 5082).
const HOP_LIMIT: u32 = 255;

/// A socket for BFD on one link.
#[derive(Debug)]
pub struct BfdSocket {
    receives: AsyncFd<Socket>,
    sends: Socket,
    /// Number of the interface.
    index: u32,
}

/// The same before it is handed to the runtime.
#[derive(Debug)]
pub struct Opened {
    receives: Socket,
    sends: Socket,
    index: u32,
}

/// A packet that was received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// Who sent it.
    pub from: Ipv6Addr,
    /// How far it came: 255 is not at all.
    pub ttl: u8,
    /// What it says.
    pub payload: Vec<u8>,
}

impl Opened {
    /// Opens it for the interface of this name and number, in the namespace that the thread is in.
    ///
    /// # Errors
    /// The kernel's.
    pub fn open(interface: &str, index: u32) -> io::Result<Self> {
        let receives = socket(interface)?;
        receives.set_recv_hoplimit_v6(true)?;
        let bound = receives.bind(&SocketAddr::from((Ipv6Addr::UNSPECIFIED, PORT)).into());
        bound.map_err(|error| {
            let text =
                format!("UDP port {PORT} for BFD: {error}; does another BFD daemon run there?");
            io::Error::new(error.kind(), text)
        })?;
        let sends = socket(interface)?;
        sends.set_unicast_hops_v6(HOP_LIMIT)?;
        let mut ports = SOURCE_PORTS;
        let bind = |port| sends.bind(&SocketAddr::from((Ipv6Addr::UNSPECIFIED, port)).into());
        let bound = ports.any(|port| bind(port).is_ok());
        if !bound {
            return Err(io::Error::new(io::ErrorKind::AddrInUse, "every port for BFD is in use"));
        }
        Ok(Self { receives, sends, index })
    }
}

fn socket(interface: &str) -> io::Result<Socket> {
    let socket = Socket::new(Domain::IPV6, Type::DGRAM, Some(Protocol::UDP))?;
    // In a node's namespace other interfaces have a BFD of their own.
    socket.bind_device(Some(interface.as_bytes()))?;
    socket.set_only_v6(true)?;
    socket.set_nonblocking(true)?;
    // Network control (RFC 2474): ahead of what it watches over.
    socket.set_tclass_v6(0xc0)?;
    Ok(socket)
}

impl BfdSocket {
    /// Takes an open socket into the runtime.
    ///
    /// # Errors
    /// The runtime's.
    pub fn new(Opened { receives, sends, index }: Opened) -> io::Result<Self> {
        Ok(Self { receives: register(receives)?, sends, index })
    }

    /// Waits for a packet. Cancel safe: no packet is lost.
    ///
    /// # Errors
    /// The kernel's.
    pub async fn receive(&self) -> io::Result<Received> {
        self.receives.async_io(Interest::READABLE, receive).await
    }

    /// Takes a packet that is there already.
    #[must_use]
    pub fn try_receive(&self) -> Option<Received> {
        receive(self.receives.get_ref()).ok()
    }

    /// Sends a packet to a speaker.
    ///
    /// # Errors
    /// The kernel's; that its queue is full is none.
    pub fn send(&self, to: Ipv6Addr, payload: &[u8]) -> io::Result<()> {
        let to = SocketAddrV6::new(to, PORT, 0, self.index);
        match self.sends.send_to(payload, &SocketAddr::from(to).into()) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
            sent => sent.map(drop),
        }
    }
}

fn receive(socket: &Socket) -> io::Result<Received> {
    let mut buffer = [0; 256];
    let mut control = nix::cmsg_space!(i32);
    let mut parts = [IoSliceMut::new(&mut buffer)];
    let message = recvmsg::<SockaddrIn6>(
        socket.as_raw_fd(),
        &mut parts,
        Some(&mut control),
        MsgFlags::empty(),
    )?;
    let hop_limit = message.cmsgs()?.find_map(|control| match control {
        ControlMessageOwned::Ipv6HopLimit(limit) => u8::try_from(limit).ok(),
        _ => None,
    });
    let from = message.address.map_or(Ipv6Addr::UNSPECIFIED, |address| address.ip());
    let length = message.bytes;
    let payload = buffer.get(..length).unwrap_or_default().to_vec();
    Ok(Received { from, ttl: hop_limit.unwrap_or_default(), payload })
}
