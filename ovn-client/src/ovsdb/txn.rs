//! Transactions (RFC 7047 §4.1.3, §5.2): operations, and what became of them.

mod condition;
mod fit;
mod operation;
mod outcome;
mod read;
mod reply;
mod write;

use std::borrow::Cow;

pub use condition::{Condition, Function};
pub use operation::Operation;
pub use outcome::{
    CountMismatch, OperationResult, Outcome, SelectedRow, TransactError, UnknownReason,
};
pub use read::{Select, Wait};
pub(crate) use reply::{Expectation, outcome};
pub use write::{Delete, Insert, Mutate, Update};

use super::value::{Datum, ToDatum};

/// The name of a table or a column.
pub type Name = Cow<'static, str>;

/// A row that knows its table and its columns.
pub trait Columns {
    /// The name of the table.
    fn table(&self) -> &'static str;
    /// The row's identifier.
    fn uuid(&self) -> super::value::Uuid;
    /// All columns with their values, in the order they are declared.
    fn columns(&self) -> Vec<(&'static str, Datum)>;
    /// The columns that hold something else than what the server fills in by itself.
    fn filled(&self) -> Vec<(&'static str, Datum)> {
        self.columns().into_iter().filter(|(_, value)| !value.is_empty()).collect()
    }
}

/// Operations that the server commits together or not at all.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Txn {
    operations: Vec<Operation>,
}

impl Txn {
    /// A transaction without operations.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an operation.
    #[must_use]
    pub fn with(mut self, operation: impl Into<Operation>) -> Self {
        self.push(operation);
        self
    }

    /// Adds an operation in place.
    pub fn push(&mut self, operation: impl Into<Operation>) {
        self.operations.push(operation.into());
    }

    /// Adds a typed row as a new row with its own UUID.
    #[must_use]
    pub fn insert(self, row: &impl Columns) -> Self {
        self.with(Insert::row(row))
    }

    /// Adds a comment, which the server writes to its log.
    #[must_use]
    pub fn comment(self, text: impl Into<String>) -> Self {
        self.with(Operation::Comment(text.into()))
    }

    /// The operations in order.
    pub fn operations(&self) -> &[Operation] {
        &self.operations
    }

    /// How many operations.
    pub fn len(&self) -> usize {
        self.operations.len()
    }

    /// Whether there are no operations.
    pub fn is_empty(&self) -> bool {
        self.operations.is_empty()
    }
}

impl Extend<Operation> for Txn {
    fn extend<I: IntoIterator<Item = Operation>>(&mut self, operations: I) {
        self.operations.extend(operations);
    }
}

/// A column with the value it is set to or compared with.
fn pair(column: impl Into<Name>, value: &(impl ToDatum + ?Sized)) -> (Name, Datum) {
    (column.into(), value.to_datum())
}
