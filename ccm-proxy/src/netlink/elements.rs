//! Elements of the gate's sets, added and deleted as `nft` does it (`linux/netfilter/nf_tables.h`),
//! without a process for each. The gate itself is loaded by `nft`.

use std::io;
use std::net::IpAddr;

use netlink_sys::protocols::NETLINK_NETFILTER;
use netlink_sys::{Socket, SocketAddr};
use pools::{Port, Protocol};
use speaker_core::gate::{Change, Element, Family, TABLE};
use speaker_core::health::Target;

use super::parts;

const BATCH_BEGIN: u16 = 0x10;
const BATCH_END: u16 = 0x11;
const SUBSYSTEM: u16 = 10;
const NEW_ELEMENT: u16 = SUBSYSTEM << 8 | 12;
const DELETE_ELEMENT: u16 = SUBSYSTEM << 8 | 14;

const FAMILY_NONE: u8 = 0;

const REQUEST: u16 = 0x1;
const ACK: u16 = 0x4;
const CREATE: u16 = 0x400;

const LIST_TABLE: u16 = 1;
const LIST_SET: u16 = 2;
const LIST_ELEMENTS: u16 = 3;
const LIST_ELEMENT: u16 = 1;
const ELEMENT_KEY: u16 = 1;
const DATA_VALUE: u16 = 1;
const NESTED: u16 = 0x8000;

/// The kernel's answer to one message (`netlink(7)`).
const ERROR: u16 = 2;
const HEADER: usize = 16;

/// So many elements are changed at a time; more is a script for `nft`.
pub(super) const MOST: usize = 256;

/// A socket to the packet filter of the namespace it was opened in.
#[derive(Debug)]
pub(super) struct Filter {
    socket: Socket,
    sequence: u32,
}

impl Filter {
    /// Opens a socket in the namespace that the thread is in.
    pub(super) fn open() -> io::Result<Self> {
        let mut socket = Socket::new(NETLINK_NETFILTER)?;
        socket.bind_auto()?;
        socket.connect(&SocketAddr::new(0, 0))?;
        Ok(Self { socket, sequence: 0 })
    }

    /// Makes a change, all of it or none.
    ///
    /// # Errors
    /// The kernel's.
    pub(super) fn change(&mut self, change: &Change) -> io::Result<()> {
        let first = self.sequence.wrapping_add(1);
        let messages = messages(change, first);
        let count = u32::try_from(messages.len()).map_err(io::Error::other)?;
        self.sequence = self.sequence.wrapping_add(count);
        self.socket.send(&messages.concat(), 0)?;
        // The batch's frame is answered only where it is refused.
        let mut unanswered = change.len();
        let mut refused = None;
        while unanswered > 0 {
            let (bytes, _) = self.socket.recv_from_full()?;
            for (sequence, error) in parts(&bytes).filter_map(answer) {
                let place = sequence.wrapping_sub(first);
                if place >= count {
                    continue;
                }
                unanswered -= usize::from(place > 0 && place + 1 < count);
                if error != 0 {
                    refused.get_or_insert_with(|| io::Error::from_raw_os_error(-error));
                }
                if place == 0 || place + 1 == count {
                    unanswered = 0;
                }
            }
        }
        refused.map_or(Ok(()), Err)
    }
}

/// The number of the message that was answered, and the error.
fn answer(bytes: &[u8]) -> Option<(u32, i32)> {
    let field = |at: usize| bytes.get(at..)?.first_chunk::<4>().copied();
    let [kind, other, ..] = field(4)?;
    if u16::from_ne_bytes([kind, other]) != ERROR {
        return None;
    }
    Some((u32::from_ne_bytes(field(8)?), i32::from_ne_bytes(field(HEADER)?)))
}

/// The messages of a change, the batch's frame around them.
fn messages(change: &Change, first: u32) -> Vec<Vec<u8>> {
    let frame = |kind: u16| (kind, REQUEST, FAMILY_NONE, SUBSYSTEM, Vec::new());
    let of = |kind: u16, flags: u16| {
        move |element: &Element| {
            let (family, set) = element.set();
            (kind, REQUEST | ACK | flags, protocol_family(family), 0, list(set, element))
        }
    };
    let less = change.less.iter().map(of(DELETE_ELEMENT, 0));
    let more = change.more.iter().map(of(NEW_ELEMENT, CREATE));
    let all = std::iter::once(frame(BATCH_BEGIN)).chain(less).chain(more);
    let all = all.chain(std::iter::once(frame(BATCH_END)));
    let numbered = all.zip(std::iter::successors(Some(first), |last| Some(last.wrapping_add(1))));
    numbered.map(|(message, sequence)| written(message, sequence)).collect()
}

