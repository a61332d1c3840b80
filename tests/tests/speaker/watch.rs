//! Who answers on the link, question by question, while speakers come and go.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use ccm_proxy::netlink::Netlink;
use ccm_proxy::packet::{Opened, PacketSocket};
use speaker_core::l2::frame;
use speaker_core::mac::MacAddress;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

use crate::bed::{Bed, SOON, becomes, eip};
use crate::node::Node;

/// How long a question waits for answers, until the next one about the same address.
const ASKED_EVERY: Duration = Duration::from_millis(10);
/// Three packets of BFD that are missed, on a busy machine, too.
const MISSED: Duration = Duration::from_secs(2);
/// Sooner than who waits to be missed, or for others that do not come, on a busy machine, too.
const AT_ONCE: Duration = Duration::from_millis(250);

/// One question, and how many answered it.
#[derive(Clone, Copy, Debug)]
struct Asked {
    at: Instant,
    last: u8,
    answers: u32,
}

/// A client that asks for addresses all the time.
struct Watcher {
    end: watch::Sender<bool>,
    /// How often each was asked for.
    rounds: watch::Receiver<usize>,
    task: JoinHandle<Result<Vec<Asked>>>,
}

impl Watcher {
    fn start(bed: &Bed, eips: &[u8]) -> Result<Self> {
        let (opened, mac) = bed.client.netns().inside(|| {
            let found = Netlink::open()?.interface("eth0")?.context("no eth0")?;
            Ok((Opened::open("eth0")?, found.mac.context("no Ethernet address")?))
        })?;
        let (end, ended) = watch::channel(false);
        let (round, rounds) = watch::channel(0);
        let socket = PacketSocket::new(opened)?;
        let task = tokio::spawn(ask_all_the_time(socket, mac, eips.to_vec(), round, ended));
        Ok(Self { end, rounds, task })
    }

    /// Waits until each was asked for so often again.
    async fn rounds(&mut self, more: usize) -> Result<()> {
        let enough = *self.rounds.borrow() + more;
        let waits = self.rounds.wait_for(|rounds| *rounds >= enough);
        tokio::time::timeout(SOON, waits).await??;
        Ok(())
    }

    /// Ends it; tells and gives the longest time in which questions about one address had no
    /// answer, and how many questions had several.
    async fn stop(self, what: &str) -> Result<(Duration, usize)> {
        self.end.send_replace(true);
        let asked = self.task.await??;
        let (silent, double) = judge(&asked);
        eprintln!("{what}: {} questions, {double} answered twice, silent {silent:?}", asked.len());
        Ok((silent, double))
    }
}

async fn ask_all_the_time(
    socket: PacketSocket,
    us: MacAddress,
    eips: Vec<u8>,
    round: watch::Sender<usize>,
    mut ended: watch::Receiver<bool>,
) -> Result<Vec<Asked>> {
    let mut asked: Vec<Asked> = Vec::new();
    let mut open: BTreeMap<IpAddr, Vec<usize>> = BTreeMap::new();
    let mut ticks = interval(ASKED_EVERY);
    // Each question has its time, however late it was asked.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut until = None;
    loop {
        tokio::select! {
            // The last questions have their time, too.
            _ = ended.changed(), if until.is_none() => until = Some(Instant::now() + ASKED_EVERY * 5),
            () = sleep_until(until.unwrap_or_else(Instant::now)), if until.is_some() => break,
            _ = ticks.tick(), if until.is_none() => {
                for last in &eips {
                    socket.send(&question(us, *last))?;
                    open.entry(eip(*last).into()).or_default().push(asked.len());
                    asked.push(Asked { at: Instant::now(), last: *last, answers: 0 });
                }
                round.send_modify(|rounds| *rounds += 1);
            }
            frame = socket.receive() => {
                let questions = answer_to(&frame?, us).and_then(|address| open.get(&address));
                let questions = questions.map_or(&[][..], Vec::as_slice);
                if let Some(asked) = answered(questions, &asked).and_then(|at| asked.get_mut(at)) {
                    asked.answers += 1;
                }
            }
        }
    }
    Ok(asked)
}

/// The address about which a frame answers us; an announcement is to everybody, and no answer.
fn answer_to(bytes: &[u8], us: MacAddress) -> Option<IpAddr> {
    let heard = frame::read(bytes, us).ok().filter(|_| bytes.starts_with(&us.octets()))?;
    heard.claim.map(|claim| claim.address)
}

