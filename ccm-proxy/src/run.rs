//! Puts the parts together, and ends the process when one of them ends.

use std::fmt::Debug;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, bail};
use cpo_api::{AddressPool, Eip, L2Advertisement, TenantCluster};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Node;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::core::DeserializeGuard;
use kube::runtime::watcher;
use kube::{Api, Client, Config, Resource};
use serde::de::DeserializeOwned;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

use crate::cli::RunArgs;
use crate::heart::{self, Heart};
use crate::input::{Input, Kind, Object};
use crate::lease::{self, Keeper, Own};
use crate::only;
use crate::parse;
use crate::status::Server;
use crate::watch::{Parsed, Watch};

/// Observations that may wait.
const INPUTS: usize = 4_096;
/// How long a connection to the API server may take to open.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long an answer may take; longer than a watch lasts.
const READ_TIMEOUT: Duration = Duration::from_secs(220);
/// How long a request may take to be sent.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);
/// How long the Lease's task may take to end, and the heart after it should have; each bounds itself
/// before.
const LEAVING: Duration = Duration::from_secs(5);
/// How long a call into the kernel that is under way may take when all else has ended.
const BLOCKING: Duration = Duration::from_secs(1);

type Tasks = JoinSet<(&'static str, anyhow::Result<()>)>;

/// Runs the speaker until it is told to stop.
pub(crate) fn run(args: &RunArgs) -> anyhow::Result<()> {
    log_to_stderr(args.log_json);
    // One provider for every TLS connection of the process; a second installation is no error.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let ran = runtime.block_on(serve(args));
    runtime.shutdown_timeout(BLOCKING);
    ran
}

fn log_to_stderr(json: bool) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    if json { log.json().init() } else { log.init() }
}

