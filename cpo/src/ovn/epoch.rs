//! The fence: one row of ours on no router, which says who writes. Pure.
//!
//! Whoever leads raises the epoch with the first transaction of its term, and every transaction
//! waits on its own epoch. What the leader before still has on its way is then refused, by whichever
//! server of a cluster it goes to: the guard is part of the data. OVSDB's own locks do not fence on
//! a cluster. A leader that finds nothing to write raises nothing.

use std::collections::BTreeMap;

use cpo_core::ids::Install;
use cpo_core::ovn::{INSTALL, VENDOR, VENDOR_US};
use cpo_core::rows::row_name;
use ovn_client::nb::{LoadBalancer, Protocol};
use ovn_client::{Condition, IndexSpec, Insert, Operation, Replica, Update, Uuid, Wait};

/// `external_ids` key that only the epoch's row has.
const ROLE: &str = "role";
const ROLE_EPOCH: &str = "epoch";
const EPOCH: &str = "epoch";
const WRITER: &str = "writer";

/// The index by which the epoch's row is found.
pub(super) fn by_role() -> IndexSpec {
    IndexSpec::map_key(LoadBalancer::TABLE, "external_ids", ROLE)
}

/// Who may write.
#[derive(Debug)]
pub(super) struct Epoch {
    install: Install,
    /// This replica in this term of leadership; drawn at its beginning.
    writer: String,
    standing: Standing,
}

/// What was seen of the epoch so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// It never was ours.
    Never,
    /// It was ours when last looked at.
    Ours,
    /// It was ours, and then another's: for the rest of the term, whatever becomes of the row.
    Lost,
}

/// What a transaction begins with.
#[derive(Debug, PartialEq)]
pub(super) enum Guard {
    /// The epoch is ours, and has to be still.
    Hold(Wait),
    /// It is taken by this transaction, which nothing else may be in flight with.
    Take(Vec<Operation>),
    /// Another writer took it from us: nothing may be written in this term any more.
    Lost,
}

impl Epoch {
    pub(super) const fn new(install: Install, writer: String) -> Self {
        Self { install, writer, standing: Standing::Never }
    }

    /// A term of leadership begins, of a writer nobody has heard of.
    pub(super) fn begin_term(&mut self, writer: String) {
        self.writer = writer;
        self.standing = Standing::Never;
    }

    /// Looks at who may write, and tells whether that was us and is another now. A row that is not
    /// there says nothing: somebody else deleted it.
    pub(super) fn look(&mut self, replica: &Replica) -> bool {
        let writer = self.row(replica).and_then(|row| row.external_ids.get(WRITER).cloned());
        self.standing = match (self.standing, writer) {
            (Standing::Lost, _) => Standing::Lost,
            (standing, None) => standing,
            (Standing::Never | Standing::Ours, Some(writer)) if writer == self.writer => {
                Standing::Ours
            }
            (Standing::Never, Some(_)) => Standing::Never,
            (Standing::Ours, Some(_)) => Standing::Lost,
        };
        self.standing == Standing::Lost
    }

    /// What the next transaction begins with, given what the database holds.
    pub(super) fn guard(&mut self, replica: &Replica, fresh: impl FnOnce() -> Uuid) -> Guard {
        if self.look(replica) {
            return Guard::Lost;
        }
        let Some(row) = self.row(replica) else {
            // Nobody wrote yet, or somebody else deleted the row.
            let absent = Wait::absent(
                LoadBalancer::TABLE,
                Condition::includes("external_ids", &self.marks()),
            );
            let row = LoadBalancer {
                external_ids: self.ids(1),
                ..LoadBalancer::new(fresh(), row_name(&self.install), Protocol::Tcp)
            };
            return Guard::Take(vec![absent.into(), Insert::row(&row).into()]);
        };
        let held =
            Wait::row(LoadBalancer::TABLE, row.uuid).holds("external_ids", &row.external_ids);
        if row.external_ids.get(WRITER) == Some(&self.writer) {
            Guard::Hold(held.fence())
        } else {
            let epoch = row.external_ids.get(EPOCH).and_then(|epoch| epoch.parse().ok());
            let ids = self.ids(epoch.unwrap_or(0_u64).saturating_add(1));
            let raise = Update::row(LoadBalancer::TABLE, row.uuid).set("external_ids", &ids);
            Guard::Take(vec![held.into(), raise.expect_count(1).into()])
        }
    }

    fn row(&self, replica: &Replica) -> Option<LoadBalancer> {
        let rows = replica.table(LoadBalancer::TABLE).find(&by_role(), ROLE_EPOCH);
        let mut rows = rows.map(|row| LoadBalancer::from_row(row));
        rows.find(|row| {
            self.marks().iter().all(|(key, value)| row.external_ids.get(key) == Some(value))
        })
    }

    /// What marks the epoch's row of this installation.
    fn marks(&self) -> BTreeMap<String, String> {
        let install = self.install.to_string();
        let marks = [(VENDOR, VENDOR_US), (INSTALL, &install), (ROLE, ROLE_EPOCH)];
        marks.map(|(key, value)| (key.to_owned(), value.to_owned())).into()
    }

    fn ids(&self, epoch: u64) -> BTreeMap<String, String> {
        let mut ids = self.marks();
        ids.insert(EPOCH.to_owned(), epoch.to_string());
        ids.insert(WRITER.to_owned(), self.writer.clone());
        ids
    }
}

#[cfg(test)]
#[path = "epoch_tests.rs"]
mod tests;
