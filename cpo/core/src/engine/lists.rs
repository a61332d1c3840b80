//! Complete lists: what they name replaces what is known, and what they do not name is gone.

use std::collections::{BTreeMap, BTreeSet};

use super::{Engine, TenantKind, TenantObject, UnderKind, UnderObject};
use crate::ids::{TenantName, Version};
use crate::under::Shield;

impl Engine {
    pub(super) fn under_listing(&mut self, kind: UnderKind) {
        let under = &mut self.world.under;
        // An etcd that was set back brings back what is gone.
        under.gone.forget();
        match kind {
            UnderKind::Eip => under.eips.values_mut().for_each(|e| e.version = Version::default()),
            UnderKind::OvnEip => {
                under.ovn_eips.values_mut().for_each(|e| e.version = Version::default());
            }
            UnderKind::TenantCluster => {
                self.world.tenants.values_mut().for_each(|t| t.spec.version = Version::default());
            }
            UnderKind::AddressPool
            | UnderKind::L2Advertisement
            | UnderKind::Shield
            | UnderKind::Subnet
            | UnderKind::Vpc
            | UnderKind::Ip
            | UnderKind::Vip
            | UnderKind::Node
            | UnderKind::ServiceCidr
            | UnderKind::Machine
            | UnderKind::Instance => {}
        }
    }

    pub(super) fn tenant_listing(&mut self, name: &TenantName, kind: TenantKind) {
        let Some(tenant) = self.world.tenants.get_mut(name) else { return };
        match kind {
            TenantKind::Service => {
                tenant.listing_services();
            }
            TenantKind::Node | TenantKind::EndpointSlice => {}
        }
    }

    pub(super) fn under_listed(&mut self, kind: UnderKind, names: &BTreeSet<String>) {
        self.lost.remove(&kind);
        let first = self.listed.insert(kind);
        for object in self.absent(kind, names) {
            self.under(object);
        }
        if matches!(kind, UnderKind::Eip | UnderKind::OvnEip) {
            self.world.under.gone.forget();
        }
        if first && self.listed.len() == UnderKind::ALL.len() {
            self.chores.shield_changed();
            self.brake_early_lists();
        }
    }

    /// The removal of every known object of a kind that a complete list does not name.
    fn absent(&self, kind: UnderKind, names: &BTreeSet<String>) -> Vec<UnderObject> {
        fn gone<V, O>(
            map: &BTreeMap<String, V>,
            names: &BTreeSet<String>,
            object: impl Fn(String) -> O,
        ) -> Vec<O> {
            map.keys().filter(|name| !names.contains(*name)).cloned().map(object).collect()
        }
        fn gone_pairs<V, O>(
            map: &BTreeMap<(String, String), V>,
            names: &BTreeSet<String>,
            object: impl Fn((String, String)) -> O,
        ) -> Vec<O> {
            let named = |(namespace, name): &(String, String)| {
                names.contains(&format!("{namespace}/{name}"))
            };
            map.keys().filter(|id| !named(id)).cloned().map(object).collect()
        }
        let under = &self.world.under;
        match kind {
            UnderKind::TenantCluster => {
                let known = self.world.tenants.keys().chain(under.unmanaged.keys());
                let gone = known.filter(|name| !names.contains(name.as_str()));
                gone.map(|name| UnderObject::TenantCluster(name.clone(), None)).collect()
            }
            UnderKind::AddressPool => {
                gone(&under.pools, names, |n| UnderObject::AddressPool(n, None))
            }
            UnderKind::L2Advertisement => {
                gone(&under.advertisements, names, |n| UnderObject::L2Advertisement(n, None))
            }
            UnderKind::Eip => gone(&under.eips, names, |n| UnderObject::Eip(n, None)),
            UnderKind::OvnEip => gone(&under.ovn_eips, names, |n| UnderObject::OvnEip(n, None)),
            UnderKind::Shield if names.is_empty() => vec![UnderObject::Shield(Shield::Missing)],
            UnderKind::Shield => Vec::new(),
            UnderKind::Subnet => gone(&under.subnets, names, |n| UnderObject::Subnet(n, None)),
            UnderKind::Vpc => gone(&under.vpcs, names, |n| UnderObject::Vpc(n, None)),
            UnderKind::Ip => gone(&under.ips, names, |n| UnderObject::Ip(n, None)),
            UnderKind::Vip => gone(&under.vips, names, |n| UnderObject::Vip(n, None)),
            UnderKind::Node => gone(&under.nodes, names, |n| UnderObject::Node(n, None)),
            UnderKind::ServiceCidr => {
                gone(&under.service_cidrs, names, |n| UnderObject::ServiceCidr(n, None))
            }
            UnderKind::Machine => {
                gone_pairs(&under.machines, names, |id| UnderObject::Machine(id, None))
            }
            UnderKind::Instance => {
                gone_pairs(&under.instances, names, |id| UnderObject::Instance(id, None))
            }
        }
    }

    pub(super) fn tenant_listed(
        &mut self,
        name: TenantName,
        kind: TenantKind,
        names: &BTreeSet<String>,
    ) {
        let Some(tenant) = self.world.tenants.get(&name) else { return };
        let gone: Vec<TenantObject> = match kind {
            TenantKind::Service => tenant
                .services
                .keys()
                .filter(|key| !names.contains(&key.in_tenant()))
                .map(|k| TenantObject::Service(k.namespace().into(), k.name().into(), None))
                .collect(),
            TenantKind::Node => tenant
                .nodes
                .keys()
                .filter(|node| !names.contains(node.as_str()))
                .map(|node| TenantObject::Node(node.clone(), None))
                .collect(),
            TenantKind::EndpointSlice => tenant
                .slices
                .keys()
                .filter(|(namespace, slice)| !names.contains(&format!("{namespace}/{slice}")))
                .map(|(n, s)| TenantObject::Slice(n.clone(), s.clone(), None))
                .collect(),
        };
        gone.into_iter().for_each(|object| self.tenant(&name, object));
        if kind == TenantKind::Service {
            if let Some(tenant) = self.world.tenants.get_mut(&name) {
                tenant.listed_services();
            }
            self.brake(&name, names);
        }
        let listed = self.tenant_listed.entry(name.clone()).or_default();
        listed.insert(kind);
        let complete = TenantKind::ALL.iter().all(|kind| listed.contains(kind));
        if let Some(tenant) = self.world.tenants.get_mut(&name)
            && complete
            && !tenant.synced
        {
            tenant.synced = true;
            self.soil_tenant(&name);
        }
        self.chores.tenant_changed(name);
    }
}
