//! What is asked of the kernel of one namespace: interfaces, next hops and routes (`rtnetlink(7)`).
//!
//! Requests are answered by the kernel before they return, so nothing here waits.

mod elements;
pub mod events;
mod fib;
mod interface;
mod neighbours;
mod next_hop;

use std::io;

use netlink_packet_core::{
    ErrorMessage, NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST, NetlinkDeserializable, NetlinkHeader,
    NetlinkMessage, NetlinkPayload, NetlinkSerializable,
};
use netlink_sys::protocols::NETLINK_ROUTE;
use netlink_sys::{Socket, SocketAddr};

use elements::Filter;
pub use interface::{Interface, Move, is_of_the_link};
use speaker_core::gate;

/// A socket to the kernel of the namespace it was opened in.
#[derive(Debug)]
pub struct Netlink {
    socket: Socket,
    sequence: u32,
    filter: Filter,
}

impl Netlink {
    /// Opens a socket in the namespace that the thread is in.
    ///
    /// # Errors
    /// The kernel's.
    pub fn open() -> io::Result<Self> {
        let mut socket = Socket::new(NETLINK_ROUTE)?;
        socket.bind_auto()?;
        socket.connect(&SocketAddr::new(0, 0))?;
        // Refusals say what they are about, and do not repeat the request.
        socket.set_cap_ack(true)?;
        socket.set_ext_ack(true)?;
        Ok(Self { socket, sequence: 0, filter: Filter::open()? })
    }

    /// Changes the elements of a gate that is loaded, all of them or none; `false` where they are too
    /// many.
    ///
    /// # Errors
    /// The kernel's.
    pub fn change_gate(&mut self, change: &gate::Change) -> io::Result<bool> {
        if change.len() > elements::MOST {
            return Ok(false);
        }
        self.filter.change(change).map(|()| true)
    }

    /// Asks for a change.
    fn change<M>(&mut self, message: M, flags: u16) -> io::Result<()>
    where
        M: NetlinkSerializable + NetlinkDeserializable,
    {
        self.request(message, NLM_F_ACK | flags).map(drop)
    }

    /// Asks for all there are.
    fn dump<M>(&mut self, message: M) -> io::Result<Vec<M>>
    where
        M: NetlinkSerializable + NetlinkDeserializable,
    {
        self.request(message, NLM_F_DUMP)
    }

    fn request<M>(&mut self, message: M, flags: u16) -> io::Result<Vec<M>>
    where
        M: NetlinkSerializable + NetlinkDeserializable,
    {
        self.sequence = self.sequence.wrapping_add(1);
        let mut header = NetlinkHeader::default();
        header.flags = NLM_F_REQUEST | flags;
        header.sequence_number = self.sequence;
        let mut request = NetlinkMessage::new(header, NetlinkPayload::InnerMessage(message));
        request.finalize();
        let mut bytes = vec![0; request.buffer_len()];
        request.serialize(&mut bytes);
        self.socket.send(&bytes, 0)?;
        let mut answers = Vec::new();
        loop {
            let (bytes, _) = self.socket.recv_from_full()?;
            for answer in parts(&bytes) {
                let answer = NetlinkMessage::<M>::deserialize(answer).map_err(io::Error::other)?;
                if answer.header.sequence_number != self.sequence {
                    continue;
                }
                match answer.payload {
                    NetlinkPayload::Done(_) => return Ok(answers),
                    NetlinkPayload::Error(error) if error.code.is_none() => return Ok(answers),
                    NetlinkPayload::Error(error) => return Err(refused(&error)),
                    NetlinkPayload::InnerMessage(answer) => answers.push(answer),
                    _ => {}
                }
            }
        }
    }
}

/// The messages of one datagram.
fn parts(mut bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let length = bytes.first_chunk::<4>().copied().map(u32::from_ne_bytes)?;
        let length = usize::try_from(length).ok().filter(|length| *length >= 16)?;
        let part = bytes.get(..length)?;
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(part)
    })
}

/// The error of a refusal, with what the kernel says of it.
fn refused(refusal: &ErrorMessage) -> io::Error {
    const MESSAGE: u16 = 1;
    const REQUEST: usize = 16;
    let error = refusal.to_io();
    let mut said = attributes(refusal.header.get(REQUEST..).unwrap_or_default());
    let text = said.find(|(kind, _)| *kind == MESSAGE).map(|(_, text)| text);
    match text.map(|text| String::from_utf8_lossy(text)) {
        Some(text) if !is_gone(&error) => {
            io::Error::new(error.kind(), format!("{error}: {}", text.trim_end_matches('\0')))
        }
        _ => error,
    }
}

/// The attributes of a message.
fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let [a, b, c, d] = *bytes.first_chunk::<4>()?;
        let length = usize::from(u16::from_ne_bytes([a, b]));
        let value = bytes.get(4..length)?;
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        // Without the flags of nesting and of byte order.
        Some((u16::from_ne_bytes([c, d]) & 0x3fff, value))
    })
}

/// Whether what was asked for is not there.
fn is_gone(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ESRCH | libc::ENOENT | libc::ENODEV))
}

/// Whether there is nothing left to be deleted.
fn gone(deleted: io::Result<()>) -> io::Result<()> {
    match deleted {
        Err(error) if is_gone(&error) => Ok(()),
        other => other,
    }
}
