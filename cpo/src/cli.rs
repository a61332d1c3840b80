//! The command line.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::{Args, Parser, Subcommand};
use cpo_core::assignments::Reserved;
use cpo_core::engine::Engine;
use cpo_core::ids::Install;
use ovn_client::{ClientConfig, TlsFiles, TlsSource, Verify};
use pools::{AddressRange, AddressSet};

use crate::adopt::AdoptArgs;
use crate::lease::LeaseArgs;
use crate::look::{ExplainArgs, Filter, LookArgs};

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
    /// Print each AddressPool: who may draw from it, its figures, and how it stands.
    Pools(LookArgs),
    /// Print each address: who owns it, and how it stands.
    Eips {
        #[command(flatten)]
        look: LookArgs,
        #[command(flatten)]
        filter: Filter,
    },
    /// Find out why a Service has no load balancer, and what to do. Exit code: 0 where it is
    /// served, 1 where it is not, 2 where that cannot be told.
    Explain(Box<ExplainArgs>),
    /// Look at our load balancer rows.
    #[command(subcommand)]
    Lb(Lb),
    /// Turn the configuration of another load balancer into objects of ours.
    #[command(subcommand)]
    Import(Import),
    /// Record the addresses that the under cluster's own Services have by another load balancer, as
    /// Eips reserved for them: they keep these when cpo serves them. Nothing else is changed.
    Adopt(AdoptArgs),
    /// Write the custom resource definitions, one YAML file each, or all to standard output.
    Crds {
        /// Folder to write to.
        #[arg(long)]
        out: Option<PathBuf>,
    },
}

#[derive(Debug, Subcommand)]
enum Import {
    /// Print MetalLB's IPAddressPools and L2Advertisements as AddressPools and L2Advertisements of
    /// ours, as YAML; and to standard error what of them is not carried over. Nothing is applied.
    Metallb {
        /// Files with MetalLB's objects, as `kubectl get ipaddresspools,l2advertisements -A -o yaml`
        /// prints them, too.
        #[arg(required = true)]
        files: Vec<PathBuf>,
    },
}

#[derive(Debug, Subcommand)]
enum Lb {
    /// Print each Vip with its Service, backends, router and row.
    List(OvnArgs),
}

/// Where the Northbound database is, and which rows in it are ours.
#[derive(Clone, Debug, Args)]
pub(crate) struct OvnArgs {
    /// Endpoints of the OVN Northbound database: `tcp:HOST:PORT`, `ssl:HOST:PORT` or
    /// `unix:PATH`, a comma list.
    #[arg(long, env = "CPO_OVN_NB")]
    ovn_nb: String,
    #[command(flatten)]
    pub(crate) access: OvnAccess,
}

/// How the Northbound database is read, and which rows in it are ours.
#[derive(Clone, Debug, Args)]
pub(crate) struct OvnAccess {
    /// Folder with `cacert`, `cert` and `key` (Kube-OVN's Secret `kube-ovn-tls`) for `ssl:`.
    #[arg(long, env = "CPO_OVN_TLS")]
    ovn_tls: Option<PathBuf>,
    /// What a server's certificate has to be, beside valid: `chain` (of the given authority; what
    /// ovs-pki and Kube-OVN make carries no usable name), `san:NAME`, or `sha256:DIGEST`.
    #[arg(long, env = "CPO_OVN_VERIFY", default_value = "chain")]
    ovn_verify: Verify,
    /// Name of this installation; two on one Northbound database need different ones.
    #[arg(long, env = "CPO_INSTALL", default_value = "default")]
    pub(crate) install: Install,
}

impl OvnArgs {
    /// How to connect.
    pub(crate) fn client_config(&self) -> anyhow::Result<ClientConfig> {
        self.access.client_config(&self.ovn_nb)
    }
}

impl OvnAccess {
    /// How to connect to these endpoints.
    pub(crate) fn client_config(&self, endpoints: &str) -> anyhow::Result<ClientConfig> {
        let endpoints = endpoints.parse().context("read --ovn-nb")?;
        let mut config = ClientConfig::new(endpoints, crate::ovn::database());
        if let Some(folder) = &self.ovn_tls {
            let files = TlsFiles {
                authority: folder.join("cacert"),
                certificate: folder.join("cert"),
                key: folder.join("key"),
                verify: self.ovn_verify.clone(),
            };
            // A mistake is told now; later the last good ones go on.
            files.load().context("use the certificates of --ovn-tls")?;
            config.tls = Some(TlsSource::Files(files));
        }
        Ok(config)
    }
}

