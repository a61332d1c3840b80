//! The speaker as a process, on a node of the lab.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::cpo;
use crate::exec::{Exec, Place};
use crate::overlay::{Lab, Node};
use crate::process::Process;
use crate::sandbox;

/// Name of the speaker's ServiceAccount, and of its namespace.
const NAME: &str = "ccm-proxy";
const TOKEN_LIFETIME: Duration = Duration::from_secs(24 * 3600);

/// A running `ccm-proxy`.
#[derive(Debug)]
pub struct Speaker {
    node: String,
    socket: PathBuf,
    process: Process,
}

impl Speaker {
    /// Starts `ccm-proxy run` on a node, with the speaker's own rights.
    ///
    /// # Errors
    /// When the binary is missing.
    pub async fn start(lab: &Lab, node: &Node) -> Result<Self> {
        let under = lab.under();
        let kubeconfig = under.kubeconfig_for_service_account(NAME, NAME, TOKEN_LIFETIME);
        let (name, dir) = (node.name(), lab.space().dir());
        let file = dir.join(format!("ccm-proxy-{name}.kubeconfig"));
        std::fs::write(&file, kubeconfig.await?)?;
        let socket = dir.join(format!("ccm-proxy-{name}.sock"));
        let root = sandbox::current()?.root.display().to_string();
        let exec = Exec::new(Place::Namespace(node.netns().name().to_owned()), cpo::program(NAME)?)
            .args(["run", "--node-name", name, "--kubeconfig"])
            .arg(&file)
            .args(["--namespace", NAME])
            .args(["--nft".to_owned(), format!("chroot {root} nft")])
            .args(["--pin-prefix".to_owned(), format!("{}-", node.netns().name())])
            .arg("--status-socket")
            .arg(&socket)
            .env("RUST_LOG", "info,ccm_proxy=debug,speaker_core=debug");
        let log = dir.join(format!("ccm-proxy-{name}.log"));
        let process = Process::start(format!("ccm-proxy on {name}"), exec, log);
        Ok(Self { node: name.to_owned(), socket, process: process.context("ccm-proxy")? })
    }

    /// The node it runs on.
    pub fn node(&self) -> &str {
        &self.node
    }

    /// What `ccm-proxy status` prints on the node.
    ///
    /// # Errors
    /// It is not running, or does not answer.
    pub async fn status(&self) -> Result<String> {
        let exec = Exec::new(Place::Sandbox, cpo::program(NAME)?);
        exec.arg("status").arg("--status-socket").arg(&self.socket).output().await
    }

    /// The process: kill it, pause it, start it again.
    pub fn process(&self) -> &Process {
        &self.process
    }
}
