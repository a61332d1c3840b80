//! Prints what changes in a database, as it happens.
//!
//! `cargo run -p ovn-client --example monitor -- tcp:127.0.0.1:6641 Load_Balancer Logical_Router`

use std::io::{ErrorKind, Write};
use std::time::Duration;

use anyhow::Context;
use ovn_client::{
    Client, ClientConfig, DatabaseSpec, Endpoints, Event, RowChange, TableSpec, nb, sb,
};
use tokio_util::sync::CancellationToken;

const USAGE: &str = "usage: monitor ENDPOINTS [TABLE ...]

Prints each change of the OVN Northbound or Southbound database until it is interrupted.
ENDPOINTS is a comma list of tcp:HOST:PORT and unix:PATH; without TABLE, every table that
ovn-client has a type for is followed. Example: monitor unix:/run/ovn/ovnnb_db.sock NAT";

/// How often to say that there is no connection.
const PATIENCE: Duration = Duration::from_secs(5);

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let mut out = std::io::stdout();
    if arguments.iter().any(|argument| matches!(argument.as_str(), "-h" | "--help")) {
        return Ok(writeln!(out, "{USAGE}")?);
    }
    let [endpoints, tables @ ..] = arguments.as_slice() else { anyhow::bail!(USAGE) };
    let endpoints =
        endpoints.parse::<Endpoints>().map_err(|error| anyhow::anyhow!("{error}\n\n{USAGE}"))?;
    // To look, any member of a cluster will do.
    let config =
        ClientConfig { leader_only: false, ..ClientConfig::new(endpoints, database(tables)?) };
    let (client, driver) = Client::new(config);
    let mut events = client.subscribe();
    tokio::spawn(driver.run(CancellationToken::new()));
    loop {
        let event = match tokio::time::timeout(PATIENCE, events.recv()).await {
            Ok(Some(event)) => event,
            Ok(None) => break,
            Err(_) => {
                let health = client.health();
                let failure = health.last_failure.filter(|_| !health.connected);
                failure
                    .map_or(Ok(()), |why| writeln!(std::io::stderr(), "no connection: {why}"))?;
                continue;
            }
        };
        match print(&mut out, event) {
            // Nobody reads on, as in `monitor … | head`.
            Err(error) if error.kind() == ErrorKind::BrokenPipe => break,
            printed => printed.context("writing what changed")?,
        }
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

fn print(out: &mut impl Write, event: Event) -> std::io::Result<()> {
    match event {
        Event::Connected => writeln!(out, "connected")?,
        Event::Disconnected { reason } => writeln!(out, "disconnected: {reason}")?,
        Event::Lagged => writeln!(out, "too slow: some changes are not shown")?,
        Event::Changes(changes) => changes.iter().try_for_each(|change| print_row(out, change))?,
    }
    out.flush()
}

/// One line for the row, and one for each column: what it holds, held, or both if they differ.
fn print_row(out: &mut impl Write, change: &RowChange) -> std::io::Result<()> {
    let (what, row) = match (&change.old, &change.new) {
        (None, Some(new)) => ("inserted", new),
        (Some(old), None) => ("deleted", old),
        (_, Some(new)) => ("changed", new),
        (None, None) => return Ok(()),
    };
    writeln!(out, "{} {} {what}", change.table, change.uuid)?;
    for (column, value) in row.columns() {
        let json = serde_json::to_string(value)?;
        let both = change.old.as_ref().filter(|_| change.new.is_some());
        match both.and_then(|old| old.get(column)) {
            Some(old) if old == value => {}
            Some(old) => writeln!(out, "    {column}: {} -> {json}", serde_json::to_string(old)?)?,
            None if value.is_empty() => {}
            None => writeln!(out, "    {column}: {json}")?,
        }
    }
    Ok(())
}