fn written(
    (kind, flags, family, resource, attributes): (u16, u16, u8, u16, Vec<u8>),
    sequence: u32,
) -> Vec<u8> {
    let length = u32::try_from(HEADER + 4 + attributes.len()).unwrap_or(u32::MAX);
    let mut bytes = length.to_ne_bytes().to_vec();
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(flags.to_ne_bytes());
    bytes.extend(sequence.to_ne_bytes());
    bytes.extend([0; 4]);
    bytes.extend([family, 0]);
    bytes.extend(resource.to_be_bytes());
    bytes.extend(attributes);
    bytes
}

/// The attributes that name one element of a set.
fn list(set: &str, element: &Element) -> Vec<u8> {
    let text = |kind, text: &str| attribute(kind, [text.as_bytes(), &[0]].concat());
    let key = attribute(ELEMENT_KEY | NESTED, attribute(DATA_VALUE, key(element)));
    let elements = attribute(LIST_ELEMENTS | NESTED, attribute(LIST_ELEMENT | NESTED, key));
    [text(LIST_TABLE, TABLE), text(LIST_SET, set), elements].concat()
}

fn attribute(kind: u16, value: Vec<u8>) -> Vec<u8> {
    let length = u16::try_from(4 + value.len()).unwrap_or(u16::MAX);
    let mut bytes = [length.to_ne_bytes(), kind.to_ne_bytes()].concat();
    bytes.extend(value);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

/// An element as the kernel compares it: each part fills whole words.
fn key(element: &Element) -> Vec<u8> {
    match element {
        Element::Service(address, Port { protocol, number }) => {
            let [high, low] = number.to_be_bytes();
            let mut key = octets(*address);
            key.extend([number_of(*protocol), 0, 0, 0, high, low, 0, 0]);
            key
        }
        Element::Address(address) => octets(*address),
        Element::Peer(address) => address.octets().to_vec(),
        Element::Probed(Target { machine, port }) => {
            let [high, low] = port.to_be_bytes();
            let mut key = octets(*machine);
            key.extend([high, low, 0, 0]);
            key
        }
    }
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    }
}

/// `NFPROTO_IPV4`, `NFPROTO_IPV6`.
const fn protocol_family(family: Family) -> u8 {
    match family {
        Family::V4 => 2,
        Family::V6 => 10,
    }
}

/// Assigned Internet Protocol Numbers (IANA).
const fn number_of(protocol: Protocol) -> u8 {
    match protocol {
        Protocol::Tcp => 6,
        Protocol::Udp => 17,
        Protocol::Sctp => 132,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_element_is_the_words_that_the_kernel_compares() {
        let port = Port { protocol: Protocol::Udp, number: 53 };
        let v4 = "198.51.100.9".parse().unwrap();
        let service = key(&Element::Service(v4, port));
        assert_eq!(service, [198, 51, 100, 9, 17, 0, 0, 0, 0, 53, 0, 0]);
        assert_eq!(key(&Element::Address(v4)), [198, 51, 100, 9]);
        let probed = Element::Probed(Target { machine: v4, port: 10_256 });
        assert_eq!(key(&probed), [198, 51, 100, 9, 40, 16, 0, 0]);
        let v6: std::net::Ipv6Addr = "2001:db8::9".parse().unwrap();
        let service = key(&Element::Service(v6.into(), port));
        assert_eq!((service.len(), key(&Element::Peer(v6))), (24, v6.octets().to_vec()));
    }

    #[test]
    fn what_goes_is_told_before_what_comes_within_one_batch() {
        let address = |last: u8| Element::Address([198, 51, 100, last].into());
        let change = Change { less: [address(9)].into(), more: [address(1), address(2)].into() };
        let messages = messages(&change, u32::MAX);
        let kind = |message: &Vec<u8>| u16::from_ne_bytes([message[4], message[5]]);
        let kinds: Vec<u16> = messages.iter().map(kind).collect();
        assert_eq!(kinds, [BATCH_BEGIN, DELETE_ELEMENT, NEW_ELEMENT, NEW_ELEMENT, BATCH_END]);
        let sequence = |message: &Vec<u8>| u32::from_ne_bytes(*message[8..].first_chunk().unwrap());
        let sequences: Vec<u32> = messages.iter().map(sequence).collect();
        assert_eq!(sequences, [u32::MAX, 0, 1, 2, 3]);
        for message in &messages {
            let length = u32::from_ne_bytes(*message.first_chunk().unwrap());
            assert_eq!(usize::try_from(length).unwrap(), message.len());
            assert_eq!(message.len() % 4, 0);
        }
    }

    #[test]
    fn an_answer_that_is_cut_short_is_none() {
        let mut bytes = written((ERROR, 0, 0, 0, Vec::new()), 7);
        bytes.truncate(HEADER);
        bytes.extend((-17_i32).to_ne_bytes());
        assert_eq!(answer(&bytes), Some((7, -17)));
        for length in 0..bytes.len() {
            assert_eq!(answer(&bytes[..length]), None, "{length}");
        }
    }
}
