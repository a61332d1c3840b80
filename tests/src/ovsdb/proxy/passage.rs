//! One connection through the proxy.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result, bail};
use ovn_client::FrameLimits;
use ovn_client::ovsdb::message::{Framer, Message};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

use super::{Shared, Then};

/// One connection.
pub(super) struct Passage<'s> {
    shared: &'s Shared,
    /// The methods of the requests under way, by id.
    requests: Mutex<BTreeMap<u64, String>>,
}

impl<'s> Passage<'s> {
    /// Passes messages on until either side ends.
    pub(super) async fn serve(client: TcpStream, shared: &'s Shared) -> Result<()> {
        if shared.mute.load(Ordering::SeqCst) {
            // The kernel takes what comes; nobody reads it.
            return std::future::pending().await;
        }
        let server = TcpStream::connect(("127.0.0.1", shared.target)).await?;
        for stream in [&client, &server] {
            stream.set_nodelay(true)?;
        }
        let (client_in, client_out) = client.into_split();
        let (server_in, server_out) = server.into_split();
        let passage = Self { shared, requests: Mutex::default() };
        tokio::select! {
            ended = passage.requests(client_in, server_out) => ended,
            ended = passage.replies(server_in, client_out) => ended,
        }
    }

    async fn requests(&self, mut from: OwnedReadHalf, mut to: OwnedWriteHalf) -> Result<()> {
        let mut framer = Framer::new(FrameLimits::default());
        let mut bytes = vec![0; 64 * 1024];
        loop {
            let read = read(&mut from, &mut bytes).await?;
            self.shared.silence().await;
            framer.push(read);
            while let Some(message) = framer.next_message()? {
                if let Ok(Message::Request { id, method, .. }) = Message::parse(&message)
                    && let Ok(id) = id.get().parse()
                {
                    self.under_way().insert(id, method);
                }
            }
            to.write_all(read).await?;
        }
    }

    async fn replies(&self, mut from: OwnedReadHalf, to: OwnedWriteHalf) -> Result<()> {
        let cut_at = self.shared.cut_at.lock().unwrap_or_else(PoisonError::into_inner).take();
        let mut out = Out { to, shared: self.shared, offset: 0, cut_at };
        let mut framer = Framer::new(FrameLimits::default());
        let mut bytes = vec![0; 64 * 1024];
        // The message that is not whole yet, and how much of it was passed on.
        let (mut partial, mut passed) = (Vec::new(), 0);
        loop {
            let read = read(&mut from, &mut bytes).await?;
            self.shared.silence().await;
            framer.push(read);
            partial.extend_from_slice(read);
            while let Some(message) = framer.next_message()? {
                let rest = partial.split_off(message.len());
                let whole = std::mem::replace(&mut partial, rest);
                // One of which a part was passed on is too late to be lost.
                let lost = if passed == 0 { self.lost(&whole) } else { None };
                match lost {
                    None => out.write(whole.get(passed..).unwrap_or_default()).await?,
                    Some(Then::GoOn) => {}
                    Some(Then::Cut) => bail!("a reply is lost"),
                }
                passed = 0;
            }
            if self.shared.swallow().is_none() {
                out.write(partial.get(passed..).unwrap_or_default()).await?;
                passed = partial.len();
            }
        }
    }

    fn lost(&self, message: &[u8]) -> Option<Then> {
        match Message::parse(message) {
            Ok(Message::Reply { id: Some(id), .. }) => {
                let method = self.under_way().remove(&id)?;
                self.shared.take(&method)
            }
            _ => None,
        }
    }

    fn under_way(&self) -> MutexGuard<'_, BTreeMap<u64, String>> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The way to the client.
struct Out<'s> {
    to: OwnedWriteHalf,
    shared: &'s Shared,
    offset: usize,
    cut_at: Option<usize>,
}

impl Out<'_> {
    async fn write(&mut self, bytes: &[u8]) -> Result<()> {
        let left = self.cut_at.map_or(bytes.len(), |at| at.saturating_sub(self.offset));
        let passing = bytes.get(..left).unwrap_or(bytes);
        self.shared.pace.write(&mut self.to, passing, self.offset).await?;
        self.offset += passing.len();
        self.shared.passed.fetch_add(passing.len(), Ordering::SeqCst);
        if passing.len() < bytes.len() {
            bail!("cut");
        }
        Ok(())
    }
}

async fn read<'b>(from: &mut OwnedReadHalf, bytes: &'b mut [u8]) -> Result<&'b [u8]> {
    let count = from.read(bytes).await?;
    bytes.get(..count).filter(|read| !read.is_empty()).context("the end")
}
