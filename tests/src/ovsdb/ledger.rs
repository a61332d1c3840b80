//! A writer that obeys the outcome of each transaction, and knows what it wrote.

mod counter;

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use ovn_client::nb::{LoadBalancer, Protocol};
use ovn_client::{Client, Delete, Outcome, Replica, Txn, Update, Uuid};
use serde_json::{Value, json};

use super::Dump;
use counter::Counter;

/// How long a write may take, elections included.
const WRITTEN: Duration = Duration::from_secs(60);

type Vips = BTreeMap<String, String>;

/// What is known to be committed: load balancers with their Vips, and a number that was counted
/// up one by one, so that a transaction that was lost or came twice shows.
#[derive(Debug, Default)]
pub struct Ledger {
    rows: Mutex<BTreeMap<Uuid, Vips>>,
    counter: Counter,
    unknown: Mutex<usize>,
}

impl Ledger {
    /// Writes a new row.
    ///
    /// # Errors
    /// When it is refused, or not written after a minute.
    pub async fn write(&self, client: &Client, name: &str) -> Result<Uuid> {
        let uuid = fresh();
        let row = LoadBalancer { vips: vips(0), ..LoadBalancer::new(uuid, name, Protocol::Tcp) };
        let there = |replica: &Replica| replica.row(LoadBalancer::TABLE, uuid).is_some();
        self.insist(client, name, there, || Txn::new().insert(&row)).await?;
        self.rows().insert(uuid, row.vips);
        Ok(uuid)
    }

    /// Writes that many new rows in one transaction.
    ///
    /// # Errors
    /// When they are refused, or not written after a minute.
    pub async fn write_together(&self, client: &Client, count: usize) -> Result<()> {
        let row = |_| LoadBalancer {
            vips: vips(0),
            ..LoadBalancer::new(fresh(), "together", Protocol::Tcp)
        };
        let rows: Vec<_> = (0..count).map(row).collect();
        let last = rows.last().map(|row| row.uuid).context("no row")?;
        let there = |replica: &Replica| replica.row(LoadBalancer::TABLE, last).is_some();
        let txn = || rows.iter().fold(Txn::new(), |txn, row| txn.insert(row));
        self.insist(client, "rows together", there, txn).await?;
        self.rows().extend(rows.into_iter().map(|row| (row.uuid, row.vips)));
        Ok(())
    }

    /// Gives a row other Vips: one stays, one changes, one comes, one goes.
    ///
    /// # Errors
    /// When it is refused, or not written after a minute.
    pub async fn change(&self, client: &Client, uuid: Uuid, version: u16) -> Result<()> {
        let vips = vips(version);
        let done = |replica: &Replica| {
            let row = replica.row(LoadBalancer::TABLE, uuid);
            row.and_then(|row| row.read("vips")).is_some_and(|now: Vips| now == vips)
        };
        let update = || Update::row(LoadBalancer::TABLE, uuid).set("vips", &vips).expect_count(1);
        self.insist(client, "a change", done, || Txn::new().with(update())).await?;
        self.rows().insert(uuid, vips);
        Ok(())
    }

    /// Removes a row.
    ///
    /// # Errors
    /// When it is refused, or not written after a minute.
    pub async fn remove(&self, client: &Client, uuid: Uuid) -> Result<()> {
        let gone = |replica: &Replica| replica.row(LoadBalancer::TABLE, uuid).is_none();
        let delete = || Delete::row(LoadBalancer::TABLE, uuid).expect_count(1);
        self.insist(client, "a removal", gone, || Txn::new().with(delete())).await?;
        self.rows().remove(&uuid);
        Ok(())
    }

    /// Counts one up.
    ///
    /// # Errors
    /// When it is refused, or not written after a minute.
    pub async fn count(&self, client: &Client) -> Result<()> {
        self.counter.count(self, client).await
    }

    /// Commits a transaction, whatever comes. After an unknown outcome it is sent again only if the
    /// replica, in sync again, does not show it, and only if the server would refuse the second of
    /// two.
    async fn insist(
        &self,
        client: &Client,
        what: &str,
        done: impl Fn(&Replica) -> bool,
        txn: impl Fn() -> Txn,
    ) -> Result<()> {
        let committed = async {
            loop {
                let replica = client.connected().await.context("the driver has ended")?;
                if done(&replica) {
                    return Ok(());
                }
                match client.transact(txn()).await {
                    Outcome::Committed(_) => {
                        let replica = client.snapshot();
                        let shown = done(&replica) || !replica.connected();
                        return ensure_committed(shown, what);
                    }
                    Outcome::Unknown(_) => *locked(&self.unknown) += 1,
                    // It was committed after all; the replica is about to show it.
                    Outcome::Hard(error) if error.error.error == "duplicate uuid" => {}
                    Outcome::Retry(_) | Outcome::NotConnected => tokio::task::yield_now().await,
                    other => bail!("{what}: {other}"),
                }
            }
        };
        let committed = tokio::time::timeout(WRITTEN, committed).await;
        committed.with_context(|| format!("{what} was not committed for {WRITTEN:?}"))?
    }

    /// How many outcomes were unknown for a while.
    pub fn unknown(&self) -> usize {
        *locked(&self.unknown)
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.rows().len()
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.rows().is_empty()
    }

    /// Holds that the database has exactly the rows of this ledger as they were written last, and
    /// the number that was counted to: nothing is lost, nothing doubled.
    ///
    /// # Errors
    /// With the rows that differ.
    pub fn balances(&self, dump: &Dump) -> Result<()> {
        let known = self.rows().clone();
        let rows = dump.rows(LoadBalancer::TABLE);
        let strange: Vec<_> = rows.filter(|uuid| !known.contains_key(uuid)).collect();
        ensure!(strange.is_empty(), "not known to be written: {strange:?}");
        for (uuid, vips) in known {
            let row = dump.row(LoadBalancer::TABLE, uuid);
            let row = row.with_context(|| format!("{uuid} is lost"))?;
            let vips = json!(["map", vips.into_iter().collect::<Vec<_>>()]);
            let held = row.get("vips").unwrap_or(&Value::Null);
            ensure!(held == &vips, "{uuid} holds {held}, and {vips} was written last");
        }
        self.counter.balances(dump)
    }

    /// What was written before counts no more: the database was replaced.
    pub fn forget(&self) {
        self.rows().clear();
        self.counter.forget();
    }

    fn rows(&self) -> MutexGuard<'_, BTreeMap<Uuid, Vips>> {
        locked(&self.rows)
    }
}

fn ensure_committed(shown: bool, what: &str) -> Result<()> {
    ensure!(shown, "{what} is committed, and the replica does not show it");
    Ok(())
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Vips of a version: of the one before, one is left, one has other backends, one is gone.
fn vips(version: u16) -> Vips {
    let of_version = format!("192.0.2.{}:443", version % 200 + 2);
    [
        ("192.0.2.1:53".to_owned(), "10.0.0.1:53".to_owned()),
        ("192.0.2.1:80".to_owned(), format!("10.0.0.1:{}", u32::from(version) + 1)),
        (of_version, "10.0.0.1:443,10.0.0.2:443".to_owned()),
    ]
    .into()
}

fn fresh() -> Uuid {
    // Unique in this program, and apart from what other tools draw (RFC 9562, version 8).
    static NEXT: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(1);
    let number = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let spread = u128::from(number.wrapping_mul(0x9e37_79b9_7f4a_7c15)) << 64;
    Uuid::from_u128(spread & !(0xf << 76) | (8 << 76) | (2 << 62) | u128::from(number))
}
