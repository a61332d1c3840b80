//! Settings of the whole database.

use super::{StringMap, table};

table! {
    /// The one row of settings.
    NbGlobal = "NB_Global" {
        /// Options, among them `northd_internal_version`.
        options: StringMap = "options",
        /// The number of the configuration that clients want applied.
        nb_cfg: i64 = "nb_cfg",
    }
}
