//! The command line.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use ccm_proxy::place::Ground;
use clap::{Args, Parser, Subcommand};
use speaker_core::node::NodeName;

/// Where the namespace of a Pod is told to its containers.
const NAMESPACE_FILE: &str = "/var/run/secrets/kubernetes.io/serviceaccount/namespace";
/// The namespace of `manifests/`.
const NAMESPACE: &str = "ccm-proxy";
/// Where a running speaker answers.
const SOCKET: &str = "/run/cpo/ccm-proxy.sock";

/// The speaker of cloud-provider-ovn: announces addresses on the VLANs of its node, and leads their
/// packets to the tenants' machines.
#[derive(Debug, Parser)]
#[command(name = "ccm-proxy", version, about)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the speaker of this node.
    Run(Box<RunArgs>),
    /// Print how the speaker that runs on this node stands: its VLANs, the other speakers on each,
    /// and each address.
    Status(StatusArgs),
}

/// Settings of `ccm-proxy run`.
#[derive(Clone, Debug, Args)]
pub(crate) struct RunArgs {
    /// Name of the Node this runs on.
    #[arg(long, env = "NODE_NAME")]
    pub(crate) node_name: NodeName,
    /// Namespace of the speakers' Leases; without it that of the Pod, and outside of one
    /// `ccm-proxy`. All speakers of a cluster need the same.
    #[arg(long, env = "POD_NAMESPACE")]
    namespace: Option<String>,
    /// Kubeconfig of the under cluster; without it, the Pod's ServiceAccount.
    #[arg(long, env = "CPO_KUBECONFIG")]
    pub(crate) kubeconfig: Option<PathBuf>,
    /// The program that loads packet filters, with its first arguments: words with spaces between.
    #[arg(long, env = "CPO_NFT", default_value = "nft")]
    nft: String,
    /// The program that changes the node's Open vSwitch, with its first arguments: words with spaces
    /// between. Used where `spec.vlan.interfaces` of a TenantCluster name a bridge, kind OvsPort.
    #[arg(long, env = "CPO_OVS_VSCTL", default_value = "ovs-vsctl")]
    ovs_vsctl: String,
    /// The network namespace with the node's interfaces.
    #[arg(long, env = "CPO_HOST_NETNS", default_value = "/proc/self/ns/net")]
    host_netns: PathBuf,
    /// What the names of the VLANs' network namespaces in /run/netns begin with; the name of the
    /// VLAN follows. Those of VLANs that are none of this node's any more are removed at the start:
    /// where several speakers run on one machine, none's begins as another's whole one does.
    #[arg(long, env = "CPO_PIN_PREFIX", default_value = "cpo-", value_parser = prefix)]
    pin_prefix: String,
    /// Let nodes speak that are labelled `node.kubernetes.io/exclude-from-external-load-balancers`.
    /// All speakers of a cluster need the same.
    #[arg(long, env = "CPO_IGNORE_EXCLUDE_LB")]
    pub(crate) ignore_exclude_lb: bool,
    /// Remove the network namespaces, with all routes and filters, when told to stop. Without it
    /// they go on leading packets while the speaker is replaced, and the next one takes them over.
    #[arg(long, env = "CPO_REMOVE_ON_EXIT")]
    pub(crate) remove_on_exit: bool,
    #[command(flatten)]
    pub(crate) socket: SocketArgs,
    /// Write the log as JSON.
    #[arg(long, env = "CPO_LOG_JSON")]
    pub(crate) log_json: bool,
}

/// Where a running speaker answers.
#[derive(Clone, Debug, Args)]
pub(crate) struct SocketArgs {
    /// The Unix socket at which `ccm-proxy status` asks.
    #[arg(long = "status-socket", env = "CPO_STATUS_SOCKET", default_value = SOCKET)]
    pub(crate) path: PathBuf,
}

/// Settings of `ccm-proxy status`.
#[derive(Clone, Debug, Args)]
pub(crate) struct StatusArgs {
    #[command(flatten)]
    pub(crate) socket: SocketArgs,
    /// Print JSON, for a program.
    #[arg(long)]
    pub(crate) json: bool,
}

impl RunArgs {
    /// Namespace of the Leases.
    pub(crate) fn namespace(&self) -> String {
        let given = self.namespace.clone().filter(|given| !given.is_empty());
        given.unwrap_or_else(|| pod_namespace(Path::new(NAMESPACE_FILE)))
    }

    /// Where the places of this node are, and what makes them.
    pub(crate) fn ground(&self) -> Ground {
        Ground {
            node: self.node_name.clone(),
            host: self.host_netns.clone(),
            prefix: self.pin_prefix.clone(),
            nft: words(&self.nft),
            ovs: words(&self.ovs_vsctl),
        }
    }
}

impl Cli {
    /// Does what the command line says.
    pub(crate) fn execute(self) -> anyhow::Result<()> {
        match self.command {
            Command::Run(args) => crate::run::run(&args),
            Command::Status(args) => crate::status::print(&args),
        }
    }
}

fn pod_namespace(file: &Path) -> String {
    let namespace = std::fs::read_to_string(file).unwrap_or_default();
    let namespace = namespace.trim();
    if namespace.is_empty() { NAMESPACE } else { namespace }.to_owned()
}

fn words(text: &str) -> Vec<OsString> {
    text.split_whitespace().map(OsString::from).collect()
}

/// The beginning of a file's name.
fn prefix(text: &str) -> Result<String, String> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    if text.is_empty() || !text.bytes().all(plain) {
        return Err("letters, digits, - and _, and one of them at least".to_owned());
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(args: &[&str]) -> RunArgs {
        match Cli::parse_from([&["ccm-proxy", "run", "--node-name", "n1"], args].concat()).command {
            Command::Run(args) => *args,
            Command::Status(args) => panic!("{args:?}"),
        }
    }

    #[test]
    fn the_command_line_is_well_formed() {
        use clap::CommandFactory as _;
        Cli::command().debug_assert();
    }

    #[test]
    fn what_is_run_may_be_a_program_with_arguments() {
        let of = |args: &[&str]| {
            let Ground { nft, ovs, .. } = run(args).ground();
            (nft, ovs)
        };
        assert_eq!(of(&[]), (words("nft"), words("ovs-vsctl")));
        let args = ["--nft", "chroot /lab nft", "--ovs-vsctl", "chroot /lab ovs-vsctl"];
        let expected = (words("chroot /lab nft"), words("chroot /lab ovs-vsctl"));
        assert_eq!(of(&args), expected);
        assert_eq!(words("chroot /lab nft").len(), 3);
    }

    #[test]
    fn a_namespace_is_pinned_in_its_folder_and_nowhere_else() {
        assert_eq!(run(&[]).pin_prefix, "cpo-");
        assert!(prefix("cpo-n1-").is_ok());
        assert!(prefix("../").is_err() && prefix("").is_err());
    }
}
