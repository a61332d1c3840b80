//! Ethernet addresses.

use std::fmt;
use std::net::Ipv6Addr;
use std::str::FromStr;

/// The address of one network interface (EUI-48).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MacAddress([u8; 6]);

/// Why something is no address of an interface.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MacError {
    /// Not six pairs of hexadecimal digits with colons between them.
    #[error(
        "{0:?} is not an Ethernet address: six pairs of hexadecimal digits, as 02:00:00:00:00:01"
    )]
    Form(String),
    /// All zeros, or the address of a group: no interface has it.
    #[error("{0} is no interface's Ethernet address")]
    NotOne(String),
}

impl MacAddress {
    /// The address of an interface.
    ///
    /// # Errors
    /// [`MacError::NotOne`] if it is all zeros, or a group's (IEEE 802, the lowest bit of the
    /// first octet).
    pub fn new(octets: [u8; 6]) -> Result<Self, MacError> {
        let one = octets != [0; 6] && octets[0] & 1 == 0;
        one.then_some(Self(octets)).ok_or_else(|| MacError::NotOne(Self(octets).to_string()))
    }

    /// The address on the link that an interface gives itself by this one (RFC 4291, appendix A).
    #[must_use]
    pub fn link_local(self) -> Ipv6Addr {
        let [a, b, c, d, e, f] = self.0;
        let half = |high: u8, low: u8| u16::from_be_bytes([high, low]);
        Ipv6Addr::new(0xfe80, 0, 0, 0, half(a ^ 2, b), half(c, 0xff), half(0xfe, d), half(e, f))
    }

    /// The six octets, in the order in which they are sent.
    #[must_use]
    pub const fn octets(self) -> [u8; 6] {
        self.0
    }
}

impl fmt::Display for MacAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl FromStr for MacAddress {
    type Err = MacError;

    fn from_str(text: &str) -> Result<Self, MacError> {
        let form = || MacError::Form(text.escape_default().take(40).collect());
        let mut octets = [0; 6];
        let mut parts = text.split(':');
        for octet in &mut octets {
            let part = parts.next().filter(|part| part.len() == 2).ok_or_else(form)?;
            let digits = part.bytes().all(|b| b.is_ascii_hexdigit());
            *octet = u8::from_str_radix(part, 16).ok().filter(|_| digits).ok_or_else(form)?;
        }
        if parts.next().is_some() {
            return Err(form());
        }
        Self::new(octets)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_written_as_it_is_read() {
        let mac: MacAddress = "02:00:5e:10:0A:ff".parse().unwrap();
        assert_eq!(mac.to_string(), "02:00:5e:10:0a:ff");
        assert_eq!(mac.to_string().parse(), Ok(mac));
    }

    #[test]
    fn an_interface_has_an_address_by_itself() {
        let mac: MacAddress = "02:34:56:78:9a:bc".parse().unwrap();
        assert_eq!(mac.link_local(), "fe80::34:56ff:fe78:9abc".parse::<Ipv6Addr>().unwrap());
    }

    #[test]
    fn what_no_interface_has_is_none() {
        for text in ["00:00:00:00:00:00", "ff:ff:ff:ff:ff:ff", "01:00:5e:00:00:01"] {
            assert_eq!(text.parse::<MacAddress>(), Err(MacError::NotOne(text.to_owned())));
        }
        let bad = ["", "02", "02:00:00:00:00", "02:00:00:00:00:01:02", "02:00:00:00:00:+1"];
        for text in bad.into_iter().chain(["2:0:0:0:0:1", "02-00-00-00-00-01"]) {
            assert_eq!(text.parse::<MacAddress>(), Err(MacError::Form(text.to_owned())));
        }
    }
}
