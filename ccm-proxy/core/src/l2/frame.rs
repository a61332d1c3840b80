//! Frames of ARP and neighbor discovery, read and written.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{
    ArpOperation, ArpPacket, ArpRepr, EthernetAddress, EthernetFrame, EthernetProtocol,
    EthernetRepr, Icmpv6Message, Icmpv6Packet, Icmpv6Repr, IpProtocol, Ipv6Packet, Ipv6Repr,
    NdiscNeighborFlags, NdiscRepr, RawHardwareAddress,
};

use super::{Asker, Claim, Heard, Question, group_mac, solicited_node};
use crate::drop_reason::DropReason;
use crate::mac::MacAddress;

const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
const BROADCAST: [u8; 6] = [0xff; 6];
/// What is not forwarded has this hop limit (RFC 4861, 7.1).
const ON_LINK: u8 = 255;

/// Reads a frame that our interface heard.
///
/// # Errors
/// Why it says nothing to us.
pub fn read(frame: &[u8], us: MacAddress) -> Result<Heard, DropReason> {
    let frame = EthernetFrame::new_checked(frame).map_err(|_| DropReason::Truncated)?;
    let from = frame.src_addr().0;
    if from == us.octets() {
        return Err(DropReason::FromOurselves);
    }
    let from = MacAddress::new(from).map_err(|_| DropReason::BadSender)?;
    let to = frame.dst_addr();
    if to.is_unicast() && to.0 != us.octets() {
        return Err(DropReason::OtherDestination);
    }
    match frame.ethertype() {
        EthernetProtocol::Arp => read_arp(frame.payload(), from),
        EthernetProtocol::Ipv6 => read_ndp(frame.payload(), from),
        _ => Err(DropReason::OtherProtocol),
    }
}

fn read_arp(payload: &[u8], from: MacAddress) -> Result<Heard, DropReason> {
    let packet = ArpPacket::new_checked(payload).map_err(|_| DropReason::Truncated)?;
    let repr = ArpRepr::parse(&packet).map_err(|_| DropReason::MalformedArp)?;
    let ArpRepr::EthernetIpv4 {
        operation,
        source_hardware_addr: EthernetAddress(mac),
        source_protocol_addr: sender,
        target_protocol_addr: about,
        ..
    } = repr
    else {
        return Err(DropReason::MalformedArp);
    };
    let mac = MacAddress::new(mac).map_err(|_| DropReason::BadSender)?;
    if sender.is_multicast() || sender.is_broadcast() {
        return Err(DropReason::BadSender);
    }
    let address = (!sender.is_unspecified()).then_some(IpAddr::V4(sender));
    let claim = address.map(|address| Claim { address, mac });
    // Who announces itself asks about its own address (RFC 5227, 2.3).
    let asks = sender != about && !about.is_unspecified();
    let asker = Asker { mac, address };
    match operation {
        ArpOperation::Request => {
            let question = asks.then_some(Question { about: about.into(), asker });
            Ok(Heard { from, question, claim })
        }
        ArpOperation::Reply => Ok(Heard { from, question: None, claim }),
        ArpOperation::Unknown(_) => Err(DropReason::ArpOperation),
    }
}

