//! Puts the parts together, and ends the process when one of them ends.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use cpo_core::kubeconfig::Server;
use cpo_core::rows::row_name;
use kube::Config;
use kube::config::{KubeConfigOptions, Kubeconfig};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

use crate::cli::RunArgs;
use crate::clock::Clock;
use crate::heart::{Heart, Sinks, Sources};
use crate::leadership::{Leadership, Standing};
use crate::lease::{Keeper, Place, Signals};
use crate::metrics::Snapshot;
use crate::tenant::{Registry, Routes};
use crate::under::UnderExecutor;
use crate::{http, outbox, ovn, under};

/// Observations that may wait, of each source.
const INPUTS: usize = 4096;
/// Jobs that may wait, for each executor.
const JOBS: usize = 4096;
/// Terms that may wait for their end to be known.
const FENCED: usize = 4;
/// How long the Lease's task may take to leave; it bounds itself before.
const LEAVING: Duration = Duration::from_secs(5);
/// The task that holds the Lease.
const LEASE: &str = "leadership by the Lease";
/// Calls to the under cluster's API server under way at a time.
const UNDER_CALLS: usize = 48;

/// Runs the controller until it is told to stop.
pub(crate) fn run(args: RunArgs) -> anyhow::Result<()> {
    log_to_stderr(args.log_json);
    install_tls_provider();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(serve(args))
}

/// One provider for every TLS connection of the process.
pub(crate) fn install_tls_provider() {
    // A second installation is no error.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

fn log_to_stderr(json: bool) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    if json { log.json().init() } else { log.init() }
}