/// Which of the questions about an address was answered: the oldest that waits and was asked just
/// now; else the last one, once more. The speakers are in this process: what holds up one question
/// holds up all.
fn answered(questions: &[usize], asked: &[Asked]) -> Option<usize> {
    let waits = |at: &usize| {
        let asked = asked.get(*at);
        asked.is_some_and(|asked| asked.answers == 0 && asked.at.elapsed() < ASKED_EVERY * 10)
    };
    let lately = questions.iter().rev().take(10).rev().copied();
    lately.into_iter().find(waits).or_else(|| questions.last().copied())
}

/// A question of a host that has an address.
fn question(us: MacAddress, about: u8) -> Vec<u8> {
    let mut frame = frame::probe(us, eip(about).into());
    // The sender's address.
    if let Some(sender) = frame.get_mut(28..32) {
        sender.copy_from_slice(&eip(100).octets());
    }
    frame
}

/// The longest time in which questions about one address had no answer, and how many had several.
fn judge(asked: &[Asked]) -> (Duration, usize) {
    let mut longest = Duration::ZERO;
    let mut since: BTreeMap<u8, Instant> = BTreeMap::new();
    for one in asked {
        if one.answers == 0 {
            let begun = *since.entry(one.last).or_insert(one.at);
            longest = longest.max(one.at + ASKED_EVERY - begun);
        } else {
            since.remove(&one.last);
        }
    }
    (longest, asked.iter().filter(|one| one.answers > 1).count())
}

/// Waits until each address is announced by one of these nodes.
async fn one_each(nodes: &[Node], eips: &[u8]) -> Result<()> {
    for last in eips {
        becomes("one announces", || async {
            match nodes.iter().filter(|node| node.is_announcing(*last)).count() {
                1 => Ok(()),
                other => bail!("{last}: {other}"),
            }
        })
        .await?;
    }
    Ok(())
}

pub(crate) async fn every_question_has_one_answer_while_speakers_come_and_go() -> Result<()> {
    let eips: Vec<u8> = (50..60).collect();
    let bed = Bed::new("watch", 1, &eips).await?;
    let mut nodes = vec![bed.node(1).await?, bed.node(2).await?];
    bed.let_through(&nodes, &eips)?;
    let names = bed.names(3)?;
    for last in &eips {
        bed.announce_by(&nodes, eip(*last), &names, false).await?;
    }
    Bed::introduce(&nodes).await?;
    one_each(&nodes, &eips).await?;
    let mut watcher = Watcher::start(&bed, &eips)?;
    watcher.rounds(20).await?;
    // One joins.
    nodes.push(bed.node(3).await?);
    let [_, _, third] = &nodes[..] else { bail!("three nodes") };
    bed.let_through(&nodes, &eips)?;
    for last in &eips {
        bed.announce_by(std::slice::from_ref(third), eip(*last), &names, true).await?;
    }
    Bed::introduce(&nodes).await?;
    becomes("all know each other, and it has some", || async {
        ensure!(nodes.iter().all(|node| node.knows() == 2));
        ensure!(eips.iter().any(|last| third.is_announcing(*last)));
        Ok(())
    })
    .await?;
    one_each(&nodes, &eips).await?;
    watcher.rounds(50).await?;
    let (silent, double) = watcher.stop("joined").await?;
    ensure!(silent < AT_ONCE && double <= eips.len());
    // It leaves, as it does when it is told to.
    let mut watcher = Watcher::start(&bed, &eips)?;
    watcher.rounds(20).await?;
    let third = nodes.pop().context("three nodes")?;
    third.leave().await?;
    one_each(&nodes, &eips).await?;
    watcher.rounds(20).await?;
    let (silent, double) = watcher.stop("left").await?;
    ensure!(silent < AT_ONCE && double <= eips.len());
    // Another is gone without a word.
    let mut watcher = Watcher::start(&bed, &eips)?;
    watcher.rounds(20).await?;
    let [one, other] = &nodes[..] else { bail!("two nodes") };
    other.end();
    for last in &eips {
        one.announces(eip(*last)).await?;
    }
    watcher.rounds(20).await?;
    let (silent, double) = watcher.stop("gone").await?;
    ensure!(silent < MISSED && double == 0);
    Ok(())
}
