//! Who answers at the socket.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use ccm_proxy::netns::{Namespace, PINS};
use ccm_proxy::nft::Nft;
use speaker_core::gate;
use tokio::io::AsyncWriteExt as _;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{mpsc, oneshot};
use tokio::task::spawn_blocking;
use tokio::time::{sleep, timeout};

use super::{PATIENCE, Vlan};
use crate::input::Input;

/// Answers whoever asks at the socket.
pub(crate) struct Server {
    listener: UnixListener,
    nft: Nft,
    inputs: mpsc::Sender<Input>,
}

impl Server {
    /// Listens, in place of a run that is over.
    ///
    /// # Errors
    /// The kernel's.
    pub(crate) fn bind(path: &Path, nft: Nft, inputs: mpsc::Sender<Input>) -> anyhow::Result<Self> {
        let what = || format!("listen on {} (--status-socket)", path.display());
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).with_context(what)?;
        }
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(error).with_context(what);
            }
            _ => {}
        }
        let listener = UnixListener::bind(path).with_context(what)?;
        let ours = std::fs::Permissions::from_mode(0o600);
        std::fs::set_permissions(path, ours).with_context(what)?;
        Ok(Self { listener, nft, inputs })
    }

    /// Answers one after the other.
    pub(crate) async fn run(self) {
        loop {
            let error = match self.listener.accept().await {
                Ok((stream, _)) => {
                    let answered = timeout(PATIENCE, self.answer(stream)).await;
                    answered.unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into())).err()
                }
                Err(error) => {
                    // There may be too many files open: that does not end at once.
                    sleep(Duration::from_millis(100)).await;
                    Some(error)
                }
            };
            if let Some(error) = error {
                tracing::debug!(%error, "a question at the status socket is not answered");
            }
        }
    }

    async fn answer(&self, mut stream: UnixStream) -> std::io::Result<()> {
        let (answer, answered) = oneshot::channel();
        let gone = || std::io::Error::other("the heart is gone");
        self.inputs.send(Input::Look(answer)).await.map_err(|_| gone())?;
        let mut status = answered.await.map_err(|_| gone())?;
        let nft = self.nft.clone();
        let counted = spawn_blocking(move || {
            status.vlans.values_mut().for_each(|vlan| count(vlan, &nft));
            status
        });
        stream.write_all(&serde_json::to_vec(&counted.await?)?).await
    }
}

/// Adds what the gate of a VLAN kept from passing, which nobody counts but the kernel.
fn count(vlan: &mut Vlan, nft: &Nft) {
    let namespace = Namespace::at(Path::new(PINS).join(&vlan.namespace));
    // One that is not set up has none.
    if !namespace.is_pinned() {
        return;
    }
    match nft.counters(&namespace, gate::TABLE) {
        Ok(counted) => vlan.drops.extend(gate::drops(&counted)),
        Err(error) => vlan.messages.push(format!("what the gate dropped is not known: {error}")),
    }
}
