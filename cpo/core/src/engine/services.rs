//! A tenant's Services, as their watch tells them, and as the answers to our patches have them.

use super::Engine;
use crate::ids::{ServiceKey, TenantName};
use crate::service::Service;

impl Engine {
    /// Takes in what the watch says.
    pub(super) fn service(
        &mut self,
        tenant: &TenantName,
        namespace: &str,
        name: &str,
        service: Option<Service>,
    ) {
        let Ok(key) = ServiceKey::new(tenant, namespace, name) else { return };
        let Some(tenant) = self.world.tenants.get_mut(tenant) else { return };
        let Some(service) = service else {
            self.contention.forget(&key);
            tenant.remove_service(&key);
            // Where nothing else tells of it, no plan would take this back.
            self.world.withdraw_promise(&key);
            return self.service_changed(key);
        };
        let load_balancer = service.load_balancer;
        if tenant.put_service(&key, service) {
            self.service_stored(key, load_balancer);
        }
    }

    /// Takes in what the answer to a patch says.
    pub(super) fn patched(
        &mut self,
        tenant: &TenantName,
        namespace: &str,
        name: &str,
        service: Service,
    ) {
        let Ok(key) = ServiceKey::new(tenant, namespace, name) else { return };
        let Some(tenant) = self.world.tenants.get_mut(tenant) else { return };
        let load_balancer = service.load_balancer;
        if tenant.put_patched(&key, service) {
            self.service_stored(key, load_balancer);
        }
    }

    fn service_stored(&mut self, key: ServiceKey, load_balancer: bool) {
        if !load_balancer {
            // The API server itself empties the status then: nobody contends.
            self.contention.forget(&key);
        }
        if let Some(tenant) = self.world.tenants.get_mut(key.tenant()) {
            tenant.braked.remove(&key);
        }
        self.service_changed(key);
    }

    fn service_changed(&mut self, key: ServiceKey) {
        self.chores.tenant_changed(key.tenant().clone());
        self.soil(key);
    }
}
