//! A complete list that suddenly names far fewer Services is more often an accident (a restored or
//! emptied etcd, a kubeconfig of another cluster) than a wish. What so many lose at once is kept
//! until an operator agrees.

use std::collections::BTreeSet;

use super::{Engine, TenantKind};
use crate::ids::{ServiceKey, TenantName};
use crate::under::Eip;

/// Services that may vanish at once, whatever share of the tenant's they are.
const ALWAYS: usize = 10;

impl Engine {
    /// Looks at a complete list of a tenant's Services; brakes if too many that hold an address
    /// are not in it.
    pub(super) fn brake(&mut self, name: &TenantName, listed: &BTreeSet<String>) {
        let Some(tenant) = self.world.tenants.get_mut(name) else { return };
        let uid = tenant.spec.uid.as_str();
        let held = |eip: &&Eip| eip.spec.tenant.uid == uid && eip.released().is_none();
        let held = self.world.under.eips.values().filter(held);
        let held: BTreeSet<ServiceKey> = held.flat_map(|eip| eip.owners.iter().cloned()).collect();
        let vanished: BTreeSet<_> =
            held.iter().filter(|key| !listed.contains(&key.in_tenant())).cloned().collect();
        let too_many = vanished.len() > ALWAYS.max(held.len() / 5);
        tenant.braked = if too_many { vanished } else { BTreeSet::new() };
        self.release_brake(name);
    }

    /// Looks again at lists that were complete before the addresses were known.
    pub(super) fn brake_early_lists(&mut self) {
        let listed = self.tenant_listed.iter();
        let listed = listed.filter(|(_, kinds)| kinds.contains(&TenantKind::Service));
        let tenants = listed.filter_map(|(name, _)| self.world.tenants.get(name));
        let lists: Vec<_> = tenants
            .map(|t| (t.spec.name.clone(), t.services.keys().map(ServiceKey::in_tenant).collect()))
            .collect();
        for (name, listed) in lists {
            self.brake(&name, &listed);
        }
    }

    /// Lets go of the brake if the operator agreed to this very number.
    pub(super) fn release_brake(&mut self, name: &TenantName) {
        let Some(tenant) = self.world.tenants.get_mut(name) else { return };
        if !tenant.braked.is_empty() && tenant.spec.acknowledged == Some(tenant.braked.len()) {
            let released = std::mem::take(&mut tenant.braked);
            released.into_iter().for_each(|key| self.soil(key));
            self.chores.tenant_changed(name.clone());
        }
    }
}