async fn serve(args: RunArgs) -> anyhow::Result<()> {
    let config = under_config(args.kubeconfig.as_deref()).await?;
    let under_server = server_of(&config)?;
    let client = cpo_client::connect(config).context("make a client of the under cluster")?;
    let listener = TcpListener::bind(args.listen)
        .await
        .with_context(|| format!("listen on {} (--listen)", args.listen))?;
    let mut ovn_config = args.ovn.client_config()?;
    ovn_config.event_queue = INPUTS;
    let install = args.ovn.access.install.clone();
    let place = Place {
        namespace: args.lease.namespace(),
        name: args.lease.name(&install),
        identity: args.lease.identity(),
        timing: args.lease.timing()?,
    };
    let (stop, leave) = (CancellationToken::new(), CancellationToken::new());
    let mut tasks = JoinSet::new();

    let (under_inputs, under_source) = mpsc::channel(INPUTS);
    let (tenant_inputs, tenant_source) = mpsc::channel(INPUTS);
    let (ovn_messages, ovn_source) = mpsc::channel(INPUTS);
    let (results, result_source) = mpsc::channel(INPUTS);
    let (under_jobs, under_queue) = mpsc::channel(JOBS);
    let (ovn_jobs, ovn_queue) = mpsc::channel(JOBS);
    let (snapshot, snapshots) = watch::channel(Arc::new(Snapshot::default()));
    let routes = Routes::default();
    let clock = Clock::start();
    let (standing, published) = watch::channel(Standing::default());
    let leadership = Leadership::new(published, clock);
    let (fenced, lost_terms) = mpsc::channel(FENCED);

    let (ovn_client, driver) = ovn_client::Client::new(ovn_config);
    let terms = ovn::Terms { leadership: leadership.clone(), fenced };
    let link = ovn::Link::new(ovn_client.clone(), install.clone(), ovn_queue, ovn_messages, terms);
    let driver_stop = stop.clone();
    spawn(&mut tasks, "connection to the Northbound database", driver.run(driver_stop));
    spawn(&mut tasks, "link to the Northbound database", link.run());

    under::spawn_watches(&mut tasks, &client, &row_name(&install), &under_inputs);
    drop(under_inputs);
    let executor = UnderExecutor::new(client.clone(), install);
    let (outbox_results, outbox_stop) = (results.clone(), stop.clone());
    let outbox = outbox::run(
        executor,
        under_queue,
        outbox_results,
        UNDER_CALLS,
        leadership.clone(),
        outbox_stop,
    );
    spawn(&mut tasks, "executor on the under cluster", outbox);
    let (tenants, wanted) = watch::channel(Arc::default());
    let signals = Signals { snapshot: snapshots.clone(), fenced: lost_terms, leave: leave.clone() };
    let keeper = Keeper::new(client.clone(), place, clock, standing, signals);
    let registry = Registry {
        client,
        under: under_server,
        wanted,
        routes: routes.clone(),
        inputs: tenant_inputs,
        results,
        leadership: leadership.clone(),
    };
    spawn(&mut tasks, "registry of tenants", registry.run());
    let server = http::serve(listener, snapshots, ovn_client, leadership.clone());
    spawn(&mut tasks, "http server", server);
    let heart = Heart {
        engine: args.engine(),
        clock,
        sources: Sources {
            under: under_source,
            tenants: tenant_source,
            ovn: ovn_source,
            results: result_source,
        },
        sinks: Sinks { under: under_jobs, tenants: routes, ovn: ovn_jobs },
        snapshot,
        tenants,
        tenants_changed: false,
        leadership,
        term: None,
        stop: stop.clone(),
    };
    spawn(&mut tasks, "heart", heart.run());
    spawn(&mut tasks, LEASE, keeper.run());
    tracing::info!(listen = %args.listen, "cpo runs");
    let mut terminate = signal(SignalKind::terminate()).context("handle SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("handle SIGINT")?;
    let told = async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    supervise(tasks, leave, stop, told).await
}

fn spawn(
    tasks: &mut JoinSet<&'static str>,
    name: &'static str,
    task: impl Future<Output = ()> + Send + 'static,
) {
    tasks.spawn(async move {
        task.await;
        name
    });
}

/// Waits until the process is told to stop, or a task ends though nobody told it to. Told to stop,
/// it lets the task of the Lease give that back first; with another task gone nothing can be waited
/// for, and the Lease expires.
async fn supervise(
    mut tasks: JoinSet<&'static str>,
    leave: CancellationToken,
    stop: CancellationToken,
    told: impl Future<Output = ()>,
) -> anyhow::Result<()> {
    // Cancel safe: whatever ends first ends the process.
    let ended = tokio::select! {
        () = told => None,
        ended = tasks.join_next() => ended,
    };
    leave.cancel();
    if ended.is_none() {
        let left = async { while !matches!(tasks.join_next().await, None | Some(Ok(LEASE))) {} };
        if timeout(LEAVING, left).await.is_err() {
            tracing::warn!("the task of the Lease does not end");
        }
    }
    stop.cancel();
    tasks.shutdown().await;
    match ended {
        None => {
            tracing::info!("cpo was told to stop");
            Ok(())
        }
        Some(Ok(name)) => bail!("{name} ended unexpectedly"),
        Some(Err(error)) => bail!("a task panicked: {error}"),
    }
}

/// The operator's own kubeconfig, or the Pod's ServiceAccount.
pub(crate) async fn under_config(kubeconfig: Option<&Path>) -> anyhow::Result<Config> {
    let mut config = match kubeconfig {
        Some(path) => {
            let what = || format!("read the under cluster's kubeconfig {}", path.display());
            let kubeconfig = Kubeconfig::read_from(path).with_context(what)?;
            let options = KubeConfigOptions::default();
            Config::from_custom_kubeconfig(kubeconfig, &options).await.with_context(what)?
        }
        None => Config::incluster()
            .context("use the Pod's ServiceAccount (outside a Pod, give --kubeconfig)")?,
    };
    config.default_retry = false;
    Ok(config)
}

/// The under cluster's own API server, which no tenant may name.
pub(crate) fn server_of(config: &Config) -> anyhow::Result<Server> {
    let url = &config.cluster_url;
    let host = url.host().context("the under cluster's URL has no host")?;
    let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    Ok(Server { host, port: url.port_u16().unwrap_or(443) })
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    async fn ended(task: impl Future<Output = ()> + Send + 'static) -> String {
        let mut tasks = JoinSet::new();
        spawn(&mut tasks, "heart", task);
        spawn(&mut tasks, "another", pending());
        let (leave, stop) = (CancellationToken::new(), CancellationToken::new());
        let error = supervise(tasks, leave, stop, pending()).await.unwrap_err();
        error.to_string()
    }

    #[tokio::test]
    async fn a_task_that_ends_by_itself_ends_the_process() {
        assert_eq!(ended(ready(())).await, "heart ended unexpectedly");
    }

    #[tokio::test]
    async fn a_task_that_panics_ends_the_process() {
        let text = ended(async { panic!("boom") }).await;
        assert!(text.starts_with("a task panicked") && text.contains("boom"), "{text}");
    }

    #[tokio::test]
    async fn told_to_stop_everything_ends_without_an_error() {
        let (mut tasks, leave) = (JoinSet::new(), CancellationToken::new());
        let stop = CancellationToken::new();
        spawn(&mut tasks, "heart", stop.clone().cancelled_owned());
        spawn(&mut tasks, LEASE, leave.clone().cancelled_owned());
        supervise(tasks, leave, stop.clone(), ready(())).await.unwrap();
        assert!(stop.is_cancelled());
    }

    #[tokio::test]
    async fn the_lease_is_given_back_before_anything_else_ends() {
        let (mut tasks, leave) = (JoinSet::new(), CancellationToken::new());
        let stop = CancellationToken::new();
        let given_back = Arc::new(AtomicBool::new(false));
        let (left, seen, told) = (leave.clone(), stop.clone(), given_back.clone());
        spawn(&mut tasks, LEASE, async move {
            left.cancelled().await;
            tokio::task::yield_now().await;
            told.store(!seen.is_cancelled(), Ordering::SeqCst);
        });
        supervise(tasks, leave, stop, ready(())).await.unwrap();
        assert!(given_back.load(Ordering::SeqCst));
    }
}
