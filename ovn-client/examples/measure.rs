//! Measures by hand, against a scratch Northbound database: first contents, transactions one
//! after the other and pipelined, and beside them the floor that a bare socket sets.
//!
//! `cargo run --release -p ovn-client --example measure -- 127.0.0.1:6641 10000 1000`

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use ovn_client::nb::{self, LoadBalancer, Protocol};
use ovn_client::ovsdb::message::{Framer, Message};
use ovn_client::{Client, ClientConfig, Condition, Delete, Event, FrameLimits, Txn, Uuid};
use tokio_util::sync::CancellationToken;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let address = arguments.next().unwrap_or_else(|| "127.0.0.1:6641".to_owned());
    let rows: usize = arguments.next().map_or(Ok(10_000), |count| count.parse())?;
    let count: usize = arguments.next().map_or(Ok(1000), |count| count.parse())?;
    fill(&address, rows).await?;
    let floor = floor(&address, count)?;
    report("bare socket, one after the other", floor);
    let started = Instant::now();
    let (client, shutdown, task) = connect(&address)?;
    let mut events = client.subscribe();
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
    eprintln!("first contents: {} rows in {:?}", rows.len(), started.elapsed());
    let read = Instant::now();
    let vips: usize = rows.iter().map(|row| LoadBalancer::from_row(row).vips.len()).sum();
    eprintln!("typed: {vips} vips in {:?}", read.elapsed());
    drop(replica);
    report("client, one after the other", sequential(&client, count).await?);
    let started = Instant::now();
    pipelined(&client, count).await?;
    eprintln!("client, pipelined: {count} in {:?}", started.elapsed());
    let filter = Condition::equal("name", "measured");
    let delete = Delete::all(LoadBalancer::TABLE).filter(filter).expect_count(3 * count as u64);
    eprintln!("delete: {}", client.transact(Txn::new().with(delete)).await);
    shutdown.cancel();
    task.await?;
    eprintln!("changes told: {}", follower.await?);
    Ok(())
}

type Connection = (Client, CancellationToken, tokio::task::JoinHandle<()>);

fn connect(address: &str) -> anyhow::Result<Connection> {
    let endpoints = format!("tcp:{address}").parse()?;
    let (client, driver) = Client::new(ClientConfig::new(endpoints, nb::database()));
    let shutdown = CancellationToken::new();
    let task = tokio::spawn(driver.run(shutdown.clone()));
    Ok((client, shutdown, task))
}

/// Inserts until there are this many load balancers.
async fn fill(address: &str, rows: usize) -> anyhow::Result<()> {
    let (client, shutdown, task) = connect(address)?;
    let replica = client.connected().await.ok_or_else(|| anyhow::anyhow!("no driver"))?;
    let present = replica.table(LoadBalancer::TABLE).len();
    drop(replica);
    let started = Instant::now();
    let numbers: Vec<usize> = (present..rows).collect();
    for batch in numbers.chunks(200) {
        let mut txn = Txn::new();
        for number in batch {
            let mut row = row(*number, "filled")?;
            for key in ["vendor", "install", "owner", "service"] {
                row.external_ids.insert(key.to_owned(), format!("{key}-{number}"));
            }
            txn = txn.insert(&row);
        }
        let outcome = client.transact(txn).await;
        anyhow::ensure!(outcome.is_committed(), "{outcome}");
    }
    eprintln!("filled {} rows in {:?}", numbers.len(), started.elapsed());
    shutdown.cancel();
    Ok(task.await?)
}

async fn sequential(client: &Client, count: usize) -> anyhow::Result<Vec<Duration>> {
    let mut times = Vec::new();
    for number in 0..count {
        let row = row(number, "measured")?;
        let before = Instant::now();
        let outcome = client.transact(Txn::new().insert(&row)).await;
        times.push(before.elapsed());
        anyhow::ensure!(outcome.is_committed(), "{outcome}");
        anyhow::ensure!(client.snapshot().row(LoadBalancer::TABLE, row.uuid).is_some());
    }
    Ok(times)
}

async fn pipelined(client: &Client, count: usize) -> anyhow::Result<()> {
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..count {
        let (client, row) = (client.clone(), row(number, "measured")?);
        tasks.spawn(async move { client.transact(Txn::new().insert(&row)).await });
    }
    while let Some(outcome) = tasks.join_next().await {
        anyhow::ensure!(outcome?.is_committed());
    }
    Ok(())
}

/// A connection without replica that waits for each reply.
struct Bare {
    socket: std::net::TcpStream,
    framer: Framer,
    input: Vec<u8>,
}

impl Bare {
    fn open(address: &str) -> anyhow::Result<Self> {
        let socket = std::net::TcpStream::connect(address)?;
        socket.set_nodelay(true)?;
        Ok(Self { socket, framer: Framer::new(FrameLimits::default()), input: vec![0; 65536] })
    }

    /// Sends a request and gives back how long the reply took and how long it is.
    fn ask(&mut self, method: &str, params: &str) -> anyhow::Result<(Duration, usize)> {
        let request = format!(r#"{{"id":1,"method":"{method}","params":{params}}}"#);
        let before = Instant::now();
        self.socket.write_all(request.as_bytes())?;
        loop {
            while let Some(message) = self.framer.next_message()? {
                if let Message::Reply { .. } = Message::parse(&message)? {
                    return Ok((before.elapsed(), message.len()));
                }
            }
            let length = self.socket.read(&mut self.input)?;
            anyhow::ensure!(length > 0, "closed");
            self.framer.push(self.input.get(..length).unwrap_or_default());
        }
    }
}

/// The same contents and insertions through a bare socket that monitors but keeps no replica.
fn floor(address: &str, count: usize) -> anyhow::Result<Vec<Duration>> {
    let tables: std::collections::BTreeMap<_, _> = nb::database()
        .tables
        .into_iter()
        .map(|table| (table.name, [std::collections::BTreeMap::from([("columns", table.columns)])]))
        .collect();
    let params =
        serde_json::to_string(&("OVN_Northbound", "bare", tables, Uuid::nil().to_string()))?;
    let mut bare = Bare::open(address)?;
    let (time, length) = bare.ask("monitor_cond_since", &params)?;
    eprintln!("first contents, bare socket: {length} bytes in {time:?}");
    (0..count)
        .map(|number| {
            let txn = Txn::new().insert(&row(number, "measured")?);
            let mut params = serde_json::to_string(txn.operations())?;
            params.insert_str(1, "\"OVN_Northbound\",");
            bare.ask("transact", &params).map(|(time, _)| time)
        })
        .collect()
}

fn row(number: usize, name: &str) -> anyhow::Result<LoadBalancer> {
    let mut uuid = [0; 16];
    getrandom::fill(&mut uuid).map_err(|error| anyhow::anyhow!("{error}"))?;
    let mut row = LoadBalancer::new(Uuid::from_bytes(uuid), name, Protocol::Tcp);
    let vip = format!("192.0.{}.{}:80", number / 250 % 250, number % 250);
    row.vips = [(vip, "10.0.0.1:30080,10.0.0.2:30080,10.0.0.3:30080".to_owned())].into();
    row.options = [("reject".to_owned(), "true".to_owned())].into();
    Ok(row)
}

fn report(what: &str, mut times: Vec<Duration>) {
    times.sort();
    let at = |part: usize| times.get(times.len() * part / 100).copied().unwrap_or_default();
    eprintln!("{what}: p50 {:?} p90 {:?} p99 {:?}", at(50), at(90), at(99));
}
