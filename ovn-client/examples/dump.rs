//! Measures by hand: how long the first contents take, and a transaction.
//!
//! `cargo run --release -p ovn-client --example dump -- tcp:127.0.0.1:6641 1000`

use std::time::{Duration, Instant};

use ovn_client::nb::{self, LoadBalancer, Protocol};
use ovn_client::{Client, ClientConfig, Delete, Event, Txn, Uuid};
use tokio_util::sync::CancellationToken;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let endpoints = arguments.next().unwrap_or_else(|| "tcp:127.0.0.1:6641".to_owned());
    let count: usize = arguments.next().map_or(Ok(1000), |count| count.parse())?;
    let started = Instant::now();
    let (client, driver) = Client::new(ClientConfig::new(endpoints.parse()?, nb::database()));
    let mut events = client.subscribe();
    let shutdown = CancellationToken::new();
    let task = tokio::spawn(driver.run(shutdown.clone()));
    let follower = tokio::spawn(async move {
        let mut changes = 0;
        while let Some(event) = events.recv().await {
            if let Event::Changes(rows) = event {
                changes += rows.len();
            }
        }
        changes
    });
    let replica = client.connected().await.ok_or_else(|| anyhow::anyhow!("no driver"))?;
    let rows = replica.table(LoadBalancer::TABLE);
    eprintln!("{} load balancers in {:?}", rows.len(), started.elapsed());
    let read = Instant::now();
    let vips: usize = rows.iter().map(|row| LoadBalancer::from_row(row).vips.len()).sum();
    eprintln!("{vips} vips read in {:?}", read.elapsed());
    drop(replica);
    let mut times: Vec<Duration> = Vec::new();
    for number in 0..count {
        let mut row = LoadBalancer::new(random()?, "measured", Protocol::Tcp);
        let vip = format!("192.0.2.{}:80", number % 250);
        row.vips = [(vip, "10.0.0.1:30080,10.0.0.2:30080".to_owned())].into();
        row.options = [("reject".to_owned(), "true".to_owned())].into();
        let before = Instant::now();
        let outcome = client.transact(Txn::new().insert(&row)).await;
        times.push(before.elapsed());
        anyhow::ensure!(outcome.is_committed(), "{outcome}");
        let snapshot = client.snapshot();
        anyhow::ensure!(snapshot.row(LoadBalancer::TABLE, row.uuid).is_some(), "not seen");
    }
    times.sort();
    let at = |part: usize| times.get(times.len() * part / 100).copied().unwrap_or_default();
    eprintln!("insert p50 {:?} p99 {:?}", at(50), at(99));
    let filter = ovn_client::Condition::equal("name", "measured");
    let delete = Delete::all(LoadBalancer::TABLE).filter(filter).expect_count(count as u64);
    eprintln!("delete: {}", client.transact(Txn::new().with(delete)).await);
    shutdown.cancel();
    task.await?;
    eprintln!("{} changes told", follower.await?);
    Ok(())
}

fn random() -> anyhow::Result<Uuid> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|error| anyhow::anyhow!("{error}"))?;
    Ok(Uuid::from_bytes(bytes))
}
