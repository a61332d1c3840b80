//! Clients: one question each, or several over one connection.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use super::{Answer, Body};
use crate::netns::Host;

/// How long a question may stay without an answer.
pub const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);

/// Longest answer that is read.
const LONGEST: usize = 64 * 1024;

/// Asks `http://ip:port/` from `host` over a connection of its own; an IPv6 address is in brackets.
///
/// # Errors
/// When the connection is refused, reset, or without an answer for 2 s.
pub async fn get(host: &Host, url: &str) -> Result<Answer> {
    get_within(host, url, ANSWER_TIMEOUT).await
}

/// [`get`] with another timeout.
///
/// # Errors
/// When the connection is refused, reset, or without an answer within `timeout`.
pub async fn get_within(host: &Host, url: &str, timeout: Duration) -> Result<Answer> {
    let address = target(url)?;
    let begin = Instant::now();
    let ask = async {
        let mut session = Session::open(host, address, timeout).await?;
        session.ask().await
    };
    match tokio::time::timeout(timeout, ask).await {
        Ok(answer) => Ok(Answer { elapsed: begin.elapsed(), ..answer? }),
        Err(_) => bail!("{url}: no answer within {timeout:?}"),
    }
}

/// Asks by one UDP datagram from `host`.
///
/// # Errors
/// When it is refused or without an answer for 2 s.
pub async fn udp(host: &Host, ip: impl Into<IpAddr>, port: u16) -> Result<Answer> {
    udp_within(host, SocketAddr::new(ip.into(), port), ANSWER_TIMEOUT).await
}

/// [`udp`] with another timeout.
///
/// # Errors
/// When it is refused or without an answer within `timeout`.
pub async fn udp_within(host: &Host, to: SocketAddr, timeout: Duration) -> Result<Answer> {
    let begin = Instant::now();
    let any = match to {
        SocketAddr::V4(_) => IpAddr::from(Ipv4Addr::UNSPECIFIED),
        SocketAddr::V6(_) => IpAddr::from(Ipv6Addr::UNSPECIFIED),
    };
    let socket = host.netns().bind(SocketAddr::new(any, 0))?;
    let ask = async {
        socket.connect(to).await?;
        socket.send(b"who are you?").await?;
        let mut datagram = [0; 2048];
        let length = socket.recv(&mut datagram).await?;
        answer(datagram.get(..length).unwrap_or_default(), begin)
    };
    match tokio::time::timeout(timeout, ask).await {
        Ok(answer) => answer.with_context(|| format!("udp://{to}")),
        Err(_) => bail!("udp://{to}: no answer within {timeout:?}"),
    }
}

/// One TCP connection that carries several questions.
#[derive(Debug)]
pub struct Session {
    stream: BufReader<TcpStream>,
    to: SocketAddr,
    timeout: Duration,
}

impl Session {
    /// Connects from `host`; `timeout` holds for the connection and for each question.
    ///
    /// # Errors
    /// When the connection is refused or not there in time.
    pub async fn open(host: &Host, to: SocketAddr, timeout: Duration) -> Result<Self> {
        Self::open_from(host, None, to, timeout).await
    }

    /// [`open`](Self::open) from one of several addresses that a host has.
    ///
    /// # Errors
    /// When the host has no such address, or the connection is refused or not there in time.
    pub async fn open_from(
        host: &Host,
        from: Option<IpAddr>,
        to: SocketAddr,
        timeout: Duration,
    ) -> Result<Self> {
        let stream = host.netns().dial_from(from, to, timeout).await?;
        Ok(Self { stream: BufReader::new(stream), to, timeout })
    }

    /// Asks once more.
    ///
    /// # Errors
    /// When the connection is gone or the answer does not come in time.
    pub async fn ask(&mut self) -> Result<Answer> {
        let (to, timeout) = (self.to, self.timeout);
        match tokio::time::timeout(timeout, self.exchange("GET /", &[])).await {
            Ok(answer) => answer.with_context(|| format!("http://{to}/")),
            Err(_) => bail!("http://{to}/: no answer within {timeout:?}"),
        }
    }

    /// Has so many bytes sent, and takes them.
    ///
    /// # Errors
    /// When the connection is gone or not all of them come in time.
    pub async fn fetch(&mut self, bytes: usize) -> Result<()> {
        let (to, timeout) = (self.to, self.timeout);
        let fetch = async {
            let length = self.request(&format!("GET /bytes/{bytes}"), &[]).await?;
            let mut body = (&mut self.stream).take(length as u64);
            let came = tokio::io::copy(&mut body, &mut tokio::io::sink()).await?;
            ensure!(length == bytes && came == bytes as u64, "{came} of {bytes} bytes came");
            Ok(())
        };
        match tokio::time::timeout(timeout, fetch).await {
            Ok(fetched) => fetched.with_context(|| format!("{bytes} bytes from {to}")),
            Err(_) => bail!("{bytes} bytes from {to}: not within {timeout:?}"),
        }
    }

    /// Sends so many bytes, and has an answer when they are there.
    ///
    /// # Errors
    /// When the connection is gone or the answer does not come in time.
    pub async fn send(&mut self, bytes: usize) -> Result<Answer> {
        let (to, timeout) = (self.to, self.timeout);
        match tokio::time::timeout(timeout, self.exchange("POST /", &vec![b'x'; bytes])).await {
            Ok(answer) => answer.with_context(|| format!("{bytes} bytes to {to}")),
            Err(_) => bail!("{bytes} bytes to {to}: no answer within {timeout:?}"),
        }
    }

    async fn exchange(&mut self, what: &str, with: &[u8]) -> Result<Answer> {
        let begin = Instant::now();
        let length = self.request(what, with).await?;
        if length > LONGEST {
            bail!("an answer of {length} bytes");
        }
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body).await?;
        answer(&body, begin)
    }

    /// Asks, and gives the length of the answer, which is still to be read.
    async fn request(&mut self, what: &str, with: &[u8]) -> Result<usize> {
        let head = format!(
            "{what} HTTP/1.1\r\nHost: {}\r\nContent-Length: {}\r\n\r\n",
            self.to,
            with.len()
        );
        self.stream.get_mut().write_all(head.as_bytes()).await?;
        self.stream.get_mut().write_all(with).await?;
        let mut length = 0;
        loop {
            let mut line = String::new();
            if self.stream.read_line(&mut line).await? == 0 {
                bail!("the connection was closed");
            }
            if line.trim().is_empty() {
                return Ok(length);
            }
            if let Some((name, value)) = line.split_once(':')
                && name.eq_ignore_ascii_case("content-length")
            {
                length = value.trim().parse()?;
            }
        }
    }
}

fn answer(body: &[u8], begin: Instant) -> Result<Answer> {
    let body: Body = serde_json::from_slice(body).context("an answer of another server")?;
    let Body { pod, node, client } = body;
    Ok(Answer { pod, node, client_address: client, elapsed: begin.elapsed() })
}

/// The address in `http://ip:port/`; without a port, 80.
fn target(url: &str) -> Result<SocketAddr> {
    let rest = url.strip_prefix("http://").with_context(|| format!("{url} is not http"))?;
    let host = rest.split('/').next().unwrap_or(rest);
    match host.parse() {
        Ok(address) => Ok(address),
        Err(_) => {
            let bare = host.trim_start_matches('[').trim_end_matches(']');
            Ok(SocketAddr::new(bare.parse().with_context(|| url.to_owned())?, 80))
        }
    }
}
