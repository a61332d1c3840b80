//! What the durable record of an address says.

use std::net::IpAddr;

use super::Allocator;
use super::slot::{Slot, Usage, Wait};
use crate::{Family, Port, Sharing};

/// What the durable record of an address says.
#[derive(Clone, Copy, Debug)]
pub struct Record<'r> {
    /// The address.
    pub address: IpAddr,
    /// The pool it was drawn from, whether that is there or not. Of no meaning where the address is
    /// foreign.
    pub pool: &'r str,
    /// When the record was made, in seconds of Unix time: of records that contradict each other the
    /// older one counts, and of two as old the one of the lower address.
    pub created: u64,
    /// What it is for.
    pub owner: Owner<'r>,
}

/// What an address is for.
#[derive(Clone, Copy, Debug)]
pub enum Owner<'r> {
    /// Services.
    Services {
        /// Their tenant.
        tenant: &'r str,
        /// One at least; several share it.
        services: &'r [Bound<'r>],
        /// Whether they share it with more.
        sharing: Option<Sharing<'r>>,
    },
    /// Nobody, since its release.
    Resting {
        /// The tenant it belonged to.
        tenant: &'r str,
        /// Namespace and name of the Service it belonged to.
        last: Option<(&'r str, &'r str)>,
        /// When it is free, in seconds of Unix time.
        until: u64,
    },
    /// A Service that is gone, or has another address: its tenant keeps it for that one for ever.
    Kept {
        /// The tenant.
        tenant: &'r str,
        /// The Service's namespace.
        namespace: &'r str,
        /// The Service's name.
        name: &'r str,
    },
    /// A tenant, by an operator's will.
    Reserved {
        /// The tenant.
        tenant: &'r str,
        /// Namespace and name of the Service that gets it without asking for it; without one it is
        /// for whoever asks for it by address.
        service: Option<(&'r str, &'r str)>,
    },
    /// Something that is none of our Services, told for an operator: a gateway, a NAT rule. It is
    /// given to nobody.
    Foreign(&'r str),
}

/// A Service that an address is bound to.
#[derive(Clone, Copy, Debug)]
pub struct Bound<'r> {
    /// Its namespace.
    pub namespace: &'r str,
    /// Its name.
    pub name: &'r str,
    /// Its ports.
    pub ports: &'r [Port],
}

/// Why a record is not taken as it stands. Its address is not given away.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// A Service of it has another address. Others of it have this one.
    #[error(transparent)]
    Conflict(Conflict),
    /// It is bound to Services, and names none.
    #[error("{0} is bound to no Service, and not to nobody either")]
    NoServices(IpAddr),
}

/// Records that do not fit together.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{address} is bound to {service}, which has {}", other.map_or_else(|| "an address to come".to_owned(), |other| format!("{other} already")))]
pub struct Conflict {
    /// The address of the record that does not count.
    pub address: IpAddr,
    /// The Service, as `<tenant>/<namespace>/<name>`.
    pub service: String,
    /// The address that it has by another record, or is promised; `None` where it draws one.
    pub other: Option<IpAddr>,
}

/// An address in use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The address.
    pub address: IpAddr,
    /// The pool it was drawn from; `None` where it is foreign.
    pub pool: Option<String>,
    /// The tenant it belongs to; `None` where it is foreign.
    pub tenant: Option<String>,
    /// What it is used for.
    pub state: State,
    /// Whether it is promised to one of its Services, and no record says so yet.
    pub promised: bool,
}

/// What an address is used for. Services are given as `<namespace>/<name>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// These Services, ascending.
    Assigned(Vec<String>),
    /// Nobody, since its release.
    Resting {
        /// Whom it belonged to.
        last: Option<String>,
        /// When it is free, in seconds of Unix time.
        until: u64,
    },
    /// Nobody, until the Service is there for which its tenant keeps it.
    Kept(String),
    /// The Service, if one is named, or whoever of the tenant asks for it.
    Reserved(Option<String>),
    /// Something that is none of our Services.
    Foreign(String),
    /// Its record cannot be right.
    Conflicting,
}

impl Allocator {
    /// The addresses in use, ascending.
    pub fn iter(&self) -> impl Iterator<Item = Entry> + '_ {
        self.table.ascending().into_iter().map(|slot| self.entry_of(slot))
    }

    /// What an address is used for.
    pub fn entry(&self, address: IpAddr) -> Option<Entry> {
        self.table.at(address).map(|(_, slot)| self.entry_of(slot))
    }

    fn entry_of(&self, slot: &Slot) -> Entry {
        let holders = || slot.holders().iter().filter_map(|id| self.table.holder(*id));
        let state = match &slot.usage {
            Usage::Held(_) | Usage::Shared(_) => {
                let mut names: Vec<_> = holders().map(|holder| holder.name.to_string()).collect();
                names.sort_unstable();
                State::Assigned(names)
            }
            Usage::Waiting(waiting) => {
                let service = waiting.service.as_deref().map(str::to_owned);
                match waiting.why {
                    Wait::Rest(until) => State::Resting { last: service, until },
                    Wait::Kept => State::Kept(service.unwrap_or_default()),
                    Wait::Reserved => State::Reserved(service),
                }
            }
            Usage::Foreign(foreign) => State::Foreign(foreign.what.to_string()),
            Usage::Blocked => State::Conflicting,
        };
        let family = Family::of(slot.address);
        Entry {
            address: slot.address,
            pool: self.catalog.get(slot.pool).map(|pool| pool.name.to_string()),
            tenant: self.tenants.get(slot.tenant).map(|tenant| tenant.name.to_string()),
            state,
            promised: holders().any(|holder| *holder.promised.get(family)),
        }
    }
}
