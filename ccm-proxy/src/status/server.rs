//! Who answers at the socket.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use ccm_proxy::netns::{Namespace, PINS};
use ccm_proxy::nft::Nft;
use futures::future::join_all;
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
        // At the same time: what one takes is bounded, and somebody waits.
        join_all(status.vlans.values_mut().map(|vlan| {
            let namespace = Namespace::at(Path::new(PINS).join(&vlan.namespace));
            count(vlan, namespace, self.nft.clone())
        }))
        .await;
        stream.write_all(&serde_json::to_vec(&status)?).await
    }
}

/// Adds what the gate of a VLAN kept from passing, which nobody counts but the kernel.
async fn count(vlan: &mut Vlan, namespace: Namespace, nft: Nft) {
    // One that is not set up has none.
    if !namespace.is_pinned() {
        return;
    }
    let counting = spawn_blocking(move || nft.counters(&namespace, gate::TABLE)).await;
    match counting.unwrap_or_else(|error| Err(error.into())) {
        Ok(counted) => vlan.drops.extend(gate::drops(&counted)),
        Err(error) => vlan.messages.push(format!("what the gate dropped is not known: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn that_counters_cannot_be_read_is_said_and_spoils_nothing_else() {
        let nft = Nft::new(["sh", "-c", "echo no kernel >&2; exit 1"].map(Into::into).into());
        let ours = || Namespace::at("/proc/self/ns/net".into());
        let before = Vlan { state: "Running".to_owned(), ..Vlan::default() };
        let mut vlan = before.clone();
        count(&mut vlan, ours(), nft.clone()).await;
        let [message] = &vlan.messages[..] else { panic!("{vlan:?}") };
        assert!(message.starts_with("what the gate dropped is not known: "), "{message}");
        let mut unset = before.clone();
        count(&mut unset, Namespace::at("/run/netns/none-such".into()), nft).await;
        assert_eq!(unset, before, "it has no namespace");
        let listed = r#"{"nftables": [{"counter": {"table": "cloud-provider-ovn",
            "name": "refused", "packets": 3}}]}"#;
        let says = format!("echo '{listed}'");
        let nft = Nft::new(["sh", "-c", &says].map(Into::into).into());
        let mut vlan = before.clone();
        count(&mut vlan, ours(), nft).await;
        let drops = [("GateNoService".to_owned(), 3)].into();
        assert_eq!(vlan, Vlan { drops, ..before });
    }
}
