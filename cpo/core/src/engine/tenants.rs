//! `TenantCluster`s into the world: tenants that come, change, turn into others and go.

use super::Engine;
use super::absorb::put;
use crate::ids::TenantName;
use crate::tenant::{Tenant, TenantSpec};
use crate::under::{Pool, Unmanaged};
use crate::world::World;

impl Engine {
    /// A tenant that serves its Services itself, perhaps since now.
    pub(super) fn unmanaged(&mut self, name: TenantName, tenant: Unmanaged) {
        if self.world.tenants.contains_key(&name) {
            self.tenant_cluster(name.clone(), None);
        }
        if put(&mut self.world.under.unmanaged, name, Some(tenant)) {
            self.pools_changed();
            self.chores.rendered_changed(&self.world);
        }
    }

    /// A tenant of which nothing is known yet.
    fn learn_of(&mut self, name: &TenantName, spec: TenantSpec) {
        self.tenants_learnt += 1;
        let mut tenant = Tenant::new(spec);
        tenant.incarnation = self.tenants_learnt;
        self.world.tenants.insert(name.clone(), tenant);
    }

    pub(super) fn tenant_cluster(&mut self, name: TenantName, spec: Option<TenantSpec>) {
        let keys = self.world.keys_of(&name);
        let uid = |t: &Tenant| t.spec.uid.clone();
        let before = self.world.tenants.get(&name).map(uid);
        let vlan = |world: &World| world.tenants.get(&name).and_then(|t| t.spec.vlan.clone());
        let vlan_before = vlan(&self.world);
        match spec {
            // A namesake is another tenant: nothing of the old one is known of it.
            Some(spec) if before.as_ref().is_some_and(|uid| *uid != spec.uid) => {
                self.tenant_listed.remove(&name);
                self.learn_of(&name, spec);
            }
            Some(spec) => match self.world.tenants.get_mut(&name) {
                Some(tenant) if tenant.spec.version > spec.version => return,
                Some(tenant) => {
                    let status_only = TenantSpec {
                        version: tenant.spec.version,
                        status: tenant.spec.status.clone(),
                        ..spec.clone()
                    } == tenant.spec;
                    tenant.spec = spec;
                    if status_only {
                        return;
                    }
                    self.release_brake(&name);
                }
                None => {
                    self.learn_of(&name, spec);
                }
            },
            None => {
                self.world.tenants.remove(&name);
                self.tenant_listed.remove(&name);
                self.chores.tenant_gone(&name);
            }
        }
        let known = self.world.tenants.get(&name).map(uid);
        self.world.reckon_tenant(&name);
        self.ask_for_namespaces(&name);
        if known != before {
            for key in &keys {
                self.world.withdraw_promise(key);
            }
            self.world.reckon_owner(&name);
        }
        let selecting =
            |pool: &Pool| pool.tenants.as_ref().is_some_and(|tenants| tenants.selector.is_some());
        if self.world.under.pools.values().any(selecting) || vlan(&self.world) != vlan_before {
            self.pools_changed();
        }
        self.reserved_of(Some(&name));
        if known.is_some() {
            self.chores.tenant_changed(name);
        }
        keys.into_iter().for_each(|key| self.soil(key));
    }
}
