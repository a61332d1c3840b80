//! The schema of a database: what the server has, and what of it we ask for.

mod filter;
mod layout;
mod parse;
mod types;

pub use filter::RowFilter;
pub use layout::{DatabaseSpec, IndexSpec, Layout, Missing, Resolved, TableSpec};
pub use parse::SchemaError;
pub use types::{BaseType, ColumnType, DatabaseSchema, Kind, Limit, TableSchema};
