//! Writes what we say of addresses into their `Eip`s, so many at a time.

use std::time::Duration;

use cpo_api::{Eip, names};
use kube::Api;
use kube::api::{Patch, PatchParams};
use speaker_core::node::NodeName;
use tokio::task::{JoinError, JoinSet};
use tokio::time::timeout;

use crate::announcements::{Write, Written};
use crate::input::Object;
use crate::parse;
use crate::watch::describe;

/// Writes under way at a time.
const WRITES: usize = 16;
/// How long one write may take.
const WRITE: Duration = Duration::from_secs(10);
/// The API server takes no longer name of a writer.
const LONGEST_WRITER: usize = 128;

/// Writes under way.
pub(super) struct Writer {
    us: NodeName,
    eips: Api<Eip>,
    writes: JoinSet<(Write, Result<Written, String>)>,
    /// The last that ended failed: the log has it.
    failing: bool,
}

impl Writer {
    /// None is under way.
    pub(super) fn new(us: NodeName, eips: Api<Eip>) -> Self {
        Self { us, eips, writes: JoinSet::new(), failing: false }
    }

    /// Whether another can be begun.
    pub(super) fn has_room(&self) -> bool {
        self.writes.len() < WRITES
    }

    /// Begins one.
    pub(super) fn begin(&mut self, write: Write) {
        let (eips, us) = (self.eips.clone(), self.us.clone());
        self.writes.spawn(async move {
            let written = apply(&eips, &us, &write).await;
            (write, written)
        });
    }

    /// Waits for the end of one; nothing where none is under way. Cancel safe.
    pub(super) async fn ended(&mut self) -> Option<Result<(Write, Written), JoinError>> {
        let ended = self.writes.join_next().await?;
        Some(ended.map(|(write, written)| (write, self.told(written))))
    }

    /// One that has ended already.
    pub(super) fn try_ended(&mut self) -> Option<Result<(Write, Written), JoinError>> {
        let ended = self.writes.try_join_next()?;
        Some(ended.map(|(write, written)| (write, self.told(written))))
    }

    /// Abandons those under way.
    pub(super) async fn abandon(&mut self) {
        self.writes.shutdown().await;
    }

    /// Tells the log when writes begin to fail, and when they succeed again.
    fn told(&mut self, written: Result<Written, String>) -> Written {
        let failed = std::mem::replace(&mut self.failing, written.is_err());
        match written {
            Ok(written) => {
                if failed {
                    tracing::info!("what is announced is written again");
                }
                written
            }
            Err(error) if failed => {
                tracing::debug!(error, "what is announced is not written still");
                Written::Failed
            }
            Err(error) => {
                tracing::warn!(error, "what is announced is not written, is tried again");
                Written::Failed
            }
        }
    }
}

/// Writes our own entry.
async fn apply(eips: &Api<Eip>, us: &NodeName, write: &Write) -> Result<Written, String> {
    let params = PatchParams::apply(&writer(us)).force();
    let (name, body) = (Eip::name_of(write.address), write.body(us));
    let patch = Patch::Apply(&body);
    let error = match timeout(WRITE, eips.patch_status(&name, &params, &patch)).await {
        Ok(Ok(eip)) => {
            return Ok(match parse::eip(eip, us).0 {
                Some(Object::Eip(_, eip)) => Written::Done(eip),
                _ => Written::Done(None),
            });
        }
        Ok(Err(kube::Error::Api(status))) if matches!(status.code, 404 | 409) => {
            tracing::debug!(eip = name, error = status.message, "another Eip by now, or none");
            return Ok(Written::Refused);
        }
        Ok(Err(error)) => describe(&error),
        Err(_) => "no answer in time".to_owned(),
    };
    Err(format!("{name}: {error}"))
}

/// Who writes our own entries: each speaker by itself. A name that is too long is cut, and told
/// apart by a hash (FNV-1a).
fn writer(us: &NodeName) -> String {
    let whole = format!("{}{us}", names::SPEAKER_WRITER);
    if whole.len() <= LONGEST_WRITER {
        return whole;
    }
    let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    let hash = whole.bytes().fold(0xcbf2_9ce4_8422_2325, step);
    let kept: String = whole.chars().take(LONGEST_WRITER - 17).collect();
    format!("{kept}-{hash:016x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_node_writes_by_a_name_of_its_own_that_the_api_server_takes() {
        assert_eq!(writer(&"n1".parse().unwrap()), "ccm-proxy-n1");
        let [one, other] = ["a", "b"].map(|end| format!("{}{end}", "n".repeat(250)));
        let [one, other] = [one, other].map(|name| writer(&name.parse().unwrap()));
        assert_eq!((one.len(), other.len()), (LONGEST_WRITER, LONGEST_WRITER));
        assert_ne!(one, other);
    }
}
