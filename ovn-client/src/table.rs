//! Types for the rows of a table.

use crate::ovsdb::replica::{Replica, Row};
use crate::ovsdb::schema::{TableSchema, TableSpec};
use crate::ovsdb::txn::Columns;

/// A row of a table known at compile time; declared by [`table!`](crate::table).
pub trait TypedRow: Columns + Sized {
    /// The name of the table.
    const TABLE: &'static str;
    /// The names of the columns, in the order they are declared.
    const COLUMNS: &'static [&'static str];

    /// Reads a row; columns that are absent or of another shape hold their default.
    fn from_row(row: &Row) -> Self;

    /// The columns that a server's schema has with a type that the field cannot read.
    fn mistyped(schema: &TableSchema) -> Vec<&'static str>;

    /// All rows of the table, ascending by UUID.
    fn all(replica: &Replica) -> impl Iterator<Item = Self> {
        replica.table(Self::TABLE).iter().map(|row| Self::from_row(row))
    }

    /// What to monitor for this type: every column. [`TableSpec::only`] narrows it.
    fn spec() -> TableSpec {
        TableSpec::new(Self::TABLE, Self::COLUMNS.iter().copied())
    }

    /// The row as the replica would hold it.
    fn to_row(&self) -> Row {
        Row::new(self.uuid(), self.columns())
    }
}

/// Declares the type of a table's rows: for each field its type and its column.
///
/// A scalar column is a `String`, `i64`, `bool`, [`Uuid`](crate::Uuid) or
/// [`Real`](crate::ovsdb::value::Real); an optional one an `Option` of that, a set a `BTreeSet`, a
/// map a `BTreeMap`. The type gets a field `uuid`, the traits of [`TypedRow`](crate::TypedRow) and
/// [`Columns`](crate::Columns), and a `Default` in which every column holds its default.
///
/// ```
/// use std::collections::{BTreeMap, BTreeSet};
/// use ovn_client::{DatabaseSpec, TypedRow};
///
/// ovn_client::table! {
///     /// A set of DNS records.
///     pub Dns = "DNS" {
///         /// Names and their addresses.
///         records: BTreeMap<String, String> = "records",
///         /// Keys of other programs.
///         external_ids: BTreeMap<String, String> = "external_ids",
///     }
/// }
///
/// let spec = DatabaseSpec::new("OVN_Northbound", [Dns::spec()]);
/// assert_eq!(spec.tables[0].columns, ["records", "external_ids"]);
/// let dns = Dns { records: [("a.example".into(), "192.0.2.1".into())].into(), ..Dns::default() };
/// assert_eq!(Dns::from_row(&dns.to_row()), dns);
/// ```
#[macro_export]
macro_rules! table {
    (
        $(#[$attribute:meta])*
        $visibility:vis $type:ident = $table:literal {
            $( $(#[$field_attribute:meta])* $field:ident: $value:ty = $column:literal, )*
        }
    ) => {
        $(#[$attribute])*
        #[derive(Clone, Debug, Default, PartialEq, Eq)]
        $visibility struct $type {
            /// The row's identifier.
            $visibility uuid: $crate::Uuid,
            $( $(#[$field_attribute])* $visibility $field: $value, )*
        }

        #[allow(dead_code, reason = "for those who do not import the trait")]
        impl $type {
            /// The name of the table.
            $visibility const TABLE: &'static str = $table;

            /// Reads a row; columns that are absent or of another shape hold their default.
            $visibility fn from_row(row: &$crate::Row) -> Self {
                Self {
                    uuid: row.uuid(),
                    $( $field: row.read::<$value>($column).unwrap_or_default(), )*
                }
            }
        }

        impl $crate::TypedRow for $type {
            const TABLE: &'static str = $table;
            const COLUMNS: &'static [&'static str] = &[$($column),*];

            fn from_row(row: &$crate::Row) -> Self {
                Self::from_row(row)
            }

            fn mistyped(schema: &$crate::ovsdb::schema::TableSchema) -> Vec<&'static str> {
                let mut mistyped = Vec::new();
                $(
                    let unread = schema.column($column).is_some_and(|ty| {
                        let read = |value| <$value as $crate::FromDatum>::from_datum(value);
                        ty.samples().iter().any(|sample| read(sample).is_none())
                    });
                    mistyped.extend(unread.then_some($column));
                )*
                mistyped
            }
        }

        impl $crate::Columns for $type {
            fn table(&self) -> &'static str {
                $table
            }

            fn uuid(&self) -> $crate::Uuid {
                self.uuid
            }

            fn columns(&self) -> Vec<(&'static str, $crate::Datum)> {
                vec![$( ($column, $crate::ToDatum::to_datum(&self.$field)) ),*]
            }

            fn filled(&self) -> Vec<(&'static str, $crate::Datum)> {
                let columns = [$(
                    (!$crate::ToDatum::is_unset(&self.$field))
                        .then(|| ($column, $crate::ToDatum::to_datum(&self.$field))),
                )*];
                columns.into_iter().flatten().collect()
            }
        }
    };
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ovsdb::schema::DatabaseSchema;
    use crate::ovsdb::value::Real;

    table! {
        /// A table of no database.
        Odd = "Odd" {
            /// A number.
            number: i64 = "number",
            /// A text that may be absent.
            text: Option<String> = "text",
            /// A number with a fraction.
            real: Real = "real",
        }
    }

    #[test]
    fn a_column_of_another_type_is_told() {
        let schema = |number: &str, text: &str| {
            let json = format!(
                r#"{{"name":"D","tables":{{"Odd":{{"columns":{{
                    "number":{{"type":{number}}},"text":{{"type":{text}}}}}}}}}}}"#
            );
            DatabaseSchema::parse(&json).unwrap()
        };
        let optional = r#"{"key":"string","min":0,"max":1}"#;
        let mistyped = |schema: &DatabaseSchema| Odd::mistyped(schema.table("Odd").unwrap());
        assert!(mistyped(&schema(r#""integer""#, optional)).is_empty());
        assert_eq!(mistyped(&schema(r#""string""#, optional)), ["number"]);
        let several = r#"{"key":"string","min":0,"max":2}"#;
        let number = r#"{"key":"integer","min":0,"max":1}"#;
        assert_eq!(mistyped(&schema(number, several)), ["number", "text"]);
    }

    #[test]
    fn what_the_server_fills_in_by_itself_is_not_filled() {
        let odd = |number, text: Option<&str>| Odd {
            number,
            text: text.map(str::to_owned),
            ..Odd::default()
        };
        let filled = |odd: Odd| odd.filled().into_iter().map(|(name, _)| name).collect::<Vec<_>>();
        assert!(filled(odd(0, None)).is_empty());
        assert_eq!(filled(odd(1, Some(""))), ["number", "text"]);
    }
}
