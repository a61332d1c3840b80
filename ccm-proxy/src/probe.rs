//! Asks machines over the link whether they take connections: `GET /healthz`, and 200 is yes.
//!
//! ```text
//! Asked (the latest counts) ─► Prober ─► a connection for each machine and port (so many at a time)
//! Failing (the latest counts) ◄──┘   ◄── Answer, in bounded time
//! ```
//! A port that is open proves nothing: kube-proxy's stay open while it serves nothing. What a machine
//! says is read to the end of its first line, and no further than that line may be long.

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};
use speaker_core::health::{Answer, Failing, Health, Target};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpSocket;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};

use crate::netns::Namespace;

/// How long a machine may take to answer.
const PATIENCE: Duration = Duration::from_secs(1);
/// So much of an answer is read: `HTTP/1.1 200` and what fits behind it.
const MOST: usize = 64;

/// Who is to be asked, and by which addresses of ours.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// The machines and their ports.
    pub targets: BTreeSet<Target>,
    /// Our addresses on the link.
    pub sources: BTreeSet<IpAddr>,
}

/// Asks the machines of one VLAN.
#[derive(Debug)]
pub struct Prober {
    /// Where we are, and the interface there.
    link: Arc<(Namespace, String)>,
    asked: watch::Receiver<Asked>,
    sources: BTreeSet<IpAddr>,
    health: Health,
    failing: watch::Sender<Arc<Failing>>,
    asking: JoinSet<(Target, Answer)>,
    start: Instant,
}

impl Prober {
    /// Asks over an interface of a namespace.
    #[must_use]
    pub fn new(
        namespace: Namespace,
        interface: String,
        asked: watch::Receiver<Asked>,
    ) -> (Self, watch::Receiver<Arc<Failing>>) {
        let (failing, watched) = watch::channel(Arc::default());
        let (health, sources, asking) = Default::default();
        let (link, start) = (Arc::new((namespace, interface)), Instant::now());
        (Self { link, asked, sources, health, failing, asking, start }, watched)
    }

    /// Asks until nobody wants it any more.
    ///
    /// # Errors
    /// A task that asks panicked.
    pub async fn run(mut self) -> io::Result<()> {
        self.take();
        loop {
            let now = self.start.elapsed();
            for target in self.health.poll(now) {
                self.ask(target);
            }
            if let Some(failing) = self.health.take_changed() {
                tracing::info!(out = ?failing, interface = self.link.1, "machines that are out");
                self.failing.send_replace(Arc::new(failing));
            }
            let due = self.health.deadline().map(|due| self.start + due);
            // Cancel safe: what changed stays changed, and who answered is heard.
            tokio::select! {
                changed = self.asked.changed() => match changed {
                    Ok(()) => self.take(),
                    Err(_) => return Ok(()),
                },
                Some(answered) = self.asking.join_next() => {
                    let (target, answer) = answered.map_err(io::Error::other)?;
                    self.health.hear(target, answer);
                }
                () = until(due) => {}
            }
        }
    }

    fn take(&mut self) {
        let asked = self.asked.borrow_and_update().clone();
        self.health.set(&asked.targets);
        self.sources = asked.sources;
    }

    fn ask(&mut self, target: Target) {
        let alike = |source: &&IpAddr| source.is_ipv4() == target.machine.is_ipv4();
        let source = self.sources.iter().find(alike).copied();
        let link = self.link.clone();
        self.asking.spawn(async move { (target, answer(link, source, target).await) });
    }
}

/// What a machine answers.
async fn answer(link: Arc<(Namespace, String)>, from: Option<IpAddr>, to: Target) -> Answer {
    let why = match timeout(PATIENCE, get(link, from, to)).await {
        Ok(Ok(200)) => return Answer::Healthy,
        Ok(Ok(status)) => format!("answered {status}"),
        Ok(Err(error)) => error.to_string(),
        Err(_) => format!("no answer within {PATIENCE:?}"),
    };
    Answer::Unhealthy(why)
}

/// The status of the answer to a request.
async fn get(link: Arc<(Namespace, String)>, from: Option<IpAddr>, to: Target) -> io::Result<u16> {
    let to = SocketAddr::from((to.machine, to.port));
    let open = move || link.0.run(|| open(&link.1, from, to));
    let opened = tokio::task::spawn_blocking(open).await.map_err(io::Error::other)??;
    let mut stream = TcpSocket::from_std_stream(opened).connect(to).await?;
    let request = format!("GET /healthz HTTP/1.0\r\nHost: {to}\r\nUser-Agent: ccm-proxy\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let (mut line, mut length) = ([0; MOST], 0);
    while length < MOST && !line.contains(&b'\n') {
        let read = stream.read(line.get_mut(length..).unwrap_or_default()).await?;
        if read == 0 {
            break;
        }
        length += read;
    }
    status(&line).ok_or_else(|| io::Error::other("its answer is not HTTP"))
}

/// A socket that speaks over the link, whatever routes there are.
fn open(interface: &str, from: Option<IpAddr>, to: SocketAddr) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(to), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    socket.bind_device(Some(interface.as_bytes()))?;
    if let Some(from) = from {
        socket.bind(&SocketAddr::from((from, 0)).into())?;
    }
    Ok(socket.into())
}

/// The status in the first line of an answer.
fn status(line: &[u8]) -> Option<u16> {
    let rest = line.strip_prefix(b"HTTP/1.")?;
    let (_, rest) = rest.split_first()?;
    let (digits, after) = rest.strip_prefix(b" ")?.split_first_chunk::<3>()?;
    if after.first().is_some_and(u8::is_ascii_digit) || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse().ok()
}

async fn until(due: Option<Instant>) {
    match due {
        Some(due) => sleep_until(due).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_of_an_answer_is_read_and_nothing_else_taken_for_one() {
        assert_eq!(status(b"HTTP/1.0 200 OK\r\n"), Some(200));
        assert_eq!(status(b"HTTP/1.1 503 Service Unavailable\r\n"), Some(503));
        assert_eq!(status(b"HTTP/1.1 404"), Some(404));
        let none: [&[u8]; 8] = [
            b"",
            b"HTTP/1.",
            b"HTTP/1.1 20",
            b"HTTP/1.1 2000 OK",
            b"HTTP/1.1 2x0 OK",
            b"HTTP/2 200",
            b"SSH-2.0-x\r\n",
            &[0; MOST],
        ];
        for other in none {
            assert_eq!(status(other), None, "{other:?}");
        }
    }
}
