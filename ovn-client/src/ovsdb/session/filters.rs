//! Which rows are monitored, changed while the session goes on (ovsdb-server(7),
//! "monitor_cond_change").

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;

use super::Session;
use super::start::{MONITOR, Phase};
use crate::ovsdb::schema::RowFilter;
use crate::ovsdb::txn::Name;

/// A change of filters, until it has come into effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FilterId(u64);

impl Session {
    /// Monitors other rows of a table from now on. [`SessionEvent::Filtered`] tells when the
    /// updates that bring the replica there have come; a session that is not in sync yet asks for
    /// those rows from the beginning.
    ///
    /// [`SessionEvent::Filtered`]: super::SessionEvent::Filtered
    pub fn handle_filter(&mut self, table: Name, filter: RowFilter) -> FilterId {
        self.next_id += 1;
        let id = FilterId(self.next_id);
        Arc::make_mut(&mut self.config.spec).set_filter(&table, filter);
        self.filters_due.push((id, table));
        if self.is_synced() {
            self.ask_for_filters();
        }
        id
    }

    /// Whether the monitored rows are those the filters say.
    pub fn filters_settled(&self) -> bool {
        self.filters_due.is_empty() && self.filters_asked.is_empty()
    }

    pub(super) fn ask_for_filters(&mut self) {
        let Phase::Synced { resolved } = &self.phase else { return };
        let due = std::mem::take(&mut self.filters_due);
        if due.is_empty() {
            return;
        }
        let resolved = resolved.clone();
        let spec = self.config.spec.clone();
        let known = due.iter().filter(|(_, table)| resolved.layout(table).is_some());
        let tables: BTreeMap<&str, [Change<'_>; 1]> =
            known.map(|(_, t)| (t.as_ref(), [Change { filter: spec.filter(t) }])).collect();
        let request = self.request("monitor_cond_change", &(MONITOR, MONITOR, tables));
        self.filters_asked.insert(request, due);
    }
}

#[derive(Serialize)]
struct Change<'f> {
    #[serde(rename = "where")]
    filter: &'f RowFilter,
}
