//! Our client in a process of its own; says what it measured as the peers do.

use std::io::Write as _;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use ovn_client::Event;
use ovn_client::nb::LoadBalancer;
use serde_json::json;

use crate::{fill, floor};

/// The first word of its command line.
pub(crate) const WORD: &str = "client";

/// `dump`, `floor` or `updates`, at an endpoint.
pub(crate) fn run(words: &[String]) -> Result<()> {
    let (what, endpoint) = (words.first().context("what?")?, words.get(1).context("where?")?);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    match what.as_str() {
        "dump" => runtime.block_on(dump(endpoint)),
        "floor" => {
            let (_, elapsed) = floor::Bare::follow(endpoint)?;
            say(&json!({"seconds": elapsed.as_secs_f64(), "rows": 0, "peak": 0, "grown": 0}))
        }
        "updates" => {
            let count = words.get(2).context("how many?")?.parse()?;
            runtime.block_on(updates(endpoint, count))
        }
        other => anyhow::bail!("{other}?"),
    }
}

async fn dump(endpoint: &str) -> Result<()> {
    let before = status("VmRSS:");
    let begin = Instant::now();
    let connected = fill::Connected::open(endpoint).await?;
    let elapsed = begin.elapsed();
    let rows = connected.client.snapshot().table(LoadBalancer::TABLE).len();
    let grown = status("VmRSS:").saturating_sub(before);
    say(&json!({
        "seconds": elapsed.as_secs_f64(), "rows": rows, "peak": status("VmHWM:"), "grown": grown,
    }))
}

async fn updates(endpoint: &str, count: usize) -> Result<()> {
    let connected = fill::Connected::open(endpoint).await?;
    let mut events = connected.client.subscribe();
    say(&json!({"ready": true}))?;
    let (mut seen, mut first) = (0, None);
    while seen < count {
        let event = tokio::time::timeout(Duration::from_secs(60), events.recv()).await?;
        match event.context("the driver has ended")? {
            Event::Changes(changes) => {
                first.get_or_insert_with(Instant::now);
                seen += changes.len();
            }
            Event::Lagged => anyhow::bail!("lagged"),
            Event::Connected | Event::Disconnected { .. } => {}
        }
    }
    let elapsed = first.map(|first| first.elapsed()).unwrap_or_default();
    say(&json!({"seconds": elapsed.as_secs_f64()}))
}

fn say(value: &serde_json::Value) -> Result<()> {
    Ok(writeln!(std::io::stdout(), "{value}")?)
}

/// A line of `/proc/self/status`, in bytes.
fn status(field: &str) -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(field));
    let kib = line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or_default() * 1024
}
