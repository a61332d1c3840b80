//! Address translation.

use super::StringMap;
use crate::ovsdb::value::Uuid;
use crate::table;

table! {
    /// A rule that translates addresses.
    pub Nat = "NAT" {
        /// The address outside.
        external_ip: String = "external_ip",
        /// The Ethernet address outside, where the rule is distributed.
        external_mac: Option<String> = "external_mac",
        /// Ports outside, for translation of ports.
        external_port_range: String = "external_port_range",
        /// The logical port inside, where the rule is distributed.
        logical_port: Option<String> = "logical_port",
        /// The gateway port it is about, a row of `Logical_Router_Port`.
        gateway_port: Option<Uuid> = "gateway_port",
        /// The addresses beyond that it is limited to, a row of `Address_Set`.
        allowed_ext_ips: Option<Uuid> = "allowed_ext_ips",
        /// The addresses beyond that it leaves alone, a row of `Address_Set`.
        exempted_ext_ips: Option<Uuid> = "exempted_ext_ips",
        /// The address or network inside.
        logical_ip: String = "logical_ip",
        /// `snat`, `dnat` or `dnat_and_snat`.
        type_: String = "type",
        /// The packets it is about, as an OVN expression; empty for all.
        match_: String = "match",
        /// Among rules with an expression, the highest wins.
        priority: i64 = "priority",
        /// Options.
        options: StringMap = "options",
        /// Keys of other programs.
        external_ids: StringMap = "external_ids",
    }
}
