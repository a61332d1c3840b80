//! The server of a pod: HTTP over TCP, and UDP, on the same port. It says who it is; asked for
//! `/bytes/N` it sends so many bytes instead.

use std::net::{Ipv6Addr, SocketAddr};
use std::sync::Arc;

use anyhow::Result;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::task::{AbortHandle, JoinSet};

use super::Body;
use crate::netns::Netns;

/// Most connections served at once; further ones wait to be accepted.
const CONNECTIONS: usize = 1024;
/// Most bytes of one request line or header.
const LINE: usize = 8 * 1024;
/// Most bytes that are sent or taken at once.
const MOST: usize = 16 << 20;

/// A running server; dropping it closes its sockets and connections.
#[derive(Debug)]
pub struct WhoAmI {
    tasks: [AbortHandle; 2],
}

impl WhoAmI {
    /// Serves on `port` of every address of `netns`, as `pod` on `node`.
    ///
    /// # Errors
    /// When the port is taken.
    pub fn start(netns: &Netns, port: u16, pod: &str, node: &str) -> Result<Self> {
        // Of both families.
        let address = SocketAddr::from((Ipv6Addr::UNSPECIFIED, port));
        let identity = Arc::new(Identity { pod: pod.to_owned(), node: node.to_owned() });
        let tcp = tokio::spawn(serve_tcp(netns.listen(address)?, Arc::clone(&identity)));
        let udp = tokio::spawn(serve_udp(netns.bind(address)?, identity));
        Ok(Self { tasks: [tcp.abort_handle(), udp.abort_handle()] })
    }
}

impl Drop for WhoAmI {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

#[derive(Debug)]
struct Identity {
    pod: String,
    node: String,
}

impl Identity {
    fn body(&self, client: SocketAddr) -> String {
        let client = SocketAddr::new(client.ip().to_canonical(), client.port());
        let body = Body { pod: self.pod.clone(), node: self.node.clone(), client };
        serde_json::to_string(&body).unwrap_or_default()
    }
}

/// Ends when aborted; its connections end with it.
async fn serve_tcp(listener: TcpListener, identity: Arc<Identity>) {
    let mut connections = JoinSet::new();
    loop {
        while connections.len() >= CONNECTIONS {
            connections.join_next().await;
        }
        while connections.try_join_next().is_some() {}
        if let Ok((stream, client)) = listener.accept().await {
            let identity = Arc::clone(&identity);
            connections.spawn(async move { serve_connection(stream, client, &identity).await });
        }
    }
}

async fn serve_connection(
    stream: TcpStream,
    client: SocketAddr,
    identity: &Identity,
) -> Result<()> {
    let mut stream = BufReader::new(stream);
    while let Some(request) = read_request(&mut stream).await? {
        let body = match request.bytes {
            Some(count) => "x".repeat(count),
            None => identity.body(client),
        };
        let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n";
        let answer = format!("{head}Content-Length: {}\r\n\r\n{body}", body.len());
        stream.get_mut().write_all(answer.as_bytes()).await?;
    }
    Ok(())
}

/// What a client asks for.
#[derive(Default)]
struct Request {
    /// So many bytes.
    bytes: Option<usize>,
    /// The length of what it sends besides.
    length: usize,
}

impl Request {
    fn line(&mut self, line: &str) {
        let number = |text: &str| text.trim().parse().ok().map(|number: usize| number.min(MOST));
        if let Some(rest) = line.strip_prefix("GET /bytes/") {
            self.bytes = rest.split(' ').next().and_then(number);
        } else if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            self.length = number(value).unwrap_or_default();
        }
    }
}

/// Reads a request and what is sent with it; nothing at the end of the connection.
async fn read_request(stream: &mut BufReader<TcpStream>) -> Result<Option<Request>> {
    let mut line = String::new();
    let mut request = Request::default();
    loop {
        line.clear();
        let count =
            tokio::io::AsyncReadExt::take(&mut *stream, LINE as u64).read_line(&mut line).await?;
        if count == 0 {
            return Ok(None);
        }
        if line == "\r\n" || line == "\n" {
            let mut sent = tokio::io::AsyncReadExt::take(stream, request.length as u64);
            tokio::io::copy(&mut sent, &mut tokio::io::sink()).await?;
            return Ok(Some(request));
        }
        request.line(&line);
    }
}

async fn serve_udp(socket: UdpSocket, identity: Arc<Identity>) {
    let mut datagram = [0; 2048];
    loop {
        if let Ok((_, client)) = socket.recv_from(&mut datagram).await {
            // A client that is gone is not the server's concern.
            let _ = socket.send_to(identity.body(client).as_bytes(), client).await;
        }
    }
}
