//! Neighbours on the same link: who asks for an address, who says where it is, and what we say.
//!
//! ARP (RFC 826, 5227) and neighbor discovery (RFC 4861) say the same in two languages: a
//! [`Question`] about an address, and a [`Claim`] to one. [`frame`] translates; the rest of this
//! module does not know which of the two is spoken.

mod address;
mod ahead;
pub mod frame;
mod link;

use std::net::{IpAddr, Ipv6Addr};

pub use address::{Announced, Order, Role, Standing};
pub use link::Link;

use crate::mac::MacAddress;

/// Who has this address?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Question {
    /// The address that is asked about.
    pub about: IpAddr,
    /// Who asks.
    pub asker: Asker,
}

/// Who asks for an address, and is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asker {
    /// The asker's interface.
    pub mac: MacAddress,
    /// The asker's address; none while it asks whether the address is free for itself (RFC 5227,
    /// 2.1.1; RFC 4862, 5.4).
    pub address: Option<IpAddr>,
}

/// This interface has this address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The address.
    pub address: IpAddr,
    /// The interface that is said to have it.
    pub mac: MacAddress,
}

/// What one frame says: a request names its sender as well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heard {
    /// The interface that sent the frame, which may speak for another.
    pub from: MacAddress,
    /// What is asked.
    pub question: Option<Question>,
    /// What is claimed.
    pub claim: Option<Claim>,
}

/// The group in which questions about an IPv6 address are asked (RFC 4291, 2.7.1).
#[must_use]
pub fn solicited_node(address: Ipv6Addr) -> Ipv6Addr {
    let [.., g, h] = address.segments();
    Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, 0xff00 | (g & 0xff), h)
}

/// The Ethernet group of an IPv6 group (RFC 2464, 7).
#[must_use]
pub const fn group_mac(group: Ipv6Addr) -> [u8; 6] {
    let [.., a, b, c, d] = group.octets();
    [0x33, 0x33, a, b, c, d]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_about_an_ipv6_address_are_asked_in_its_group() {
        let group = solicited_node("2001:db8::0102:0304:0506".parse().unwrap());
        assert_eq!(group, "ff02::1:ff04:0506".parse::<Ipv6Addr>().unwrap());
        assert_eq!(group_mac(group), [0x33, 0x33, 0xff, 0x04, 0x05, 0x06]);
    }
}
