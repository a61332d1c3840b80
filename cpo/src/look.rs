//! The commands that only look: at pools, at addresses, and at what stands in the way of one
//! Service. They read what kubectl reads, and write nothing.

mod eips;
mod explain;
mod gather;
mod pools;
pub(crate) mod table;

use std::io::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use cpo_api::{AddressPool, Eip};
use jiff::Timestamp;
use kube::api::ListParams;
use kube::core::DeserializeGuard;
use kube::{Api, Client, Config, Resource};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::time::timeout;

pub(crate) use eips::Filter;
pub(crate) use explain::{ExplainArgs, explain};

/// How long one call may take.
const PATIENCE: Duration = Duration::from_secs(15);

/// What to look at, and how to print it.
#[derive(Clone, Debug, Args)]
pub(crate) struct LookArgs {
    /// Kubeconfig of the under cluster; without it, the Pod's ServiceAccount.
    #[arg(long, env = "CPO_KUBECONFIG")]
    kubeconfig: Option<PathBuf>,
    /// How to print.
    #[arg(long, short, value_enum, default_value_t = Output::Text)]
    output: Output,
}

/// How to print.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Output {
    /// For a person.
    Text,
    /// For a program.
    Json,
}

impl LookArgs {
    async fn config(&self) -> anyhow::Result<Config> {
        crate::run::under_config(self.kubeconfig.as_deref()).await
    }

    async fn client(&self) -> anyhow::Result<Client> {
        cpo_client::connect(self.config().await?).context("make a client of the under cluster")
    }

    fn print<T: Serialize + ?Sized>(
        &self,
        value: &T,
        text: impl FnOnce() -> String,
    ) -> anyhow::Result<()> {
        let text = match self.output {
            Output::Text => text(),
            Output::Json => format!("{}\n", serde_json::to_string_pretty(value)?),
        };
        Ok(std::io::stdout().lock().write_all(text.as_bytes())?)
    }
}

/// Prints every pool.
pub(crate) async fn print_pools(args: &LookArgs) -> anyhow::Result<()> {
    let rows = pools::rows(list::<AddressPool>(&Api::all(args.client().await?)).await?);
    args.print(&rows, || pools::text(&rows))
}

/// Prints the addresses that pass the filter.
pub(crate) async fn print_eips(args: &LookArgs, filter: &Filter) -> anyhow::Result<()> {
    let rows = eips::rows(list::<Eip>(&Api::all(args.client().await?)).await?, filter);
    args.print(&rows, || eips::text(&rows, Timestamp::now()))
}

/// All objects of a kind. One that cannot be read is named and left out.
pub(crate) async fn list<K>(api: &Api<DeserializeGuard<K>>) -> anyhow::Result<Vec<K>>
where
    K: Resource<DynamicType = ()> + Clone + std::fmt::Debug + DeserializeOwned,
{
    let what = || format!("list {}", K::plural(&()));
    let listed = timeout(PATIENCE, api.list(&ListParams::default()))
        .await
        .with_context(what)?
        .with_context(what)?;
    let mut objects = Vec::new();
    for object in listed.items {
        match object.0 {
            Ok(object) => objects.push(object),
            Err(error) => {
                let name = error.metadata.name.unwrap_or_default();
                eprintln!("cpo: {} {name} cannot be read: {}", K::kind(&()), error.error);
            }
        }
    }
    Ok(objects)
}
