//! A server with ten thousand load balancers.

use anyhow::{Context as _, Result, ensure};
use lab::ovsdb::{Listen, Member, Schema};
use lab::space::Space;
use ovn_client::nb::{self, LoadBalancer, Protocol, TypedRow as _};
use ovn_client::{Client, ClientConfig, DatabaseSpec, IndexSpec, Txn, Uuid};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Rows in the server.
pub(crate) const ROWS: usize = 10_000;
/// Rows in one transaction.
const BATCH: usize = 200;

/// A standalone server with [`ROWS`] load balancers of four Vips with five backends each.
pub(crate) struct Filled {
    pub(crate) member: Member,
    pub(crate) schema: std::path::PathBuf,
}

impl Filled {
    pub(crate) async fn start() -> Result<Self> {
        eprintln!("bench: {ROWS} load balancers");
        let space = Space::new()?;
        let schema = Schema::current()?.write(&space, "current")?;
        let member = Member::standalone(&space, "filled", &schema, &Listen::Tcp).await?;
        let connected = Connected::open(&member.endpoint()).await?;
        for first in (0..ROWS).step_by(BATCH) {
            let rows = (first..first + BATCH).map(|number| balancer(number, "filled"));
            let txn = rows.fold(Txn::new(), |txn, row| txn.insert(&row));
            let outcome = connected.client.transact(txn).await;
            ensure!(outcome.is_committed(), "{outcome}");
        }
        connected.close().await?;
        Ok(Self { member, schema })
    }
}

/// What every client reads: load balancers, indexed by name.
pub(crate) fn database() -> DatabaseSpec {
    let columns = ["name", "vips", "protocol", "options", "selection_fields", "external_ids"];
    let index = IndexSpec::column(LoadBalancer::TABLE, "name");
    nb::database([LoadBalancer::spec().only(columns)]).index(index)
}

/// A client of ours that is in sync.
pub(crate) struct Connected {
    pub(crate) client: Client,
    stop: CancellationToken,
    driver: JoinHandle<()>,
}

impl Connected {
    pub(crate) async fn open(endpoint: &str) -> Result<Self> {
        let (client, driver) = Client::new(ClientConfig::new(endpoint.parse()?, database()));
        let stop = CancellationToken::new();
        let driver = tokio::spawn(driver.run(stop.clone()));
        client.connected().await.context("the driver has ended")?;
        Ok(Self { client, stop, driver })
    }

    /// Closes the connection: whoever is measured next has the server alone.
    pub(crate) async fn close(self) -> Result<()> {
        self.stop.cancel();
        Ok(self.driver.await?)
    }
}

/// A load balancer with four Vips of five backends.
pub(crate) fn balancer(number: usize, name: &str) -> LoadBalancer {
    let vip = |port: u16| {
        let backends: Vec<_> = (1..=5).map(|host| format!("10.0.{host}.7:3{port:04}")).collect();
        let address = format!("192.0.{}.{}:{port}", number / 250 % 250, number % 250);
        (address, backends.join(","))
    };
    LoadBalancer {
        vips: [80, 443, 8080, 8443].map(vip).into(),
        options: [("reject".to_owned(), "true".to_owned())].into(),
        ..LoadBalancer::new(fresh(), format!("{name}-{number}"), Protocol::Tcp)
    }
}

/// A small one, as transactions are measured with.
pub(crate) fn small(number: usize) -> LoadBalancer {
    let backends = "10.0.0.1:80,10.0.0.2:80,10.0.0.3:80".to_owned();
    let uuid = fresh();
    LoadBalancer {
        vips: [(format!("192.0.2.1:{}", number % 60_000 + 1), backends)].into(),
        ..LoadBalancer::new(uuid, format!("measured-{uuid}"), Protocol::Tcp)
    }
}

fn fresh() -> Uuid {
    use std::sync::atomic::{AtomicU64, Ordering};
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    // Spread over the whole range, as random ones are.
    let spread = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    Uuid::from_u64_pair(spread, number ^ u64::from(std::process::id()) << 32)
}
