//! Typed rows of the OVN Northbound database (ovn-nb(5)).
//!
//! A column the server lacks reads as its default. An insert leaves out columns that hold their
//! default, so that a row can be written to a server that lacks them; for the others there is
//! [`Txn::fit`](crate::Txn::fit).

mod filter;
mod global;
mod load_balancer;
mod nat;
mod router;
mod switch;

use crate::ovsdb::schema::{DatabaseSpec, TableSpec};
use crate::ovsdb::value::Uuid;

pub use crate::table::TypedRow;
pub use filter::{Acl, AddressSet};
pub use global::NbGlobal;
pub use load_balancer::{LoadBalancer, LoadBalancerGroup, LoadBalancerHealthCheck, Protocol};
pub use nat::Nat;
pub use router::{
    GatewayChassis, HaChassisGroup, LogicalRouter, LogicalRouterPolicy, LogicalRouterPort,
    LogicalRouterStaticRoute,
};
pub use switch::{LogicalSwitch, LogicalSwitchPort};

/// The name of the database.
pub const NAME: &str = "OVN_Northbound";

/// The `OVN_Northbound` database with these tables of it.
pub fn database(tables: impl IntoIterator<Item = TableSpec>) -> DatabaseSpec {
    DatabaseSpec::new(NAME, tables)
}

/// Every table of this module with all its columns.
pub fn tables() -> Vec<TableSpec> {
    vec![
        Acl::spec(),
        AddressSet::spec(),
        GatewayChassis::spec(),
        HaChassisGroup::spec(),
        LoadBalancer::spec(),
        LoadBalancerGroup::spec(),
        LoadBalancerHealthCheck::spec(),
        LogicalRouter::spec(),
        LogicalRouterPolicy::spec(),
        LogicalRouterPort::spec(),
        LogicalRouterStaticRoute::spec(),
        LogicalSwitch::spec(),
        LogicalSwitchPort::spec(),
        Nat::spec(),
        NbGlobal::spec(),
    ]
}

/// A set of references to rows.
pub type References = std::collections::BTreeSet<Uuid>;

/// A map of strings, as in `external_ids` and `options`.
pub type StringMap = std::collections::BTreeMap<String, String>;

/// A set of strings.
pub type StringSet = std::collections::BTreeSet<String>;

#[cfg(test)]
mod tests;
