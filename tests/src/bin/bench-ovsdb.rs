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
        _ => measure(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn measure() -> anyhow::Result<()> {
    let libovsdb = components::libovsdb_peer()?;
    let mut report = Report::default();
    harness::block_on(async || {
        let peers = peers::Peers::new(libovsdb)?;
        let filled = fill::Filled::start().await?;
        dump::measure(&mut report, &filled, &peers).await?;
        updates::measure(&mut report, &filled, &peers).await?;
        echo::measure(&mut report).await?;
        rates::measure(&mut report, &peers).await
    })?;
    writeln!(std::io::stdout(), "{}; Open vSwitch 3.5 of Debian trixie", machine())?;
    report.print();
    Ok(())
}
