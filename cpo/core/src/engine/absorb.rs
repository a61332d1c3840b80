//! Observations into the world, and the Services each concerns.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use super::{Engine, Input, TenantObject, UnderObject};
use crate::ids::{ServiceKey, TenantName};
use crate::ovn::{Concern, RowChange};
use crate::tenant::Link;
use crate::under::{Advertisement, Eip, Ip, Node, OvnEip, Pool, Shield};

impl Engine {
    /// Takes in one observation.
    pub fn handle(&mut self, input: Input) {
        self.absorb(input);
        self.feed();
    }

    fn absorb(&mut self, input: Input) {
        match input {
            Input::Under(object) => self.under(object),
            Input::UnderListing(kind) => self.under_listing(kind),
            Input::TenantListing(tenant, kind) => self.tenant_listing(&tenant, kind),
            Input::UnderListed(kind, names) => self.under_listed(kind, &names),
            Input::UnderLost(kind) => {
                self.lost.insert(kind);
            }
            Input::Tenant(tenant, object) => self.tenant(&tenant, object),
            Input::TenantListed(tenant, kind, names) => self.tenant_listed(tenant, kind, &names),
            Input::Namespaces(tenant, round, seen) => self.namespaces(&tenant, round, seen),
            Input::TenantLink(name, link) => {
                if let Some(tenant) = self.world.tenants.get_mut(&name) {
                    let up = |link: &Link| matches!(link, Link::Up { .. });
                    let turned = up(&tenant.link) != up(&link);
                    tenant.link = link;
                    // What is done for a tenant that goes depends on whether it answers.
                    if turned && tenant.spec.deleting {
                        self.soil_tenant(&name);
                    }
                    self.chores.tenant_changed(name);
                }
            }
            Input::Rows(changes) => {
                let port = |change: &RowChange| matches!(change, RowChange::Port(..));
                let ports = changes.iter().any(port);
                for change in changes {
                    self.row(change);
                }
                // The addresses of routers' ports are nobody's to give.
                if ports && self.world.ovn.known() {
                    self.pools_changed();
                }
            }
            Input::OvnLink(link) => {
                if self.world.ovn.link != link {
                    let known = self.world.ovn.known();
                    self.world.ovn.link = link;
                    match known {
                        true => self.soil_everybody(),
                        false => self.pools_changed(),
                    }
                }
            }
        }
    }

    fn row(&mut self, change: RowChange) {
        if let RowChange::LoadBalancer(uuid, None) = &change {
            let row = self.world.ovn.load_balancers.get(uuid);
            let live = row.filter(|row| !row.is_tombstone());
            if let Some(key) = live.and_then(|row| row.service(self.world.install.as_str())) {
                self.counters.foreign_deletes += 1;
                self.chores.deleted_by_others(key.tenant());
            }
        }
        for concern in self.world.put_row(change) {
            match concern {
                Concern::Service(key) => self.soil(key),
                Concern::Address(address) => self.soil_address(address),
                Concern::Everybody => self.soil_everybody(),
            }
        }
        self.chores.rows_changed();
    }

    fn soil_address(&mut self, address: Ipv4Addr) {
        let owners = self.world.under.eip(address.into()).map(|eip| eip.owners.clone());
        owners.into_iter().flatten().for_each(|key| self.soil(key));
    }

    pub(super) fn under(&mut self, object: UnderObject) {
        let under = &mut self.world.under;
        match object {
            UnderObject::TenantCluster(name, spec) => {
                if let Some(before) = under.unmanaged.remove(&name).filter(|_| spec.is_some()) {
                    self.chores.rendered_no_more(name.clone(), before);
                }
                self.tenant_cluster(name, spec);
            }
            UnderObject::Unmanaged(name, tenant) => self.unmanaged(name, tenant),
            UnderObject::Eip(name, eip) => self.eip(&name, eip),
            UnderObject::OvnEip(name, eip) => self.ovn_eip(&name, eip),
            UnderObject::EipGone(name, uid) => {
                if under.eips.get(&name).is_some_and(|eip| eip.uid == uid) {
                    self.under(UnderObject::Eip(name, None));
                }
            }
            UnderObject::OvnEipGone(name, uid) => {
                if under.ovn_eips.get(&name).is_some_and(|eip| eip.uid == uid) {
                    self.under(UnderObject::OvnEip(name, None));
                }
            }
            UnderObject::Shield(shield) => self.shield_seen(shield),
            UnderObject::AddressPool(name, pool) => self.address_pool(name, pool),
            UnderObject::Subnet(name, subnet) => self.subnet(name, subnet),
            UnderObject::Vpc(name, router) => {
                if put(&mut under.vpcs, name, router) {
                    self.soil_everybody();
                }
            }
            UnderObject::Vip(name, addresses) => self.world.put_vip(&name, addresses),
            UnderObject::L2Advertisement(name, of) => self.advertisement(name, of),
            UnderObject::Node(name, node) => self.node(name, node),
            UnderObject::ServiceCidr(name, ranges) => {
                if put(&mut under.service_cidrs, name, ranges) {
                    self.pools_changed();
                }
            }
            UnderObject::Ip(name, ip) => self.ip(&name, ip),
            UnderObject::Machine(id, machine) => {
                if put(&mut under.machines, id.clone(), machine) {
                    self.soil_namespace(&id.0);
                }
            }
            UnderObject::Instance(id, runs) => {
                if put(&mut under.instances, id.clone(), runs) {
                    self.soil_namespace(&id.0);
                }
            }
        }
    }

