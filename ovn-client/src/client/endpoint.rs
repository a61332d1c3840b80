//! Where servers are, as OVSDB programs write it (ovsdb(7), "Active Database Connection").

use std::fmt;
use std::net::Ipv6Addr;
use std::path::PathBuf;
use std::str::FromStr;

/// Where one server is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Endpoint {
    /// `tcp:host:port`.
    Tcp(Host, u16),
    /// `ssl:host:port`.
    Tls(Host, u16),
    /// `unix:path`.
    Unix(PathBuf),
}

/// A host's name or address; IPv6 is written in brackets.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Host(String);

impl Host {
    /// The name or address, without brackets.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.contains(':') { write!(f, "[{}]", self.0) } else { f.write_str(&self.0) }
    }
}

/// Why text is no endpoint.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EndpointError {
    /// There is none in the list.
    #[error("no endpoint is given")]
    Empty,
    /// The method is not supported.
    #[error("endpoint {0:?} does not begin with tcp:, ssl: or unix:")]
    Method(String),
    /// What follows the method is no host and port.
    #[error("endpoint {0:?} has no host and port, as in tcp:192.0.2.1:6641 or tcp:[::1]:6641")]
    Address(String),
    /// The path is empty.
    #[error("endpoint {0:?} has no path")]
    Path(String),
}

impl FromStr for Endpoint {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Self, EndpointError> {
        let (method, rest) =
            text.split_once(':').ok_or_else(|| EndpointError::Method(text.to_owned()))?;
        let address = || address(rest).ok_or_else(|| EndpointError::Address(text.to_owned()));
        match method {
            "tcp" => address().map(|(host, port)| Self::Tcp(host, port)),
            "ssl" => address().map(|(host, port)| Self::Tls(host, port)),
            "unix" if rest.is_empty() => Err(EndpointError::Path(text.to_owned())),
            "unix" => Ok(Self::Unix(rest.into())),
            _ => Err(EndpointError::Method(text.to_owned())),
        }
    }
}

fn address(text: &str) -> Option<(Host, u16)> {
    let (host, port) = text.rsplit_once(':')?;
    let host = match host.strip_prefix('[') {
        Some(rest) => {
            let address: Ipv6Addr = rest.strip_suffix(']')?.parse().ok()?;
            address.to_string()
        }
        None => {
            let allowed = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
            (!host.is_empty() && host.chars().all(allowed)).then(|| host.to_owned())?
        }
    };
    let port = port.parse().ok().filter(|port| *port != 0)?;
    Some((Host(host), port))
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(host, port) => write!(f, "tcp:{host}:{port}"),
            Self::Tls(host, port) => write!(f, "ssl:{host}:{port}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// The servers of one database, at least one; written with commas between them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoints(Vec<Endpoint>);

impl Endpoints {
    /// The servers, in the order given.
    pub fn iter(&self) -> impl Iterator<Item = &Endpoint> {
        self.0.iter()
    }
}

impl FromStr for Endpoints {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Self, EndpointError> {
        let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
        let endpoints = parts.map(Endpoint::from_str).collect::<Result<Vec<_>, _>>()?;
        if endpoints.is_empty() { Err(EndpointError::Empty) } else { Ok(Self(endpoints)) }
    }
}

impl fmt::Display for Endpoints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().enumerate().try_for_each(|(index, endpoint)| {
            let comma = if index == 0 { "" } else { "," };
            write!(f, "{comma}{endpoint}")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_written_as_they_are_read() {
        for text in [
            "tcp:127.0.0.1:6641",
            "ssl:ovn-nb.kube-system.svc:6641",
            "tcp:[fd00::1]:6641",
            "unix:/var/run/ovn/ovnnb_db.sock",
            "tcp:192.0.2.1:6641,tcp:192.0.2.2:6641,ssl:[::1]:1",
        ] {
            assert_eq!(text.parse::<Endpoints>().unwrap().to_string(), text);
        }
        assert_eq!(
            " tcp:a:1 ,, tcp:b:2,".parse::<Endpoints>().unwrap().to_string(),
            "tcp:a:1,tcp:b:2"
        );
    }

    #[test]
    fn what_is_no_endpoint_is_refused() {
        for text in [
            "",
            ",",
            "tcp",
            "tcp:",
            "tcp::1",
            "tcp:a",
            "tcp:a:0",
            "tcp:a:65536",
            "tcp:a:x",
            "tcp:::1:6641",
            "tcp:[::1:6641",
            "tcp:[a]:1",
            "tcp:a b:1",
            "unix:",
            "udp:a:1",
            "tcp:a:1,nope",
        ] {
            assert!(text.parse::<Endpoints>().is_err(), "{text:?}");
        }
    }
}
