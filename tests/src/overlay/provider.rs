//! The provider network's addresses.

use std::net::Ipv4Addr;

/// Addresses of the provider network.
#[derive(Debug, Clone, Copy)]
pub struct Provider {
    /// The network, as a CIDR.
    pub cidr: &'static str,
    /// Length of its prefix.
    pub prefix: u8,
    /// The router's address on it.
    pub gateway: Ipv4Addr,
    /// The near client's address on it.
    pub near: Ipv4Addr,
    /// What Kube-OVN may not hand out.
    pub excludes: [&'static str; 2],
}

/// Room for some 190 addresses.
pub(super) const SMALL: Provider = Provider {
    cidr: "198.51.100.0/24",
    prefix: 24,
    gateway: Ipv4Addr::new(198, 51, 100, 254),
    near: Ipv4Addr::new(198, 51, 100, 200),
    excludes: ["198.51.100.1..198.51.100.9", "198.51.100.200..198.51.100.254"],
};

/// Room for some 65,000 addresses.
pub(super) const LARGE: Provider = Provider {
    cidr: "10.64.0.0/16",
    prefix: 16,
    gateway: Ipv4Addr::new(10, 64, 255, 254),
    near: Ipv4Addr::new(10, 64, 255, 200),
    excludes: ["10.64.0.1..10.64.0.9", "10.64.255.0..10.64.255.254"],
};
