//! How the addresses of a tenant are served.

use std::collections::BTreeSet;
use std::net::IpAddr;

use pools::{AddressRange, AddressSet};

/// The VLAN of a tenant's machines.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Vlan {
    /// The addresses of the link: those of Services are among them.
    pub addresses: AddressSet,
    /// Its gateways, and the speakers' own addresses.
    pub gateways: Vec<IpAddr>,
    /// The interfaces of nodes that are on it, by the names they have there.
    pub interfaces: BTreeSet<String>,
}

impl Vlan {
    /// Whether all of a range is on the link.
    #[must_use]
    pub fn holds(&self, range: &AddressRange) -> bool {
        let mut ranges = self.addresses.ranges();
        ranges.any(|on| on.contains(range.first()) && on.contains(range.last()))
    }
}

/// How the addresses of a tenant are served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// By OVN load balancers on its VPC's router.
    Overlay,
    /// By speakers on its VLAN.
    Vlan,
}

impl Mode {
    /// As a tenant reads it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Overlay => "overlay mode",
            Self::Vlan => "VLAN mode",
        }
    }
}
