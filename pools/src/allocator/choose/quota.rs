//! Whether a tenant may have what was chosen.

use super::{Choice, Chooser};
use crate::allocator::slot::{Slot, Usage, Wait};
use crate::allocator::tenants::{Change, More};
use crate::{Family, PerFamily, Refusal};

impl Chooser<'_> {
    /// Whether the quota has room for a choice.
    pub(super) fn give(&self, choice: &Choice) -> Result<(), Refusal> {
        // Without a quota there is nothing to count.
        if !self.has_quota() {
            return Ok(());
        }
        let change = |family| Change {
            takes: self.takes(choice, family),
            frees: self.frees(choice, family),
        };
        self.room(PerFamily { v4: change(Family::V4), v6: change(Family::V6) })
    }

    /// Whether the tenant's quota has room for the Service's ports and for more addresses.
    pub(super) fn room(&self, addresses: PerFamily<Change>) -> Result<(), Refusal> {
        let Some((_, tenant)) = self.tenant.filter(|_| self.has_quota()) else { return Ok(()) };
        let before = self.own.map_or(0, |(_, holder)| holder.ports.as_slice().len());
        tenant.room(&More {
            load_balancers: u64::from(self.own.is_none()),
            addresses,
            ports: (self.request.ports.len() as u64).saturating_sub(before as u64),
        })
    }

    pub(super) fn has_quota(&self) -> bool {
        self.tenant.is_some_and(|(_, tenant)| tenant.has_quota())
    }

    /// How many addresses of a family a choice adds to what counts.
    fn takes(&self, choice: &Choice, family: Family) -> u64 {
        let Some(address) = choice.addresses.get(family) else {
            return u64::from(*choice.draw.get(family));
        };
        let counts = |slot: &Slot| match &slot.usage {
            Usage::Held(_) | Usage::Shared(_) => true,
            Usage::Waiting(waiting) => waiting.why != Wait::Reserved,
            Usage::Foreign(_) | Usage::Blocked => false,
        };
        u64::from(!self.allocator.table.at(*address).is_some_and(|(_, slot)| counts(slot)))
    }

    /// What of a family is given up for a choice: what the Service has alone or draws, or else what
    /// it had last and rests. So one that may have one address can exchange it.
    fn frees(&self, choice: &Choice, family: Family) -> u64 {
        if let Some((_, holder)) = self.own {
            let slot = holder.slot(family).and_then(|id| self.allocator.table.slot(id));
            if let Some(slot) = slot {
                return u64::from(slot.holders().len() == 1);
            }
            if *holder.drawing.get(family) {
                return 1;
            }
        }
        let chosen = *choice.addresses.get(family);
        let last = |slot: &&Slot| slot.rests_until().is_some() && Some(slot.address) != chosen;
        let mut waiting = self.waiting_for_us();
        u64::from(waiting.any(|slot| Family::of(slot.address) == family && last(&slot)))
    }
}
