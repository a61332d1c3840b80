//! Frames that a stranger on the link should not have sent.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use ccm_proxy::netlink::Netlink;
use ccm_proxy::packet::{Opened, PacketSocket};
use lab::speaker::Speaker;
use lab::traffic::Stream;
use lab::wait;
use serde_json::Value;
use speaker_core::l2::frame;
use speaker_core::mac::MacAddress;

use crate::bed::{SOON, bed};

/// As many of each kind are sent.
const EACH: u64 = 50;
/// As many questions are asked about addresses that are nobody's.
const FLOOD: u16 = 20_000;
/// What a speaker writes to its log meanwhile, of other things that go on.
const LINES: usize = 100;
/// Where speakers listen for each other.
const BFD: u16 = 3_784;

/// A frame with some of its octets changed.
fn changed(mut frame: Vec<u8>, changes: &[(usize, u8)]) -> Vec<u8> {
    for (at, octet) in changes {
        if let Some(place) = frame.get_mut(*at) {
            *place = *octet;
        }
    }
    frame
}

/// Frames of each kind that has no effect, and why it has none.
fn bad_frames(us: MacAddress, v4: Ipv4Addr, v6: Ipv6Addr) -> [(&'static str, Vec<u8>); 6] {
    let (arp, ndp) = (frame::probe(us, IpAddr::V4(v4)), frame::probe(us, IpAddr::V6(v6)));
    // To all nodes: speakers are in no group of an address that is none of theirs.
    let ndp = changed(ndp, &[(2, 0), (3, 0), (4, 0), (5, 1)]);
    let (hop_limit, checksum) = (14 + 7, 14 + 40 + 2);
    let other_sum = ndp.get(checksum).map_or(0, |octet| octet ^ 0xff);
    [
        ("Truncated", arp.iter().copied().take(14 + 20).collect()),
        // Of another kind of hardware.
        ("MalformedArp", changed(arp.clone(), &[(15, 6)])),
        ("ArpOperation", changed(arp.clone(), &[(21, 9)])),
        // Its sender says that it is a group.
        ("BadSender", changed(arp, &[(22, 0x03)])),
        ("HopLimit", changed(ndp.clone(), &[(hop_limit, 64)])),
        ("Checksum", changed(ndp, &[(checksum, other_sum)])),
    ]
}

/// How many lines a speaker has written to its log.
fn lines(speaker: &Speaker) -> Result<usize> {
    Ok(std::fs::read_to_string(speaker.process().log())?.lines().count())
}

/// How often something was dropped.
fn dropped(told: &Value, why: &str) -> u64 {
    told.pointer(&format!("/vlans/a/drops/{why}")).and_then(Value::as_u64).unwrap_or_default()
}

pub(crate) async fn noise_on_the_link_is_counted_and_has_no_effect() -> Result<()> {
    let bed = bed().await?;
    let (lan, web) = (bed.lab.tenant("a")?.lan()?, bed.web()?);
    let said = async || {
        let status = bed.eips().get(&web.to_string()).await?.status.context("no status")?;
        anyhow::Ok(status.announcements)
    };
    let before = said().await?;
    let host = lan.host(bed.lab.space(), "noise", 243).await?;
    let (opened, us) = host.netns().inside(|| {
        let found = Netlink::open()?.interface("eth0")?.context("no eth0")?;
        Ok((Opened::open("eth0")?, found.mac.context("no Ethernet address")?))
    })?;
    let socket = PacketSocket::new(opened)?;
    let bad = bad_frames(us, web, lan.address6(50));
    let (mut counted, mut written) = (Vec::new(), Vec::new());
    for speaker in &bed.speakers {
        counted.push(speaker.json().await?);
        written.push(lines(speaker)?);
    }
    let stream = Stream::start(bed.client()?, &format!("http://{web}/"), 200, 60);
    for (_, frame) in bad.iter().cycle().take(bad.len() * usize::try_from(EACH)?) {
        socket.send(frame)?;
    }
    for number in 0..FLOOD {
        let [high, low] = number.to_be_bytes();
        let question = frame::probe(us, Ipv4Addr::new(10, 77, high, low).into());
        if socket.send(&question).is_err() {
            // There is no room for more at the moment.
            tokio::task::yield_now().await;
        }
    }
    strangers_bfd(&host, &counted).await?;
    for (speaker, before) in bed.speakers.iter().zip(&counted) {
        wait::until(&format!("{} to have counted all", speaker.node()), SOON, || async {
            let told = speaker.json().await?;
            // BFD from strangers comes no farther than to the gate.
            for why in bad.iter().map(|(why, _)| *why).chain(["GateUnwelcome"]) {
                let more = dropped(&told, why) - dropped(before, why);
                ensure!(more >= EACH, "{why}: {more}: {told}");
            }
            Ok(())
        })
        .await?;
    }
    let report = stream.stop().await?;
    ensure!(report.failures.is_empty(), "{:?} of {}", report.failures, report.asked);
    bed.all_hear_each_other().await?;
    for (speaker, before) in bed.speakers.iter().zip(written) {
        let more = lines(speaker)? - before;
        ensure!(more < LINES, "{more} lines in the log of {}", speaker.node());
    }
    let after = said().await?;
    ensure!(before == after, "{before:?}, {after:?}");
    lan.bridge().ip("link delete noise").await.map(drop)
}

/// Packets of BFD from somebody who is no speaker: at first sight they are of a session.
async fn strangers_bfd(host: &lab::netns::Host, speakers: &[Value]) -> Result<()> {
    let socket = host.netns().bind(SocketAddr::from((Ipv6Addr::UNSPECIFIED, 49_152)))?;
    let index = host
        .netns()
        .inside(|| Ok(Netlink::open()?.interface("eth0")?.context("no eth0")?.index))?;
    // Down, which would end a session: version 1, three packets, 24 octets, a discriminator.
    let mut packet = [0_u8; 24];
    packet[..8].copy_from_slice(&[0x20, 0x40, 3, 24, 0, 0, 0, 7]);
    for told in speakers {
        let mac = told.pointer("/vlans/a/mac").and_then(Value::as_str).context("no mac")?;
        let address = mac.parse::<MacAddress>()?.link_local();
        let to = SocketAddrV6::new(address, BFD, 0, index);
        for _ in 0..EACH {
            tokio::time::timeout(Duration::from_secs(1), socket.send_to(&packet, to)).await??;
        }
    }
    Ok(())
}
