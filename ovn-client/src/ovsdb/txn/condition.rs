//! Which rows an operation is about (RFC 7047 §5.1, `<condition>`).

use serde::{Serialize, Serializer};

use super::{Name, pair};
use crate::ovsdb::value::{Datum, ToDatum, Uuid};

/// How a column is compared with a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Function {
    /// Equal.
    #[serde(rename = "==")]
    Equal,
    /// Not equal.
    #[serde(rename = "!=")]
    NotEqual,
    /// The column holds every element or pair of the value.
    #[serde(rename = "includes")]
    Includes,
    /// The column holds no element or pair of the value.
    #[serde(rename = "excludes")]
    Excludes,
    /// Less, for numbers.
    #[serde(rename = "<")]
    Less,
    /// Less or equal, for numbers.
    #[serde(rename = "<=")]
    LessOrEqual,
    /// Greater or equal, for numbers.
    #[serde(rename = ">=")]
    GreaterOrEqual,
    /// Greater, for numbers.
    #[serde(rename = ">")]
    Greater,
}

/// A condition that a row meets or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    column: Name,
    function: Function,
    value: Datum,
}

impl Condition {
    /// Compares a column with a value.
    pub fn new(
        column: impl Into<Name>,
        function: Function,
        value: &(impl ToDatum + ?Sized),
    ) -> Self {
        let (column, value) = pair(column, value);
        Self { column, function, value }
    }

    /// The row of this identifier.
    pub fn uuid(uuid: Uuid) -> Self {
        Self::equal("_uuid", &uuid)
    }

    /// Rows whose column equals the value.
    pub fn equal(column: impl Into<Name>, value: &(impl ToDatum + ?Sized)) -> Self {
        Self::new(column, Function::Equal, value)
    }

    /// Rows whose column holds every element or pair of the value.
    pub fn includes(column: impl Into<Name>, value: &(impl ToDatum + ?Sized)) -> Self {
        Self::new(column, Function::Includes, value)
    }
}

impl Serialize for Condition {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (&self.column, self.function, &self.value).serialize(serializer)
    }
}
