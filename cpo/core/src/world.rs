//! Everything known, from every source, in one place; and whom a change of it concerns.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use crate::assignments::{Assignments, Claim, Reserved};
use crate::ids::{Install, ServiceKey, TenantName};
use crate::ovn::{Concern, Ovn, RowChange, unlink};
use crate::tenant::{Tenant, TenantSpec};
use crate::under::{Eip, Ip, OvnEip, Under};

use uuid::Uuid;

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
    /// Addresses that no pool of ranges may hold, by the operator's configuration.
    pub reserved: Reserved,
    /// Who has which address, by all of this.
    pub assignments: Assignments,
}

impl World {
    /// A world in which nothing is known yet.
    #[must_use]
    pub fn new(install: Install) -> Self {
        Self {
            install,
            tenants: BTreeMap::new(),
            under: Under::default(),
            ovn: Ovn::default(),
            reserved: Reserved::new(),
            assignments: Assignments::default(),
        }
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

    /// The older `TenantCluster` that is the under cluster, where another is to be it, too.
    #[must_use]
    pub fn rival(&self, spec: &TenantSpec) -> Option<&TenantName> {
        let all = self.tenants.values().map(|tenant| &tenant.spec);
        let first = all.filter(|other| other.is_under_cluster() && !other.deleting);
        let first = first.min_by_key(|other| (other.created, &other.name))?;
        (spec.is_under_cluster() && first.name != spec.name).then_some(&first.name)
    }

    /// Stores, or with `None` forgets, an `Eip`; returns the Services it concerns.
    pub fn put_eip(&mut self, name: &str, eip: Option<Eip>) -> Vec<ServiceKey> {
        let concerned = self.under.put_eip(name, eip);
        if let Some(address) = cpo_api::Eip::address_of(name) {
            self.reckon(address);
            let eip = self.under.eips.get(name);
            if eip.is_none() {
                // Rows may go on serving there what the record gave to somebody else.
                self.assignments.note_freed();
            }
            for key in eip.map(|eip| eip.owners.clone()).unwrap_or_default() {
                self.arrived(&key, address);
            }
        }
        concerned
    }

    /// Stores, or with `None` forgets, an `OvnEip`; returns the Services it concerns.
    pub fn put_ovn_eip(&mut self, name: &str, eip: Option<OvnEip>) -> Vec<ServiceKey> {
        let address =
            |under: &Under| under.ovn_eips.get(name).and_then(OvnEip::address).map(IpAddr::V4);
        let before = address(&self.under);
        let concerned = self.under.put_ovn_eip(name, eip);
        let after = address(&self.under);
        let claim = Claim::OvnEip(name.to_owned());
        if before == after {
            // Whose it is may be another's all the same.
            self.claim(after, claim, true);
        } else {
            self.reclaim(before, after, &claim);
        }
        concerned
    }

    /// Stores, or with `None` forgets, an `IP`; tells whether anything changed.
    pub fn put_ip(&mut self, name: &str, ip: Option<Ip>) -> bool {
        let addresses = |under: &Under| -> BTreeSet<IpAddr> {
            under.ips.get(name).into_iter().flat_map(Ip::addresses).collect()
        };
        let before = addresses(&self.under);
        let changed = self.under.put_ip(name, ip);
        self.reclaim_all(&before, &addresses(&self.under), &Claim::Ip(name.to_owned()));
        changed
    }

    /// Stores, or with `None` forgets, the addresses of a Kube-OVN `Vip`.
    pub fn put_vip(&mut self, name: &str, addresses: Option<Vec<IpAddr>>) {
        let of = |under: &Under| -> BTreeSet<IpAddr> {
            under.vips.get(name).into_iter().flatten().copied().collect()
        };
        let before = of(&self.under);
        store(&mut self.under.vips, name, addresses);
        self.reclaim_all(&before, &of(&self.under), &Claim::Vip(name.to_owned()));
    }

    /// Stores, or forgets, a row; returns whom it concerns.
    pub fn put_row(&mut self, change: RowChange) -> Vec<Concern> {
        let nat = match &change {
            RowChange::Nat(uuid, after) => Some((*uuid, self.ovn.nat.get(uuid).copied(), *after)),
            _ => None,
        };
        let served = |world: &Self, uuid: &Uuid| {
            let row = world.ovn.load_balancers.get(uuid)?;
            row.service(world.install.as_str()).and_then(|_| row.address()).map(IpAddr::V4)
        };
        let row = match &change {
            RowChange::LoadBalancer(uuid, _) => Some((*uuid, served(self, uuid))),
            _ => None,
        };
        let install = self.install.clone();
        let concerns = self.ovn.apply(change, install.as_str());
        if let Some((uuid, before)) = row {
            self.reclaim(before, served(self, &uuid), &Claim::Row(uuid));
        }
        if let Some((uuid, before, after)) = nat {
            self.reclaim(before.map(IpAddr::V4), after.map(IpAddr::V4), &Claim::Nat(uuid));
        }
        concerns
    }

    /// Tells the allocator anew of all addresses of a tenant: whose they are depends on whether
    /// there is a tenant of that name, and which.
    pub(crate) fn reckon_owner(&mut self, name: &TenantName) {
        let under = &self.under;
        let of_eips = |eip: &Eip| eip.address().filter(|_| eip.spec.tenant.name == name.as_str());
        let drawn =
            of_tenant(&under.ovn_eips_of, name).filter_map(|key| under.ovn_eips_of.get(key));
        let drawn = drawn.flatten().filter_map(|name| under.ovn_eips.get(name)?.address());
        let drawn = drawn.map(IpAddr::V4);
        let rows = of_tenant(&self.ovn.of_service, name);
        let served = rows.filter_map(|key| crate::rows::served_address(&self.ovn, key));
        let served = served.map(IpAddr::V4);
        let eips = under.eips.values().filter_map(of_eips);
        let addresses: BTreeSet<_> = eips.chain(drawn).chain(served).collect();
        addresses.into_iter().for_each(|address| self.reckon(address));
    }
}

impl Under {
    /// Stores, or with `None` forgets, an `Eip`; returns the Services it concerns. A state older
    /// than the stored one, or of one that is gone, is dropped.
    fn put_eip(&mut self, name: &str, eip: Option<Eip>) -> Vec<ServiceKey> {
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
        let owners = |eip: Option<&Eip>| eip.map(|eip| eip.owners.clone()).unwrap_or_default();
        let mut concerned = owners(before);
        for key in &concerned {
            unlink(&mut self.eips_of, key, name.to_owned());
        }
        for key in owners(eip.as_ref()) {
            self.eips_of.entry(key.clone()).or_default().insert(name.to_owned());
            if !concerned.contains(&key) {
                concerned.push(key);
            }
        }
        store(&mut self.eips, name, eip);
        concerned
    }

    /// Stores, or with `None` forgets, an `OvnEip`; returns the Services it concerns. A state
    /// older than the stored one, or of one that is gone, is dropped.
    fn put_ovn_eip(&mut self, name: &str, eip: Option<OvnEip>) -> Vec<ServiceKey> {
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
            concerned.extend(named.flat_map(|e| e.owners.iter().cloned()));
        }
        store(&mut self.ovn_eips, name, eip);
        concerned
    }

    /// Stores, or with `None` forgets, an `IP`; tells whether anything changed.
    fn put_ip(&mut self, name: &str, ip: Option<Ip>) -> bool {
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
