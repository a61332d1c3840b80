//! The schema of a database: what the server has, and what of it we ask for.

mod layout;
mod parse;
mod types;

pub use layout::{DatabaseSpec, Layout, Missing, Resolved, TableSpec};
pub use parse::SchemaError;
pub use types::{BaseType, ColumnType, DatabaseSchema, Kind, Limit, TableSchema};