fn read_ndp(payload: &[u8], from: MacAddress) -> Result<Heard, DropReason> {
    let packet = Ipv6Packet::new_checked(payload).map_err(|_| DropReason::Truncated)?;
    if packet.version() != 6 || packet.next_header() != IpProtocol::Icmpv6 {
        return Err(DropReason::NotNeighborDiscovery);
    }
    let icmp = Icmpv6Packet::new_checked(packet.payload()).map_err(|_| DropReason::Truncated)?;
    let (solicits, shortest) = match icmp.msg_type() {
        Icmpv6Message::NeighborSolicit => (true, 24),
        Icmpv6Message::NeighborAdvert => (false, 24),
        _ => return Err(DropReason::NotNeighborDiscovery),
    };
    if packet.hop_limit() != ON_LINK {
        return Err(DropReason::HopLimit);
    }
    if packet.payload().len() < shortest || icmp.msg_code() != 0 {
        return Err(DropReason::MalformedNdp);
    }
    let (source, destination) = (packet.src_addr(), packet.dst_addr());
    if !icmp.verify_checksum(&source, &destination) {
        return Err(DropReason::Checksum);
    }
    let said = NdiscRepr::parse(&icmp).map_err(|_| DropReason::MalformedNdp)?;
    let said = match said {
        NdiscRepr::NeighborSolicit { target_addr, lladdr } if solicits => {
            solicitation(source, destination, target_addr, mac_of(lladdr)?, from)
        }
        NdiscRepr::NeighborAdvert { flags, target_addr, lladdr } => {
            let solicited = flags.contains(NdiscNeighborFlags::SOLICITED);
            let whole = is_node(target_addr) && !(solicited && destination.is_multicast());
            let mac = mac_of(lladdr)?.unwrap_or(from);
            let claim = Claim { address: target_addr.into(), mac };
            whole.then_some(Heard { from, question: None, claim: Some(claim) })
        }
        _ => None,
    };
    said.ok_or(DropReason::MalformedNdp)
}

/// What a neighbor solicitation says, if it is whole (RFC 4861, 7.1.1).
fn solicitation(
    source: Ipv6Addr,
    destination: Ipv6Addr,
    about: Ipv6Addr,
    mac: Option<MacAddress>,
    from: MacAddress,
) -> Option<Heard> {
    if !is_node(about) {
        return None;
    }
    if source.is_unspecified() {
        let group = destination == solicited_node(about);
        let asker = Asker { mac: from, address: None };
        let question = Some(Question { about: about.into(), asker });
        return (group && mac.is_none()).then_some(Heard { from, question, claim: None });
    }
    let whole = !source.is_multicast();
    let mac = mac.unwrap_or(from);
    let address = IpAddr::V6(source);
    let question = Question { about: about.into(), asker: Asker { mac, address: Some(address) } };
    let heard = Heard { from, question: Some(question), claim: Some(Claim { address, mac }) };
    whole.then_some(heard)
}

/// Whether an address may be a node's.
const fn is_node(address: Ipv6Addr) -> bool {
    !address.is_multicast() && !address.is_unspecified()
}

fn mac_of(option: Option<RawHardwareAddress>) -> Result<Option<MacAddress>, DropReason> {
    let read = |raw: RawHardwareAddress| {
        let octets: [u8; 6] = raw.as_bytes().try_into().map_err(|_| DropReason::MalformedNdp)?;
        MacAddress::new(octets).map_err(|_| DropReason::BadSender)
    };
    option.map(read).transpose()
}

/// Answers a question; `us` is the interface that sends, whosever address it is.
#[must_use]
pub fn answer(us: MacAddress, claim: Claim, to: Asker) -> Vec<u8> {
    match (claim.address, to.address) {
        (IpAddr::V4(address), _) => {
            let asker = match to.address {
                Some(IpAddr::V4(asker)) => asker,
                Some(IpAddr::V6(_)) | None => Ipv4Addr::UNSPECIFIED,
            };
            let target = (to.mac.octets(), asker);
            arp(us, to.mac.octets(), ArpOperation::Reply, (claim.mac.octets(), address), target)
        }
        (IpAddr::V6(address), Some(IpAddr::V6(asker))) => {
            let flags = NdiscNeighborFlags::SOLICITED | NdiscNeighborFlags::OVERRIDE;
            advertisement(us, to.mac.octets(), asker, address, claim.mac, flags)
        }
        (IpAddr::V6(address), _) => {
            let flags = NdiscNeighborFlags::OVERRIDE;
            advertisement(us, group_mac(ALL_NODES), ALL_NODES, address, claim.mac, flags)
        }
    }
}

