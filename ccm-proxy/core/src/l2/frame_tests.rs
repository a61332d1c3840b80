use proptest::prelude::*;

use super::*;

const US: &str = "02:00:00:00:00:01";
const HIM: &str = "02:00:00:00:00:02";

fn mac(text: &str) -> MacAddress {
    text.parse().unwrap()
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// Bytes in hexadecimal; spaces are for the reader.
fn bytes(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    let octet = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.chunks(2).map(octet).collect()
}

/// A request for 198.51.100.9, as `arping` sends it from 198.51.100.2.
fn arp_request() -> Vec<u8> {
    bytes(
        "ffffffffffff 020000000002 0806 0001 0800 06 04 0001 020000000002 c6336402 000000000000 c6336409",
    )
}

/// A solicitation for 2001:db8::9, as `ndisc6` sends it from 2001:db8::2.
fn solicitation_frame() -> Vec<u8> {
    let header = "3333ff000009 020000000002 86dd 60000000 0020 3a ff";
    let addresses = "20010db8000000000000000000000002 ff0200000000000000000001ff000009";
    let icmp = "87 00 3f0d 00000000 20010db8000000000000000000000009 01 01 020000000002";
    let mut frame = bytes(&format!("{header} {addresses} {icmp}"));
    sign(&mut frame);
    frame
}

/// Writes the right checksum of ICMPv6.
fn sign(frame: &mut [u8]) {
    let mut packet = Ipv6Packet::new_unchecked(&mut frame[14..]);
    let (source, destination) = (packet.src_addr(), packet.dst_addr());
    Icmpv6Packet::new_unchecked(packet.payload_mut()).fill_checksum(&source, &destination);
}

fn hear(frame: &[u8]) -> Result<Heard, DropReason> {
    read(frame, mac(US))
}

#[test]
fn an_arp_request_asks_and_names_its_sender() {
    let asker = Asker { mac: mac(HIM), address: Some(ip("198.51.100.2")) };
    let heard = Heard {
        from: mac(HIM),
        question: Some(Question { about: ip("198.51.100.9"), asker }),
        claim: Some(Claim { address: ip("198.51.100.2"), mac: mac(HIM) }),
    };
    assert_eq!(hear(&arp_request()), Ok(heard));
}

#[test]
fn a_solicitation_asks_and_names_its_sender() {
    let asker = Asker { mac: mac(HIM), address: Some(ip("2001:db8::2")) };
    let heard = Heard {
        from: mac(HIM),
        question: Some(Question { about: ip("2001:db8::9"), asker }),
        claim: Some(Claim { address: ip("2001:db8::2"), mac: mac(HIM) }),
    };
    assert_eq!(hear(&solicitation_frame()), Ok(heard));
}

#[test]
fn an_arp_answer_has_these_bytes() {
    let asker = Asker { mac: mac(HIM), address: Some(ip("198.51.100.2")) };
    let claim = Claim { address: ip("198.51.100.9"), mac: mac("02:00:00:00:00:07") };
    let expected = bytes(
        "020000000002 020000000001 0806 0001 0800 06 04 0002 020000000007 c6336409 020000000002 c6336402",
    );
    assert_eq!(answer(mac(US), claim, asker), expected);
}

#[test]
fn an_ndp_answer_has_these_bytes() {
    let asker = Asker { mac: mac(HIM), address: Some(ip("2001:db8::2")) };
    let claim = Claim { address: ip("2001:db8::9"), mac: mac(US) };
    let header = "020000000002 020000000001 86dd 60000000 0020 3a ff";
    let addresses = "20010db8000000000000000000000009 20010db8000000000000000000000002";
    // Solicited, override.
    let icmp = "88 00 0000 60000000 20010db8000000000000000000000009 02 01 020000000001";
    let mut expected = bytes(&format!("{header} {addresses} {icmp}"));
    sign(&mut expected);
    assert_eq!(answer(mac(US), claim, asker), expected);
}

#[test]
fn who_asks_for_itself_is_answered_where_it_can_hear() {
    let asker = Asker { mac: mac(HIM), address: None };
    for (address, to) in [("198.51.100.9", HIM), ("2001:db8::9", "33:33:00:00:00:01")] {
        let frame = answer(mac(US), Claim { address: ip(address), mac: mac(US) }, asker);
        let destination = EthernetFrame::new_checked(&frame).unwrap().dst_addr();
        assert_eq!(destination.to_string().replace('-', ":"), to, "{address}");
        let heard = read(&frame, mac(HIM)).unwrap();
        assert_eq!(heard.claim, Some(Claim { address: ip(address), mac: mac(US) }));
    }
}

#[test]
fn an_announcement_claims_and_asks_nothing() {
    for (address, frames) in [("198.51.100.9", 2), ("2001:db8::9", 1)] {
        let claim = Claim { address: ip(address), mac: mac(US) };
        let said = announce(mac(US), claim);
        assert_eq!(said.len(), frames);
        for frame in said {
            let heard = Heard { from: mac(US), question: None, claim: Some(claim) };
            assert_eq!(read(&frame, mac(HIM)), Ok(heard));
        }
    }
}

#[test]
fn a_probe_asks_and_claims_nothing() {
    for about in ["198.51.100.9", "2001:db8::9"] {
        let asker = Asker { mac: mac(US), address: None };
        let question = Some(Question { about: ip(about), asker });
        let heard = Heard { from: mac(US), question, claim: None };
        assert_eq!(read(&probe(mac(US), ip(about)), mac(HIM)), Ok(heard));
    }
}

#[test]
fn an_advertisement_without_an_option_is_of_its_sender() {
    let claim = Claim { address: ip("2001:db8::9"), mac: mac(HIM) };
    let mut frame = announce(mac(HIM), claim).remove(0);
    frame.truncate(14 + 40 + 24);
    frame[14 + 5] = 24;
    sign(&mut frame);
    let heard = Heard { from: mac(HIM), question: None, claim: Some(claim) };
    assert_eq!(hear(&frame), Ok(heard));
}

/// A frame with one thing wrong in it, and why it has no effect.
fn broken(good: Vec<u8>, at: usize, value: u8, why: DropReason) {
    let signed = good[12] == 0x86 && at > 20 && why != DropReason::Checksum;
    let mut frame = good;
    frame[at] = value;
    if signed {
        sign(&mut frame);
    }
    assert_eq!(hear(&frame), Err(why), "octet {at} is {value:#x}");
}

#[test]
fn what_is_wrong_with_a_frame_is_told() {
    let (ip6, icmp) = (14, 14 + 40);
    for (at, value, why) in [
        (6, 0x03, DropReason::BadSender),
        (11, 0x01, DropReason::FromOurselves),
        (13, 0x07, DropReason::OtherProtocol),
        (15, 6, DropReason::MalformedArp),
        (16, 9, DropReason::MalformedArp),
        (18, 4, DropReason::MalformedArp),
        (21, 3, DropReason::ArpOperation),
        (22, 0x01, DropReason::BadSender),
        (28, 224, DropReason::BadSender),
    ] {
        broken(arp_request(), at, value, why);
    }
    for (at, value, why) in [
        (ip6 + 6, 17, DropReason::NotNeighborDiscovery),
        (ip6 + 7, 254, DropReason::HopLimit),
        (ip6 + 8, 0xff, DropReason::MalformedNdp),
        (icmp, 133, DropReason::NotNeighborDiscovery),
        (icmp + 1, 1, DropReason::MalformedNdp),
        (icmp + 2, 0, DropReason::Checksum),
        (icmp + 8, 0xff, DropReason::MalformedNdp),
        (icmp + 25, 0, DropReason::MalformedNdp),
        (icmp + 26, 0x01, DropReason::BadSender),
    ] {
        broken(solicitation_frame(), at, value, why);
    }
}

#[test]
fn what_is_for_another_host_is_not_for_us() {
    let mut frame = arp_request();
    frame[..6].copy_from_slice(&[2, 0, 0, 0, 0, 9]);
    assert_eq!(hear(&frame), Err(DropReason::OtherDestination));
    frame[..6].copy_from_slice(&mac(US).octets());
    assert!(hear(&frame).is_ok());
}

#[test]
fn a_solicitation_from_nowhere_comes_to_the_group_and_without_an_option() {
    let good = probe(mac(HIM), ip("2001:db8::9"));
    assert!(hear(&good).is_ok());
    let mut elsewhere = good.clone();
    elsewhere[14 + 39] = 8;
    sign(&mut elsewhere);
    assert_eq!(hear(&elsewhere), Err(DropReason::MalformedNdp));
    let mut named = solicitation_frame();
    named[14 + 8..14 + 24].fill(0);
    sign(&mut named);
    assert_eq!(hear(&named), Err(DropReason::MalformedNdp));
}

#[test]
fn a_solicited_advertisement_is_to_one_host() {
    let claim = Claim { address: ip("2001:db8::9"), mac: mac(HIM) };
    let mut frame = announce(mac(HIM), claim).remove(0);
    frame[14 + 40 + 4] |= 0x40;
    sign(&mut frame);
    assert_eq!(hear(&frame), Err(DropReason::MalformedNdp));
}

#[test]
fn a_frame_that_ends_early_is_truncated() {
    for good in [arp_request(), solicitation_frame()] {
        for length in 0..good.len() {
            let heard = hear(&good[..length]);
            assert_eq!(heard, Err(DropReason::Truncated), "{length} octets");
        }
    }
}

#[test]
fn a_frame_that_is_too_long_says_no_more_than_the_part_that_counts() {
    for good in [arp_request(), solicitation_frame()] {
        let mut long = good.clone();
        long.resize(9_000, 0xff);
        assert_eq!(hear(&long), hear(&good), "what follows is none of it");
    }
    // All of it counts: options without a length, to the end.
    let mut long = solicitation_frame();
    long.resize(1_514, 0);
    let [high, low] = u16::to_be_bytes(1_514 - 14 - 40);
    (long[14 + 4], long[14 + 5]) = (high, low);
    sign(&mut long);
    assert_eq!(hear(&long), Err(DropReason::MalformedNdp));
    // It says that it is longer than it is.
    (long[14 + 4], long[14 + 5]) = (0xff, 0xff);
    assert_eq!(hear(&long), Err(DropReason::Truncated));
}

proptest! {
    #[test]
    fn no_frame_is_too_strange(mut frame in prop::collection::vec(any::<u8>(), 0..200), kind: u8) {
        let _ = hear(&frame);
        if frame.len() > 60 {
            // Past the first checks.
            frame[0] = 0xff;
            frame[6..12].copy_from_slice(&mac(HIM).octets());
            match kind % 3 {
                0 => frame[12..22].copy_from_slice(&bytes("0806 0001 0800 0604 0001")),
                _ => {
                    frame[12..15].copy_from_slice(&bytes("86dd 60"));
                    let length = u16::try_from(frame.len() - 54).unwrap();
                    frame[18..20].copy_from_slice(&length.to_be_bytes());
                    frame[20..22].copy_from_slice(&[58, 255]);
                    frame[54] = 135 + kind % 2;
                    frame[55] = 0;
                    sign(&mut frame);
                }
            }
            let _ = hear(&frame);
        }
    }

    #[test]
    fn what_is_said_is_heard(v6: bool, about: u32, asker: Option<u16>, direct: bool) {
        let of = |number: u32| match v6 {
            false => IpAddr::V4(Ipv4Addr::from_bits(0x0a00_0000 | number >> 8)),
            true => IpAddr::V6(Ipv6Addr::from_bits((0x2001_0db8 << 96) + u128::from(number) + 1)),
        };
        let claim = Claim { address: of(about), mac: mac(if direct { "02:00:00:00:00:07" } else { US }) };
        let asker = Asker { mac: mac(HIM), address: asker.map(|number| of(u32::from(number) << 8)) };
        let said = answer(mac(US), claim, asker);
        let heard = Heard { from: mac(US), question: None, claim: Some(claim) };
        prop_assert_eq!(read(&said, mac(HIM)), Ok(heard));
    }
}
