//! Who answers for every address of a VLAN, by what is on the wire, while speakers join, leave, are
//! killed, and are cut off from each other.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use ccm_proxy::netlink::Netlink;
use ccm_proxy::packet::{Opened, PacketSocket};
use futures::future::try_join_all;
use lab::builders::service;
use lab::netns::Host;
use lab::speaker::Speaker;
use lab::wait;
use speaker_core::l2::frame;
use speaker_core::mac::MacAddress;
use tokio::sync::OnceCell;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};

use crate::bed::{Bed, SOON, bed, both};
use crate::capture::{Answers, Capture, Moment, now};

/// As many addresses of each family are asked for.
const ADDRESSES: u8 = 10;
/// The time between two questions about the same address.
const ASKED_EVERY: Duration = Duration::from_millis(20);
/// So long it is watched that all stays as it is.
const STEADY: Duration = Duration::from_secs(1);
/// What is done in good order takes no longer, on a busy machine, too.
const AT_ONCE: Duration = Duration::from_millis(250);
/// Three packets of BFD that are missed, on a busy machine, too.
const MISSED: Duration = Duration::from_secs(2);
/// After a heal there is one owner within this time.
const HEALED: Duration = Duration::from_secs(2);

/// A host on a VLAN that asks for addresses all the time, and what it hears.
struct Watcher {
    /// Held: without it there is no link.
    _host: Host,
    mac: MacAddress,
    capture: Capture,
    asks: JoinHandle<Result<()>>,
}

impl Watcher {
    async fn start(bed: &Bed, name: &str, last: u8, about: &[IpAddr]) -> Result<Self> {
        let lan = bed.lab.tenant("a")?.lan()?;
        let host = lan.host(bed.lab.space(), name, last).await?;
        let (opened, mac) = host.netns().inside(|| {
            let found = Netlink::open()?.interface("eth0")?.context("no eth0")?;
            Ok((Opened::open("eth0")?, found.mac.context("no Ethernet address")?))
        })?;
        let capture =
            Capture::start(&bed.lab, (host.netns().name(), "eth0"), "arp or icmp6").await?;
        let socket = PacketSocket::new(opened)?;
        let v6 = host.v6().context("no IPv6 address")?;
        let questions = about.iter().map(|address| match address {
            IpAddr::V4(about) => question(mac, host.address(), *about),
            IpAddr::V6(about) => question6(mac, v6, *about),
        });
        let asks = tokio::spawn(ask_all_the_time(socket, questions.collect()));
        Ok(Self { _host: host, mac, capture, asks })
    }

    /// Ends it, and gives the answers to it.
    async fn stop(self, bed: &Bed, port: &str) -> Result<Answers> {
        self.asks.abort();
        let lines = self.capture.stop().await?;
        bed.lab.tenant("a")?.lan()?.bridge().ip(&format!("link delete {port}")).await?;
        Answers::read(&lines, &self.mac.to_string())
    }
}

/// Ends when aborted.
async fn ask_all_the_time(socket: PacketSocket, questions: Vec<Vec<u8>>) -> Result<()> {
    let mut ticks = interval(ASKED_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        for question in &questions {
            socket.send(question)?;
        }
    }
}

/// A question of a host that has an address.
fn question(us: MacAddress, from: Ipv4Addr, about: Ipv4Addr) -> Vec<u8> {
    let mut frame = frame::probe(us, about.into());
    if let Some(sender) = frame.get_mut(28..32) {
        sender.copy_from_slice(&from.octets());
    }
    frame
}

/// The same by neighbor discovery.
fn question6(us: MacAddress, from: Ipv6Addr, about: Ipv6Addr) -> Vec<u8> {
    let mut frame = frame::probe(us, about.into());
    if let Some(sender) = frame.get_mut(22..38) {
        sender.copy_from_slice(&from.octets());
    }
    // Its checksum covers the sender (RFC 1624).
    if let Some([high, low]) = frame.get_mut(56..58) {
        let mut sum = u32::from(!u16::from_be_bytes([*high, *low]));
        sum += from.segments().into_iter().map(u32::from).sum::<u32>();
        while sum > 0xffff {
            sum = (sum & 0xffff) + (sum >> 16);
        }
        [.., *high, *low] = (!sum).to_be_bytes();
    }
    frame
}

static ANNOUNCED: OnceCell<Vec<IpAddr>> = OnceCell::const_new();

/// Addresses of tenant `a` that are announced.
async fn announced(bed: &Bed) -> Result<&'static Vec<IpAddr>> {
    ANNOUNCED.get_or_try_init(|| announce(bed)).await
}

async fn announce(bed: &Bed) -> Result<Vec<IpAddr>> {
    let tenant = bed.lab.tenant("a")?;
    bed.pods("a", "many").await?;
    let names = (0..ADDRESSES).map(|number| format!("many-{number}"));
    let served = names.map(|name| async move {
        let service = both(service(&name).selector("app", "many").port(80));
        bed.serve(tenant, &service.build()).await?;
        bed.addresses(tenant, &name).await
    });
    let addresses = try_join_all(served).await?.concat();
    ensure!(addresses.len() == 2 * usize::from(ADDRESSES), "{addresses:?}");
    for address in &addresses {
        bed.answers(*address).await?;
    }
    Ok(addresses)
}

/// Something that happens to speakers: when, and how long two may answer for an address because of
/// it, and none.
struct Phase<'a> {
    what: &'a str,
    when: (Moment, Moment),
    limits: (Duration, Duration),
}

