//! Which rows are monitored, changed while the session goes on (ovsdb-server(7),
//! "monitor_cond_change").

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use serde::Serialize;

use super::start::{MONITOR, Phase};
use super::{Session, SessionEvent};
use crate::ovsdb::message::RpcError;
use crate::ovsdb::schema::RowFilter;
use crate::ovsdb::txn::Name;

/// A change of filters, until it has come into effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FilterId(u64);

/// A change that has not come into effect.
#[derive(Debug)]
pub(super) struct FilterChange {
    id: FilterId,
    table: Name,
    /// What is monitored without it.
    before: RowFilter,
}

impl Session {
    /// Monitors other rows of a table from now on. [`SessionEvent::Filtered`] tells when the
    /// updates that bring the replica there have come; a session that is not in sync yet asks for
    /// those rows from the beginning.
    ///
    /// [`SessionEvent::Filtered`]: super::SessionEvent::Filtered
    pub fn handle_filter(&mut self, table: Name, filter: RowFilter, now: Instant) -> FilterId {
        self.now = now;
        self.next_id += 1;
        let id = FilterId(self.next_id);
        let before = self.config.spec.filter(&table).clone();
        Arc::make_mut(&mut self.config.spec).set_filter(&table, filter);
        self.filters_due.push(FilterChange { id, table, before });
        if self.is_synced() {
            self.ask_for_filters();
        }
        id
    }

    /// Whether the monitored rows are those the filters say.
    pub fn filters_settled(&self) -> bool {
        self.filters_due.is_empty() && self.filters_asked.is_empty()
    }

    /// Takes the server's answer to a change. One that is refused leaves the tables as they were,
    /// where no later change is on its way.
    pub(super) fn filters_answered(
        &mut self,
        changes: Vec<FilterChange>,
        answer: Result<(), RpcError>,
    ) -> SessionEvent {
        let filters = changes.iter().map(|change| change.id).collect();
        let mut restored = Vec::new();
        if answer.is_err() {
            // The first of several on one table has what was there before all of them.
            for FilterChange { table, before, .. } in changes.into_iter().rev() {
                let later = self.filters_asked.values_mut().flatten();
                let mut later = later.chain(&mut self.filters_due).filter(|c| c.table == table);
                match later.next() {
                    Some(later) => later.before = before,
                    None => {
                        Arc::make_mut(&mut self.config.spec).set_filter(&table, before.clone());
                        restored.push((table, before));
                    }
                }
            }
        }
        SessionEvent::Filtered { filters, answer, restored }
    }

    pub(super) fn ask_for_filters(&mut self) {
        let Phase::Synced { resolved } = &self.phase else { return };
        let due = std::mem::take(&mut self.filters_due);
        if due.is_empty() {
            return;
        }
        let resolved = resolved.clone();
        let spec = self.config.spec.clone();
        let known = due.iter().filter(|change| resolved.layout(&change.table).is_some());
        let tables: BTreeMap<&str, [Change<'_>; 1]> = known
            .map(|FilterChange { table, .. }| {
                (table.as_ref(), [Change { filter: spec.filter(table) }])
            })
            .collect();
        let request = self.request("monitor_cond_change", &(MONITOR, MONITOR, tables));
        self.filters_asked.insert(request, due);
    }
}

#[derive(Serialize)]
struct Change<'f> {
    #[serde(rename = "where")]
    filter: &'f RowFilter,
}
