//! What lies between a client and its server, and does what networks and servers sometimes do.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use anyhow::{Context, Result};
use ovn_client::FrameLimits;
use ovn_client::ovsdb::message::{Framer, Message};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio_util::sync::{CancellationToken, DropGuard};

/// How bytes are passed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// As they come.
    Whole,
    /// In pieces of that many bytes, each written by itself.
    Pieces(usize),
}

/// A proxy on loopback in front of a server. Dropping it cuts its connections.
#[derive(Debug)]
pub struct Proxy {
    port: u16,
    shared: Arc<Shared>,
    _stop: DropGuard,
}

#[derive(Debug)]
struct Shared {
    target: u16,
    pace: Pace,
    /// Replies to `transact` still to be swallowed, each with its connection.
    swallow: AtomicUsize,
    swallowed: AtomicUsize,
    silent: AtomicBool,
    cut: Notify,
    connections: AtomicUsize,
}

impl Proxy {
    /// A proxy in front of that port of loopback.
    ///
    /// # Errors
    /// When it cannot listen.
    pub async fn start(target: u16, pace: Pace) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let port = listener.local_addr()?.port();
        let shared = Arc::new(Shared {
            target,
            pace,
            swallow: AtomicUsize::new(0),
            swallowed: AtomicUsize::new(0),
            silent: AtomicBool::new(false),
            cut: Notify::new(),
            connections: AtomicUsize::new(0),
        });
        let stop = CancellationToken::new();
        tokio::spawn(accept(listener, shared.clone(), stop.clone()));
        Ok(Self { port, shared, _stop: stop.drop_guard() })
    }

    /// `tcp:127.0.0.1:<port>`.
    pub fn endpoint(&self) -> String {
        format!("tcp:127.0.0.1:{}", self.port)
    }

    /// The next reply to a `transact` is lost, and the connection with it.
    pub fn swallow_a_reply(&self) {
        self.shared.swallow.store(1, Ordering::SeqCst);
    }

    /// How many replies were lost so.
    pub fn swallowed(&self) -> usize {
        self.shared.swallowed.load(Ordering::SeqCst)
    }

    /// Present connections pass nothing on from now on, and stay open: the other side is gone
    /// without a word. New ones are not touched.
    pub fn fall_silent(&self) {
        self.shared.silent.store(true, Ordering::SeqCst);
    }

    /// Ends every present connection.
    pub fn cut(&self) {
        self.shared.cut.notify_waiters();
    }

    /// How many connections were opened.
    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>, stop: CancellationToken) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            Ok((client, _)) = listener.accept() => {
                // Silence is of the connections that are there.
                shared.silent.store(false, Ordering::SeqCst);
                shared.connections.fetch_add(1, Ordering::SeqCst);
                let shared = shared.clone();
                connections.spawn(async move {
                    // A connection that ends is what its test is about.
                    let _ = serve(client, &shared).await;
                });
            }
        }
    }
}

async fn serve(client: TcpStream, shared: &Shared) -> Result<()> {
    let cut = shared.cut.notified();
    let server = TcpStream::connect(("127.0.0.1", shared.target)).await?;
    for stream in [&client, &server] {
        stream.set_nodelay(true)?;
    }
    let (mut client_in, mut client_out) = client.into_split();
    let (mut server_in, mut server_out) = server.into_split();
    let pending = std::sync::Mutex::new(std::collections::BTreeSet::new());
    let requests = async {
        let mut framer = Framer::new(FrameLimits::default());
        let mut bytes = vec![0; 64 * 1024];
        loop {
            let count = client_in.read(&mut bytes).await?;
            let read = bytes.get(..count).filter(|read| !read.is_empty()).context("the end")?;
            silence(shared).await;
            framer.push(read);
            while let Some(message) = framer.next_message()? {
                if let Ok(Message::Request { id, method, .. }) = Message::parse(&message)
                    && method == "transact"
                {
                    pending.lock().ok().map(|mut ids| ids.insert(id.get().to_owned()));
                }
            }
            write(&mut server_out, read, shared.pace).await?;
        }
    };
    let replies = async {
        let mut framer = Framer::new(FrameLimits::default());
        let mut bytes = vec![0; 64 * 1024];
        loop {
            let count = server_in.read(&mut bytes).await?;
            let read = bytes.get(..count).filter(|read| !read.is_empty()).context("the end")?;
            silence(shared).await;
            if shared.swallow.load(Ordering::SeqCst) == 0 {
                framer = Framer::new(FrameLimits::default());
                write(&mut client_out, read, shared.pace).await?;
                continue;
            }
            framer.push(read);
            while let Some(message) = framer.next_message()? {
                if let Ok(Message::Reply { id: Some(id), .. }) = Message::parse(&message)
                    && pending.lock().is_ok_and(|ids| ids.contains(&id.to_string()))
                {
                    shared.swallow.store(0, Ordering::SeqCst);
                    shared.swallowed.fetch_add(1, Ordering::SeqCst);
                    anyhow::bail!("swallowed");
                }
                write(&mut client_out, &message, shared.pace).await?;
            }
        }
    };
    tokio::select! {
        ended = requests => ended,
        ended = replies => ended,
        () = cut => Ok(()),
    }
}

async fn silence(shared: &Shared) {
    if shared.silent.load(Ordering::SeqCst) {
        std::future::pending::<()>().await;
    }
}

async fn write(
    out: &mut (impl AsyncWriteExt + Unpin),
    bytes: &[u8],
    pace: Pace,
) -> std::io::Result<()> {
    match pace {
        Pace::Whole => out.write_all(bytes).await,
        Pace::Pieces(size) => {
            for piece in bytes.chunks(size) {
                out.write_all(piece).await?;
                out.flush().await?;
            }
            Ok(())
        }
    }
}
