//! A client, what it wrote, and how it is held against the server.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use futures::future::try_join_all;
use lab::ovsdb::{Ledger, Member, NORTHBOUND, Schema};
use lab::space::Space;
use lab::wait;
use ovn_client::nb::{LoadBalancer, LogicalRouter, NbGlobal, TypedRow as _};
use ovn_client::{Backoff, Client, ClientConfig, DatabaseSpec, Endpoints};
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};

/// How long anything may take on a busy machine.
pub(crate) const SOON: Duration = Duration::from_secs(60);
/// Transactions in flight under load.
const WRITERS: usize = 16;

/// A running client and its ledger.
pub(crate) struct Scene {
    pub(crate) space: Space,
    pub(crate) client: Client,
    pub(crate) ledger: Arc<Ledger>,
    _stop: DropGuard,
}

/// What is monitored.
pub(crate) fn database() -> DatabaseSpec {
    DatabaseSpec::new(NORTHBOUND, [LoadBalancer::spec(), LogicalRouter::spec(), NbGlobal::spec()])
}

/// How a client behaves in these tests: as always, only less patient.
pub(crate) fn config(endpoints: &str) -> Result<ClientConfig> {
    let config = ClientConfig::new(endpoints.parse::<Endpoints>()?, database());
    let backoff = Backoff { min: Duration::from_millis(50), max: Duration::from_millis(400) };
    Ok(ClientConfig { backoff, probe_interval: Some(Duration::from_millis(1_500)), ..config })
}

impl Scene {
    /// A client with the defaults of these tests.
    pub(crate) async fn start(space: &Space, endpoints: &str) -> Result<Self> {
        Self::with(space, config(endpoints)?).await
    }

    /// A client that behaves so; waits until it is in sync.
    pub(crate) async fn with(space: &Space, config: ClientConfig) -> Result<Self> {
        let scene = Self::unconnected(space, config);
        tokio::time::timeout(SOON, scene.client.connected())
            .await
            .with_context(|| format!("no connection: {:?}", scene.client.health()))?
            .context("the driver has ended")?;
        Ok(scene)
    }

    /// A client that may never connect.
    pub(crate) fn unconnected(space: &Space, config: ClientConfig) -> Self {
        let (client, driver) = Client::new(config);
        let stop = CancellationToken::new();
        tokio::spawn(driver.run(stop.clone()));
        let ledger = Arc::new(Ledger::default());
        Self { space: space.clone(), client, ledger, _stop: stop.drop_guard() }
    }

    /// Writes side by side until told to stop: rows that come, change, and partly go, and a number
    /// that is counted up.
    pub(crate) fn load(&self) -> Load {
        let stop = CancellationToken::new();
        let writers = (0..WRITERS).map(|writer| {
            let (client, ledger, stop) = (self.client.clone(), self.ledger.clone(), stop.clone());
            tokio::spawn(async move {
                let mut written = 0;
                while !stop.is_cancelled() {
                    let name = format!("load-{writer}-{written}");
                    let row = ledger.write(&client, &name).await?;
                    ledger.change(&client, row, 1).await?;
                    ledger.change(&client, row, 2).await?;
                    match written % 3 {
                        0 => ledger.remove(&client, row).await?,
                        _ => ledger.count(&client).await?,
                    }
                    written += 1;
                }
                anyhow::Ok(written)
            })
        });
        Load { writers: writers.collect(), stop }
    }

    /// Writes that many rows, one after the other.
    pub(crate) async fn write(&self, count: usize) -> Result<()> {
        for number in 0..count {
            self.ledger.write(&self.client, &format!("row-{number}")).await?;
        }
        Ok(())
    }

    /// Waits until the replica equals what this server holds, and holds that the server has exactly
    /// what was written.
    pub(crate) async fn settles(&self, member: &Member) -> Result<()> {
        wait::until("the replica to equal the server's dump", SOON, || async {
            let dump = member.dump().await?;
            dump.equals(&self.client.snapshot())
        })
        .await?;
        self.ledger.balances(&member.dump().await?)
    }
}

/// Rows being written.
pub(crate) struct Load {
    writers: Vec<JoinHandle<Result<usize>>>,
    stop: CancellationToken,
}

impl Load {
    /// Ends it; how many rows were written.
    pub(crate) async fn stop(self) -> Result<usize> {
        self.stop.cancel();
        let written = try_join_all(self.writers).await?;
        written.into_iter().sum()
    }
}

/// A space, and the current schema in a file of it.
pub(crate) fn space() -> Result<(Space, std::path::PathBuf)> {
    let space = Space::new()?;
    let schema = Schema::current()?.write(&space, "current")?;
    Ok((space, schema))
}
