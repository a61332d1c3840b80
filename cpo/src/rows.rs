//! `cpo lb list`: our rows in the Northbound database, since `ovn-nbctl` knows load balancers by
//! a name that all of ours share.

use std::io::Write as _;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use cpo_core::ovn::{INSTALL, SERVICE, VENDOR, VENDOR_US};
use ovn_client::nb::{self, TypedRow as _};
use ovn_client::{Client, ClientConfig, Replica};
use tokio_util::sync::CancellationToken;

/// How long to wait for the database.
const PATIENCE: Duration = Duration::from_secs(15);

/// Reads the database once and prints a table.
pub(crate) async fn list(mut config: ClientConfig, install: &str) -> anyhow::Result<()> {
    // To look, any member of a cluster will do.
    config.leader_only = false;
    let endpoints = config.endpoints.to_string();
    let (client, driver) = Client::new(config);
    let stop = CancellationToken::new();
    let driver = tokio::spawn(driver.run(stop.clone()));
    let connected = tokio::time::timeout(PATIENCE, client.connected()).await;
    let replica = connected.ok().flatten();
    let replica = replica.with_context(|| format!("{endpoints} (--ovn-nb) does not answer"))?;
    let table = table(&replica, install);
    stop.cancel();
    ensure!(driver.await.is_ok(), "the connection's task panicked");
    std::io::stdout().lock().write_all(table.as_bytes())?;
    Ok(())
}

/// One line per Vip, and one per row that waits to be used again or deleted.
fn table(replica: &Replica, install: &str) -> String {
    let routers = nb::LogicalRouter::all(replica).collect::<Vec<_>>();
    let mut lines = Vec::new();
    for row in nb::LoadBalancer::all(replica) {
        let id = |key: &str| row.external_ids.get(key).map_or("", String::as_str);
        // The epoch's row is ours too, and serves nobody.
        if id(VENDOR) != VENDOR_US || id(INSTALL) != install || id(SERVICE).is_empty() {
            continue;
        }
        let attached = routers.iter().filter(|r| r.load_balancer.contains(&row.uuid));
        let attached = attached.map(|r| r.name.as_str()).collect::<Vec<_>>().join(",");
        let mut line = |vip: &str, backends: &str| {
            lines.push([
                id(SERVICE).to_owned(),
                row.protocol.to_string(),
                vip.to_owned(),
                backends.to_owned(),
                attached.clone(),
                row.uuid.to_string(),
            ]);
        };
        if row.vips.is_empty() {
            line("-", "emptied");
        }
        for (vip, backends) in &row.vips {
            line(vip, if backends.is_empty() { "none: refused" } else { backends });
        }
    }
    lines.sort();
    let head = ["SERVICE", "PROTOCOL", "VIP", "BACKENDS", "ROUTER", "UUID"].map(str::to_owned);
    lines.insert(0, head);
    aligned(&lines)
}

fn aligned<const N: usize>(lines: &[[String; N]]) -> String {
    let mut widths = [0; N];
    for line in lines {
        for (width, cell) in widths.iter_mut().zip(line) {
            *width = cell.len().max(*width);
        }
    }
    let mut text = String::new();
    for line in lines {
        let cells = line.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}"));
        text.push_str(cells.collect::<Vec<_>>().join("   ").trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let lines = [["A", "B"], ["long", "x"]].map(|line| line.map(str::to_owned));
        assert_eq!(aligned(&lines), "A      B\nlong   x\n");
    }
}
