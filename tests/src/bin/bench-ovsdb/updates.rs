//! Ten thousand changes of single rows, one transaction each, on their way to a replica.

use std::time::Duration;

use anyhow::Result;
use lab::report::{Figure, Report, Target, percentile};
use ovn_client::nb::LoadBalancer;
use ovn_client::{Txn, Update, Uuid};

use crate::fill::{self, Filled};
use crate::floor::Bare;
use crate::peers::Peers;

const CHANGES: usize = 10_000;
const ROUNDS: usize = 5;
/// Transactions of the writer in flight.
const IN_FLIGHT: usize = 64;

pub(crate) async fn measure(report: &mut Report, filled: &Filled, peers: &Peers) -> Result<()> {
    let endpoint = filled.member.endpoint();
    let connected = fill::Connected::open(&endpoint).await?;
    let replica = connected.client.snapshot();
    let rows: Vec<Uuid> = replica.table(LoadBalancer::TABLE).iter().map(|row| row.uuid()).collect();
    connected.close().await?;
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        for (is_ours, times) in [(true, &mut ours), (false, &mut theirs)] {
            let follower = peers.follower(is_ours, &endpoint, CHANGES)?;
            let name = format!("changed-{round}-{is_ours}");
            tokio::task::block_in_place(|| write(&endpoint, &rows, &name))?;
            times.push(follower.ended()?);
        }
    }
    let [ours, theirs] = [&mut ours, &mut theirs].map(|times| percentile(times, 0.5));
    report.add(
        "10,000 single-row updates received, peer libovsdb",
        Figure::Time(ours),
        Some(Figure::Time(theirs)),
        Target::None,
    );
    Ok(())
}

fn write(endpoint: &str, rows: &[Uuid], name: &str) -> Result<Duration> {
    let (mut bare, _) = Bare::follow(endpoint)?;
    let changes = rows
        .iter()
        .cycle()
        .take(CHANGES)
        .map(|row| Txn::new().with(Update::row(LoadBalancer::TABLE, *row).set("name", name)));
    let changes = bare.written(changes)?;
    Ok(bare.transact(&changes, IN_FLIGHT)?.iter().sum())
}
