//! Next hops as objects (`linux/nexthop.h`), which the library of messages does not have.

use std::error::Error;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use netlink_packet_core::{
    NetlinkDeserializable, NetlinkHeader, NetlinkPayload, NetlinkSerializable,
};

use super::attributes;

const RTM_NEWNEXTHOP: u16 = 104;
const RTM_DELNEXTHOP: u16 = 105;
const RTM_GETNEXTHOP: u16 = 106;

const NHA_ID: u16 = 1;
const NHA_GROUP: u16 = 2;
const NHA_OIF: u16 = 5;
const NHA_GATEWAY: u16 = 6;

/// The gateway is on the link, whatever addresses the interface has.
const RTNH_F_ONLINK: u32 = 4;

const AF_UNSPEC: u8 = 0;
const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;

const HEADER: usize = 8;

/// A next hop, or a group of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct NextHop {
    pub(super) id: u32,
    /// Who made it, as of routes.
    pub(super) protocol: u8,
    pub(super) gateway: Option<IpAddr>,
    /// Index of the interface.
    pub(super) interface: Option<u32>,
    /// The members of a group, each as likely as the others.
    pub(super) group: Vec<u32>,
}

/// A message about next hops.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Message {
    New(NextHop),
    Delete(u32),
    Get,
}

/// A message that is none of a next hop.
#[derive(Debug)]
pub(super) struct NotANextHop(u16);

impl fmt::Display for NotANextHop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a message of type {} where one of a next hop was expected", self.0)
    }
}

impl Error for NotANextHop {}

impl Message {
    fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        match self {
            Self::New(hop) => {
                let family = match hop.gateway {
                    None => AF_UNSPEC,
                    Some(IpAddr::V4(_)) => AF_INET,
                    Some(IpAddr::V6(_)) => AF_INET6,
                };
                let flags = if hop.gateway.is_some() { RTNH_F_ONLINK } else { 0 };
                bytes.extend([family, 0, hop.protocol, 0]);
                bytes.extend(flags.to_ne_bytes());
                attribute(&mut bytes, NHA_ID, &hop.id.to_ne_bytes());
                if let Some(index) = hop.interface {
                    attribute(&mut bytes, NHA_OIF, &index.to_ne_bytes());
                }
                match hop.gateway {
                    None => {}
                    Some(IpAddr::V4(v4)) => attribute(&mut bytes, NHA_GATEWAY, &v4.octets()),
                    Some(IpAddr::V6(v6)) => attribute(&mut bytes, NHA_GATEWAY, &v6.octets()),
                }
                if !hop.group.is_empty() {
                    let entry = |id: &u32| id.to_ne_bytes().into_iter().chain([0; 4]);
                    let entries: Vec<u8> = hop.group.iter().flat_map(entry).collect();
                    attribute(&mut bytes, NHA_GROUP, &entries);
                }
            }
            Self::Delete(id) => {
                bytes.extend([0; HEADER]);
                attribute(&mut bytes, NHA_ID, &id.to_ne_bytes());
            }
            Self::Get => bytes.extend([0; HEADER]),
        }
        bytes
    }
}

fn attribute(bytes: &mut Vec<u8>, kind: u16, value: &[u8]) {
    let length = u16::try_from(4 + value.len()).unwrap_or(u16::MAX);
    bytes.extend(length.to_ne_bytes());
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(value);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
}

impl NetlinkSerializable for Message {
    fn message_type(&self) -> u16 {
        match self {
            Self::New(_) => RTM_NEWNEXTHOP,
            Self::Delete(_) => RTM_DELNEXTHOP,
            Self::Get => RTM_GETNEXTHOP,
        }
    }

    fn buffer_len(&self) -> usize {
        self.bytes().len()
    }

    fn serialize(&self, buffer: &mut [u8]) {
        let bytes = self.bytes();
        buffer.iter_mut().zip(bytes).for_each(|(place, byte)| *place = byte);
    }
}

impl NetlinkDeserializable for Message {
    type Error = NotANextHop;

    fn deserialize(header: &NetlinkHeader, payload: &[u8]) -> Result<Self, NotANextHop> {
        if header.message_type != RTM_NEWNEXTHOP {
            return Err(NotANextHop(header.message_type));
        }
        let protocol = payload.get(2).copied().unwrap_or_default();
        let mut hop = NextHop { protocol, ..NextHop::default() };
        for (kind, value) in attributes(payload.get(HEADER..).unwrap_or_default()) {
            let number = || value.first_chunk::<4>().copied().map(u32::from_ne_bytes);
            match kind {
                NHA_ID => hop.id = number().unwrap_or_default(),
                NHA_OIF => hop.interface = number(),
                NHA_GATEWAY => hop.gateway = address(value),
                NHA_GROUP => {
                    let ids = value.chunks_exact(8).filter_map(|entry| entry.first_chunk::<4>());
                    hop.group = ids.copied().map(u32::from_ne_bytes).collect();
                }
                _ => {}
            }
        }
        Ok(Self::New(hop))
    }
}

fn address(octets: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(octets).map(|octets| Ipv4Addr::from(octets).into());
    v4.or_else(|_| <[u8; 16]>::try_from(octets).map(|octets| Ipv6Addr::from(octets).into())).ok()
}

impl From<Message> for NetlinkPayload<Message> {
    fn from(message: Message) -> Self {
        Self::InnerMessage(message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(message: &Message) -> Message {
        let mut header = NetlinkHeader::default();
        header.message_type = RTM_NEWNEXTHOP;
        Message::deserialize(&header, &message.bytes()).unwrap()
    }

    #[test]
    fn a_next_hop_is_read_as_it_is_written() {
        for gateway in ["10.0.0.2", "2001:db8::2"] {
            let gateway = Some(gateway.parse().unwrap());
            let hop = NextHop { id: 7, protocol: 99, gateway, interface: Some(3), group: vec![] };
            assert_eq!(read(&Message::New(hop.clone())), Message::New(hop));
        }
        let group = NextHop { id: 9, protocol: 99, group: vec![7, 8], ..NextHop::default() };
        assert_eq!(read(&Message::New(group.clone())), Message::New(group));
    }

    #[test]
    fn what_is_no_next_hop_is_an_error_and_what_is_cut_short_is_not_believed() {
        let mut header = NetlinkHeader::default();
        assert!(Message::deserialize(&header, &[]).is_err());
        header.message_type = RTM_NEWNEXTHOP;
        let hop =
            NextHop { id: 7, gateway: Some("10.0.0.2".parse().unwrap()), ..NextHop::default() };
        let bytes = Message::New(hop).bytes();
        for length in 0..bytes.len() {
            let Ok(Message::New(hop)) = Message::deserialize(&header, &bytes[..length]) else {
                panic!("{length} bytes");
            };
            assert_eq!(hop.gateway, None);
        }
    }
}
