//! What lies between a client and its server, and does what networks and servers sometimes do.

mod pace;
mod passage;
mod unread;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::Result;
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio_util::sync::{CancellationToken, DropGuard};

pub use pace::Pace;
use passage::Passage;

/// A proxy on loopback in front of a server. Dropping it cuts its connections.
#[derive(Debug)]
pub struct Proxy {
    port: u16,
    shared: Arc<Shared>,
    _stop: DropGuard,
}

/// What becomes of a connection that lost a reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Then {
    /// It ends, as when a server dies between commit and reply.
    Cut,
    /// It goes on as if nothing was.
    GoOn,
}

#[derive(Debug)]
struct Shared {
    target: u16,
    pace: Pace,
    /// The method whose next reply is to be lost.
    swallow: Mutex<Option<(&'static str, Then)>>,
    swallowed: AtomicUsize,
    mute: AtomicBool,
    silent: AtomicBool,
    cut: Notify,
    /// The next connection ends after this many bytes of the server.
    cut_at: Mutex<Option<usize>>,
    connections: AtomicUsize,
    passed: AtomicUsize,
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
            swallow: Mutex::default(),
            swallowed: AtomicUsize::new(0),
            mute: AtomicBool::new(false),
            silent: AtomicBool::new(false),
            cut: Notify::new(),
            cut_at: Mutex::default(),
            connections: AtomicUsize::new(0),
            passed: AtomicUsize::new(0),
        });
        let stop = CancellationToken::new();
        tokio::spawn(accept(listener, shared.clone(), stop.clone()));
        Ok(Self { port, shared, _stop: stop.drop_guard() })
    }

    /// `tcp:127.0.0.1:<port>`.
    pub fn endpoint(&self) -> String {
        format!("tcp:127.0.0.1:{}", self.port)
    }

    /// The next reply to a request of this method is lost.
    pub fn swallow(&self, method: &'static str, then: Then) {
        *self.shared.swallow() = Some((method, then));
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

    /// Whether new connections are taken and left without a word.
    pub fn mute(&self, mute: bool) {
        self.shared.mute.store(mute, Ordering::SeqCst);
    }

    /// Ends every present connection.
    pub fn cut(&self) {
        self.shared.cut.notify_waiters();
    }

    /// The next connection ends after that many bytes of the server.
    pub fn cut_at(&self, offset: usize) {
        *self.shared.cut_at.lock().unwrap_or_else(PoisonError::into_inner) = Some(offset);
    }

    /// How many connections were opened.
    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// How many bytes came from the server through all connections.
    pub fn passed(&self) -> usize {
        self.shared.passed.load(Ordering::SeqCst)
    }
}

impl Shared {
    fn swallow(&self) -> MutexGuard<'_, Option<(&'static str, Then)>> {
        self.swallow.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether this reply is the one to be lost, and what then.
    fn take(&self, method: &str) -> Option<Then> {
        let mut swallow = self.swallow();
        let (_, then) = swallow.take_if(|(wanted, _)| *wanted == method)?;
        self.swallowed.fetch_add(1, Ordering::SeqCst);
        Some(then)
    }

    async fn silence(&self) {
        if self.silent.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
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
                    let cut = shared.cut.notified();
                    // A connection that ends is what its test is about.
                    tokio::select! {
                        _ = Passage::serve(client, &shared) => {}
                        () = cut => {}
                    }
                });
            }
        }
    }
}
