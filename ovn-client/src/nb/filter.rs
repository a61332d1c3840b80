//! What filters packets.

use super::{StringMap, StringSet};
use crate::ovsdb::value::Uuid;
use crate::table;

table! {
    /// A rule that lets packets through or not.
    pub Acl = "ACL" {
        /// A name for the log.
        name: Option<String> = "name",
        /// `from-lport` or `to-lport`.
        direction: String = "direction",
        /// The highest wins, of one tier.
        priority: i64 = "priority",
        /// Lower tiers are looked at first.
        tier: i64 = "tier",
        /// The packets it is about, as an OVN expression.
        match_: String = "match",
        /// `allow-related`, `allow`, `allow-stateless`, `drop`, `reject` or `pass`.
        action: String = "action",
        /// Whether packets are logged.
        log: bool = "log",
        /// How severe a logged packet is.
        severity: Option<String> = "severity",
        /// The meter that limits the log.
        meter: Option<String> = "meter",
        /// Put on connections.
        label: i64 = "label",
        /// The sample taken of new connections.
        sample_new: Option<Uuid> = "sample_new",
        /// The sample taken of established connections.
        sample_est: Option<Uuid> = "sample_est",
        /// Options.
        options: StringMap = "options",
        /// Keys of other programs.
        external_ids: StringMap = "external_ids",
    }
}

table! {
    /// Addresses that expressions refer to as `$name`.
    pub AddressSet = "Address_Set" {
        /// A name, unique among these rows.
        name: String = "name",
        /// IPv4, IPv6 or Ethernet addresses, of one kind.
        addresses: StringSet = "addresses",
        /// Keys of other programs.
        external_ids: StringMap = "external_ids",
    }
}
