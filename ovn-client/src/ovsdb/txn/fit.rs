//! What a server cannot take, left out of a transaction.

use std::collections::{BTreeMap, BTreeSet};

use super::{Name, Operation, Txn};
use crate::ovsdb::schema::{DatabaseSchema, Missing, TableSchema};
use crate::ovsdb::value::{Atom, Datum};

impl Txn {
    /// Leaves out of inserts and updates what the server's schema lacks: whole columns, and
    /// elements that an enumeration does not have. Gives back what the schema lacks, each once.
    ///
    /// Nothing else is touched: a guard that was weakened would be none, and what cannot be left
    /// out is for the server to refuse, that is an operation on a table that is missing, and the
    /// only element of a column that must have one.
    #[must_use]
    pub fn fit(mut self, schema: &DatabaseSchema) -> (Self, Vec<Missing>) {
        let mut missing = BTreeSet::new();
        for operation in &mut self.operations {
            let (table, columns) = match operation {
                Operation::Insert(insert) => (&insert.table, &mut insert.columns),
                Operation::Update(update) => (&update.target.table, &mut update.columns),
                Operation::Mutate(_)
                | Operation::Delete(_)
                | Operation::Wait(_)
                | Operation::Select(_)
                | Operation::Comment(_) => continue,
            };
            match schema.table(table) {
                Some(present) => fit_columns(table, columns, present, &mut missing),
                None => {
                    missing.insert(Missing::table(table));
                }
            }
        }
        (self, missing.into_iter().collect())
    }
}

fn fit_columns(
    table: &str,
    columns: &mut BTreeMap<Name, Datum>,
    schema: &TableSchema,
    missing: &mut BTreeSet<Missing>,
) {
    columns.retain(|column, value| {
        let Some(ty) = schema.column(column) else {
            missing.insert(Missing::column(table, column));
            return false;
        };
        if let (Some(members), Datum::Set(set)) = (ty.key().members(), &*value) {
            let (kept, lacking): (Vec<_>, Vec<_>) =
                set.iter().partition(|atom| members.contains(atom));
            let fits = lacking.is_empty() || (kept.is_empty() && ty.is_required());
            let kept = kept.into_iter().cloned().collect();
            missing.extend(lacking.iter().map(|atom| Missing::element(table, column, &text(atom))));
            if !fits {
                *value = Datum::Set(kept);
            }
        }
        true
    });
}

fn text(atom: &Atom) -> String {
    atom.as_str().map_or_else(|| atom.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ovsdb::txn::{Insert, Update, Wait};
    use crate::ovsdb::value::Uuid;

    const SCHEMA: &str = r#"{"name":"D","tables":{"T":{"columns":{
        "name":{"type":"string"},
        "action":{"type":{"key":{"type":"string","enum":["set",["allow","drop"]]}}},
        "fields":{"type":{"key":{"type":"string","enum":["set",["a","b"]]},"min":0,"max":9}}}}}}"#;

    fn fitted(txn: Txn) -> (String, Vec<String>) {
        let (txn, missing) = txn.fit(&DatabaseSchema::parse(SCHEMA).unwrap());
        let json = serde_json::to_string(txn.operations()).unwrap();
        (json, missing.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn columns_and_elements_the_server_lacks_are_left_out_and_told_once() {
        let fields = ["a", "c"].map(str::to_owned);
        let insert = Insert::new("T", Uuid::nil()).set("name", "x").set("fields", &fields);
        let update = Update::row("T", Uuid::nil()).set("news", "y").set("fields", &fields);
        let insert = insert.set("news", "y");
        let (json, missing) = fitted(Txn::new().with(insert).with(update));
        assert_eq!(missing, ["T.fields=c", "T.news"]);
        assert!(json.contains(r#""fields":"a""#) && !json.contains("news"), "{json}");
    }

    #[test]
    fn what_fits_and_what_guards_is_left_as_it_is() {
        let wait = Wait::row("T", Uuid::nil()).holds("news", "y");
        let insert = Insert::new("T", Uuid::nil()).set("name", "x");
        let txn = Txn::new().with(wait).with(insert).comment("c");
        let before = serde_json::to_string(txn.operations()).unwrap();
        assert_eq!(fitted(txn), (before, Vec::new()));
    }

    #[test]
    fn the_only_element_of_a_column_that_must_have_one_is_told_and_left_to_the_server() {
        let insert = |action| Txn::new().with(Insert::new("T", Uuid::nil()).set("action", action));
        let (json, missing) = fitted(insert("jump"));
        assert!(json.contains(r#""action":"jump""#), "{json}");
        assert_eq!(missing, ["T.action=jump"]);
        assert!(fitted(insert("drop")).1.is_empty());
    }

    #[test]
    fn the_only_element_of_an_optional_column_is_left_out() {
        let update = Update::row("T", Uuid::nil()).set("fields", "c");
        let (json, missing) = fitted(Txn::new().with(update));
        assert!(json.contains(r#""fields":["set",[]]"#), "{json}");
        assert_eq!(missing, ["T.fields=c"]);
    }

    #[test]
    fn a_missing_table_is_told_and_left_to_the_server() {
        let (json, missing) = fitted(Txn::new().with(Insert::new("U", Uuid::nil())));
        assert!(json.contains("insert"));
        assert_eq!(missing, ["U"]);
    }
}
