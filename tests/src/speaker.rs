//! The speaker as a process, on a node of the lab.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use crate::cluster::Cluster;
use crate::cpo;
use crate::exec::{Exec, Place};
use crate::netns::Netns;
use crate::overlay::{Lab, Node};
use crate::process::Process;
use crate::space::Space;
use crate::{sandbox, wait};

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
        Self::start_with(lab, node, &[]).await
    }

    /// [`start`](Self::start) with further arguments.
    ///
    /// # Errors
    /// When the binary is missing.
    pub async fn start_with(lab: &Lab, node: &Node, args: &[&str]) -> Result<Self> {
        let level = "info,ccm_proxy=debug,speaker_core=debug";
        let at = (node.name(), node.netns());
        Self::start_at(lab.under(), lab.space(), at, level, args).await
    }

    /// The same for a node that has a name and a namespace, with another level of its log.
    ///
    /// # Errors
    /// When the binary is missing.
    pub async fn start_at(
        under: &Cluster,
        space: &Space,
        (name, netns): (&str, &Netns),
        level: &str,
        args: &[&str],
    ) -> Result<Self> {
        let kubeconfig = under.kubeconfig_for_service_account(NAME, NAME, TOKEN_LIFETIME);
        let dir = space.dir();
        let file = dir.join(format!("ccm-proxy-{name}.kubeconfig"));
        std::fs::write(&file, kubeconfig.await?)?;
        let socket = dir.join(format!("ccm-proxy-{name}.sock"));
        let root = sandbox::current()?.root.display().to_string();
        let exec = Exec::new(Place::Namespace(netns.name().to_owned()), cpo::program(NAME)?)
            .args(["run", "--node-name", name, "--kubeconfig"])
            .arg(&file)
            .args(["--namespace", NAME])
            .args(["--nft".to_owned(), format!("chroot {root} nft")])
            .args(["--pin-prefix".to_owned(), format!("{}-", netns.name())])
            .args(args)
            .arg("--status-socket")
            .arg(&socket)
            // As its manifest has it.
            .env("MALLOC_ARENA_MAX", "1")
            .env("MALLOC_MMAP_THRESHOLD_", "131072")
            .env("RUST_LOG", level);
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

    /// Waits until it runs on these VLANs, by the names of their tenants, and hears as many others
    /// on each.
    ///
    /// # Errors
    /// It does not in time.
    pub async fn hears(&self, vlans: &[&str], others: usize, deadline: Duration) -> Result<()> {
        wait::until(&format!("{} hears {others} others", self.node), deadline, || async {
            let told = self.json().await?;
            for vlan in vlans {
                let members = told.pointer(&format!("/vlans/{vlan}/members"));
                let members = members.and_then(serde_json::Value::as_object);
                let states = members.map(|members| members.values()).into_iter().flatten();
                let up = states.filter(|state| state.as_str() == Some("Up")).count();
                ensure!(up == others, "{told}");
            }
            Ok(())
        })
        .await
    }

    /// What `ccm-proxy status --json` prints on the node.
    ///
    /// # Errors
    /// It is not running, or does not answer.
    pub async fn json(&self) -> Result<serde_json::Value> {
        let exec = Exec::new(Place::Sandbox, cpo::program(NAME)?);
        let exec = exec.args(["status", "--json"]).arg("--status-socket").arg(&self.socket);
        Ok(serde_json::from_str(&exec.output().await?)?)
    }

    /// The process: kill it, pause it, start it again.
    pub fn process(&self) -> &Process {
        &self.process
    }
}
