//! `cpo lb list`: our rows in the Northbound database, since `ovn-nbctl` knows load balancers by
//! a name that all of ours share.

use std::io::Write as _;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use cpo_core::ovn::{INSTALL, SERVICE, VENDOR, VENDOR_US};
use ovn_client::nb::{self, TypedRow as _};
use ovn_client::{Client, ClientConfig, Replica};
use tokio_util::sync::CancellationToken;

use crate::look::table::aligned;

/// How long to wait for the database.
const PATIENCE: Duration = Duration::from_secs(15);

/// Reads the database once and prints a table.
pub(crate) async fn list(config: ClientConfig, install: &str) -> anyhow::Result<()> {
    let table = read(config, |replica| table(replica, install)).await?;
    std::io::stdout().lock().write_all(table.as_bytes())?;
    Ok(())
}

/// Reads the database once.
pub(crate) async fn read<T>(
    mut config: ClientConfig,
    look: impl FnOnce(&Replica) -> T,
) -> anyhow::Result<T> {
    // To look, any member of a cluster will do.
    config.leader_only = false;
    let endpoints = config.endpoints.to_string();
    let (client, driver) = Client::new(config);
    let stop = CancellationToken::new();
    let driver = tokio::spawn(driver.run(stop.clone()));
    let connected = tokio::time::timeout(PATIENCE, client.connected()).await;
    let replica = connected.ok().flatten();
    let replica = replica.with_context(|| format!("{endpoints} (--ovn-nb) does not answer"))?;
    let seen = look(&replica);
    stop.cancel();
    ensure!(driver.await.is_ok(), "the connection's task panicked");
    Ok(seen)
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
