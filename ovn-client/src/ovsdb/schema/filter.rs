//! Which rows of a table to monitor.

use serde::ser::SerializeSeq;
use serde::{Serialize, Serializer};

use crate::ovsdb::txn::Condition;

/// Which rows of a table to monitor (ovsdb-server(7), "monitor_cond", `where`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum RowFilter {
    /// Every row.
    #[default]
    All,
    /// No row.
    Nothing,
    /// Rows that meet any of these conditions. Other than in a transaction, one is enough.
    Any(Vec<Condition>),
}

impl RowFilter {
    /// Whether no row is left out.
    pub fn is_all(&self) -> bool {
        matches!(self, Self::All)
    }
}

impl Serialize for RowFilter {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::All => one(serializer, true),
            // The server takes an empty list for no condition at all.
            Self::Any(conditions) if conditions.is_empty() => one(serializer, false),
            Self::Nothing => one(serializer, false),
            Self::Any(conditions) => conditions.serialize(serializer),
        }
    }
}

fn one<S: Serializer>(serializer: S, always: bool) -> Result<S::Ok, S::Error> {
    let mut list = serializer.serialize_seq(Some(1))?;
    list.serialize_element(&always)?;
    list.end()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_is_a_constant_or_a_list_of_conditions() {
        let json = |filter: &RowFilter| serde_json::to_string(filter).unwrap();
        assert_eq!(json(&RowFilter::All), "[true]");
        assert_eq!(json(&RowFilter::Nothing), "[false]");
        assert_eq!(json(&RowFilter::Any(Vec::new())), "[false]");
        let any = RowFilter::Any(vec![Condition::equal("name", "a")]);
        assert_eq!(json(&any), r#"[["name","==","a"]]"#);
    }
}
