//! Address translation.

use super::table;

table! {
    /// A rule that translates addresses.
    Nat = "NAT" {
        /// The address outside.
        external_ip: String = "external_ip",
        /// The address or network inside.
        logical_ip: String = "logical_ip",
        /// `snat`, `dnat` or `dnat_and_snat`.
        type_: String = "type",
    }
}