    fn advertisement(&mut self, name: String, of: Option<Advertisement>) {
        let wish = |of: &Advertisement| Advertisement {
            status: cpo_api::L2AdvertisementStatus::default(),
            ..of.clone()
        };
        let all = &mut self.world.under.advertisements;
        let same = all.get(&name).map(wish) == of.as_ref().map(wish);
        put(all, name, of);
        self.chores.advertisements_changed(&self.world);
        if !same {
            self.chores.rendered_changed(&self.world);
            self.soil_everybody();
        }
    }

    fn shield_seen(&mut self, shield: Shield) {
        if std::mem::replace(&mut self.world.under.shield, shield) != shield {
            self.chores.shield_changed();
            self.soil_everybody();
        }
    }

    fn node(&mut self, name: String, node: Option<Node>) {
        let under = &mut self.world.under;
        let both = [under.nodes.get(&name), node.as_ref()];
        let addresses = both.into_iter().flatten().flat_map(|node| &node.addresses);
        let near = addresses.copied().any(|address| under.in_a_pool(address));
        let gone = |node: Option<&Node>| node.is_none_or(|node| node.out_of_service);
        let turned = gone(node.as_ref()) != gone(under.nodes.get(&name));
        if put(&mut under.nodes, name.clone(), node) {
            if near {
                self.pools_changed();
            }
            self.soil_under_cluster();
        }
        if turned {
            self.soil_announced_by(&name);
        }
    }

    /// Every Service of the under cluster itself, whose machines its nodes are.
    fn soil_under_cluster(&mut self) {
        let tenants = self.world.tenants.values().filter(|tenant| tenant.spec.is_under_cluster());
        let names: Vec<_> = tenants.map(|tenant| tenant.spec.name.clone()).collect();
        names.iter().for_each(|name| self.soil_tenant(name));
    }

    /// Every Service with an address of which a speaker of this node says something: it counts no
    /// more, or does again.
    fn soil_announced_by(&mut self, node: &str) {
        let says = |eip: &&Eip| eip.status.announcements.iter().any(|by| by.node == node);
        let eips = self.world.under.eips.values().filter(says);
        let owners: Vec<ServiceKey> = eips.flat_map(|eip| eip.owners.iter().cloned()).collect();
        owners.into_iter().for_each(|key| self.soil(key));
    }

    fn ip(&mut self, name: &str, ip: Option<Ip>) {
        let namespaces = [self.world.under.ips.get(name), ip.as_ref()];
        let namespaces: BTreeSet<_> =
            namespaces.into_iter().flatten().map(|ip| ip.namespace.clone()).collect();
        if self.world.put_ip(name, ip) {
            namespaces.iter().for_each(|namespace| self.soil_namespace(namespace));
        }
    }

    fn eip(&mut self, name: &str, eip: Option<Eip>) {
        let under = &self.world.under;
        let tenants: Vec<_> = [under.eips.get(name), eip.as_ref()]
            .into_iter()
            .flatten()
            .map(|e| (e.tenant(), e.spec.pool.clone()))
            .collect();
        let reserved = [under.eips.get(name), eip.as_ref()];
        let reserved = reserved.into_iter().flatten().find(|eip| eip.spec.reserved);
        if let Some(address) = reserved.and_then(Eip::address) {
            self.chores.reserved_changed(address);
        }
        let concerned = self.world.put_eip(name, eip);
        // Whether two advertisements meet may be for the labels of a Service to tell.
        let selects = |of: &Advertisement| !of.service_selectors.is_empty();
        if self.world.under.advertisements.values().any(selects) {
            self.chores.advertisements_changed(&self.world);
        }
        let delegated = |(_, pool): &(_, String)| {
            self.world.under.pools.get(pool).is_some_and(|pool| pool.delegated)
        };
        if tenants.iter().any(delegated) {
            // What is left to a tenant's own MetalLB is what nobody has.
            self.chores.rendered_changed(&self.world);
        }
        for (tenant, pool) in tenants {
            tenant.into_iter().for_each(|tenant| self.chores.tenant_changed(tenant));
            self.chores.pool_changed(pool);
        }
        concerned.into_iter().for_each(|key| self.soil(key));
    }

