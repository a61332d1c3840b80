//! How bytes are passed on.

use std::time::Duration;

use anyhow::Result;
use tokio::io::AsyncWriteExt;
use tokio::net::tcp::OwnedWriteHalf;

use super::unread::Unread;

/// How bytes are passed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// As they come.
    Whole,
    /// In pieces of that many bytes, each written by itself.
    Pieces(usize),
    /// One by one, each only when the one before was read: every read gives one byte.
    Bytes,
    /// One by one, each this long after the one before.
    Trickle(Duration),
    /// Those of a connection in two parts, the second only when the first was read.
    SplitAt(usize),
}

impl Pace {
    /// Writes bytes of which the first is the one at `offset` of the stream.
    pub(super) async fn write(
        self,
        out: &mut OwnedWriteHalf,
        bytes: &[u8],
        offset: usize,
    ) -> Result<()> {
        match self {
            Self::Whole => out.write_all(bytes).await?,
            Self::Pieces(size) => {
                for piece in bytes.chunks(size) {
                    out.write_all(piece).await?;
                }
            }
            Self::Bytes => {
                for byte in bytes.chunks(1) {
                    out.write_all(byte).await?;
                    taken(out).await?;
                }
            }
            Self::Trickle(pause) => {
                for byte in bytes.chunks(1) {
                    out.write_all(byte).await?;
                    tokio::time::sleep(pause).await;
                }
            }
            Self::SplitAt(at) => {
                let at = at.saturating_sub(offset).min(bytes.len());
                let (first, second) = bytes.split_at(at);
                out.write_all(first).await?;
                if !first.is_empty() && !second.is_empty() {
                    taken(out).await?;
                }
                out.write_all(second).await?;
            }
        }
        Ok(())
    }
}

/// Waits until the other side has read all that was written.
async fn taken(out: &OwnedWriteHalf) -> Result<()> {
    let unread = Unread::new(out.peer_addr()?, out.local_addr()?)?;
    while unread.bytes()? > 0 {
        tokio::task::yield_now().await;
    }
    Ok(())
}
