//! What is known of the under cluster, and whether that is enough to act on.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use speaker_core::node::NodeName;
use speaker_core::vlan::Member;
use speaker_core::world::{Part, VlanName, World};

use crate::input::{Kind, Object};
use crate::lease;

/// What is known, as a speaker needs it.
#[derive(Debug)]
pub(crate) struct Store {
    us: NodeName,
    world: World,
    /// VLANs of tenants that are being deleted: there as long as they have addresses.
    deleting: BTreeSet<VlanName>,
    /// Tenants that are there and cannot be read: each may have a VLAN.
    unreadable: BTreeSet<VlanName>,
    /// The kinds that were listed once.
    listed: BTreeSet<Kind>,
    /// Something changed since the last plan.
    changed: bool,
}

impl Store {
    /// One that knows nothing yet.
    pub(crate) fn new(us: NodeName) -> Self {
        let (world, deleting, unreadable, listed) = Default::default();
        Self { us, world, deleting, unreadable, listed, changed: false }
    }

    /// Takes what is known of an object.
    pub(crate) fn take(&mut self, object: Object) {
        let world = &mut self.world;
        self.changed |= match object {
            Object::Tenant(name, tenant) => {
                let deleting = tenant.as_ref().is_some_and(|tenant| tenant.deleting);
                let noted = match deleting {
                    true => self.deleting.insert(name.clone()),
                    false => self.deleting.remove(&name),
                };
                let noted = self.unreadable.remove(&name) || noted;
                put(&mut world.vlans, name, tenant.map(|tenant| tenant.vlan)) || noted
            }
            Object::Eip(address, seen) => put(&mut world.eips, address, seen.map(|seen| seen.eip)),
            Object::Advertisement(name, found) => put(&mut world.advertisements, name, found),
            Object::Pool(name, next) => put(&mut world.next, name, next),
            Object::Node(name, found) => put(&mut world.nodes, name, found),
            // Where we are is for us to say.
            Object::Speaker(node, _) if node == self.us => false,
            Object::Speaker(node, vlans) => put(&mut world.speakers, node, vlans),
        };
    }

    /// Takes where we are ourselves: it counts at once, whatever our Lease says still.
    pub(crate) fn set_own(&mut self, vlans: BTreeMap<VlanName, Member>) {
        self.changed |= put(&mut self.world.speakers, self.us.clone(), Some(vlans));
    }

    /// An object is there and cannot be read.
    pub(crate) fn unreadable(&mut self, kind: Kind, name: &str) {
        match kind {
            Kind::Tenant => self.changed |= self.unreadable.insert(name.into()),
            // What is known of these stays.
            Kind::Eip | Kind::Advertisement | Kind::Node | Kind::Lease | Kind::Pool => {}
        }
    }

    /// Whether there is a Node of our name.
    pub(crate) fn knows_us(&self) -> bool {
        self.world.nodes.contains_key(&self.us)
    }

    /// Whether a VLAN's namespace is left as it is, though the plan does not name it: that may be
    /// for what we do not know.
    pub(crate) fn is_spared(&self, name: &VlanName) -> bool {
        !self.knows_us() || self.unreadable.contains(name)
    }

    /// A list is complete: whatever it does not name is gone.
    pub(crate) fn listed(&mut self, kind: Kind, names: &BTreeSet<String>) {
        let gone: Vec<Object> = match kind {
            Kind::Tenant => {
                let known = self.world.vlans.keys().chain(&self.unreadable);
                let gone = known.filter(|name| !names.contains(&***name));
                gone.map(|name| Object::Tenant(name.clone(), None)).collect()
            }
            Kind::Eip => {
                let name = |address: &IpAddr| cpo_api::Eip::name_of(*address);
                let gone = self.world.eips.keys().filter(|address| !names.contains(&name(address)));
                gone.map(|address| Object::Eip(*address, None)).collect()
            }
            Kind::Advertisement => {
                let gone = self.world.advertisements.keys().filter(|name| !names.contains(*name));
                gone.map(|name| Object::Advertisement(name.clone(), None)).collect()
            }
            Kind::Pool => {
                let gone = self.world.next.keys().filter(|name| !names.contains(*name));
                gone.map(|name| Object::Pool(name.clone(), None)).collect()
            }
            Kind::Node => {
                let gone = self.world.nodes.keys().filter(|node| !names.contains(node.as_str()));
                gone.map(|node| Object::Node(node.clone(), None)).collect()
            }
            Kind::Lease => {
                let held = |node: &&NodeName| !names.contains(&lease::name_of(node));
                let gone = self.world.speakers.keys().filter(held);
                gone.map(|node| Object::Speaker(node.clone(), None)).collect()
            }
        };
        gone.into_iter().for_each(|object| self.take(object));
        self.changed |= self.listed.insert(kind);
    }

    /// Whether every kind that is needed was listed once. Before, what is not known may be there all
    /// the same.
    pub(crate) fn is_complete(&self) -> bool {
        Kind::NEEDED.iter().all(|kind| self.listed.contains(kind))
    }

    /// What follows is to be told once more.
    pub(crate) const fn replan(&mut self) {
        self.changed = true;
    }

    /// Whether something changed since the last plan, and all is known.
    pub(crate) fn has_news(&self) -> bool {
        self.changed && self.is_complete()
    }

    /// What follows for our node, if something changed and all is known.
    pub(crate) fn plan(&mut self) -> Option<BTreeMap<VlanName, Part>> {
        if !self.has_news() {
            return None;
        }
        self.changed = false;
        let mut plan = self.world.plan(&self.us);
        let served: BTreeSet<&VlanName> = self.world.eips.values().map(|eip| &eip.vlan).collect();
        plan.retain(|name, _| !self.deleting.contains(name) || served.contains(name));
        Some(plan)
    }
}

/// Puts what is known in its place; whether that changes anything.
fn put<K: Ord, V: PartialEq>(known: &mut BTreeMap<K, V>, key: K, value: Option<V>) -> bool {
    match value {
        Some(value) if known.get(&key) == Some(&value) => false,
        Some(value) => {
            known.insert(key, value);
            true
        }
        None => known.remove(&key).is_some(),
    }
}

#[cfg(test)]
#[path = "store_tests.rs"]
mod tests;
