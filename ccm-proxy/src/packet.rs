//! Sockets for the frames of ARP and neighbor discovery on one interface.
//!
//! One for each protocol: a socket for all of them would see what goes out and what is forwarded,
//! too, and each such packet would be copied before the filter refuses it.

use std::io::{self, Read as _, Write as _};
use std::os::fd::AsRawFd as _;

use nix::ifaddrs::getifaddrs;
use nix::sys::socket::bind;
use socket2::{Domain, Protocol, SockFilter, Socket, Type};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::registered::register;

/// `linux/if_ether.h`.
const ETH_P_ARP: u16 = 0x0806;
const ETH_P_IPV6: u16 = 0x86dd;
/// No frame of ours is longer.
const LONGEST: usize = 2_048;

/// Sockets for the frames of ARP and neighbor discovery on one interface.
#[derive(Debug)]
pub struct PacketSocket {
    arp: AsyncFd<Socket>,
    ndp: AsyncFd<Socket>,
}

/// The same before they are handed to the runtime: sockets are opened in a thread of a namespace.
#[derive(Debug)]
pub struct Opened {
    arp: Socket,
    ndp: Socket,
}

impl Opened {
    /// Opens them for an interface of the namespace that the thread is in.
    ///
    /// # Errors
    /// The kernel's (it takes `CAP_NET_RAW`); or there is no such interface.
    pub fn open(interface: &str) -> io::Result<Self> {
        let arp = open(interface, ETH_P_ARP, &UNTAGGED)?;
        Ok(Self { arp, ndp: open(interface, ETH_P_IPV6, &NEIGHBORS)? })
    }
}

fn open(interface: &str, protocol: u16, filter: &[SockFilter]) -> io::Result<Socket> {
    let protocol = Protocol::from(i32::from(protocol.to_be()));
    let socket = Socket::new(Domain::PACKET, Type::RAW, Some(protocol))?;
    socket.set_nonblocking(true)?;
    socket.attach_filter(filter)?;
    let missing = || io::Error::new(io::ErrorKind::NotFound, format!("no interface {interface}"));
    let address = getifaddrs()?
        .filter(|found| found.interface_name == interface)
        .find_map(|found| found.address.filter(|address| address.as_link_addr().is_some()))
        .ok_or_else(missing)?;
    // The address names no protocol: that of the socket stays.
    bind(socket.as_raw_fd(), &address)?;
    Ok(socket)
}

impl PacketSocket {
    /// Takes open sockets into the runtime.
    ///
    /// # Errors
    /// The runtime's.
    pub fn new(Opened { arp, ndp }: Opened) -> io::Result<Self> {
        Ok(Self { arp: register(arp)?, ndp: register(ndp)? })
    }

    /// Waits for a frame. Cancel safe: no frame is lost.
    ///
    /// # Errors
    /// The kernel's; `ENETDOWN` once each time the interface goes down.
    pub async fn receive(&self) -> io::Result<Vec<u8>> {
        tokio::select! {
            frame = self.arp.async_io(Interest::READABLE, read) => frame,
            frame = self.ndp.async_io(Interest::READABLE, read) => frame,
        }
    }

    /// Takes a frame that is there already, of one protocol or of the other first.
    #[must_use]
    pub fn try_receive(&self, arp_first: bool) -> Option<Vec<u8>> {
        let (arp, ndp) = (self.arp.get_ref(), self.ndp.get_ref());
        let (first, second) = if arp_first { (arp, ndp) } else { (ndp, arp) };
        read(first).or_else(|_| read(second)).ok()
    }

    /// Sends a frame.
    ///
    /// # Errors
    /// The kernel's; `EAGAIN` or `ENOBUFS` where it has no room for more at the moment.
    pub fn send(&self, frame: &[u8]) -> io::Result<()> {
        // The kernel takes a frame's protocol from the socket.
        let ndp = frame.get(12..14) == Some(&ETH_P_IPV6.to_be_bytes());
        let mut socket = if ndp { self.ndp.get_ref() } else { self.arp.get_ref() };
        socket.write(frame).map(drop)
    }
}

fn read(mut socket: &Socket) -> io::Result<Vec<u8>> {
    let mut buffer = [0; LONGEST];
    let length = socket.read(&mut buffer)?;
    Ok(buffer.get(..length).unwrap_or_default().to_vec())
}

/// `linux/filter.h`: what the kernel knows of a frame beside its octets.
const VLAN_TAG: u32 = 0xffff_f000 + 44;
/// Kernels before 6.2 leave the tag of a frame that came over a VLAN interface where it was.
const VLAN_TAG_PRESENT: u32 = 0xffff_f000 + 48;
const LOAD_WORD: u16 = 0x20;
const LOAD_BYTE: u16 = 0x30;
const AND: u16 = 0x54;
const EQUAL: u16 = 0x15;
const RETURN: u16 = 0x06;
const PASSES: SockFilter = SockFilter::new(RETURN, 0, 0, 0x0004_0000);
const REFUSED: SockFilter = SockFilter::new(RETURN, 0, 0, 0);

/// What has no tag, or one with a priority alone: the others are of other links.
const UNTAGGED: [SockFilter; 7] = [
    SockFilter::new(LOAD_WORD, 0, 0, VLAN_TAG_PRESENT),
    SockFilter::new(EQUAL, 3, 0, 0),
    SockFilter::new(LOAD_WORD, 0, 0, VLAN_TAG),
    SockFilter::new(AND, 0, 0, 0x0fff),
    SockFilter::new(EQUAL, 0, 1, 0),
    PASSES,
    REFUSED,
];

/// Of these, neighbor solicitations and advertisements:
/// `icmp6 and ip6[40] >= 135 and ip6[40] <= 136`.
const NEIGHBORS: [SockFilter; 12] = [
    SockFilter::new(LOAD_WORD, 0, 0, VLAN_TAG_PRESENT),
    SockFilter::new(EQUAL, 3, 0, 0),
    SockFilter::new(LOAD_WORD, 0, 0, VLAN_TAG),
    SockFilter::new(AND, 0, 0, 0x0fff),
    SockFilter::new(EQUAL, 0, 6, 0),
    SockFilter::new(LOAD_BYTE, 0, 0, 20),
    SockFilter::new(EQUAL, 0, 4, 58),
    SockFilter::new(LOAD_BYTE, 0, 0, 54),
    SockFilter::new(EQUAL, 1, 0, 135),
    SockFilter::new(EQUAL, 0, 1, 136),
    PASSES,
    REFUSED,
];
