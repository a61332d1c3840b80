//! Puts the parts together, and ends the process when one of them ends.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use cpo_core::engine::Engine;
use cpo_core::kubeconfig::Server;
use cpo_core::rows::row_name;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

use crate::cli::RunArgs;
use crate::clock::Clock;
use crate::heart::{Heart, Sinks, Sources};
use crate::metrics::Snapshot;
use crate::tenant::{Registry, Routes};
use crate::under::UnderExecutor;
use crate::{http, outbox, ovn, under};

/// Observations that may wait, of each source.
const INPUTS: usize = 4096;
/// Jobs that may wait, for each executor.
const JOBS: usize = 4096;
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
    let client = Client::try_from(config).context("make a client of the under cluster")?;
    let listener = TcpListener::bind(args.listen)
        .await
        .with_context(|| format!("listen on {} (--listen)", args.listen))?;
    let mut ovn_config = args.ovn.client_config()?;
    ovn_config.event_queue = INPUTS;
    let install = args.ovn.install;
    let stop = CancellationToken::new();
    let mut tasks = JoinSet::new();

    let (under_inputs, under_source) = mpsc::channel(INPUTS);
    let (tenant_inputs, tenant_source) = mpsc::channel(INPUTS);
    let (ovn_messages, ovn_source) = mpsc::channel(INPUTS);
    let (results, result_source) = mpsc::channel(INPUTS);
    let (under_jobs, under_queue) = mpsc::channel(JOBS);
    let (ovn_jobs, ovn_queue) = mpsc::channel(JOBS);
    let (snapshot, snapshots) = watch::channel(Arc::new(Snapshot::default()));
    let routes = Routes::default();

    let (ovn_client, driver) = ovn_client::Client::new(ovn_config);
    let link = ovn::Link::new(ovn_client.clone(), install.clone(), ovn_queue, ovn_messages);
    let driver_stop = stop.clone();
    spawn(&mut tasks, "connection to the Northbound database", driver.run(driver_stop));
    spawn(&mut tasks, "link to the Northbound database", link.run());

    under::spawn_watches(&mut tasks, &client, &row_name(&install), &under_inputs);
    drop(under_inputs);
    let executor = UnderExecutor::new(client.clone(), install.clone());
    let outbox = outbox::run(executor, under_queue, results.clone(), UNDER_CALLS, stop.clone());
    spawn(&mut tasks, "executor on the under cluster", outbox);
    let (tenants, wanted) = watch::channel(Arc::default());
    let registry = Registry {
        client,
        under: under_server,
        wanted,
        routes: routes.clone(),
        inputs: tenant_inputs,
        results,
    };
    spawn(&mut tasks, "registry of tenants", registry.run());
    spawn(&mut tasks, "http server", http::serve(listener, snapshots, ovn_client));
    let heart = Heart {
        engine: Engine::new(install).sweep_every(args.sweep_period),
        clock: Clock::start(),
        sources: Sources {
            under: under_source,
            tenants: tenant_source,
            ovn: ovn_source,
            results: result_source,
        },
        sinks: Sinks { under: under_jobs, tenants: routes, ovn: ovn_jobs },
        snapshot,
        tenants,
        stop: stop.clone(),
    };
    spawn(&mut tasks, "heart", heart.run());
    tracing::info!(listen = %args.listen, "cpo runs");
    let mut terminate = signal(SignalKind::terminate()).context("handle SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("handle SIGINT")?;
    let told = async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    supervise(tasks, stop, told).await
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

/// Waits until the process is told to stop, or a task ends though nobody told it to.
async fn supervise(
    mut tasks: JoinSet<&'static str>,
    stop: CancellationToken,
    told: impl Future<Output = ()>,
) -> anyhow::Result<()> {
    // Cancel safe: whatever ends first ends the process.
    let ended = tokio::select! {
        () = told => None,
        ended = tasks.join_next() => ended,
    };
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
async fn under_config(kubeconfig: Option<&Path>) -> anyhow::Result<Config> {
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
fn server_of(config: &Config) -> anyhow::Result<Server> {
    let url = &config.cluster_url;
    let host = url.host().context("the under cluster's URL has no host")?;
    let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    Ok(Server { host, port: url.port_u16().unwrap_or(443) })
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use super::*;

    async fn ended(task: impl Future<Output = ()> + Send + 'static) -> String {
        let mut tasks = JoinSet::new();
        spawn(&mut tasks, "heart", task);
        spawn(&mut tasks, "another", pending());
        let error = supervise(tasks, CancellationToken::new(), pending()).await.unwrap_err();
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
        let (mut tasks, stop) = (JoinSet::new(), CancellationToken::new());
        spawn(&mut tasks, "heart", stop.clone().cancelled_owned());
        supervise(tasks, stop.clone(), ready(())).await.unwrap();
        assert!(stop.is_cancelled());
    }
}
