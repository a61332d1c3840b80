//! The step at which the labels of a tenant's namespaces are known, where pools select by them.

use cpo_api::Reason;

use super::steps::{condition, holds};
use super::{Chain, Facts, Mark, Step, UNDER_WAY};
use crate::plan::not_shown;
use crate::request;
use crate::tenant::{Reading, Tenant};

const RIGHT: &str = "apply manifests/tenant-rbac-namespaces.yaml in the tenant's cluster, or take \
                     namespaceSelectors out of the AddressPools that are for it";
const ANSWER: &str = "make the tenant's API server answer a list of its Namespaces; this goes on by \
                      itself then";

impl Chain<'_> {
    pub(super) fn namespaces(&mut self, tenant: &Tenant) {
        let facts = self.facts;
        if !facts.world.asks_namespaces(&tenant.spec) {
            return;
        }
        if facts.unread.is_some() {
            return self.namespaces_by_cpo(tenant);
        }
        match &tenant.namespaces.reading {
            Reading::Refused(why) => {
                let needed = facts.needs_labels(tenant) && self.no_pool();
                let mark = if needed { Mark::No } else { Mark::Warning };
                let text = format!("Forbidden: {}", not_shown(why));
                self.add(Step::Namespaces, mark, text, RIGHT);
            }
            Reading::Unread(why) => {
                let waits = self.troubles.iter().any(|t| t.step() == Step::Namespaces);
                let mark = if waits { Mark::No } else { Mark::Warning };
                let text = format!(
                    "the labels of its namespaces, by which AddressPools select, cannot be read, \
                     and a new Service waits for them: {why}"
                );
                self.add(Step::Namespaces, mark, text, ANSWER);
            }
            Reading::Read => {
                if !self.troubled(Step::Namespaces) {
                    self.namespaces_by_cpo(tenant);
                }
            }
        }
    }

    /// What the controller says of them.
    fn namespaces_by_cpo(&mut self, tenant: &Tenant) {
        let told = condition(&tenant.spec.status.conditions, "NamespacesRead");
        match told {
            None => {
                let text = "no cpo has told yet whether it reads the labels of its namespaces";
                self.add(Step::Namespaces, Mark::Unknown, text, UNDER_WAY);
            }
            Some(_) if holds(told) => {
                self.ok(Step::Namespaces, "the labels of its namespaces are read");
            }
            Some(told) => {
                let text = format!("{}: {}", told.reason, told.message);
                let remedy = match (self.facts.unread.is_some(), told.reason.as_str()) {
                    (false, _) => "nothing: they can be read by now; cpo tries that each minute",
                    (true, "Forbidden") => RIGHT,
                    (true, _) => ANSWER,
                };
                self.add(Step::Namespaces, Mark::Warning, text, remedy);
            }
        }
    }

    /// No pool gives it an address.
    fn no_pool(&self) -> bool {
        let none = [Reason::PoolExhausted, Reason::PoolNotAllowed, Reason::PoolNotFound];
        self.troubles.iter().any(|trouble| trouble.blocks && none.contains(&trouble.reason))
    }
}

impl Facts<'_> {
    /// A pool that selects by labels of namespaces might be for the Service.
    fn needs_labels(&self, tenant: &Tenant) -> bool {
        let wish = self.service();
        let wish = wish.and_then(|service| request::read(service, tenant.spec.mode()).ok());
        let named = wish.and_then(|(request, _)| request.pool);
        let named = named.map(|pool| self.world.asks_namespaces_for(&pool, &tenant.spec));
        named.unwrap_or(true)
    }
}
