//! Settings of the whole database.

use super::{References, StringMap};
use crate::ovsdb::value::Uuid;
use crate::table;

table! {
    /// The one row of settings.
    ///
    /// The numbers and their times change with every configuration that is asked for: who does not
    /// read them leaves them out by [`TableSpec::only`](crate::TableSpec::only).
    pub NbGlobal = "NB_Global" {
        /// Options, among them `northd_internal_version`.
        options: StringMap = "options",
        /// A name for people.
        name: String = "name",
        /// The number of the configuration that clients want applied.
        nb_cfg: i64 = "nb_cfg",
        /// When ovn-northd saw it, in milliseconds since 1970.
        nb_cfg_timestamp: i64 = "nb_cfg_timestamp",
        /// The number that ovn-northd has applied.
        sb_cfg: i64 = "sb_cfg",
        /// When it had, in milliseconds since 1970.
        sb_cfg_timestamp: i64 = "sb_cfg_timestamp",
        /// The number that every chassis has applied.
        hv_cfg: i64 = "hv_cfg",
        /// When the slowest had, in milliseconds since 1970.
        hv_cfg_timestamp: i64 = "hv_cfg_timestamp",
        /// Whether tunnels are encrypted.
        ipsec: bool = "ipsec",
        /// Rows of `Connection`.
        connections: References = "connections",
        /// A row of `SSL`.
        ssl: Option<Uuid> = "ssl",
        /// Keys of other programs.
        external_ids: StringMap = "external_ids",
    }
}
