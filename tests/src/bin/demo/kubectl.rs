//! The real kubectl, as a user or an operator would call it.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use lab::cluster::Cluster;
use lab::wait;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use crate::screen::Screen;

/// How long an EXTERNAL-IP may take.
const SOON: Duration = Duration::from_secs(20);

/// kubectl for one cluster.
pub(crate) struct Kubectl {
    place: &'static str,
    kubeconfig: PathBuf,
}

impl Kubectl {
    /// kubectl with all rights in `cluster`, which the screen calls `place`.
    pub(crate) fn new(place: &'static str, cluster: &Cluster) -> Self {
        Self { place, kubeconfig: cluster.admin_kubeconfig() }
    }

    /// What the screen calls the cluster.
    pub(crate) fn place(&self) -> &'static str {
        self.place
    }

    /// Shows `kubectl <words>`, runs it, shows what it prints, and returns that.
    pub(crate) async fn show(&self, screen: &Screen, words: &str) -> Result<String> {
        screen.command(self.place, &format!("kubectl {words}"))?;
        let output = self.run(words, "").await?;
        screen.text(&output)?;
        Ok(output)
    }

    /// Shows a YAML text, applies it, and shows what kubectl prints.
    pub(crate) async fn apply(&self, screen: &Screen, yaml: &str) -> Result<()> {
        screen.command(self.place, "kubectl apply -f - <<EOF")?;
        screen.text(yaml)?;
        screen.text("EOF")?;
        screen.text(&self.run("apply -f -", yaml).await?)
    }

    /// Waits for the EXTERNAL-IP of Service `web`.
    pub(crate) async fn external_ip(&self) -> Result<Ipv4Addr> {
        wait::until(&format!("EXTERNAL-IP in {}", self.place), SOON, || async {
            let words = "get svc web -o jsonpath={.status.loadBalancer.ingress[0].ip}";
            self.run(words, "").await?.trim().parse().context("none yet")
        })
        .await
    }

    /// Runs kubectl in the repository's folder and returns what it prints.
    pub(crate) async fn run(&self, words: &str, input: &str) -> Result<String> {
        let sandbox = lab::sandbox::current()?;
        let mut child = Command::new(&sandbox.components.kubectl)
            .args(split(words))
            .current_dir(repository())
            .env("KUBECONFIG", &self.kubeconfig)
            .env("KUBECACHEDIR", "/run/data/kubectl")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("start kubectl")?;
        if let Some(mut stdin) = child.stdin.take() {
            stdin.write_all(input.as_bytes()).await?;
        }
        let output = child.wait_with_output().await?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        if !output.status.success() {
            bail!("kubectl {words}: {text}{}", errors.trim());
        }
        // `No resources found` is written to standard error.
        Ok(if text.is_empty() { errors } else { text })
    }
}

/// Words separated by spaces; single quotes hold words together.
fn split(words: &str) -> Vec<String> {
    let quoted = words.split('\'').enumerate();
    quoted
        .flat_map(|(index, part)| match index % 2 {
            0 => part.split_whitespace().map(str::to_owned).collect(),
            _ => vec![part.to_owned()],
        })
        .collect()
}

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}
