//! Everything known, from every source, in one place; and whom a change of it concerns.

use std::collections::{BTreeMap, BTreeSet};

use crate::ids::{Install, ServiceKey, TenantName};
use crate::ovn::{Ovn, unlink};
use crate::tenant::Tenant;
use crate::under::{Eip, Ip, OvnEip, Under};

/// Everything known.
#[derive(Clone, Debug)]
pub struct World {
    /// This installation.
    pub install: Install,
    /// The tenants.
    pub tenants: BTreeMap<TenantName, Tenant>,
    /// The under cluster.
    pub under: Under,
    /// The Northbound database.
    pub ovn: Ovn,
}

impl World {
    /// A world in which nothing is known yet.
    #[must_use]
    pub fn new(install: Install) -> Self {
        Self { install, tenants: BTreeMap::new(), under: Under::default(), ovn: Ovn::default() }
    }

    /// Every Service of which anything is known anywhere, of one tenant.
    #[must_use]
    pub fn keys_of(&self, tenant: &TenantName) -> BTreeSet<ServiceKey> {
        let services = self.tenants.get(tenant).into_iter().flat_map(|t| t.services.keys());
        services
            .chain(of_tenant(&self.under.eips_of, tenant))
            .chain(of_tenant(&self.under.ovn_eips_of, tenant))
            .chain(of_tenant(&self.ovn.of_service, tenant))
            .cloned()
            .collect()
    }
}

impl Under {
    /// Stores, or with `None` forgets, an `Eip`; returns the Services it concerns. A state older
    /// than the stored one, or of one that is gone, is dropped.
    pub fn put_eip(&mut self, name: &str, eip: Option<Eip>) -> Vec<ServiceKey> {
        if eip.as_ref().is_some_and(|eip| self.gone.holds(&eip.uid)) {
            return Vec::new();
        }
        let before = self.eips.get(name);
        if let (Some(before), Some(eip)) = (before, &eip)
            && before.uid == eip.uid
            && eip.version < before.version
        {
            return Vec::new();
        }
        if let (Some(before), None) = (before, &eip) {
            self.gone.remember(before.uid.clone());
        }
        let owner = |eip: Option<&Eip>| eip.and_then(|e| e.owner.clone());
        let concerned = both(owner(before), owner(eip.as_ref()));
        for key in &concerned {
            unlink(&mut self.eips_of, key, name.to_owned());
        }
        if let Some(key) = owner(eip.as_ref()) {
            self.eips_of.entry(key).or_default().insert(name.to_owned());
        }
        store(&mut self.eips, name, eip);
        concerned
    }

    /// Stores, or with `None` forgets, an `OvnEip`; returns the Services it concerns. A state
    /// older than the stored one, or of one that is gone, is dropped.
    pub fn put_ovn_eip(&mut self, name: &str, eip: Option<OvnEip>) -> Vec<ServiceKey> {
        if eip.as_ref().is_some_and(|eip| self.gone.holds(&eip.uid)) {
            return Vec::new();
        }
        let before = self.ovn_eips.get(name);
        if let (Some(before), Some(eip)) = (before, &eip)
            && before.uid == eip.uid
            && eip.version < before.version
        {
            return Vec::new();
        }
        if let (Some(before), None) = (before, &eip) {
            self.gone.remember(before.uid.clone());
        }
        let owner = |eip: Option<&OvnEip>| eip.and_then(|e| e.service.clone());
        let mut concerned = both(owner(before), owner(eip.as_ref()));
        for key in &concerned {
            unlink(&mut self.ovn_eips_of, key, name.to_owned());
        }
        if let Some(key) = owner(eip.as_ref()) {
            self.ovn_eips_of.entry(key).or_default().insert(name.to_owned());
        }
        // An OvnEip that lost its annotation is still known by the Eip that names it.
        let named = self
            .eips
            .values()
            .filter(|e| e.spec.overlay.as_ref().is_some_and(|o| o.ovn_eip == name));
        if concerned.is_empty() {
            concerned.extend(named.filter_map(|e| e.owner.clone()));
        }
        store(&mut self.ovn_eips, name, eip);
        concerned
    }

    /// Stores, or with `None` forgets, an `IP`; tells whether anything changed.
    pub fn put_ip(&mut self, name: &str, ip: Option<Ip>) -> bool {
        let before = self.ips.get(name);
        if before == ip.as_ref() {
            return false;
        }
        let machine = |ip: &Ip| (ip.namespace.clone(), ip.machine.clone());
        if let Some(before) = before.map(machine) {
            unlink(&mut self.ips_of, &before, name.to_owned());
        }
        if let Some(ip) = &ip {
            self.ips_of.entry(machine(ip)).or_default().insert(name.to_owned());
        }
        store(&mut self.ips, name, ip);
        true
    }
}

/// The keys of one tenant, without a look at those of others.
fn of_tenant<'a, V>(
    index: &'a BTreeMap<ServiceKey, V>,
    tenant: &'a TenantName,
) -> impl Iterator<Item = &'a ServiceKey> {
    let from = ServiceKey::before_all_of(tenant);
    index.range(from..).map(|(key, _)| key).take_while(move |key| key.tenant() == tenant)
}

fn both<K: PartialEq>(before: Option<K>, after: Option<K>) -> Vec<K> {
    let mut all: Vec<K> = before.into_iter().collect();
    all.extend(after.filter(|after| !all.contains(after)).into_iter().collect::<Vec<_>>());
    all
}

fn store<V>(map: &mut BTreeMap<String, V>, name: &str, value: Option<V>) {
    match value {
        Some(value) => map.insert(name.to_owned(), value),
        None => map.remove(name),
    };
}
