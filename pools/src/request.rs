//! What a Service asks for.

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;

use crate::selector::Labels;
use crate::{Family, PerFamily};

/// Names a Service among those of all tenants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Service<'s> {
    /// The tenant.
    pub tenant: &'s str,
    /// Its namespace there.
    pub namespace: &'s str,
    /// Its name there.
    pub name: &'s str,
}

impl fmt::Display for Service<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.tenant, self.namespace, self.name)
    }
}

/// A transport protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// SCTP.
    Sctp,
}

/// A port of an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Port {
    /// Its protocol.
    pub protocol: Protocol,
    /// Its number, 1 to 65535.
    pub number: u16,
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let protocol = match self.protocol {
            Protocol::Tcp => "TCP",
            Protocol::Udp => "UDP",
            Protocol::Sctp => "SCTP",
        };
        write!(f, "{protocol}/{}", self.number)
    }
}

/// Which families a Service wants (`spec.ipFamilies`, `spec.ipFamilyPolicy`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Families {
    /// One address (`SingleStack`).
    Only(Family),
    /// Two addresses, or one, of the first family if that can be (`PreferDualStack`).
    Prefer(Family),
    /// Two addresses (`RequireDualStack`).
    Both,
}

/// Services of one tenant may share an address when all of this is equal and no port is wanted
/// twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Sharing<'s> {
    /// The key the Services agree upon; an empty one is none.
    pub key: &'s str,
    /// What must be behind all of them: empty where any node will do (`externalTrafficPolicy:
    /// Cluster`), else the Service's selector.
    pub backends: &'s str,
}

/// What a Service asks for.
#[derive(Clone, Copy, Debug)]
pub struct Request<'r> {
    /// Who asks.
    pub service: Service<'r>,
    /// Its labels.
    pub labels: &'r Labels,
    /// The labels of its namespace; what is not known is selected by none.
    pub namespace_labels: Option<&'r Labels>,
    /// Which families.
    pub families: Families,
    /// The very addresses, at most one of a family; empty where any will do.
    pub addresses: &'r [IpAddr],
    /// The pool; `None` where any will do.
    pub pool: Option<&'r str>,
    /// Its ports.
    pub ports: &'r [Port],
    /// Whether it shares its address, and with whom.
    pub sharing: Option<Sharing<'r>>,
    /// The pools that are tried where any address will do; `None` is all that are open to it.
    pub among: Option<&'r BTreeSet<String>>,
}

impl<'s> Sharing<'s> {
    /// This, if there is a key.
    pub(crate) fn keyed(self) -> Option<Self> {
        (!self.key.is_empty()).then_some(self)
    }
}

impl<'r> Request<'r> {
    /// With whom it shares its address, if it does.
    pub(crate) fn shares(&self) -> Option<Sharing<'r>> {
        self.sharing.and_then(Sharing::keyed)
    }
}

/// What a tenant may have at most; `None` is no limit. What is there already stays when a limit is
/// lowered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Quota {
    /// Services with an address.
    pub load_balancers: Option<u64>,
    /// Addresses of each family; one that Services share counts once.
    pub addresses: PerFamily<Option<u64>>,
    /// Ports of all Services.
    pub ports: Option<u64>,
}
