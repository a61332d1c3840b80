//! Which `OvnEip` holds which address of a Service.
//!
//! A Service has one address, and beside it those that rest since it moved on: each with an
//! `OvnEip` of its own, or Kube-OVN would give it away.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};

use pools::Family;

use crate::effect::{Effect, UnderEffect};
use crate::ids::{Install, ServiceKey, Uid};
use crate::rows;
use crate::tenant::{Mode, Tenant};
use crate::under::{Eip, OvnEip};
use crate::world::World;

/// Name of the first `OvnEip` of a Service: the same for every incarnation of the Service, so that
/// a returning one finds its address.
#[must_use]
pub fn ovn_eip_name(install: &Install, tenant: &Uid, key: &ServiceKey) -> String {
    let identity = format!("{install}\0{tenant}\0{}\0{}", key.namespace(), key.name());
    format!("cpo-{}", digest(&identity))
}

/// Name of the `OvnEip` that holds an address an operator reserved.
#[must_use]
pub fn reserved_ovn_eip_name(install: &Install, address: IpAddr) -> String {
    format!("cpo-{}", digest(&format!("{install}\0reserved\0{address}")))
}

/// Twelve hexadecimal digits that stand for a text.
fn digest(identity: &str) -> String {
    use sha2::{Digest, Sha256};
    let digest = Sha256::digest(identity.as_bytes());
    digest.iter().take(6).map(|byte| format!("{byte:02x}")).collect()
}

/// Whether this is the name of an `OvnEip` of a Service: the first, or `-1`, `-2` and so on.
#[must_use]
pub fn is_ovn_eip_of(name: &str, install: &Install, tenant: &Uid, key: &ServiceKey) -> bool {
    let Some(rest) = name.strip_prefix(&ovn_eip_name(install, tenant, key)) else { return false };
    let number = rest.strip_prefix('-').and_then(|number| number.parse::<u32>().ok());
    rest.is_empty() || number.is_some_and(|number| number > 0 && format!("-{number}") == rest)
}

/// Deletes this incarnation of an `OvnEip`.
pub(super) fn delete_ovn_eip(name: &str, ovn_eip: &OvnEip) -> UnderEffect {
    UnderEffect::DeleteOvnEip { name: name.to_owned(), uid: ovn_eip.uid.clone() }
}

/// The `OvnEip`s and `Eip`s of one Service.
#[derive(Clone, Copy)]
pub(crate) struct Holders<'a> {
    pub(crate) world: &'a World,
    pub(crate) tenant: &'a Tenant,
    pub(crate) key: &'a ServiceKey,
}

impl<'a> Holders<'a> {
    /// The `Eip`s of the Service, of this tenant.
    pub(crate) fn eips(self) -> impl Iterator<Item = (&'a String, &'a Eip)> {
        let under = &self.world.under;
        let names = under.eips_of.get(self.key).into_iter().flatten();
        names
            .filter_map(|name| under.eips.get_key_value(name))
            .filter(move |(_, eip)| eip.spec.tenant.uid == self.tenant.spec.uid.as_str())
    }

    /// The `Eip` that gives the Service its address in overlay mode: of several the one that rows
    /// serve, or else the oldest.
    fn live(self) -> Option<(&'a String, &'a Eip)> {
        let served = self.served().map(IpAddr::V4);
        let live = self.eips().filter(|(_, eip)| eip.released().is_none());
        live.min_by_key(|(_, eip)| (served.is_none() || eip.address() != served, eip.created))
    }

    /// The `Eip`s that give the Service its addresses: one in overlay mode; in VLAN mode one of each
    /// family at most, of several the one that speakers are told to announce, or else the oldest.
    pub(crate) fn lives(self) -> Vec<(&'a String, &'a Eip)> {
        if self.tenant.spec.mode() == Mode::Overlay {
            return self.live().into_iter().collect();
        }
        let live: Vec<_> = self.eips().filter(|(_, eip)| eip.released().is_none()).collect();
        let of = |family| {
            let of = live.iter().filter(|(_, eip)| eip.address().map(Family::of) == Some(family));
            of.min_by_key(|(_, eip)| (!eip.is_ordered(), eip.created)).copied()
        };
        [Family::V4, Family::V6].into_iter().filter_map(of).collect()
    }

    /// The address at which rows of ours serve the Service.
    pub(crate) fn served(self) -> Option<Ipv4Addr> {
        rows::served_address(&self.world.ovn, self.key)
    }

    /// The name of the `OvnEip` that holds the address of an `Eip`: of the one that was granted it,
    /// or else as the record says.
    pub(crate) fn of(self, eip: &Eip) -> String {
        let (install, under) = (&self.world.install, &self.world.under);
        let Some(address) = eip.address() else { return self.first() };
        if eip.spec.reserved {
            return reserved_ovn_eip_name(install, address);
        }
        let has = |name: &&String| {
            let held = under.ovn_eips.get(*name).and_then(OvnEip::address);
            held.map(IpAddr::V4) == Some(address)
        };
        let recorded = eip.spec.overlay.as_ref().map(|overlay| &overlay.ovn_eip);
        let recorded = || recorded.filter(|name| self.is_ours(name));
        self.ours().find(has).or_else(recorded).cloned().unwrap_or_else(|| self.first())
    }

    /// The `OvnEip`s that hold no recorded address: what was drawn last, and leftovers.
    pub(crate) fn unrecorded(self) -> impl Iterator<Item = &'a String> {
        let taken = self.taken();
        self.ours().filter(move |name| !taken.contains(*name))
    }

    /// Deletes an `OvnEip` of the Service, if it is not being deleted already.
    pub(crate) fn delete(self, name: &str) -> Option<Effect> {
        let ovn_eip = self.world.under.ovn_eips.get(name).filter(|held| !held.deleting)?;
        Some(Effect::Under(delete_ovn_eip(name, ovn_eip)))
    }

    /// The name under which another address is drawn.
    pub(crate) fn next(self) -> String {
        let (taken, first) = (self.taken(), self.first());
        let mut more = (1..=u32::MAX).map(|number| format!("{first}-{number}"));
        let is_free = |name: &String| !taken.contains(name);
        Some(first.clone()).filter(is_free).or_else(|| more.find(is_free)).unwrap_or_default()
    }

    fn taken(self) -> BTreeSet<String> {
        self.eips().map(|(_, eip)| self.of(eip)).collect()
    }

    fn ours(self) -> impl Iterator<Item = &'a String> {
        let names = self.world.under.ovn_eips_of.get(self.key).into_iter().flatten();
        names.filter(move |name| self.is_ours(name))
    }

    fn is_ours(self, name: &str) -> bool {
        is_ovn_eip_of(name, &self.world.install, &self.tenant.spec.uid, self.key)
    }

    fn first(self) -> String {
        ovn_eip_name(&self.world.install, &self.tenant.spec.uid, self.key)
    }
}
