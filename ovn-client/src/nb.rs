//! Typed rows of the OVN Northbound database (ovn-nb(5)).
//!
//! A column the server lacks reads as its default. An insert leaves out empty columns, so that a
//! row can be written to a server that lacks them.

mod global;
mod load_balancer;
mod nat;
mod router;

use crate::ovsdb::replica::{Replica, Row};
use crate::ovsdb::schema::{DatabaseSpec, TableSpec};
use crate::ovsdb::txn::Columns;
use crate::ovsdb::value::Uuid;

pub use global::NbGlobal;
pub use load_balancer::{LoadBalancer, LoadBalancerGroup, Protocol};
pub use nat::Nat;
pub use router::{
    GatewayChassis, LogicalRouter, LogicalRouterPolicy, LogicalRouterPort, LogicalRouterStaticRoute,
};

/// A row of a table known at compile time.
pub trait TypedRow: Columns + Sized {
    /// The name of the table.
    const TABLE: &'static str;
    /// The names of the columns, in the order they are declared.
    const COLUMNS: &'static [&'static str];

    /// Reads a row; columns that are absent or of another shape hold their default.
    fn from_row(row: &Row) -> Self;

    /// All rows of the table, ascending by UUID.
    fn all(replica: &Replica) -> impl Iterator<Item = Self> {
        replica.table(Self::TABLE).iter().map(|row| Self::from_row(row))
    }

    /// What to monitor for this type.
    fn spec() -> TableSpec {
        TableSpec::new(Self::TABLE, Self::COLUMNS.iter().copied())
    }

    /// The row as the replica would hold it.
    fn to_row(&self) -> Row {
        Row::new(self.uuid(), self.columns())
    }
}

/// The `OVN_Northbound` database with every table of this module.
pub fn database() -> DatabaseSpec {
    let tables = [
        GatewayChassis::spec(),
        LoadBalancer::spec(),
        LoadBalancerGroup::spec(),
        LogicalRouter::spec(),
        LogicalRouterPolicy::spec(),
        LogicalRouterPort::spec(),
        LogicalRouterStaticRoute::spec(),
        Nat::spec(),
        NbGlobal::spec(),
    ];
    DatabaseSpec::new("OVN_Northbound", tables)
}

/// Declares the type of a table's rows: for each field its type and its column.
macro_rules! table {
    (
        $(#[$attribute:meta])*
        $type:ident = $table:literal {
            $( $(#[$field_attribute:meta])* $field:ident: $value:ty = $column:literal, )*
        }
    ) => {
        $(#[$attribute])*
        #[derive(Clone, Debug, Default, PartialEq, Eq)]
        pub struct $type {
            /// The row's identifier.
            pub uuid: $crate::ovsdb::value::Uuid,
            $( $(#[$field_attribute])* pub $field: $value, )*
        }

        impl $type {
            /// The name of the table.
            pub const TABLE: &'static str = $table;

            /// Reads a row; columns that are absent or of another shape hold their default.
            pub fn from_row(row: &$crate::ovsdb::replica::Row) -> Self {
                Self {
                    uuid: row.uuid(),
                    $( $field: row.read::<$value>($column).unwrap_or_default(), )*
                }
            }
        }

        impl $crate::nb::TypedRow for $type {
            const TABLE: &'static str = $table;
            const COLUMNS: &'static [&'static str] = &[$($column),*];

            fn from_row(row: &$crate::ovsdb::replica::Row) -> Self {
                Self::from_row(row)
            }
        }

        impl $crate::ovsdb::txn::Columns for $type {
            fn table(&self) -> &'static str {
                $table
            }

            fn uuid(&self) -> $crate::ovsdb::value::Uuid {
                self.uuid
            }

            fn columns(&self) -> Vec<(&'static str, $crate::ovsdb::value::Datum)> {
                vec![$( ($column, $crate::ovsdb::value::ToDatum::to_datum(&self.$field)) ),*]
            }
        }
    };
}
use table;

/// A set of references to rows.
pub type References = std::collections::BTreeSet<Uuid>;

/// A map of strings, as in `external_ids` and `options`.
pub type StringMap = std::collections::BTreeMap<String, String>;

/// A set of strings.
pub type StringSet = std::collections::BTreeSet<String>;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ovsdb::txn::{Insert, Operation, Update};

    fn load_balancer() -> LoadBalancer {
        LoadBalancer {
            uuid: Uuid::from_u128(1),
            name: "web".to_owned(),
            vips: [("192.0.2.1:80".to_owned(), "10.0.0.1:30080".to_owned())].into(),
            protocol: Protocol::Udp,
            ..LoadBalancer::default()
        }
    }

    #[test]
    fn a_typed_row_survives_the_way_through_a_row() {
        assert_eq!(LoadBalancer::from_row(&load_balancer().to_row()), load_balancer());
    }

    #[test]
    fn a_column_the_server_lacks_reads_as_its_default() {
        let row = Row::new(
            Uuid::from_u128(1),
            [("name", "web".to_owned())]
                .map(|(name, value)| (name, crate::ovsdb::value::ToDatum::to_datum(&value))),
        );
        let read = LoadBalancer::from_row(&row);
        assert_eq!(
            read,
            LoadBalancer { vips: [].into(), protocol: Protocol::Tcp, ..load_balancer() }
        );
    }

    #[test]
    fn an_insert_leaves_out_empty_columns() {
        let insert = Operation::from(Insert::row(&load_balancer()));
        let json: serde_json::Value = serde_json::to_value(&insert).unwrap();
        let columns: Vec<&String> = json["row"].as_object().unwrap().keys().collect();
        assert_eq!(columns, ["name", "protocol", "vips"]);
        assert_eq!(json["uuid"], "00000000-0000-0000-0000-000000000001");
    }

    #[test]
    fn an_update_holds_only_the_columns_that_differ_even_when_emptied() {
        let emptied = LoadBalancer { vips: [].into(), ..load_balancer() };
        assert_eq!(Update::changed(&load_balancer(), &load_balancer()), None);
        let update = Operation::from(Update::changed(&load_balancer(), &emptied).unwrap());
        let json = serde_json::to_value(&update).unwrap();
        assert_eq!(json["row"], serde_json::json!({"vips": ["map", []]}));
    }

    #[test]
    fn every_table_is_monitored_once() {
        let spec = database();
        let names: std::collections::BTreeSet<_> = spec.tables.iter().map(|t| &t.name).collect();
        assert_eq!(names.len(), spec.tables.len());
        assert_eq!(spec.tables.iter().find(|t| t.name == "NAT").unwrap().columns.len(), 3);
    }
}
