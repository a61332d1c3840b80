//! A socket for the frames of ARP and neighbor discovery on one interface.

use std::io::{self, Read as _, Write as _};

use nix::ifaddrs::getifaddrs;
use nix::sys::socket::{SockaddrLike as _, bind};
use socket2::{Domain, Protocol, SockFilter, Socket, Type};
use std::os::fd::AsRawFd as _;
use tokio::io::unix::AsyncFd;

use crate::registered::register;

/// Every protocol, in the order of the network (`linux/if_ether.h`).
const ETH_P_ALL: u16 = 3;
/// No frame of ours is longer.
const LONGEST: usize = 2_048;

/// A socket for the frames of ARP and neighbor discovery on one interface.
#[derive(Debug)]
pub struct PacketSocket(AsyncFd<Socket>);

/// The same before it is handed to the runtime: sockets are opened in a thread of a namespace.
#[derive(Debug)]
pub struct Opened(Socket);

impl Opened {
    /// Opens it for an interface of the namespace that the thread is in.
    ///
    /// # Errors
    /// The kernel's (it takes `CAP_NET_RAW`); or there is no such interface.
    pub fn open(interface: &str) -> io::Result<Self> {
        let protocol = Protocol::from(i32::from(ETH_P_ALL.to_be()));
        let socket = Socket::new(Domain::PACKET, Type::RAW, Some(protocol))?;
        socket.set_nonblocking(true)?;
        // First the filter: what comes between the two is of no other interface.
        socket.attach_filter(&FILTER)?;
        let missing =
            || io::Error::new(io::ErrorKind::NotFound, format!("no interface {interface}"));
        let address = getifaddrs()?
            .filter(|found| found.interface_name == interface)
            .find_map(|found| found.address.filter(|address| address.as_link_addr().is_some()))
            .ok_or_else(missing)?;
        debug_assert!(address.family().is_some());
        bind(socket.as_raw_fd(), &address)?;
        Ok(Self(socket))
    }
}

impl PacketSocket {
    /// Takes an open socket into the runtime.
    ///
    /// # Errors
    /// The runtime's.
    pub fn new(Opened(socket): Opened) -> io::Result<Self> {
        register(socket).map(Self)
    }

    /// Waits for a frame. Cancel safe: no frame is lost.
    ///
    /// # Errors
    /// The kernel's; `ENETDOWN` once each time the interface goes down.
    pub async fn receive(&self) -> io::Result<Vec<u8>> {
        self.0
            .async_io(tokio::io::Interest::READABLE, |socket| {
                let mut buffer = [0; LONGEST];
                let length = (&mut &*socket).read(&mut buffer)?;
                Ok(buffer.get(..length).unwrap_or_default().to_vec())
            })
            .await
    }

    /// Takes a frame that is there already.
    #[must_use]
    pub fn try_receive(&self) -> Option<Vec<u8>> {
        let mut buffer = [0; LONGEST];
        let length = self.0.get_ref().read(&mut buffer).ok()?;
        Some(buffer.get(..length)?.to_vec())
    }

    /// Sends a frame, or drops it where the interface's queue is full: the next one tells the same.
    ///
    /// # Errors
    /// The kernel's.
    pub fn send(&self, frame: &[u8]) -> io::Result<()> {
        match self.0.get_ref().write(frame) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
            sent => sent.map(drop),
        }
    }
}

/// `linux/filter.h`: offsets of what the kernel knows of a frame.
const PACKET_TYPE: u32 = -0x1000_i32 as u32 + 4;
const OUTGOING: u32 = 4;

/// Lets pass what others sent of ARP, and neighbor solicitations and advertisements:
/// `not outbound and (arp or (icmp6 and ip6[40] >= 135 and ip6[40] <= 136))`.
const FILTER: [SockFilter; 12] = {
    const LOAD_BYTE: u16 = 0x30;
    const LOAD_HALF: u16 = 0x28;
    const EQUAL: u16 = 0x15;
    const RETURN: u16 = 0x06;
    [
        SockFilter::new(LOAD_BYTE, 0, 0, PACKET_TYPE),
        SockFilter::new(EQUAL, 9, 0, OUTGOING),
        SockFilter::new(LOAD_HALF, 0, 0, 12),
        SockFilter::new(EQUAL, 6, 0, 0x0806),
        SockFilter::new(EQUAL, 0, 6, 0x86dd),
        SockFilter::new(LOAD_BYTE, 0, 0, 20),
        SockFilter::new(EQUAL, 0, 4, 58),
        SockFilter::new(LOAD_BYTE, 0, 0, 54),
        SockFilter::new(EQUAL, 1, 0, 135),
        SockFilter::new(EQUAL, 0, 1, 136),
        SockFilter::new(RETURN, 0, 0, 0x0004_0000),
        SockFilter::new(RETURN, 0, 0, 0),
    ]
};