    fn ovn_eip(&mut self, name: &str, eip: Option<OvnEip>) {
        let under = &self.world.under;
        let reserved = [under.ovn_eips.get(name), eip.as_ref()];
        let reserved = reserved.into_iter().flatten().find_map(|eip| eip.reserved);
        if let Some(address) = reserved {
            self.chores.reserved_changed(address.into());
        }
        let concerned = self.world.put_ovn_eip(name, eip);
        for key in concerned {
            // The last of these may be what the finalizer of a tenant waits for.
            if self.world.tenants.get(key.tenant()).is_some_and(|t| t.spec.deleting) {
                self.chores.tenant_changed(key.tenant().clone());
            }
            self.soil(key);
        }
    }

    fn address_pool(&mut self, name: String, pool: Option<Pool>) {
        let under = &mut self.world.under;
        let wish =
            |pool: &Pool| Pool { status: cpo_api::AddressPoolStatus::default(), ..pool.clone() };
        let before = under.pools.get(&name);
        let same = before.map(wish) == pool.as_ref().map(wish);
        let labels = before.into_iter().chain(&pool).any(Pool::selects_namespaces);
        put(&mut under.pools, name.clone(), pool);
        self.chores.pool_changed(name);
        if !same {
            self.pools_changed();
        }
        if !same && labels {
            for tenant in self.world.tenants.keys().cloned().collect::<Vec<_>>() {
                self.ask_for_namespaces(&tenant);
            }
        }
    }

    /// A subnet's counters change with each address drawn: they concern only those who wait for
    /// one, and the pool's status.
    fn subnet(&mut self, name: String, subnet: Option<crate::under::Subnet>) {
        let pools = self.world.under.pools.iter();
        let pools = pools.filter(|(_, pool)| pool.subnet() == Some(name.as_str()));
        for pool in pools.map(|(name, _)| name.clone()).collect::<Vec<_>>() {
            self.chores.pool_changed(pool);
        }
        let before = self.world.under.subnets.get(&name);
        let matters = |s: &crate::under::Subnet| s.underlay || s.vpc == crate::assignments::OWN_VPC;
        let named = self.world.under.pools.values().any(|p| p.subnet() == Some(name.as_str()));
        let of_pools = named || before.into_iter().chain(subnet.as_ref()).any(matters);
        let uncounted = |s: &crate::under::Subnet| crate::under::Subnet {
            available: u64::from(s.available > 0),
            ..s.clone()
        };
        let same = before.map(uncounted) == subnet.as_ref().map(uncounted);
        put(&mut self.world.under.subnets, name.clone(), subnet);
        if same {
            self.world.reckon_available(&name);
        } else if of_pools {
            self.pools_changed();
        } else {
            self.soil_everybody();
        }
    }

    /// What pools may give is another: figures and Services are looked at anew.
    pub(super) fn pools_changed(&mut self) {
        self.pools_changed = true;
    }

    /// Tells the allocator anew which pools there are, once for all that changed.
    pub(super) fn take_pools(&mut self) {
        if !std::mem::take(&mut self.pools_changed) {
            return;
        }
        self.world.reckon_pools();
        for name in self.world.under.pools.keys().cloned().collect::<Vec<_>>() {
            self.chores.pool_changed(name);
        }
        self.chores.advertisements_changed(&self.world);
        self.reserved_of(None);
        self.chores.rendered_changed(&self.world);
        self.soil_everybody();
    }

    /// Every Service of the tenants whose machines are in a namespace.
    fn soil_namespace(&mut self, namespace: &str) {
        let tenants = self.world.tenants.values();
        let names: Vec<_> = tenants
            .filter(|t| t.spec.machine_namespace == namespace)
            .map(|t| t.spec.name.clone())
            .collect();
        names.iter().for_each(|name| self.soil_tenant(name));
    }

    pub(super) fn tenant(&mut self, name: &TenantName, object: TenantObject) {
        let Some(tenant) = self.world.tenants.get_mut(name) else { return };
        match object {
            TenantObject::Service(namespace, service, value) => {
                self.service(name, &namespace, &service, value.map(|value| *value));
            }
            TenantObject::Patched(namespace, service, value) => {
                self.patched(name, &namespace, &service, *value);
            }
            TenantObject::Node(node, value) => {
                if put(&mut tenant.nodes, node, value) {
                    self.soil_tenant(name);
                }
            }
            TenantObject::Slice(namespace, slice, value) => {
                for (namespace, service) in tenant.put_slice(&namespace, &slice, value) {
                    if let Ok(key) = ServiceKey::new(name, &namespace, &service) {
                        self.soil(key);
                    }
                }
            }
        }
    }
}

/// Stores, or with `None` forgets, a value; tells whether anything changed.
pub(super) fn put<K: Ord, V: PartialEq>(
    map: &mut std::collections::BTreeMap<K, V>,
    key: K,
    value: Option<V>,
) -> bool {
    if map.get(&key) == value.as_ref() {
        return false;
    }
    match value {
        Some(value) => map.insert(key, value),
        None => map.remove(&key),
    };
    true
}
