//! A number in the database that is counted up one by one. To add is not idempotent: a transaction
//! that is lost or comes twice shows in it for ever.

use anyhow::{Result, ensure};
use ovn_client::nb::NbGlobal;
use ovn_client::{Client, Mutate, Replica, Txn, Uuid, Wait};
use serde_json::Value;
use tokio::sync::Mutex;

use super::{Dump, Ledger};

/// The row that holds it, in the one-row table of settings.
const ROW: Uuid = Uuid::from_u128(0xc0de_0000_0000_4000_8000_0000_0000_0001);
const COLUMN: &str = "nb_cfg";

/// The number, of one writer at a time.
#[derive(Debug, Default)]
pub(super) struct Counter(Mutex<Option<i64>>);

impl Counter {
    /// Adds one, guarded by what was there before. That makes it safe to send again: of two, the
    /// second one fails.
    pub(super) async fn count(&self, ledger: &Ledger, client: &Client) -> Result<()> {
        let mut counted = self.0.lock().await;
        let before = match *counted {
            Some(before) => before,
            None => {
                let there = |replica: &Replica| read(replica).is_some();
                let row = NbGlobal { uuid: ROW, ..NbGlobal::default() };
                ledger.insist(client, "a counter", there, || Txn::new().insert(&row)).await?;
                0
            }
        };
        let guard = || Wait::row(NbGlobal::TABLE, ROW).holds(COLUMN, &before);
        let add = || Mutate::row(NbGlobal::TABLE, ROW).add(COLUMN, 1).expect_count(1);
        let done = |replica: &Replica| read(replica) > Some(before);
        let txn = || Txn::new().with(guard()).with(add());
        ledger.insist(client, "an addition", done, txn).await?;
        *counted = Some(before + 1);
        Ok(())
    }

    /// Holds that the database has the number that was counted to, if any was.
    pub(super) fn balances(&self, dump: &Dump) -> Result<()> {
        let Some(counted) = *self.0.try_lock()? else { return Ok(()) };
        let held = dump.row(NbGlobal::TABLE, ROW).and_then(|row| row.get(COLUMN));
        ensure!(held == Some(&Value::from(counted)), "counted to {counted}, there is {held:?}");
        Ok(())
    }

    /// Begins anew.
    pub(super) fn forget(&self) {
        if let Ok(mut counted) = self.0.try_lock() {
            *counted = None;
        }
    }
}

fn read(replica: &Replica) -> Option<i64> {
    replica.row(NbGlobal::TABLE, ROW)?.read(COLUMN)
}
