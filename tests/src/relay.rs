//! A path between a client and its server that can be cut: what is sent meanwhile is held, and
//! arrives when the path is restored, as on a network that lost its packets for a while.

use std::net::SocketAddr;

use anyhow::Result;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::{CancellationToken, DropGuard};

/// A path on loopback to a server. Dropping it ends its connections.
#[derive(Debug)]
pub struct Relay {
    address: SocketAddr,
    open: watch::Sender<bool>,
    _stop: DropGuard,
}

impl Relay {
    /// A path to that server.
    ///
    /// # Errors
    /// When it cannot listen.
    pub async fn start(server: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let (open, passable) = watch::channel(true);
        let stop = CancellationToken::new();
        tokio::spawn(accept(listener, server, passable, stop.clone()));
        Ok(Self { address, open, _stop: stop.drop_guard() })
    }

    /// Where clients connect to.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Nothing passes any more; connections are made, and hear nothing.
    pub fn cut(&self) {
        self.open.send_replace(false);
    }

    /// What was held passes, and what comes.
    pub fn restore(&self) {
        self.open.send_replace(true);
    }
}

async fn accept(
    listener: TcpListener,
    server: SocketAddr,
    open: watch::Receiver<bool>,
    stop: CancellationToken,
) {
    let mut connections = JoinSet::new();
    loop {
        // Cancel safe: `accept` loses no connection when the other branch is taken.
        tokio::select! {
            () = stop.cancelled() => return,
            Ok((client, _)) = listener.accept() => {
                connections.spawn(connect(client, server, open.clone()));
            }
        }
        while connections.try_join_next().is_some() {}
    }
}

async fn connect(
    client: TcpStream,
    server: SocketAddr,
    mut open: watch::Receiver<bool>,
) -> Result<()> {
    open.wait_for(|open| *open).await?;
    let server = TcpStream::connect(server).await?;
    for stream in [&client, &server] {
        stream.set_nodelay(true)?;
    }
    let (client_in, client_out) = client.into_split();
    let (server_in, server_out) = server.into_split();
    // Each direction ends on its own: a request whose client has gone arrives all the same.
    let (there, back) =
        tokio::join!(pass(client_in, server_out, open.clone()), pass(server_in, client_out, open));
    there.and(back)
}

async fn pass(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut open: watch::Receiver<bool>,
) -> Result<()> {
    let mut bytes = vec![0; 64 * 1024];
    loop {
        let count = from.read(&mut bytes).await?;
        open.wait_for(|open| *open).await?;
        if count == 0 {
            return Ok(());
        }
        to.write_all(bytes.get(..count).unwrap_or_default()).await?;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    #[tokio::test]
    async fn what_is_sent_over_a_cut_path_arrives_when_it_is_restored() {
        let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let relay = Relay::start(server.local_addr().unwrap()).await.unwrap();
        let mut client = TcpStream::connect(relay.address()).await.unwrap();
        client.write_all(b"a").await.unwrap();
        let (mut there, _) = server.accept().await.unwrap();
        let mut byte = [0];
        there.read_exact(&mut byte).await.unwrap();
        relay.cut();
        client.write_all(b"b").await.unwrap();
        let heard = timeout(Duration::from_millis(100), there.read_exact(&mut byte)).await;
        assert!(heard.is_err(), "heard {byte:?}");
        drop(client);
        relay.restore();
        there.read_exact(&mut byte).await.unwrap();
        assert_eq!(byte, *b"b");
        assert_eq!(there.read(&mut byte).await.unwrap(), 0);
    }
}
