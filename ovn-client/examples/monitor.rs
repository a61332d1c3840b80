//! Prints what changes in a database, as it happens.
//!
//! `cargo run -p ovn-client --example monitor -- tcp:127.0.0.1:6641 Load_Balancer Logical_Router`

use std::io::Write;

use anyhow::Context;
use ovn_client::{Client, ClientConfig, DatabaseSpec, Event, RowChange, TableSpec, nb, sb};
use tokio_util::sync::CancellationToken;

const USAGE: &str = "usage: monitor ENDPOINTS [TABLE ...]

Prints each change of the OVN Northbound or Southbound database until it is interrupted.
ENDPOINTS is a comma list of tcp:HOST:PORT and unix:PATH; without TABLE, every table that
ovn-client has a type for is followed. Example: monitor unix:/run/ovn/ovnnb_db.sock NAT";

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let endpoints = arguments.next().filter(|first| !first.starts_with('-')).context(USAGE)?;
    let database = database(&arguments.collect::<Vec<_>>())?;
    let config = ClientConfig::new(endpoints.parse().context(USAGE)?, database);
    // To look, any member of a cluster will do.
    let config = ClientConfig { leader_only: false, ..config };
    let (client, driver) = Client::new(config);
    let mut events = client.subscribe();
    tokio::spawn(driver.run(CancellationToken::new()));
    let mut out = std::io::stdout().lock();
    while let Some(event) = events.recv().await {
        match event {
            Event::Connected => writeln!(out, "connected")?,
            Event::Disconnected { reason } => writeln!(out, "disconnected: {reason}")?,
            Event::Lagged => writeln!(out, "too slow: some changes are not shown")?,
            Event::Changes(changes) => {
                changes.iter().try_for_each(|change| print(&mut out, change))?;
            }
        }
        out.flush()?;
    }
    Ok(())
}

/// The tables asked for, of whichever database has them.
fn database(names: &[String]) -> anyhow::Result<DatabaseSpec> {
    let (north, south) = (nb::tables(), sb::tables());
    if names.is_empty() {
        return Ok(nb::database(north));
    }
    let named = |tables: Vec<TableSpec>| -> Vec<TableSpec> {
        tables.into_iter().filter(|table| names.iter().any(|name| *name == table.name)).collect()
    };
    let (north, south) = (named(north), named(south));
    match (north.len() == names.len(), south.len() == names.len()) {
        (true, _) => Ok(nb::database(north)),
        (_, true) => Ok(sb::database(south)),
        _ => anyhow::bail!("no database has a type for each of {}\n\n{USAGE}", names.join(", ")),
    }
}

/// One line for the row, and one for each column that differs.
fn print(out: &mut impl Write, change: &RowChange) -> anyhow::Result<()> {
    let what = match (&change.old, &change.new) {
        (None, _) => "inserted",
        (Some(_), None) => "deleted",
        (Some(_), Some(_)) => "changed",
    };
    writeln!(out, "{} {} {what}", change.table, change.uuid)?;
    for (column, value) in change.new.iter().flat_map(|row| row.columns()) {
        let old = change.old.as_ref().and_then(|old| old.get(column));
        if old == Some(value) || (old.is_none() && value.is_empty()) {
            continue;
        }
        let new = serde_json::to_string(value)?;
        match old.map(serde_json::to_string).transpose()? {
            Some(old) => writeln!(out, "    {column}: {old} -> {new}")?,
            None => writeln!(out, "    {column}: {new}")?,
        }
    }
    Ok(())
}
