//! What is to be done for one address, as its `Eip` says.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::mac::MacAddress;
use crate::node::NodeName;

/// What is to be done for one address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// UID of the `Eip`: an address that is given to another has a new one.
    pub uid: Arc<str>,
    /// How its packets come to the Service.
    pub delivery: Delivery,
    /// The nodes that may announce it; one set for all addresses that are announced alike.
    pub nodes: Arc<BTreeSet<NodeName>>,
    /// How often it is announced anew.
    pub refresh: Duration,
    /// A speaker announced it before: nobody else on the link can have it.
    pub announced: bool,
}

/// Addresses that may be given next, and have no order yet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ahead {
    /// The addresses.
    pub addresses: BTreeSet<IpAddr>,
    /// The nodes that may announce them, for each thing by which they may be announced.
    pub nodes: BTreeSet<Arc<BTreeSet<NodeName>>>,
}

/// How packets come from the link to the Service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// Through the speaker, to any of these virtual machines.
    Routed {
        /// The machines; one set for all addresses that have the same.
        machines: Arc<BTreeSet<Machine>>,
    },
    /// Past the speaker, to one of these virtual machines.
    Direct {
        /// The machines; one set for all addresses that have the same.
        machines: Arc<BTreeSet<Machine>>,
    },
    /// To the node of the speaker itself, whose own kube-proxy takes them.
    Local {
        /// The nodes that take them.
        nodes: BTreeSet<NodeName>,
    },
}

/// A virtual machine behind an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Machine {
    /// Its address on the link.
    pub address: IpAddr,
    /// Its interface, as far as it is known.
    pub mac: Option<MacAddress>,
}
