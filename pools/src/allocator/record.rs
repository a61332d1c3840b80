//! What the durable record of an address says.

use std::net::IpAddr;

use super::table::{Holder, SlotId, TenantId, Usage, Waiting};
use super::{Allocator, table};
use crate::{Family, Port, Service, Sharing};

/// What the durable record of an address says.
#[derive(Clone, Copy, Debug)]
pub struct Record<'r> {
    /// The address.
    pub address: IpAddr,
    /// The pool it was drawn from, whether that is there or not.
    pub pool: &'r str,
    /// The tenant it belongs to.
    pub tenant: &'r str,
    /// What it is for.
    pub owner: Owner<'r>,
}

/// What an address is for.
#[derive(Clone, Copy, Debug)]
pub enum Owner<'r> {
    /// Services; several share it.
    Services(&'r [Bound<'r>], Option<Sharing<'r>>),
    /// Nobody, since its release.
    Resting {
        /// Namespace and name of the Service it belonged to.
        last: Option<(&'r str, &'r str)>,
        /// When it is free, in seconds of Unix time.
        until: u64,
    },
    /// A Service, if one is named, or whoever of the tenant asks for it.
    Reserved(Option<(&'r str, &'r str)>),
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

/// Records that do not fit together. The address is not given away; who of them is right must be
/// told from elsewhere.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{address} is bound to {service}, which has {other} already")]
pub struct Conflict {
    /// The address of the record.
    pub address: IpAddr,
    /// The Service.
    pub service: String,
    /// The address that it has by another record.
    pub other: IpAddr,
}

/// An address in use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The address.
    pub address: IpAddr,
    /// The pool it was drawn from.
    pub pool: String,
    /// The tenant it belongs to.
    pub tenant: String,
    /// What it is used for.
    pub state: State,
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
    /// The Service, if one is named, or whoever of the tenant asks for it.
    Reserved(Option<String>),
    /// Its record cannot be right.
    Conflicting,
}

impl Allocator {
    /// The addresses in use, ascending.
    pub fn iter(&self) -> impl Iterator<Item = Entry> + '_ {
        self.table.iter().map(|slot| self.entry(slot))
    }

    fn entry(&self, slot: &table::Slot) -> Entry {
        let text = |name: &Option<Box<str>>| name.as_deref().map(str::to_owned);
        let state = match &slot.usage {
            Usage::Held(_) | Usage::Shared(_) => {
                let holders = slot.holders().iter().filter_map(|id| self.table.holder(*id));
                let mut names: Vec<_> = holders.map(|holder| holder.name.to_string()).collect();
                names.sort_unstable();
                State::Assigned(names)
            }
            Usage::Waiting(waiting) => match waiting.until {
                Some(until) => State::Resting { last: text(&waiting.service), until },
                None => State::Reserved(text(&waiting.service)),
            },
            Usage::Blocked => State::Conflicting,
        };
        let pool = self.catalog.get(slot.pool).map(|pool| pool.name.to_string());
        let tenant = self.tenants.get(slot.tenant).map(|tenant| tenant.name.to_string());
        Entry {
            address: slot.address,
            pool: pool.unwrap_or_default(),
            tenant: tenant.unwrap_or_default(),
            state,
        }
    }

    /// Takes what the record of an address says, instead of what was known of the address.
    ///
    /// # Errors
    /// A Service of the record has another address of the family. The address then counts as
    /// reserved.
    pub fn restore(&mut self, record: &Record<'_>) -> Result<(), Conflict> {
        self.forget(record.address);
        let tenant = self.tenants.intern(record.tenant);
        let text = |(namespace, name): (&str, &str)| {
            table::name_of(&Service { tenant: record.tenant, namespace, name })
        };
        let waiting = match record.owner {
            Owner::Services(services, sharing) => {
                return self.restore_bound(record, tenant, services, sharing);
            }
            Owner::Resting { last, until } => {
                Waiting { service: last.map(text), until: Some(until) }
            }
            Owner::Reserved(last) => Waiting { service: last.map(text), until: None },
        };
        let pool = self.catalog.intern(record.pool);
        self.occupy(tenant, pool, record.address, Usage::Waiting(Box::new(waiting)));
        Ok(())
    }

    fn restore_bound(
        &mut self,
        record: &Record<'_>,
        tenant: TenantId,
        services: &[Bound<'_>],
        sharing: Option<Sharing<'_>>,
    ) -> Result<(), Conflict> {
        let Record { address, tenant: name, .. } = *record;
        let pool = self.catalog.intern(record.pool);
        let slot: SlotId = self.occupy(tenant, pool, address, Usage::Blocked);
        let family = Family::of(address);
        for Bound { namespace, name: service, ports } in services {
            let service = Service { tenant: name, namespace, name: service };
            let found = self.table.find(tenant, &service);
            let holder = found.and_then(|id| self.table.holder(id));
            let other = holder.and_then(|holder: &Holder| holder.slot(family));
            let other = other.filter(|other| *other != slot);
            if let Some(other) = other.and_then(|other| self.table.slot(other)) {
                let (other, service) = (other.address, service.to_string());
                for holder in
                    self.table.slot(slot).map(|s| s.holders().to_vec()).unwrap_or_default()
                {
                    self.leave(holder, slot);
                }
                return Err(Conflict { address, service, other });
            }
            let holder = self.hold(tenant, found, &service, ports);
            self.join(holder, slot, sharing.and_then(Sharing::keyed));
        }
        Ok(())
    }
}