/// Tells everybody on the link where an address is: by ARP as a request and as a reply, since some
/// hosts believe the one alone, and some the other.
#[must_use]
pub fn announce(us: MacAddress, claim: Claim) -> Vec<Vec<u8>> {
    match claim.address {
        IpAddr::V4(address) => {
            let sender = (claim.mac.octets(), address);
            [ArpOperation::Request, ArpOperation::Reply]
                .map(|operation| arp(us, BROADCAST, operation, sender, (BROADCAST, address)))
                .into()
        }
        IpAddr::V6(address) => {
            let flags = NdiscNeighborFlags::OVERRIDE;
            vec![advertisement(us, group_mac(ALL_NODES), ALL_NODES, address, claim.mac, flags)]
        }
    }
}

/// Asks whether anybody has an address, without claiming it (RFC 5227, 2.1.1; RFC 4862, 5.4.2).
#[must_use]
pub fn probe(us: MacAddress, about: IpAddr) -> Vec<u8> {
    match about {
        IpAddr::V4(about) => {
            let sender = (us.octets(), Ipv4Addr::UNSPECIFIED);
            arp(us, BROADCAST, ArpOperation::Request, sender, ([0; 6], about))
        }
        IpAddr::V6(about) => {
            let group = solicited_node(about);
            let said = NdiscRepr::NeighborSolicit { target_addr: about, lladdr: None };
            ndp(us, group_mac(group), Ipv6Addr::UNSPECIFIED, group, said)
        }
    }
}

fn arp(
    from: MacAddress,
    to: [u8; 6],
    operation: ArpOperation,
    (source_mac, source): ([u8; 6], Ipv4Addr),
    (target_mac, target): ([u8; 6], Ipv4Addr),
) -> Vec<u8> {
    let said = ArpRepr::EthernetIpv4 {
        operation,
        source_hardware_addr: EthernetAddress(source_mac),
        source_protocol_addr: source,
        target_hardware_addr: EthernetAddress(target_mac),
        target_protocol_addr: target,
    };
    ethernet(from, to, EthernetProtocol::Arp, said.buffer_len(), |payload| {
        said.emit(&mut ArpPacket::new_unchecked(payload));
    })
}

fn advertisement(
    from: MacAddress,
    to: [u8; 6],
    destination: Ipv6Addr,
    address: Ipv6Addr,
    mac: MacAddress,
    flags: NdiscNeighborFlags,
) -> Vec<u8> {
    let lladdr = Some(EthernetAddress(mac.octets()).into());
    let said = NdiscRepr::NeighborAdvert { flags, target_addr: address, lladdr };
    ndp(from, to, address, destination, said)
}

fn ndp(
    from: MacAddress,
    to: [u8; 6],
    source: Ipv6Addr,
    destination: Ipv6Addr,
    said: NdiscRepr<'_>,
) -> Vec<u8> {
    let said = Icmpv6Repr::Ndisc(said);
    let header = Ipv6Repr {
        src_addr: source,
        dst_addr: destination,
        next_header: IpProtocol::Icmpv6,
        payload_len: said.buffer_len(),
        hop_limit: ON_LINK,
    };
    let length = header.buffer_len() + said.buffer_len();
    ethernet(from, to, EthernetProtocol::Ipv6, length, |payload| {
        let mut packet = Ipv6Packet::new_unchecked(payload);
        header.emit(&mut packet);
        let mut icmp = Icmpv6Packet::new_unchecked(packet.payload_mut());
        said.emit(&source, &destination, &mut icmp, &ChecksumCapabilities::default());
    })
}

fn ethernet(
    from: MacAddress,
    to: [u8; 6],
    ethertype: EthernetProtocol,
    length: usize,
    emit: impl FnOnce(&mut [u8]),
) -> Vec<u8> {
    let header = EthernetRepr {
        src_addr: EthernetAddress(from.octets()),
        dst_addr: EthernetAddress(to),
        ethertype,
    };
    let mut buffer = vec![0; header.buffer_len() + length];
    let mut frame = EthernetFrame::new_unchecked(&mut buffer);
    header.emit(&mut frame);
    emit(frame.payload_mut());
    buffer
}

#[cfg(test)]
#[path = "frame_tests.rs"]
mod tests;
