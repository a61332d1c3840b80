//! Transactions, beside a bare socket that sends the same ones.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use futures::future::try_join_all;
use lab::ovsdb::{Cluster, Listen, Member, Schema};
use lab::report::{Figure, Report, Target, percentile};
use lab::space::Space;
use ovn_client::{Client, Txn};

use crate::fill::{self, Connected};
use crate::floor::Bare;
use crate::peers::Peers;

const ROUNDS: usize = 9;
/// Transactions of a round, one after the other.
const SEQUENTIAL: usize = 400;
/// Transactions of a round with many in flight.
const PIPELINED: usize = 3_200;
const IN_FLIGHT: usize = 64;
/// Transactions of a round that hold a hundred rows.
const BATCHES: usize = 100;
const BATCH: usize = 100;
/// Batches in flight where it is not one after the other.
const OVERLAPPING: usize = 2;
/// What a client may add to a transaction.
const ADDED: Duration = Duration::from_micros(100);
/// The share of the bare socket's rate that a client has to reach.
const SHARE: f64 = 0.95;

pub(crate) async fn measure(report: &mut Report, peers: &Peers) -> Result<()> {
    let space = Space::new()?;
    let schema = Schema::current()?.write(&space, "current")?;
    let member = Member::standalone(&space, "alone", &schema, &Listen::Tcp).await?;
    at(report, peers, &member.endpoint(), "standalone").await?;
    let cluster = Cluster::start(&space, "raft", &schema, 3).await?;
    at(report, peers, &cluster.leader().await?.endpoint(), "three servers").await
}

async fn at(report: &mut Report, peers: &Peers, endpoint: &str, place: &str) -> Result<()> {
    let [mut ours, mut floor, mut go] = [const { Vec::new() }; 3];
    let [mut piped, mut piped_floor, mut batched, mut batched_floor] = [const { Vec::new() }; 4];
    let [mut overlapped, mut overlapped_floor] = [const { Vec::new() }; 2];
    for round in 0..ROUNDS {
        // Who comes first takes turns too.
        for ours_now in [round % 2 == 0, round % 2 != 0] {
            if ours_now {
                ours.extend(turn(endpoint, sequential).await?);
                piped.push(turn(endpoint, |c| in_flight(c, PIPELINED, 1, IN_FLIGHT)).await?);
                batched.push(turn(endpoint, |c| in_flight(c, BATCHES, BATCH, 1)).await?);
                overlapped
                    .push(turn(endpoint, |c| in_flight(c, BATCHES, BATCH, OVERLAPPING)).await?);
            } else {
                floor.extend(bare(endpoint, SEQUENTIAL, 1, 1)?);
                piped_floor.push(total(&bare(endpoint, PIPELINED, 1, IN_FLIGHT)?));
                batched_floor.push(total(&bare(endpoint, BATCHES, BATCH, 1)?));
                overlapped_floor.push(total(&bare(endpoint, BATCHES, BATCH, OVERLAPPING)?));
            }
        }
        go.extend(peers.libovsdb_sequential(endpoint, SEQUENTIAL).await?);
        clear(endpoint)?;
    }
    let p50 = |times: &mut Vec<Duration>| percentile(times, 0.5);
    let (ours, floor, go) = (p50(&mut ours), p50(&mut floor), p50(&mut go));
    let what = format!("one transaction after the other, p50, {place}");
    report.time(format!("{what}, peer a bare socket"), ours, Some(floor), floor + ADDED);
    report.add(
        format!("{what}, peer libovsdb"),
        Figure::Time(ours),
        Some(Figure::Time(go)),
        Target::None,
    );
    for (what, count, times, floor) in [
        ("transactions, 64 in flight", PIPELINED, &mut piped, &mut piped_floor),
        ("rows, 100 to a transaction", BATCHES * BATCH, &mut batched, &mut batched_floor),
        (
            "rows, 100 to a transaction, 2 in flight",
            BATCHES * BATCH,
            &mut overlapped,
            &mut overlapped_floor,
        ),
    ] {
        #[expect(clippy::cast_precision_loss, reason = "a few thousand")]
        let rate =
            |times: &mut Vec<Duration>| Figure::Rate(count as f64 / p50(times).as_secs_f64());
        let (ours, floor) = (rate(times), rate(floor));
        let target = Target::AtLeast(floor.times(SHARE));
        report.add(format!("{what}, {place}, peer a bare socket"), ours, Some(floor), target);
    }
    Ok(())
}

/// The bare socket, not on a thread of the runtime. Like everybody else it has the server alone.
fn bare(endpoint: &str, count: usize, rows: usize, in_flight: usize) -> Result<Vec<Duration>> {
    tokio::task::block_in_place(|| {
        let (mut bare, _) = Bare::follow(endpoint)?;
        let txns = bare.written((0..count).map(|number| txn(number, rows)))?;
        let times = bare.transact(&txns, in_flight)?;
        bare.clear()?;
        Ok(times)
    })
}

fn clear(endpoint: &str) -> Result<()> {
    tokio::task::block_in_place(|| Bare::follow(endpoint)?.0.clear())
}

/// Our client, used from a task, as programs do.
async fn turn<T, F>(endpoint: &str, measured: impl FnOnce(Client) -> F) -> Result<T>
where
    T: Send + 'static,
    F: Future<Output = Result<T>> + Send + 'static,
{
    let connected = Connected::open(endpoint).await?;
    let result = tokio::spawn(measured(connected.client.clone())).await??;
    connected.close().await?;
    clear(endpoint)?;
    Ok(result)
}

fn txn(number: usize, rows: usize) -> Txn {
    (0..rows).fold(Txn::new(), |txn, row| txn.insert(&fill::small(number * rows + row)))
}

fn total(times: &[Duration]) -> Duration {
    times.iter().sum()
}

async fn sequential(client: Client) -> Result<Vec<Duration>> {
    let mut times = Vec::new();
    for number in 0..SEQUENTIAL {
        let txn = txn(number, 1);
        let begin = Instant::now();
        let outcome = client.transact(txn).await;
        times.push(begin.elapsed());
        ensure!(outcome.is_committed(), "{outcome}");
    }
    Ok(times)
}

/// So many tasks, each with one transaction in flight.
async fn in_flight(client: Client, count: usize, rows: usize, tasks: usize) -> Result<Duration> {
    // Made before, as the bare socket's are.
    let txns: Vec<Vec<Txn>> =
        (0..tasks).map(|_| (0..count / tasks).map(|number| txn(number, rows)).collect()).collect();
    let begin = Instant::now();
    let writers = txns.into_iter().map(|txns| {
        let client = client.clone();
        tokio::spawn(async move {
            for txn in txns {
                let outcome = client.transact(txn).await;
                ensure!(outcome.is_committed(), "{outcome}");
            }
            Ok(())
        })
    });
    for written in try_join_all(writers).await? {
        written?;
    }
    Ok(begin.elapsed())
}
