//! What passes a host on a link, as tcpdump there tells, with the kernel's own stamps.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result, ensure};
use lab::exec::{Exec, Place};
use lab::process::Process;
use lab::{Lab, wait};

use crate::bed::SOON;

/// A moment: seconds since 1970, as in a capture.
pub(crate) type Moment = f64;

/// The time now, of the clock that captures have.
pub(crate) fn now() -> Result<Moment> {
    Ok(SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_secs_f64())
}

/// A capture that runs.
pub(crate) struct Capture(Process);

impl Capture {
    /// Begins to capture what matches a filter of tcpdump's.
    pub(crate) async fn start(lab: &Lab, at: (&str, &str), filter: &str) -> Result<Self> {
        let (netns, interface) = at;
        let exec = Exec::new(Place::NamespaceRoot(netns.to_owned()), "tcpdump")
            .args([
                "-Z",
                "root",
                "-B",
                "16384",
                // Of each packet there is room for as much in that buffer, and its headers are shorter.
                "-s",
                "256",
                "--immediate-mode",
                "-l",
                "-tt",
                "-n",
                "-e",
                "-i",
                interface,
            ])
            .args(filter.split_whitespace());
        let log = lab.space().dir().join(format!("capture-{netns}-{:.6}", now()?));
        let process = Process::start(format!("tcpdump in {netns}"), exec, log)?;
        wait::until("tcpdump to listen", SOON, || async {
            let told = std::fs::read_to_string(process.log())?;
            ensure!(told.contains("listening on"), "{told}");
            Ok(())
        })
        .await?;
        Ok(Self(process))
    }

    /// Waits until this holds of what was captured, a line for each packet.
    pub(crate) async fn sees(&self, what: &str, so: impl Fn(&[String]) -> bool) -> Result<()> {
        wait::until(what, SOON, || async {
            let seen = self.packets()?;
            ensure!(so(&seen), "{seen:#?}");
            Ok(())
        })
        .await
    }

    /// Ends the capture; gives a line for each packet.
    pub(crate) async fn stop(self) -> Result<Vec<String>> {
        self.0.stop().await?;
        let text = std::fs::read_to_string(self.0.log())?;
        ensure!(text.contains("\n0 packets dropped by kernel"), "packets are missing");
        self.packets()
    }

    fn packets(&self) -> Result<Vec<String>> {
        let text = std::fs::read_to_string(self.0.log())?;
        let packets = text.lines().filter(|line| line.contains(" > "));
        Ok(packets.map(str::to_owned).collect())
    }
}

/// The answers of ARP and neighbor discovery to one host: when, and with which Ethernet address, for
/// each address.
#[derive(Debug, Default)]
pub(crate) struct Answers(BTreeMap<IpAddr, Vec<(Moment, String)>>);

/// How the answer about an address changed hands.
#[derive(Debug)]
pub(crate) struct Change {
    /// Who answers in the end.
    pub(crate) last: String,
    /// How long two answered.
    pub(crate) both: Duration,
    /// The longest time without an answer.
    pub(crate) silent: Duration,
}

impl Answers {
    /// Those to the host with this Ethernet address.
    pub(crate) fn read(lines: &[String], to: &str) -> Result<Self> {
        let mut answers = Self::default();
        for line in lines {
            let words: Vec<_> = line.split_whitespace().collect();
            let after = |word: &str| {
                let at = words.iter().position(|other| *other == word)?;
                words.get(at + 1).map(|word| word.trim_end_matches(','))
            };
            if after(">") != Some(to) {
                continue;
            }
            let (about, mac) = match (after("Reply"), after("is-at")) {
                (Some(about), Some(mac)) => (about, mac),
                // It says in its header who sends, who is the answer where a speaker is.
                _ if line.contains("neighbor advertisement, tgt is") => {
                    let from = words.get(1).copied();
                    (after("is").context("no target")?, from.context("no sender")?)
                }
                _ => continue,
            };
            let at = words.first().context("no time")?.parse()?;
            answers.0.entry(about.parse()?).or_default().push((at, mac.to_owned()));
        }
        Ok(answers)
    }

    /// How each address changed hands between two moments.
    pub(crate) fn changes(
        &self,
        addresses: &[IpAddr],
        (from, until): (Moment, Moment),
    ) -> Result<Vec<Change>> {
        let changes = addresses.iter().map(|address| {
            let all = self.0.get(address).map(Vec::as_slice).unwrap_or_default();
            let within = all.iter().filter(|(at, _)| (from..until).contains(at));
            change(&within.collect::<Vec<_>>(), (from, until))
                .with_context(|| format!("{address}: no answer"))
        });
        changes.collect()
    }

    /// The one Ethernet address that answers for each address between two moments.
    pub(crate) fn owners(
        &self,
        addresses: &[IpAddr],
        (from, until): (Moment, Moment),
    ) -> Result<Vec<String>> {
        let changes = self.changes(addresses, (from, until))?;
        let owners = addresses.iter().zip(changes).map(|(address, change)| {
            let all = self.0.get(address).into_iter().flatten();
            let mut within = all.filter(|(at, _)| (from..until).contains(at));
            let other = within.find(|(_, mac)| *mac != change.last);
            ensure!(other.is_none(), "{address}: {other:?} and {} answer", change.last);
            Ok(change.last)
        });
        owners.collect()
    }
}

fn change(answers: &[&(Moment, String)], (from, until): (Moment, Moment)) -> Option<Change> {
    let (_, last) = answers.last()?;
    let since = answers.iter().find(|(_, mac)| mac == last)?.0;
    let other = answers.iter().rfind(|(_, mac)| mac != last).map_or(since, |(at, _)| *at);
    let moments = answers.iter().map(|(at, _)| *at);
    let gaps = [from].into_iter().chain(moments.clone()).zip(moments.chain([until]));
    let silent = gaps.map(|(before, after)| after - before).fold(0.0, f64::max);
    Some(Change {
        last: last.clone(),
        both: Duration::from_secs_f64((other - since).max(0.0)),
        silent: Duration::from_secs_f64(silent),
    })
}
