//! The ports of a Service: by its wish while something is promised to it, else by its records.

use super::Allocator;
use super::holder::{Holder, HolderId, Ports};
use super::slot::Slot;
use crate::{Family, Port};

impl Allocator {
    /// A Service wants these ports; so its records will say.
    pub(super) fn want_ports(&mut self, id: HolderId, ports: &[Port]) {
        if !self.told.is_empty() {
            self.told.remove(&(id, Family::V4));
            self.told.remove(&(id, Family::V6));
        }
        if self.table.holder(id).is_some_and(|holder| holder.ports.as_slice() != ports) {
            self.set_ports(id, Ports::of(ports));
        }
    }

    /// The record of an address of a Service says that these are its ports.
    pub(super) fn tell_ports(&mut self, id: HolderId, family: Family, ports: Ports) {
        let Some(holder) = self.table.holder(id) else { return };
        if !is_pending(holder) && self.recorded(holder, family.other()).is_none() {
            return self.set_ports(id, ports);
        }
        let differs = holder.ports != ports;
        self.told.remove(&(id, family));
        if differs {
            self.told.insert((id, family), ports);
        }
        self.review_ports(id);
    }

    /// What the record of an address of a Service says of its ports.
    pub(super) fn ports_told(&self, id: HolderId, family: Family) -> Ports {
        let told = self.told.get(&(id, family));
        let told = told.or_else(|| self.table.holder(id).map(|holder| &holder.ports));
        told.cloned().unwrap_or_else(|| Ports::of(&[]))
    }

    /// A Service has no address of a family any more.
    pub(super) fn forget_ports(&mut self, id: HolderId, family: Family) {
        if !self.told.is_empty() {
            self.told.remove(&(id, family));
            self.review_ports(id);
        }
    }

    /// Of the records of the two addresses of a Service the older one counts for its ports, where
    /// nothing is promised to it.
    pub(super) fn review_ports(&mut self, id: HolderId) {
        let Some(holder) = self.table.holder(id).filter(|holder| !is_pending(holder)) else {
            return;
        };
        let recorded = |family| Some((self.recorded(holder, family)?.age(), family));
        let records = [recorded(Family::V4), recorded(Family::V6)];
        let Some((_, family)) = records.into_iter().flatten().min() else { return };
        let other = family.other();
        let both = records.iter().flatten().count() == 2;
        let Some(ports) = self.told.remove(&(id, family)) else { return };
        let theirs = self.ports_told(id, other);
        self.told.remove(&(id, other));
        if both && theirs != ports {
            self.told.insert((id, other), theirs);
        }
        self.set_ports(id, ports);
    }

    /// The address of a family that a Service has by a record.
    fn recorded(&self, holder: &Holder, family: Family) -> Option<&Slot> {
        let slot = holder.slot(family).filter(|_| !*holder.promised.get(family))?;
        self.table.slot(slot)
    }

    fn set_ports(&mut self, id: HolderId, ports: Ports) {
        let Some(holder) = self.table.holder_mut(id) else { return };
        let (before, now) = (holder.ports.as_slice().len(), ports.as_slice().len());
        holder.ports = ports;
        if let Some(tenant) = self.tenants.get_mut(holder.tenant) {
            tenant.usage.ports = tenant.usage.ports + now as u64 - before as u64;
        }
    }
}

const fn is_pending(holder: &Holder) -> bool {
    holder.promised.v4 || holder.promised.v6 || holder.draws()
}
