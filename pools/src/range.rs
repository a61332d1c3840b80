//! One contiguous range of addresses, and its textual forms.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use ipnet::IpNet;

/// A contiguous, non-empty range of addresses of one family; both ends belong to it.
///
/// Read from a CIDR (`198.51.100.0/24`), a pair (`198.51.100.5-198.51.100.9`, and Kube-OVN's
/// `198.51.100.5..198.51.100.9`) or a single address. Written as `first-last`, or as the address
/// alone where the range holds one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AddressRange {
    first: IpAddr,
    last: IpAddr,
}

/// Why a text is not an address range.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RangeError {
    /// An end, or the network part, is not an IP address.
    #[error("{0:?} is not an IP address, a CIDR or a range first-last")]
    NotAnAddress(String),
    /// The prefix has bits set behind its length.
    #[error("{given} has host bits set; write {network}")]
    HostBits {
        /// The text as given.
        given: String,
        /// The network it probably means.
        network: IpNet,
    },
    /// The ends are of different families.
    #[error("{first} and {last} are of different address families")]
    MixedFamilies {
        /// First address.
        first: IpAddr,
        /// Last address.
        last: IpAddr,
    },
    /// The range runs backwards.
    #[error("{first}-{last} is reversed; write {last}-{first}")]
    Reversed {
        /// First address.
        first: IpAddr,
        /// Last address.
        last: IpAddr,
    },
}

impl AddressRange {
    /// The range from `first` to `last`, both included.
    ///
    /// # Errors
    /// [`RangeError::MixedFamilies`] and [`RangeError::Reversed`].
    pub fn new(first: IpAddr, last: IpAddr) -> Result<Self, RangeError> {
        if first.is_ipv4() != last.is_ipv4() {
            return Err(RangeError::MixedFamilies { first, last });
        }
        if first > last {
            return Err(RangeError::Reversed { first, last });
        }
        Ok(Self { first, last })
    }

    /// The range that holds `address` alone.
    #[must_use]
    pub const fn single(address: IpAddr) -> Self {
        Self { first: address, last: address }
    }

    /// First address.
    #[must_use]
    pub const fn first(&self) -> IpAddr {
        self.first
    }

    /// Last address; never below the first.
    #[must_use]
    pub const fn last(&self) -> IpAddr {
        self.last
    }

    /// How many addresses; `u128::MAX` also stands for one more.
    #[must_use]
    pub fn count(&self) -> u128 {
        let bits = |address| match address {
            IpAddr::V4(v4) => u128::from(v4.to_bits()),
            IpAddr::V6(v6) => v6.to_bits(),
        };
        (bits(self.last) - bits(self.first)).saturating_add(1)
    }

    /// Whether `address` lies in the range; an address of the other family never does.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        self.first.is_ipv4() == address.is_ipv4() && self.first <= address && address <= self.last
    }
}

impl From<IpNet> for AddressRange {
    fn from(net: IpNet) -> Self {
        Self { first: net.network(), last: net.broadcast() }
    }
}

impl fmt::Display for AddressRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.first == self.last {
            return self.first.fmt(f);
        }
        write!(f, "{}-{}", self.first, self.last)
    }
}

impl FromStr for AddressRange {
    type Err = RangeError;

    fn from_str(text: &str) -> Result<Self, RangeError> {
        let text = text.trim();
        if text.contains('/') {
            return parse_cidr(text);
        }
        match text.split_once("..").or_else(|| text.split_once('-')) {
            Some((first, last)) => Self::new(parse_address(first)?, parse_address(last)?),
            None => parse_address(text).map(Self::single),
        }
    }
}

fn parse_address(text: &str) -> Result<IpAddr, RangeError> {
    text.trim().parse().map_err(|_| RangeError::NotAnAddress(text.trim().to_owned()))
}

fn parse_cidr(text: &str) -> Result<AddressRange, RangeError> {
    let net: IpNet = text.parse().map_err(|_| RangeError::NotAnAddress(text.to_owned()))?;
    if net.network() != net.addr() {
        return Err(RangeError::HostBits { given: text.to_owned(), network: net.trunc() });
    }
    Ok(net.into())
}

/// The address before `address`, if there is one in its family.
pub(crate) fn predecessor(address: IpAddr) -> Option<IpAddr> {
    match address {
        IpAddr::V4(v4) => v4.to_bits().checked_sub(1).map(|b| Ipv4Addr::from_bits(b).into()),
        IpAddr::V6(v6) => v6.to_bits().checked_sub(1).map(|b| Ipv6Addr::from_bits(b).into()),
    }
}

/// The address after `address`, if there is one in its family.
pub(crate) fn successor(address: IpAddr) -> Option<IpAddr> {
    match address {
        IpAddr::V4(v4) => v4.to_bits().checked_add(1).map(|b| Ipv4Addr::from_bits(b).into()),
        IpAddr::V6(v6) => v6.to_bits().checked_add(1).map(|b| Ipv6Addr::from_bits(b).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(text: &str) -> AddressRange {
        text.parse().unwrap()
    }

    #[test]
    fn every_written_form_is_read() {
        assert_eq!(range("10.0.0.0/30").to_string(), "10.0.0.0-10.0.0.3");
        assert_eq!(range("10.0.0.5-10.0.0.9").to_string(), "10.0.0.5-10.0.0.9");
        assert_eq!(range("10.0.0.5..10.0.0.9"), range("10.0.0.5 - 10.0.0.9"));
        assert_eq!(range(" 10.0.0.5 ").to_string(), "10.0.0.5");
        assert_eq!(range("2001:db8::/127").to_string(), "2001:db8::-2001:db8::1");
    }

    #[test]
    fn a_bad_range_says_what_is_wrong_and_what_to_write() {
        let refusal = |text: &str| text.parse::<AddressRange>().unwrap_err().to_string();
        assert_eq!(refusal("10.0.0.1/24"), "10.0.0.1/24 has host bits set; write 10.0.0.0/24");
        assert_eq!(
            refusal("10.0.0.9-10.0.0.5"),
            "10.0.0.9-10.0.0.5 is reversed; write 10.0.0.5-10.0.0.9"
        );
        assert!(refusal("10.0.0.1-2001:db8::1").contains("different address families"));
        assert!(refusal("ten").contains("not an IP address"));
        assert!(refusal("10.0.0.0/33").contains("not an IP address"));
    }

    #[test]
    fn a_range_holds_its_ends_and_nothing_of_the_other_family() {
        let r = range("10.0.0.5-10.0.0.9");
        assert!(r.contains("10.0.0.5".parse().unwrap()) && r.contains("10.0.0.9".parse().unwrap()));
        assert!(!r.contains("10.0.0.10".parse().unwrap()));
        assert!(!r.contains("::ffff:10.0.0.6".parse().unwrap()));
    }
}
