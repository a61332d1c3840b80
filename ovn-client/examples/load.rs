//! Fills a Northbound database with load balancers, and shows how far it is.
//!
//! `cargo run --release -p ovn-client --example load -- tcp:127.0.0.1:6641 10000`

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use anyhow::Context;
use ovn_client::nb::{self, LoadBalancer, Protocol, TypedRow};
use ovn_client::{Client, ClientConfig, Endpoints, Outcome, RowFilter, Txn};
use tokio_util::sync::CancellationToken;

const USAGE: &str = "usage: load ENDPOINTS COUNT

Inserts COUNT load balancers, of four Vips with five backends each, into the OVN Northbound
database at ENDPOINTS, a comma list of tcp:HOST:PORT and unix:PATH. They are named `loaded`:
`ovn-nbctl --bare --columns=_uuid find Load_Balancer name=loaded` lists them.";

/// Rows in one transaction.
const BATCH: usize = 200;
/// How long to wait for the database.
const PATIENCE: Duration = Duration::from_secs(15);

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.iter().any(|argument| matches!(argument.as_str(), "-h" | "--help")) {
        return Ok(writeln!(std::io::stdout(), "{USAGE}")?);
    }
    let [endpoints, count] = arguments.as_slice() else { anyhow::bail!(USAGE) };
    let endpoints =
        endpoints.parse::<Endpoints>().map_err(|error| anyhow::anyhow!("{error}\n\n{USAGE}"))?;
    let count =
        count.parse::<usize>().map_err(|error| anyhow::anyhow!("{count}: {error}\n\n{USAGE}"))?;
    // All that is wanted of the database is what becomes of the transactions.
    let none = LoadBalancer::spec().filter(RowFilter::Nothing);
    let (client, driver) = Client::new(ClientConfig::new(endpoints, nb::database([none])));
    tokio::spawn(driver.run(CancellationToken::new()));
    let connected = tokio::time::timeout(PATIENCE, client.connected()).await;
    connected.ok().flatten().with_context(|| {
        let why = client.health().last_failure.unwrap_or_else(|| "no answer".to_owned());
        format!("the database does not answer: {why}")
    })?;
    let mut bar = Bar::new(count);
    let numbers: Vec<usize> = (0..count).collect();
    for batch in numbers.chunks(BATCH) {
        let mut txn = Txn::new();
        for number in batch {
            txn = txn.insert(&load_balancer(*number)?);
        }
        match client.transact(txn).await {
            Outcome::Committed(_) => bar.advance(batch.len())?,
            other => anyhow::bail!("stopped after {} rows: {other}", bar.done),
        }
    }
    bar.finish()
}

fn load_balancer(number: usize) -> anyhow::Result<LoadBalancer> {
    let mut uuid = [0; 16];
    getrandom::fill(&mut uuid).map_err(|error| anyhow::anyhow!("no random bits: {error}"))?;
    let uuid = uuid::Builder::from_random_bytes(uuid).into_uuid();
    let vip = |port: u16| {
        let backends: Vec<_> = (1..=5).map(|host| format!("10.0.0.{host}:{port}")).collect();
        let address = format!("192.0.{}.{}:{port}", number / 250 % 250, number % 250);
        (address, backends.join(","))
    };
    let vips = [80, 443, 8080, 8443].map(vip).into();
    Ok(LoadBalancer { vips, ..LoadBalancer::new(uuid, "loaded", Protocol::Tcp) })
}

/// How far it is, on standard error: a bar on a terminal, a line now and then elsewhere.
struct Bar {
    total: usize,
    done: usize,
    begun: Instant,
    shown: Option<Instant>,
    terminal: bool,
}

impl Bar {
    fn new(total: usize) -> Self {
        let terminal = std::io::stderr().is_terminal();
        Self { total, done: 0, begun: Instant::now(), shown: None, terminal }
    }

    fn advance(&mut self, rows: usize) -> std::io::Result<()> {
        const WIDTH: usize = 40;
        self.done += rows;
        let pause = Duration::from_millis(if self.terminal { 100 } else { 5_000 });
        if self.shown.is_some_and(|shown| shown.elapsed() < pause) && self.done < self.total {
            return Ok(());
        }
        self.shown = Some(Instant::now());
        let filled = WIDTH * self.done / self.total.max(1);
        let mut out = std::io::stderr().lock();
        match self.terminal {
            true => {
                let (full, empty) = ("#".repeat(filled), ".".repeat(WIDTH - filled));
                write!(out, "\r[{full}{empty}] {} of {}", self.done, self.total)?;
            }
            false => writeln!(out, "{} of {}", self.done, self.total)?,
        }
        out.flush()
    }

    fn finish(self) -> anyhow::Result<()> {
        let elapsed = self.begun.elapsed();
        let end = if self.terminal { "\n" } else { "" };
        #[expect(clippy::cast_precision_loss, reason = "a rate for a reader")]
        let rate = self.done as f64 / elapsed.as_secs_f64();
        writeln!(
            std::io::stderr(),
            "{end}{} load balancers in {elapsed:.1?}: {rate:.0} a second",
            self.done
        )?;
        Ok(())
    }
}
