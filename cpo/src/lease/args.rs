//! Settings of the Lease.

use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use cpo_core::election::Timing;
use cpo_core::ids::Install;
use cpo_core::rows::row_name;

use crate::cli::duration;

/// Where the namespace of a Pod is told to its containers.
const NAMESPACE_FILE: &str = "/var/run/secrets/kubernetes.io/serviceaccount/namespace";
/// The namespace of `manifests/`.
const NAMESPACE: &str = "cloud-provider-ovn";

/// How replicas agree on who leads.
#[derive(Clone, Debug, Args)]
pub(crate) struct LeaseArgs {
    /// How long other replicas leave the Lease alone after its last renewal they saw; whole
    /// seconds.
    #[arg(long, env = "CPO_LEASE_DURATION", default_value = "15s", value_parser = duration)]
    lease_duration: Duration,
    /// How long a leader goes on after the beginning of its last renewal that succeeded; shorter
    /// than the lease duration.
    #[arg(long, env = "CPO_LEASE_RENEW_DEADLINE", default_value = "10s", value_parser = duration)]
    lease_renew_deadline: Duration,
    /// The time between two renewals; the renew deadline is more than 1.2 times as long.
    #[arg(long, env = "CPO_LEASE_RETRY_PERIOD", default_value = "2s", value_parser = duration)]
    lease_retry_period: Duration,
    /// Name of the Lease; without it `cloud-provider-ovn`, followed by `-` and the name of the
    /// installation if that is not `default`.
    #[arg(long, env = "CPO_LEASE_NAME")]
    lease_name: Option<String>,
    /// Namespace of the Lease; without it that of the Pod, and outside of one
    /// `cloud-provider-ovn`.
    #[arg(long, env = "POD_NAMESPACE")]
    lease_namespace: Option<String>,
    /// Name of this replica in the Lease, which no other that runs may have: the Pod's. Without
    /// it, the host's name and a random part.
    #[arg(long, env = "POD_NAME")]
    pod_name: Option<String>,
}

impl LeaseArgs {
    /// The lengths of time, if they fit together.
    pub(crate) fn timing(&self) -> anyhow::Result<Timing> {
        let Self { lease_duration, lease_renew_deadline, lease_retry_period, .. } = self;
        Timing::new(*lease_duration, *lease_renew_deadline, *lease_retry_period).context(
            "--lease-duration, --lease-renew-deadline and --lease-retry-period do not fit together",
        )
    }

    /// Name of the Lease: one for each installation.
    pub(crate) fn name(&self, install: &Install) -> String {
        self.lease_name.clone().unwrap_or_else(|| row_name(install))
    }

    /// Namespace of the Lease.
    pub(crate) fn namespace(&self) -> String {
        let given = self.lease_namespace.clone();
        given.unwrap_or_else(|| pod_namespace(Path::new(NAMESPACE_FILE)))
    }

    /// Name of this replica.
    pub(crate) fn identity(&self) -> String {
        let given = self.pod_name.clone().filter(|name| !name.is_empty());
        given.unwrap_or_else(|| {
            let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
            format!("{}_{}", host.trim(), uuid::Uuid::new_v4())
        })
    }
}

fn pod_namespace(file: &Path) -> String {
    let namespace = std::fs::read_to_string(file).unwrap_or_default();
    let namespace = namespace.trim();
    if namespace.is_empty() { NAMESPACE } else { namespace }.to_owned()
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        lease: LeaseArgs,
    }

    fn given(args: &[&str]) -> LeaseArgs {
        Cli::parse_from([&["cpo"], args].concat()).lease
    }

    #[test]
    fn without_settings_the_lease_is_that_of_the_manifests() {
        let lease = given(&[]);
        assert!(lease.timing().is_ok());
        assert_eq!(lease.name(&"default".parse().unwrap()), "cloud-provider-ovn");
        assert_eq!(lease.name(&"blue".parse().unwrap()), "cloud-provider-ovn-blue");
    }

    #[test]
    fn lengths_of_time_that_do_not_fit_are_refused_by_the_names_of_their_flags() {
        let error = given(&["--lease-duration", "5s"]).timing().unwrap_err();
        let text = format!("{error:#}");
        assert!(text.contains("--lease-duration") && text.contains("5s is not longer than 10s"));
    }

    #[test]
    fn a_pod_keeps_its_name_and_nobody_else_gets_it() {
        assert_eq!(given(&["--pod-name", "cpo-1"]).identity(), "cpo-1");
        let lease = given(&["--pod-name", ""]);
        assert_ne!(lease.identity(), lease.identity());
    }

    #[test]
    fn the_namespace_is_that_of_the_pod() {
        let file = std::env::temp_dir().join(format!("cpo-namespace-{}", std::process::id()));
        assert_eq!(pod_namespace(&file), "cloud-provider-ovn");
        std::fs::write(&file, "kmetal\n").unwrap();
        assert_eq!(pod_namespace(&file), "kmetal");
        std::fs::remove_file(&file).unwrap();
    }
}
