//! A host on a link that asks by ARP who has an address.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use ccm_proxy::netlink::Netlink;
use ccm_proxy::packet::{Opened, PacketSocket};
use lab::netns::Netns;
use lab::overlay::Lan;
use lab::space::Space;
use speaker_core::l2::frame;
use speaker_core::mac::MacAddress;
use tokio::sync::oneshot;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use crate::bed::SOON;

/// One question in so long.
const EVERY: Duration = Duration::from_millis(1);

/// A host that asks.
pub(crate) struct Asker {
    netns: Netns,
    interface: String,
    socket: PacketSocket,
    us: MacAddress,
    address: Ipv4Addr,
    /// Addresses that were asked for before.
    known: BTreeSet<Ipv4Addr>,
}

/// What a frame says of an address.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Said {
    pub(crate) address: Ipv4Addr,
    pub(crate) mac: MacAddress,
    /// It is an answer to us.
    pub(crate) answer: bool,
}

impl Asker {
    /// A host of its own on a link.
    pub(crate) async fn new(space: &Space, lan: &Lan, name: &str) -> Result<Self> {
        let netns = Netns::new(space.namespace(&format!("{name}{}", lan.number()))).await?;
        lan.plug(&netns, "eth0", name).await?;
        let address = lan.address(49);
        netns.ip(&format!("address add {address}/{} dev eth0", lan.length())).await?;
        Self::at(netns, "eth0", address)
    }

    /// A host that there is, which gets an address of its own to ask from.
    pub(crate) fn at(netns: Netns, interface: &str, address: Ipv4Addr) -> Result<Self> {
        let (opened, us) = netns.inside(|| {
            let found = Netlink::open()?.interface(interface)?.context("no interface")?;
            Ok((Opened::open(interface)?, found.mac.context("no Ethernet address")?))
        })?;
        let socket = PacketSocket::new(opened)?;
        let (interface, known) = (interface.to_owned(), BTreeSet::new());
        Ok(Self { netns, interface, socket, us, address, known })
    }

    /// Asks for an address.
    pub(crate) fn ask(&self, about: Ipv4Addr) -> Result<()> {
        Ok(self.socket.send(&self.question(about))?)
    }

    fn question(&self, about: Ipv4Addr) -> Vec<u8> {
        let mut question = frame::probe(self.us, about.into());
        // The sender's address.
        if let Some(sender) = question.get_mut(28..32) {
            sender.copy_from_slice(&self.address.octets());
        }
        question
    }

    /// Waits for a frame that says where an address is. Cancel safe.
    pub(crate) async fn heard(&self) -> Result<Said> {
        loop {
            if let Some(said) = read(&self.socket.receive().await?, self.us) {
                return Ok(said);
            }
        }
    }

    /// One that has come already.
    pub(crate) fn try_heard(&self) -> Option<Option<Said>> {
        self.socket.try_receive(true).map(|bytes| read(&bytes, self.us))
    }

