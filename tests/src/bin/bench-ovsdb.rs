//! `make bench-ovsdb`: the database client beside the reference clients and a bare socket, on the
//! same servers in the same run.

use std::io::Write as _;
use std::process::ExitCode;

use lab::report::{Report, machine};
use lab::{components, harness};

#[path = "bench-ovsdb/client.rs"]
mod client;
#[path = "bench-ovsdb/dump.rs"]
mod dump;
#[path = "bench-ovsdb/echo.rs"]
mod echo;
#[path = "bench-ovsdb/fill.rs"]
mod fill;
#[path = "bench-ovsdb/floor.rs"]
mod floor;
#[path = "bench-ovsdb/peers.rs"]
mod peers;
#[path = "bench-ovsdb/rates.rs"]
mod rates;
#[path = "bench-ovsdb/updates.rs"]
mod updates;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let done = match words.first().map(String::as_str) {
        // One of our own clients, in a process of its own, as the peers are.
        Some(client::WORD) => client::run(words.get(1..).unwrap_or_default()),
        _ => measure(&words),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// What can be measured, in this order; the command line may name some of it.
const PARTS: [&str; 4] = ["dump", "updates", "echo", "rates"];

fn measure(words: &[String]) -> anyhow::Result<()> {
    if let Some(word) = words.iter().find(|word| !PARTS.contains(&word.as_str())) {
        anyhow::bail!("{word}? Only {}", PARTS.join(", "));
    }
    let wanted = |part: &str| words.is_empty() || words.iter().any(|word| word == part);
    let libovsdb = components::libovsdb_peer()?;
    let mut report = Report::default();
    harness::block_on(async || {
        let peers = peers::Peers::new(libovsdb)?;
        if wanted("dump") || wanted("updates") {
            let filled = fill::Filled::start().await?;
            if wanted("dump") {
                dump::measure(&mut report, &filled, &peers).await?;
            }
            if wanted("updates") {
                updates::measure(&mut report, &filled, &peers).await?;
            }
        }
        if wanted("echo") {
            echo::measure(&mut report).await?;
        }
        if wanted("rates") {
            rates::measure(&mut report, &peers).await?;
        }
        writeln!(std::io::stdout(), "{}; {}", machine(), peers.server().await?)?;
        report.print();
        Ok(())
    })
}
