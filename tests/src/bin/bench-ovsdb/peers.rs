//! The other clients, and ours, each as a process that says what it measured.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, ensure};
use lab::exec::{Exec, Place};
use serde::Deserialize;

use crate::client;

const IDL: &str = include_str!("../../../peers/ovs_idl.py");

/// How often the memory of a process is looked at.
const LOOK: Duration = Duration::from_millis(5);

/// Where the programs are.
pub(crate) struct Peers {
    libovsdb: PathBuf,
}

/// What a client says of the first contents.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Dumped {
    pub(crate) seconds: f64,
    pub(crate) rows: u64,
    /// The most memory it ever had, in bytes.
    pub(crate) peak: u64,
    /// What it has more than before it connected, in bytes.
    pub(crate) grown: u64,
}

#[derive(Deserialize)]
struct Times {
    times: Vec<f64>,
}

#[derive(Deserialize)]
struct Seconds {
    seconds: f64,
}

impl Peers {
    pub(crate) fn new(libovsdb: PathBuf) -> Result<Self> {
        Ok(Self { libovsdb })
    }

    /// What the server says it is.
    pub(crate) async fn server(&self) -> Result<String> {
        let text = Exec::new(Place::Root, "ovsdb-server").arg("--version").output().await?;
        text.lines().next().map(str::to_owned).context("no version")
    }

    fn ours(words: &[&str]) -> Result<Exec> {
        let program = std::env::current_exe()?;
        Ok(Exec::new(Place::Sandbox, program).arg(client::WORD).args(words.iter().copied()))
    }

    fn libovsdb(&self, endpoint: &str, what: &str, count: usize) -> Exec {
        Exec::new(Place::Sandbox, &self.libovsdb).args([endpoint, what, &count.to_string()])
    }

    /// Our client.
    pub(crate) async fn our_dump(&self, endpoint: &str) -> Result<Dumped> {
        said(&Self::ours(&["dump", endpoint])?.output().await?)
    }

    /// A bare socket that keeps nothing.
    pub(crate) async fn floor_dump(&self, endpoint: &str) -> Result<Dumped> {
        said(&Self::ours(&["floor", endpoint])?.output().await?)
    }

    /// libovsdb.
    pub(crate) async fn libovsdb_dump(&self, endpoint: &str) -> Result<Dumped> {
        said(&self.libovsdb(endpoint, "dump", 0).output().await?)
    }

    /// Python's ovs, with its parser in C.
    pub(crate) async fn python_dump(&self, endpoint: &str, schema: &str) -> Result<Dumped> {
        let exec = Exec::new(Place::Root, "python3").args(["-", endpoint, schema]);
        said(&exec.output_with_input(IDL).await?)
    }

    /// A program of the reference implementation, in C: it says nothing, so its process is timed.
    pub(crate) fn c(&self, program: &str, words: &[&str]) -> Result<Dumped> {
        let exec = Exec::new(Place::Root, program).args(words.iter().copied());
        let begin = Instant::now();
        let mut child = exec.command()?.stdout(Stdio::null()).spawn()?;
        let id = child.id();
        let (ended, end) = mpsc::channel::<()>();
        // Its peak is gone with the process: looked at now and then, which costs it nothing much.
        let watch = thread::spawn(move || {
            let mut peak = 0;
            while end.recv_timeout(LOOK) == Err(mpsc::RecvTimeoutError::Timeout) {
                peak = peak_of(id).max(peak);
            }
            peak
        });
        let status = child.wait()?;
        let elapsed = begin.elapsed();
        drop(ended);
        let peak = watch.join().map_err(|_| anyhow!("the memory of {program} is unknown"))?;
        ensure!(status.success(), "{program} failed");
        Ok(Dumped { seconds: elapsed.as_secs_f64(), rows: 0, peak, grown: 0 })
    }

    /// The times of that many transactions of libovsdb, one after the other.
    pub(crate) async fn libovsdb_sequential(
        &self,
        endpoint: &str,
        count: usize,
    ) -> Result<Vec<Duration>> {
        let text = self.libovsdb(endpoint, "sequential", count).output().await?;
        let Times { times } = said(&text)?;
        Ok(times.into_iter().map(Duration::from_secs_f64).collect())
    }

    /// Starts a follower of that many updates: ours, or libovsdb.
    pub(crate) fn follower(&self, ours: bool, endpoint: &str, count: usize) -> Result<Follower> {
        let exec = match ours {
            true => Self::ours(&["updates", endpoint, &count.to_string()])?,
            false => self.libovsdb(endpoint, "updates", count),
        };
        let mut child = exec.command()?.stdout(Stdio::piped()).spawn()?;
        let out = child.stdout.take().context("no output")?;
        let mut follower = Follower { child, lines: BufReader::new(out) };
        ensure!(follower.line()?.contains("ready"), "the follower does not start");
        Ok(follower)
    }
}

/// A client that counts updates.
pub(crate) struct Follower {
    child: Child,
    lines: BufReader<std::process::ChildStdout>,
}

impl Follower {
    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        self.lines.read_line(&mut line)?;
        Ok(line)
    }

    /// Waits for its end: the time from the first update to the last.
    pub(crate) fn ended(mut self) -> Result<Duration> {
        let Seconds { seconds } = said(&self.line()?)?;
        self.child.wait()?;
        Ok(Duration::from_secs_f64(seconds))
    }
}

fn said<T: for<'de> Deserialize<'de>>(text: &str) -> Result<T> {
    let line = text.lines().last().context("it says nothing")?;
    serde_json::from_str(line).with_context(|| line.to_owned())
}

fn peak_of(process: u32) -> u64 {
    let path = format!("/proc/{process}/status");
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or_default() * 1024
}
