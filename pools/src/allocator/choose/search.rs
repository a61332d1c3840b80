//! Addresses for who asks for none by name.

use std::cmp::Reverse;
use std::net::IpAddr;

use super::{Choice, Chooser};
use crate::allocator::catalog::Pool;
use crate::allocator::slot::Slot;
use crate::{Families, Family, Refusal, Wanted};

impl Chooser<'_> {
    /// The addresses that wait for this very Service.
    pub(super) fn waiting_for_us(&self) -> impl Iterator<Item = &Slot> {
        let (table, service) = (&self.allocator.table, &self.request.service);
        self.tenant.into_iter().flat_map(|(id, _)| table.waiting_for(id, service, self.hash))
    }

    /// Those of them that can be had: what is kept or reserved, then what was had last.
    pub(super) fn awaiting(&self) -> Vec<&Slot> {
        let mut slots: Vec<&Slot> =
            self.waiting_for_us().filter(|slot| self.awaited(slot).is_ok()).collect();
        slots.sort_by_key(|slot| {
            let until = slot.rests_until();
            (until.is_some(), Reverse(until), slot.address)
        });
        slots
    }

    /// The addresses that wait for this Service, if they are what it wants.
    pub(super) fn waiting(&self) -> Option<Choice> {
        if self.allocator.table.nothing_waits() {
            return None;
        }
        let mut choices: Vec<Choice> = Vec::new();
        for slot in self.awaiting() {
            let of_pool = choices.iter().position(|choice| choice.pool == slot.pool);
            let of_pool = of_pool.unwrap_or_else(|| {
                choices.push(Choice::of(slot.pool));
                choices.len() - 1
            });
            if let Some(choice) = choices.get_mut(of_pool) {
                choice.addresses.get_mut(Family::of(slot.address)).get_or_insert(slot.address);
            }
        }
        choices.into_iter().find_map(|choice| self.wanted(choice))
    }

    /// An address of other Services of the tenant, that they share with this one.
    pub(super) fn shared(&self) -> Option<Choice> {
        let ((_, tenant), sharing) = (self.tenant?, self.request.shares()?);
        let slots = tenant.shares(sharing).filter_map(|id| self.allocator.table.slot(id));
        // The ports first: thousands of Services of one key may want the same.
        let slots = slots.filter(|slot| self.leaves_ports(slot) && self.share(slot).is_ok());
        let mut slots: Vec<&Slot> = slots.collect();
        slots.sort_by_key(|slot| slot.address);
        let open = |slot: &&Slot| self.in_open_pool(slot).is_ok();
        slots.into_iter().filter(open).find_map(|slot| {
            let pair = self.pair_of(slot).and_then(|pair| self.wanted(pair));
            let mut single = Choice::of(slot.pool);
            *single.addresses.get_mut(Family::of(slot.address)) = Some(slot.address);
            pair.or_else(|| self.wanted(single))
        })
    }

    /// Whether none of the others that hold an address has a port that is asked for.
    fn leaves_ports(&self, slot: &Slot) -> bool {
        let us = self.own.map(|(id, _)| id);
        let others = slot.holders().iter().filter(|id| Some(**id) != us);
        let mut others = others.filter_map(|id| self.allocator.table.holder(*id));
        others.all(|other| {
            other.ports.as_slice().iter().all(|port| !self.request.ports.contains(port))
        })
    }

    /// Both addresses of who has a shared one, if they are shared with this Service.
    fn pair_of(&self, slot: &Slot) -> Option<Choice> {
        let table = &self.allocator.table;
        let holders = slot.holders().iter().filter_map(|id| table.holder(*id));
        let addresses = table.addresses(holders.min_by_key(|holder| &*holder.name)?);
        let shared = |a: &IpAddr| table.at(*a).is_some_and(|(_, s)| self.share(s).is_ok());
        let all = addresses.v4.iter().chain(&addresses.v6).all(shared);
        all.then_some(Choice { addresses, ..Choice::of(slot.pool) })
    }

    /// What of a choice is wanted, if that is enough.
    fn wanted(&self, mut choice: Choice) -> Option<Choice> {
        let name = &self.allocator.catalog.get(choice.pool)?.name;
        if self.request.pool.is_some_and(|wanted| *wanted != **name) {
            return None;
        }
        let enough = match self.families {
            Families::Only(family) => {
                *choice.addresses.get_mut(family.other()) = None;
                !choice.lacks(family)
            }
            Families::Prefer(_) => true,
            Families::Both => !choice.lacks(Family::V4) && !choice.lacks(Family::V6),
        };
        enough.then_some(choice)
    }

    /// Free addresses of the first pool that has them.
    pub(super) fn free(&self) -> Result<Choice, Refusal> {
        self.asked.map_or(Ok(()), |(_, pool)| self.open(pool))?;
        let one = |family| self.first(family, None);
        let found = match self.families {
            Families::Only(family) => one(family),
            Families::Both => self.first(Family::V4, Some(Family::V6)),
            // The second one comes from the same pool, if the quota has room for it.
            Families::Prefer(family) => self
                .first(family, Some(family.other()))
                .map(|choice| choice.only(family))
                .or_else(|| one(family))
                .or_else(|| one(family.other())),
        };
        let wanted = match self.families {
            Families::Only(family) | Families::Prefer(family) => Wanted::One(family),
            Families::Both => Wanted::Pair,
        };
        found.ok_or_else(|| self.nothing(wanted))
    }

    fn first(&self, family: Family, other: Option<Family>) -> Option<Choice> {
        let catalog = &self.allocator.catalog;
        let has = |pool: &Pool| pool.has_free(family) && other.is_none_or(|o| pool.has_free(o));
        let (id, pool) = match self.request.pool {
            Some(_) => self.asked.filter(|(_, pool)| has(pool))?,
            None => catalog
                .candidates(family, self.request.service.tenant)
                .find(|(_, pool)| has(pool) && self.admit(pool).is_ok())?,
        };
        let mut choice = Choice::of(id);
        for family in [Some(family), other].into_iter().flatten() {
            choice.add(family, pool.fresh(family)?);
        }
        Some(choice)
    }
}
