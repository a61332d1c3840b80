//! What a Service lets go of.

use std::iter::repeat_n;
use std::net::IpAddr;

use super::Allocator;
use super::holder::{HolderId, Name};
use super::rivals::Seat;
use super::slot::{SlotId, Usage, Wait, Waiting};
use crate::{Afterwards, Family, Service};

impl Allocator {
    /// Takes the addresses of these families from a Service; gives those that nobody has now.
    pub(super) fn let_go(
        &mut self,
        service: &Service<'_>,
        families: &[Family],
        afterwards: Afterwards<'_>,
    ) -> Vec<IpAddr> {
        let Some(tenant) = self.tenants.find(service.tenant) else { return Vec::new() };
        let hash = self.table.hash(service);
        let mut free = [None; 2];
        let mut name = None;
        if let Some(id) = self.table.find(tenant, service, hash) {
            for (place, family) in free.iter_mut().zip(families) {
                *place = self.stand_up_from(id, *family);
            }
            name = self.drop_idle(id).map(|gone| gone.name);
        }
        let mut left_behind = Vec::new();
        let name = name.unwrap_or_else(|| Name::new(service, hash));
        let mut names = repeat_n(name, free.iter().flatten().count());
        for (slot, family) in free.into_iter().zip(families) {
            let left = slot.and_then(|slot| self.leave_as(slot, names.next()?, afterwards));
            left_behind.extend(left);
            if !self.rivals.is_empty() {
                let seat = Seat { tenant, family: *family, name: Name::new(service, hash) };
                for slot in self.renounce(&seat) {
                    left_behind.extend(self.leave_as(slot, seat.name.clone(), afterwards));
                }
            }
        }
        left_behind
    }

    /// Ends what a Service has or draws of a family; gives its address if nobody else has it, which
    /// then must wait or be free. The Service may be idle then.
    fn stand_up_from(&mut self, id: HolderId, family: Family) -> Option<SlotId> {
        self.stop_drawing(id, family);
        let holder = self.table.holder(id)?;
        let (slot, promised) = (holder.slot(family)?, *holder.promised.get(family));
        let left = self.stand_up(id, slot)?;
        let address = self.table.slot(slot)?.address;
        if matches!(left, Usage::Blocked) && self.rivals.at(address).next().is_none() {
            return Some(slot);
        }
        self.use_as(slot, left);
        if !promised {
            self.note_empty(slot);
        }
        None
    }

    /// Makes an address that nobody holds wait, or free.
    fn leave_as(&mut self, slot: SlotId, own: Name, afterwards: Afterwards<'_>) -> Option<IpAddr> {
        let address = self.table.slot(slot)?.address;
        self.under.remove(&address);
        self.rivals.drop_empty(address);
        let (service, why) = match afterwards {
            Afterwards::Free => {
                self.vacate(slot);
                return Some(address);
            }
            Afterwards::Rest(until) => (Some(own), Wait::Rest(until)),
            Afterwards::Keep => (Some(own), Wait::Kept),
            Afterwards::Reserved(whom) => {
                let name = |(namespace, name)| Service { tenant: "", namespace, name };
                (whom.map(|whom| self.table.name(&name(whom))), Wait::Reserved)
            }
        };
        self.use_as(slot, Usage::Waiting(Box::new(Waiting { service, why })));
        Some(address)
    }
}
