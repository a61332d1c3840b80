//! A writer that obeys the outcome of each transaction, and knows what it wrote.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use ovn_client::nb::{LoadBalancer, Protocol};
use ovn_client::{Client, Outcome, Uuid};

use super::Dump;

/// How long a row may take to be written, elections included.
const WRITTEN: Duration = Duration::from_secs(60);

/// Rows that are known to be committed.
#[derive(Debug, Default)]
pub struct Ledger {
    committed: Mutex<BTreeSet<Uuid>>,
    unknown: Mutex<usize>,
}

impl Ledger {
    /// Writes a row, whatever comes: an unknown outcome is looked up in the replica, and the row is
    /// sent again under its own UUID only, so that the server refuses a second one.
    ///
    /// # Errors
    /// When it is refused for another reason, or not written after a minute.
    pub async fn write(&self, client: &Client, name: &str) -> Result<Uuid> {
        let written = tokio::time::timeout(WRITTEN, self.insist(client, name)).await;
        written.with_context(|| format!("{name} was not written for {WRITTEN:?}"))?
    }

    async fn insist(&self, client: &Client, name: &str) -> Result<Uuid> {
        let uuid = fresh();
        let row = LoadBalancer {
            vips: [("192.0.2.1:80".to_owned(), "10.0.0.1:80".to_owned())].into(),
            ..LoadBalancer::new(uuid, name, Protocol::Tcp)
        };
        loop {
            let replica = client.connected().await.context("the driver has ended")?;
            if replica.row(LoadBalancer::TABLE, uuid).is_some() {
                break;
            }
            match client.transact(ovn_client::Txn::new().insert(&row)).await {
                Outcome::Committed(_) => {
                    let seen = client.snapshot().row(LoadBalancer::TABLE, uuid).is_some();
                    ensure!(seen || !client.snapshot().connected(), "committed and not seen");
                    break;
                }
                Outcome::Unknown(_) => {
                    self.unknown.lock().map(|mut count| *count += 1).ok();
                }
                Outcome::Hard(error) if error.error.error == "duplicate uuid" => break,
                Outcome::Retry(_) | Outcome::NotConnected => tokio::task::yield_now().await,
                other => bail!("{name}: {other}"),
            }
        }
        self.committed.lock().ok().map(|mut rows| rows.insert(uuid));
        Ok(uuid)
    }

    /// How many outcomes were unknown for a while.
    pub fn unknown(&self) -> usize {
        self.unknown.lock().map(|count| *count).unwrap_or_default()
    }

    /// Holds that the database has exactly the rows of this ledger: none lost, none doubled.
    ///
    /// # Errors
    /// With the rows that differ.
    pub fn balances(&self, dump: &Dump) -> Result<()> {
        let rows: BTreeSet<Uuid> = dump.rows(LoadBalancer::TABLE).collect();
        let committed = self.committed.lock().map(|rows| rows.clone()).unwrap_or_default();
        let lost: Vec<_> = committed.difference(&rows).collect();
        let strange: Vec<_> = rows.difference(&committed).collect();
        ensure!(lost.is_empty(), "lost: {lost:?}");
        ensure!(strange.is_empty(), "not known to be written: {strange:?}");
        Ok(())
    }

    /// What was written before counts no more: the database was replaced.
    pub fn forget(&self) {
        self.committed.lock().map(|mut rows| rows.clear()).ok();
    }
}

fn fresh() -> Uuid {
    // Unique in this program, and apart from what other tools draw (RFC 9562, version 8).
    static NEXT: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(1);
    let number = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let spread = u128::from(number.wrapping_mul(0x9e37_79b9_7f4a_7c15)) << 64;
    Uuid::from_u128(spread & !(0xf << 76) | (8 << 76) | (2 << 62) | u128::from(number))
}