/// Settings of `cpo run`.
#[derive(Clone, Debug, Args)]
pub(crate) struct RunArgs {
    /// Kubeconfig of the under cluster; without it, the Pod's ServiceAccount.
    #[arg(long, env = "CPO_KUBECONFIG")]
    pub(crate) kubeconfig: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) ovn: OvnArgs,
    #[command(flatten)]
    pub(crate) lease: LeaseArgs,
    #[command(flatten)]
    reserved: ReservedArgs,
    /// Address of `/healthz`, `/readyz` and `/metrics`.
    #[arg(long, env = "CPO_LISTEN", default_value = "0.0.0.0:9464")]
    pub(crate) listen: SocketAddr,
    /// The least time between two sweeps of emptied load balancer rows, for example `60s` or `5m`:
    /// each makes ovn-northd compute everything anew, which takes it seconds where it serves
    /// thousands of load balancers.
    #[arg(long, env = "CPO_SWEEP_PERIOD", default_value = "60s", value_parser = duration)]
    sweep_period: Duration,
    /// Write the log as JSON.
    #[arg(long, env = "CPO_LOG_JSON")]
    pub(crate) log_json: bool,
}

impl RunArgs {
    /// The engine as it is configured, which knows nothing yet.
    pub(crate) fn engine(&self) -> Engine {
        let engine = Engine::new(self.ovn.access.install.clone());
        engine.sweep_every(self.sweep_period).reserving(self.reserved.ranges())
    }
}

/// What no pool of addresses may hold.
#[derive(Clone, Debug, Args)]
pub(crate) struct ReservedArgs {
    /// Ranges that no pool of addresses may hold, a comma list of addresses, `first-last` and CIDRs:
    /// other machines on the provider network, for example. Gateways, pod Subnets, nodes and
    /// `ServiceCIDR`s of the under cluster are known.
    #[arg(long, env = "CPO_RESERVED_RANGES", value_delimiter = ',')]
    reserved_ranges: Vec<AddressRange>,
}

impl ReservedArgs {
    /// These ranges, with what they are.
    pub(crate) fn ranges(&self) -> Reserved {
        let named = |range: &AddressRange| {
            (AddressSet::from_iter([*range]), format!("{range} of --reserved-ranges"))
        };
        self.reserved_ranges.iter().map(named).collect()
    }
}

impl Cli {
    /// Does what the command line says.
    pub(crate) fn execute(self) -> anyhow::Result<ExitCode> {
        match self.command {
            Command::Run(args) => crate::run::run(*args)?,
            Command::Adopt(args) => at_once(crate::adopt::adopt(&args))?,
            Command::Pools(args) => at_once(crate::look::print_pools(&args))?,
            Command::Eips { look, filter } => at_once(crate::look::print_eips(&look, &filter))?,
            Command::Explain(args) => return Ok(explained(at_once(crate::look::explain(&args)))),
            Command::Lb(Lb::List(args)) => {
                let list = crate::rows::list(args.client_config()?, args.access.install.as_str());
                at_once(list)?;
            }
            Command::Import(Import::Metallb { files }) => crate::import::metallb(&files)?,
            Command::Crds { out } => crds(out)?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Runs a command that ends by itself.
fn at_once<T>(command: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    crate::run::install_tls_provider();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(command)
}

/// Whether a Service is served, as an exit code; an error is neither.
fn explained(served: anyhow::Result<bool>) -> ExitCode {
    match served {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            eprintln!("cpo: {error:#}");
            ExitCode::from(2)
        }
    }
}

/// Reads a duration that is not negative, as `60s`, `5m` or `PT1M`.
pub(crate) fn duration(text: &str) -> anyhow::Result<Duration> {
    let parsed: jiff::SignedDuration = text.parse()?;
    parsed.try_into().context("a duration cannot be negative")
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
    fn what_explains_keeps_the_same_ranges_out_of_pools_as_what_runs() {
        let reserved = ["--reserved-ranges", "203.0.113.7,203.0.113.64/28"];
        let read = |args: &[&str]| {
            let cli = Cli::try_parse_from([&["cpo"], args, &reserved].concat()).unwrap();
            match cli.command {
                Command::Run(args) => args.engine().world().reserved.clone(),
                Command::Explain(args) => args.engine().world().reserved.clone(),
                other => panic!("{other:?}"),
            }
        };
        let runs = read(&["run", "--ovn-nb", "tcp:127.0.0.1:6641"]);
        let told: Vec<_> = runs.iter().map(|(_, what)| what.as_str()).collect();
        let of = |range: &str| format!("{range} of --reserved-ranges");
        assert_eq!(told, [of("203.0.113.7"), of("203.0.113.64-203.0.113.79")]);
        assert_eq!(read(&["explain", "a/default/web"]), runs);
    }

    #[test]
    fn a_duration_names_its_unit_and_is_not_negative() {
        assert_eq!(duration("5m").unwrap(), Duration::from_secs(300));
        assert_eq!(duration("1500ms").unwrap(), Duration::from_millis(1500));
        assert!(duration("60").is_err() && duration("-1s").is_err() && duration("").is_err());
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
