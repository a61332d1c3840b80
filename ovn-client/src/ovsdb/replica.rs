//! The replica: a copy of the monitored tables, and the row changes that lead from one state to
//! the next.

mod apply;
mod chunks;
mod index;
mod row;
mod rows;
mod shard;
mod tree;
mod update;

use std::sync::Arc;

pub use apply::ReplicaError;
pub use row::{Row, RowChange};
pub use rows::Table;
pub(crate) use update::UpdatesSeed;
pub use update::{RowUpdate, TableUpdate, Updates};

use super::schema::{Layout, Resolved};
use super::value::Uuid;

/// A state of the monitored tables. Cloning it is cheap: tables and rows are shared until they
/// change.
#[derive(Clone, Debug, Default)]
pub struct Replica {
    /// Ascending by name.
    tables: Vec<Arc<Table>>,
    resolved: Arc<Resolved>,
    last_transaction: Option<Uuid>,
    connected: bool,
}

impl Replica {
    /// Whether this state is complete and follows the server; otherwise it is the last known.
    pub fn connected(&self) -> bool {
        self.connected
    }

    /// The rows of a table; empty if it is not monitored or the server lacks it.
    pub fn table(&self, name: &str) -> &Table {
        static EMPTY: std::sync::OnceLock<Table> = std::sync::OnceLock::new();
        match self.find(name) {
            Ok(index) => self.tables.get(index).map(AsRef::as_ref),
            Err(_) => None,
        }
        .unwrap_or_else(|| EMPTY.get_or_init(|| Table::new(Arc::new(Layout::new("", [])))))
    }

    /// All tables, ascending by name.
    pub fn tables(&self) -> impl Iterator<Item = &Table> {
        self.tables.iter().map(AsRef::as_ref)
    }

    /// A row, if it exists.
    pub fn row(&self, table: &str, uuid: Uuid) -> Option<&Arc<Row>> {
        self.table(table).get(uuid)
    }

    /// The server's schema, and what was asked for in vain. Empty before the first connection.
    pub fn resolved(&self) -> &Arc<Resolved> {
        &self.resolved
    }

    /// The last transaction applied, from which a clustered server can resume.
    pub fn last_transaction(&self) -> Option<Uuid> {
        self.last_transaction
    }

    pub(crate) fn set_connected(&mut self, connected: bool) {
        self.connected = connected;
    }

    fn find(&self, name: &str) -> Result<usize, usize> {
        self.tables.binary_search_by(|table| (**table.name()).cmp(name))
    }
}
