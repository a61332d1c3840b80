//! The server of a pod: HTTP over TCP, and UDP, on the same port.

use std::net::{Ipv4Addr, SocketAddr};
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
        let address = SocketAddr::from((Ipv4Addr::UNSPECIFIED, port));
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
    while read_request(&mut stream).await? {
        let body = identity.body(client);
        let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n";
        let answer = format!("{head}Content-Length: {}\r\n\r\n{body}", body.len());
        stream.get_mut().write_all(answer.as_bytes()).await?;
    }
    Ok(())
}

/// Reads up to the empty line; false at the end of the connection.
async fn read_request(stream: &mut BufReader<TcpStream>) -> Result<bool> {
    let mut line = String::new();
    loop {
        line.clear();
        let count =
            tokio::io::AsyncReadExt::take(&mut *stream, LINE as u64).read_line(&mut line).await?;
        if count == 0 {
            return Ok(false);
        }
        if line == "\r\n" || line == "\n" {
            return Ok(true);
        }
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
