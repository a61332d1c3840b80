//! Settings of the whole database.

use super::{References, StringMap};
use crate::table;

table! {
    /// The one row of settings.
    pub NbGlobal = "NB_Global" {
        /// Options, among them `northd_internal_version`.
        options: StringMap = "options",
        /// A name for people.
        name: String = "name",
        /// The number of the configuration that clients want applied.
        nb_cfg: i64 = "nb_cfg",
        /// The number that ovn-northd has applied.
        sb_cfg: i64 = "sb_cfg",
        /// The number that every chassis has applied.
        hv_cfg: i64 = "hv_cfg",
        /// Whether tunnels are encrypted.
        ipsec: bool = "ipsec",
        /// Rows of `Connection`.
        connections: References = "connections",
        /// Keys of other programs.
        external_ids: StringMap = "external_ids",
    }
}