async fn serve(args: &RunArgs) -> anyhow::Result<()> {
    // Told to stop before all is there, we stop in order as well.
    let mut terminate = signal(SignalKind::terminate()).context("handle SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("handle SIGINT")?;
    // Cancel safe: who is told to stop does not run.
    tokio::select! {
        _ = terminate.recv() => return Ok(()),
        _ = interrupt.recv() => return Ok(()),
        only = only::only_one(&args.socket.path) => only?,
    }
    let config = config(args.kubeconfig.as_deref()).await?;
    let client = cpo_client::connect(config).context("make a client of the under cluster")?;
    let (node, namespace) = (args.node_name.clone(), args.namespace());
    let (told, inputs) = mpsc::channel(INPUTS);
    let (own, owned) = watch::channel(Own::default());
    let (stop, leave) = (CancellationToken::new(), CancellationToken::new());
    let mut tasks = Tasks::new();
    let ground = args.ground();
    let server = Server::bind(&args.socket.path, ground.nft(), told.clone())?;
    spawn(&mut tasks, "status socket", server.run());
    let leases = Api::namespaced(client.clone(), &namespace);
    let keeper = Keeper {
        api: leases,
        node: node.clone(),
        own: owned,
        inputs: told.clone(),
        stop: stop.clone(),
    };
    spawn(&mut tasks, "the speaker's Lease", keeper.run());
    spawn_watches(&mut tasks, &client, &namespace, args, &told);
    let eips = Api::all(client);
    let beats = Heart::new((node.clone(), ground, args.remove_on_exit), (told, inputs), own, eips);
    let mut heart = tokio::spawn(beats.run(leave.clone()));
    tracing::info!(%node, namespace, "ccm-proxy runs");
    // Cancel safe: whatever ends first ends the process.
    let ended = tokio::select! {
        _ = terminate.recv() => None,
        _ = interrupt.recv() => None,
        ended = tasks.join_next() => Some(described(ended)),
        ended = &mut heart => {
            let ended = ended.context("the heart panicked")?;
            return ended.and_then(|()| bail!("the heart ended unexpectedly"));
        }
    };
    leave.cancel();
    let left = timeout(heart::LEAVING + LEAVING, heart).await;
    stop.cancel();
    let deleted = timeout(LEAVING, until_ended(&mut tasks, "the speaker's Lease")).await;
    tasks.shutdown().await;
    // The socket's file stays: by now it may be that of the next run.
    if let Some(text) = ended {
        bail!("{text}");
    }
    left.context("the heart does not end")?.context("the heart panicked")??;
    deleted.context("the task of the speaker's Lease does not end")?;
    tracing::info!("ccm-proxy was told to stop");
    Ok(())
}

fn spawn(tasks: &mut Tasks, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
    tasks.spawn(async move {
        task.await;
        (name, Ok(()))
    });
}

/// Starts the watch of every kind.
fn spawn_watches(
    tasks: &mut Tasks,
    client: &Client,
    namespace: &str,
    args: &RunArgs,
    inputs: &mpsc::Sender<Input>,
) {
    let (us, ignore) = (args.node_name.clone(), args.ignore_exclude_lb);
    let client = || client.clone();
    let all = watcher::Config::default;
    let mut watches = Watches { tasks, inputs };
    watches.start::<TenantCluster>(
        Kind::Tenant,
        Api::all(client()),
        all(),
        parse::tenant,
        |name| Some(Object::Tenant(name.into(), None)),
    );
    let eip = move |object| parse::eip(object, &us);
    watches.start::<Eip>(Kind::Eip, Api::all(client()), all(), eip, |name| {
        parse::address_of(name).map(|address| Object::Eip(address, None))
    });
    let advertisements = Api::<DeserializeGuard<L2Advertisement>>::all(client());
    watches.start(Kind::Advertisement, advertisements, all(), parse::advertisement, |name| {
        Some(Object::Advertisement(name.to_owned(), None))
    });
    let pools = Api::<DeserializeGuard<AddressPool>>::all(client());
    watches.start(Kind::Pool, pools, all(), parse::pool, |name| {
        Some(Object::Pool(name.to_owned(), None))
    });
    let node = move |object: Node| parse::node(&object, ignore);
    watches.start(Kind::Node, Api::all(client()), all(), node, |name| {
        Some(Object::Node(name.parse().ok()?, None))
    });
    let leases = Api::<DeserializeGuard<Lease>>::namespaced(client(), namespace);
    let ours = all().labels(lease::LABEL);
    watches.start(Kind::Lease, leases, ours, lease::speaker, |name| {
        Some(Object::Speaker(lease::node_of(name)?, None))
    });
}

struct Watches<'a> {
    tasks: &'a mut Tasks,
    inputs: &'a mpsc::Sender<Input>,
}

impl Watches<'_> {
    fn start<O>(
        &mut self,
        kind: Kind,
        api: Api<DeserializeGuard<O>>,
        config: watcher::Config,
        present: impl Fn(O) -> Parsed + Send + Sync + 'static,
        gone: fn(&str) -> Option<Object>,
    ) where
        O: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + 'static,
    {
        let inputs = self.inputs.clone();
        let watch = Watch { kind, api, config, present, gone, inputs };
        spawn(self.tasks, "watch of the under cluster", watch.run());
    }
}

type Ended = Result<(&'static str, anyhow::Result<()>), tokio::task::JoinError>;

/// How a task ended that nobody told to.
fn described(ended: Option<Ended>) -> String {
    match ended {
        None => "no task runs".to_owned(),
        Some(Ok((name, Ok(())))) => format!("{name} ended unexpectedly"),
        Some(Ok((name, Err(error)))) => format!("{name} failed: {error:#}"),
        Some(Err(error)) => format!("a task panicked: {error}"),
    }
}

/// Waits until a task of this name ended.
async fn until_ended(tasks: &mut Tasks, name: &str) {
    while let Some(ended) = tasks.join_next().await {
        if matches!(ended, Ok((ended, _)) if ended == name) {
            return;
        }
    }
}

/// The operator's own kubeconfig, or the Pod's ServiceAccount.
async fn config(kubeconfig: Option<&Path>) -> anyhow::Result<Config> {
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
    config.connect_timeout = Some(CONNECT_TIMEOUT);
    config.read_timeout = Some(READ_TIMEOUT);
    config.write_timeout = Some(WRITE_TIMEOUT);
    Ok(config)
}
