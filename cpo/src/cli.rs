//! The command line.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Args, Parser, Subcommand};
use cpo_core::ids::Install;

/// Load balancers for clusters that run inside clusters.
#[derive(Debug, Parser)]
#[command(name = "cpo", version, about)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the controller.
    Run(Box<RunArgs>),
    /// Write the custom resource definitions, one YAML file each, or all to standard output.
    Crds {
        /// Folder to write to.
        #[arg(long)]
        out: Option<PathBuf>,
    },
}

/// Settings of `cpo run`.
#[derive(Clone, Debug, Args)]
pub(crate) struct RunArgs {
    /// Kubeconfig of the under cluster; without it, the Pod's ServiceAccount.
    #[arg(long, env = "CPO_KUBECONFIG")]
    pub(crate) kubeconfig: Option<PathBuf>,
    /// Endpoints of the OVN Northbound database: `tcp:HOST:PORT`, `ssl:HOST:PORT` or
    /// `unix:PATH`, a comma list.
    #[arg(long, env = "CPO_OVN_NB")]
    pub(crate) ovn_nb: String,
    /// Folder with `cacert`, `cert` and `key` (Kube-OVN's Secret `kube-ovn-tls`) for `ssl:`.
    #[arg(long, env = "CPO_OVN_TLS")]
    pub(crate) ovn_tls: Option<PathBuf>,
    /// Address of `/healthz`, `/readyz` and `/metrics`.
    #[arg(long, env = "CPO_LISTEN", default_value = "0.0.0.0:9464")]
    pub(crate) listen: SocketAddr,
    /// Name of this installation; two on one Northbound database need different ones.
    #[arg(long, env = "CPO_INSTALL", default_value = "default")]
    pub(crate) install: Install,
    /// Write the log as JSON.
    #[arg(long, env = "CPO_LOG_JSON")]
    pub(crate) log_json: bool,
}

impl Cli {
    /// Does what the command line says.
    pub(crate) fn execute(self) -> anyhow::Result<()> {
        match self.command {
            Command::Run(args) => crate::run::run(*args),
            Command::Crds { out } => crds(out),
        }
    }
}

/// File name and YAML of every custom resource definition.
pub(crate) fn definitions() -> anyhow::Result<Vec<(String, String)>> {
    let yaml = |crd| -> anyhow::Result<(String, String)> {
        let value = serde_json::to_value(&crd)?;
        let name = value.pointer("/spec/names/plural").and_then(|n| n.as_str());
        let name = format!("{}.yaml", name.unwrap_or_default());
        Ok((name, serde_saphyr::to_string(&value)?))
    };
    cpo_api::definitions().into_iter().map(yaml).collect()
}

fn crds(out: Option<PathBuf>) -> anyhow::Result<()> {
    for (name, yaml) in definitions()? {
        match &out {
            Some(folder) => {
                let path = folder.join(name);
                std::fs::write(&path, yaml).with_context(|| format!("write {}", path.display()))?;
            }
            None => writeln!(std::io::stdout().lock(), "---\n{yaml}")?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        use clap::CommandFactory as _;
        Cli::command().debug_assert();
    }

    #[test]
    fn the_manifests_hold_the_current_definitions() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../manifests/crds");
        for (name, yaml) in definitions().unwrap() {
            let stored = std::fs::read_to_string(folder.join(&name)).unwrap_or_default();
            assert!(stored == yaml, "manifests/crds/{name} is stale: run `make manifests`");
        }
    }
}
