//! A tenant's namespaces: read while a pool for the tenant selects by their labels, and forgotten
//! when none does.

use super::absorb::put;
use super::{Engine, NamespacesSeen};
use crate::ids::TenantName;
use crate::tenant::{Namespaces, Reading, Round};

impl Engine {
    /// Begins a round of reading a tenant's namespaces, or ends it, as its pools have it. What is
    /// not read any more is not known.
    pub(super) fn ask_for_namespaces(&mut self, name: &TenantName) {
        let Some(tenant) = self.world.tenants.get(name) else { return };
        let asked = self.world.asks_namespaces(&tenant.spec);
        if asked == tenant.namespaces.round.is_some() {
            return;
        }
        if asked {
            self.last_round = self.last_round.next();
        }
        let round = asked.then_some(self.last_round);
        if let Some(tenant) = self.world.tenants.get_mut(name) {
            tenant.namespaces = Namespaces { round, ..Namespaces::default() };
        }
        self.chores.tenant_changed(name.clone());
    }

    /// Takes in what was seen of a tenant's namespaces, if it was in the round that runs.
    pub(super) fn namespaces(&mut self, name: &TenantName, round: Round, seen: NamespacesSeen) {
        let Some(tenant) = self.world.tenants.get(name) else { return };
        let known = &tenant.namespaces;
        if known.round != Some(round) {
            return;
        }
        match seen {
            NamespacesSeen::One(namespace, labels) => self.namespace(name, namespace, labels),
            NamespacesSeen::Listed(names) => {
                let gone = known.labels.keys().filter(|namespace| !names.contains(*namespace));
                for namespace in gone.cloned().collect::<Vec<_>>() {
                    self.namespace(name, namespace, None);
                }
                self.namespaces_settled(name, Reading::Read);
            }
            NamespacesSeen::Refused(why) => self.namespaces_settled(name, Reading::Refused(why)),
            NamespacesSeen::Unread(why) => match known.reading {
                Reading::Unread(_) => self.namespaces_settled(name, Reading::Unread(why)),
                Reading::Read | Reading::Refused(_) => {}
            },
        }
    }

    fn namespace(&mut self, tenant: &TenantName, namespace: String, labels: Option<pools::Labels>) {
        let Some(tenant) = self.world.tenants.get_mut(tenant) else { return };
        if put(&mut tenant.namespaces.labels, namespace.clone(), labels) {
            tenant.services_in(&namespace).into_iter().for_each(|key| self.soil(key));
        }
    }

    /// Whether the labels of a tenant's namespaces are known is known: who waited for that may draw.
    fn namespaces_settled(&mut self, name: &TenantName, reading: Reading) {
        let Some(tenant) = self.world.tenants.get_mut(name) else { return };
        if std::mem::replace(&mut tenant.namespaces.reading, reading.clone()) != reading {
            self.soil_tenant(name);
            self.chores.tenant_changed(name.clone());
        }
    }
}
