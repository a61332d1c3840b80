//! What the heart is told.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use cpo_api::{AnnouncementState, EipAnnouncement};
use speaker_core::node::NodeName;
use speaker_core::vlan::Member;
use speaker_core::world::{Advertisement, Eip, Node, VlanName, VlanSpec};
use tokio::sync::oneshot;

use crate::status::Status;

/// The kinds that are watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// `TenantCluster`.
    Tenant,
    /// `Eip`.
    Eip,
    /// `L2Advertisement`.
    Advertisement,
    /// `Node`.
    Node,
    /// The speakers' Leases.
    Lease,
    /// `AddressPool`.
    Pool,
}

impl Kind {
    /// Those without which nothing is planned. What pools give next is only asked ahead.
    pub(crate) const NEEDED: [Self; 5] =
        [Self::Tenant, Self::Eip, Self::Advertisement, Self::Node, Self::Lease];
}

/// An object as it is now; nothing where it is gone, or of no concern.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Object {
    /// A tenant's VLAN.
    Tenant(VlanName, Option<Tenant>),
    /// An address.
    Eip(IpAddr, Option<Box<SeenEip>>),
    /// An `L2Advertisement`.
    Advertisement(String, Option<Advertisement>),
    /// A node.
    Node(NodeName, Option<Node>),
    /// What a pool gives next.
    Pool(String, Option<BTreeSet<IpAddr>>),
    /// A speaker, and where it is.
    Speaker(NodeName, Option<BTreeMap<VlanName, Member>>),
}

/// A tenant in VLAN mode.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tenant {
    /// Its VLAN.
    pub(crate) vlan: VlanSpec,
    /// It is being deleted: its VLAN is there as long as it has addresses.
    pub(crate) deleting: bool,
}

/// An `Eip`, with what its status says of our own node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SeenEip {
    /// What is to be done for it.
    pub(crate) eip: Eip,
    /// Its `metadata.resourceVersion`, if that is a number.
    pub(crate) version: Option<u64>,
    /// Our own entry.
    pub(crate) ours: Option<EipAnnouncement>,
}

/// What we say of an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// UID of the `Eip`.
    pub(crate) uid: Arc<str>,
    /// What we do.
    pub(crate) state: AnnouncementState,
    /// Why we do not announce.
    pub(crate) message: String,
}

/// One thing that was observed.
#[derive(Debug)]
pub(crate) enum Input {
    /// An object; by a list, or by a watch.
    Object(Object, Source),
    /// What of an object cannot be read and is passed over.
    Complaint(String),
    /// An object of this name is there and cannot be read: what was known of it stays.
    Unreadable(Kind, String, String),
    /// A list is complete: these are the names of all there are.
    Listed(Kind, BTreeSet<String>),
    /// A VLAN's task tells.
    Vlan(VlanName, Told),
    /// Our Lease was written: it says that we are there.
    Leased(BTreeMap<VlanName, Member>),
    /// Somebody asks how we stand.
    Look(oneshot::Sender<Status>),
}

/// How an object was learned of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// It is on a list.
    List,
    /// A watch, which may tell of it later than the answer to a call.
    Watch,
}

/// What a VLAN's task tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    /// It is connected so, or is not for now.
    Connected(Option<Member>),
    /// What is to be said of addresses changed.
    Entries(BTreeMap<IpAddr, Option<Entry>>),
    /// What it does not speak of is not announced, also if it was by an earlier run.
    Settled,
}