impl Phase<'_> {
    /// Tells the longest times in which two answered, and in which none did, and holds them against
    /// the limits. In the end each address has one owner.
    fn holds(&self, answers: &Answers, addresses: &[IpAddr]) -> Result<()> {
        let Self { what, when: (from, until), limits: (two, none) } = *self;
        let changes = answers.changes(addresses, (from, until)).context(what.to_owned())?;
        let both = changes.iter().map(|change| change.both).max().unwrap_or_default();
        let silent = changes.iter().map(|change| change.silent).max().unwrap_or_default();
        eprintln!("{what}: two answered for {both:?}, none for {silent:?} at most");
        ensure!(both <= two && silent < none, "{what}: two for {both:?}, none for {silent:?}");
        let end = (until - STEADY.as_secs_f64(), until);
        answers.owners(addresses, end).context(what.to_owned()).map(drop)
    }
}

/// Does something to speakers and waits until all is steady again.
async fn phase<'a>(
    what: &'a str,
    limits: (Duration, Duration),
    happens: impl Future<Output = Result<()>>,
) -> Result<Phase<'a>> {
    let from = now()?;
    happens.await.context(what.to_owned())?;
    steady().await?;
    Ok(Phase { what, when: (from, now()?), limits })
}

async fn steady() -> Result<()> {
    wait::throughout("nothing happens", STEADY + AT_ONCE, || async { Ok(()) }).await
}

/// Waits until these speakers hear as many others on the VLAN.
async fn hear(speakers: &[Speaker], others: usize) -> Result<()> {
    try_join_all(speakers.iter().map(|s| s.hears(&["a"], others, SOON))).await.map(drop)
}

pub(crate) async fn one_speaker_answers_for_each_address_whatever_happens() -> Result<()> {
    let bed = bed().await?;
    let addresses = announced(bed).await?;
    let (last, rest) = bed.speakers.split_last().context("no speakers")?;
    let watcher = Watcher::start(bed, "watcher", 240, addresses).await?;
    steady().await?;
    let (speaker, back, gone) = (last.process(), rest.len(), rest.len() - 1);
    let order = (AT_ONCE, AT_ONCE);
    let death = (Duration::ZERO, MISSED);
    let phases = [
        phase("a speaker leaves", order, async {
            speaker.stop().await?;
            hear(rest, gone).await
        })
        .await?,
        phase("a speaker joins", order, async {
            speaker.start_again()?;
            hear(&bed.speakers, back).await
        })
        .await?,
        phase("a speaker is killed", death, async {
            speaker.kill().await?;
            hear(rest, gone).await
        })
        .await?,
        phase("one that was killed comes back", order, async {
            speaker.start_again()?;
            hear(&bed.speakers, back).await
        })
        .await?,
        phase("a speaker is stopped", death, async {
            speaker.pause()?;
            hear(rest, gone).await
        })
        .await?,
        phase("one that was stopped goes on", (HEALED, AT_ONCE), async {
            speaker.resume()?;
            hear(&bed.speakers, back).await
        })
        .await?,
    ];
    let answers = watcher.stop(bed, "watcher").await?;
    phases.iter().try_for_each(|phase| phase.holds(&answers, addresses))
}

pub(crate) async fn after_a_partition_heals_one_of_the_two_owners_falls_silent() -> Result<()> {
    let bed = bed().await?;
    let addresses = announced(bed).await?;
    let bridge = bed.lab.tenant("a")?.lan()?.bridge();
    let (cut_off, rest) = bed.speakers.split_first().context("no speakers")?;
    let near = Watcher::start(bed, "near", 241, addresses).await?;
    let far = Watcher::start(bed, "far", 242, addresses).await?;
    steady().await?;
    let to = |other: &str| {
        [cut_off.node(), "far"].map(|port| format!("link set {port} master {other}")).join("\n")
    };
    bridge.ip("link add br1 type bridge mcast_snooping 0\nlink set br1 up").await?;
    let cut = now()?;
    bridge.ip(&to("br1")).await?;
    cut_off.hears(&["a"], 0, SOON).await?;
    hear(rest, rest.len() - 1).await?;
    steady().await?;
    let healed = now()?;
    bridge.ip(&format!("{}\nlink delete br1", to("br0"))).await?;
    bed.all_hear_each_other().await?;
    steady().await?;
    steady().await?;
    let end = now()?;
    let (near, far) = (near.stop(bed, "near").await?, far.stop(bed, "far").await?);
    // Each side had one owner, and they were two.
    let apart = (healed - STEADY.as_secs_f64(), healed);
    let (one, other) = (near.owners(addresses, apart)?, far.owners(addresses, apart)?);
    ensure!(one.iter().zip(&other).all(|(one, other)| one != other), "{one:?}, {other:?}");
    for (what, answers) in [("cut off, two speakers", &near), ("cut off, one", &far)] {
        let death = (Duration::ZERO, MISSED);
        Phase { what, when: (cut, healed), limits: death }.holds(answers, addresses)?;
    }
    // From the first answer of the other on this side to the last of the one that gives in.
    for (what, answers) in [("healed, near", &near), ("healed, far", &far)] {
        let limits = (HEALED, AT_ONCE);
        Phase { what, when: (healed, end), limits }.holds(answers, addresses)?;
    }
    let end = (end - 2.0 * STEADY.as_secs_f64(), end);
    let (one, other) = (near.owners(addresses, end)?, far.owners(addresses, end)?);
    ensure!(one == other, "{one:?}, {other:?}");
    Ok(())
}