    /// Asks for the next address that is new on the link, from when it is heard of there or `told`;
    /// gives it, and when it was answered first.
    pub(crate) async fn first_answer(
        &mut self,
        mut told: oneshot::Receiver<Ipv4Addr>,
    ) -> Result<(Ipv4Addr, Instant)> {
        while self.try_heard().is_some() {}
        let begun = Instant::now();
        let mut ticks = interval(EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let mut about = None;
        loop {
            // Cancel safe, all of them.
            tokio::select! {
                address = &mut told, if about.is_none() => {
                    let address = address.context("it has no address")?;
                    about = Some(address);
                    self.ask(address)?;
                }
                said = self.heard() => {
                    let said = said?;
                    if said.answer && about == Some(said.address) {
                        self.known.insert(said.address);
                        return Ok((said.address, Instant::now()));
                    }
                    let [_, _, third, _] = said.address.octets();
                    if about.is_none() && third > 0 && !self.known.contains(&said.address) {
                        about = Some(said.address);
                        self.ask(said.address)?;
                    }
                }
                _ = ticks.tick(), if about.is_some() => {
                    if let Some(about) = about {
                        self.ask(about)?;
                    }
                    ensure!(begun.elapsed() < SOON, "nobody answers for {about:?}");
                }
            }
        }
    }

    /// Waits until an address is answered for by somebody; gives by whom.
    pub(crate) async fn owner(&self, about: Ipv4Addr) -> Result<MacAddress> {
        while self.try_heard().is_some() {}
        let answered = async {
            let mut ticks = interval(EVERY * 10);
            loop {
                tokio::select! {
                    _ = ticks.tick() => self.ask(about)?,
                    said = self.heard() => {
                        let said = said?;
                        if said.answer && said.address == about {
                            return Ok(said.mac);
                        }
                    }
                }
            }
        };
        match timeout(SOON, answered).await {
            Ok(mac) => mac,
            Err(_) => bail!("nobody answers for {about}"),
        }
    }

    /// Asks for an address all the time, while `change` is made and until another than `before`
    /// has answered for so long; gives the longest time without an answer.
    ///
    /// A client has a machine of its own: here it has a thread, before which nothing else runs.
    pub(crate) async fn gap(
        &self,
        about: Ipv4Addr,
        before: MacAddress,
        change: impl Future<Output = Result<()>>,
        afterwards: Duration,
    ) -> Result<Duration> {
        let opened = self.netns.inside(|| Ok(Opened::open(&self.interface)?))?;
        let asking =
            Asking { question: self.question(about), us: self.us, about, before, afterwards };
        let ((changed, change_is_made), (begin, begun)) = (oneshot::channel(), oneshot::channel());
        let thread = std::thread::Builder::new().name("asker".to_owned());
        let thread = thread.spawn(move || asking.run(opened, begin, change_is_made))?;
        // One that fails before tells why at the end.
        if begun.await.is_ok() {
            change.await?;
            let _ = changed.send(());
        }
        let asked = tokio::task::spawn_blocking(move || thread.join()).await?;
        asked.map_err(|_| anyhow!("the asker's thread panicked"))?
    }
}

/// What is asked all the time.
struct Asking {
    question: Vec<u8>,
    us: MacAddress,
    about: Ipv4Addr,
    before: MacAddress,
    afterwards: Duration,
}

impl Asking {
    /// Asks from a thread of its own; says when the owner of before has answered.
    fn run(
        self,
        opened: Opened,
        begin: oneshot::Sender<()>,
        changed: oneshot::Receiver<()>,
    ) -> Result<Duration> {
        let thread = nix::unistd::gettid().to_string();
        let first =
            std::process::Command::new("chrt").args(["--fifo", "--pid", "1", &thread]).status()?;
        ensure!(first.success(), "chrt: {first}");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async { self.ask(&PacketSocket::new(opened)?, begin, changed).await })
    }

    async fn ask(
        &self,
        socket: &PacketSocket,
        begin: oneshot::Sender<()>,
        mut changed: oneshot::Receiver<()>,
    ) -> Result<Duration> {
        let (begun, mut last, mut longest) = (Instant::now(), Instant::now(), Duration::ZERO);
        let (mut other, mut begin): (Option<Instant>, _) = (None, Some(begin));
        let mut ticks = interval(EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let mut is_changed = false;
        while !is_changed || other.is_none_or(|at| at.elapsed() < self.afterwards) {
            ensure!(begun.elapsed() < SOON, "nobody else answers for {}", self.about);
            tokio::select! {
                biased;
                frame = socket.receive() => {
                    let said = read(&frame?, self.us).filter(|said| said.answer);
                    if let Some(said) = said.filter(|said| said.address == self.about) {
                        longest = longest.max(last.elapsed());
                        last = Instant::now();
                        if said.mac != self.before {
                            other.get_or_insert(last);
                        } else if let Some(begin) = begin.take() {
                            let _ = begin.send(());
                        }
                    }
                }
                made = &mut changed, if !is_changed => {
                    made.context("it is not changed")?;
                    is_changed = true;
                }
                _ = ticks.tick() => socket.send(&self.question)?,
            }
        }
        Ok(longest)
    }
}

fn read(bytes: &[u8], us: MacAddress) -> Option<Said> {
    let claim = frame::read(bytes, us).ok()?.claim?;
    let IpAddr::V4(address) = claim.address else { return None };
    Some(Said { address, mac: claim.mac, answer: bytes.starts_with(&us.octets()) })
}
