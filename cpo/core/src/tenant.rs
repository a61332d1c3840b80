//! One tenant: what an operator wants of it, and what its API server said.

mod mode;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use cpo_api::{CleanupPolicy, TenantClusterStatus};
use jiff::Timestamp;
use pools::{Family, Labels};

use crate::ids::{NodeName, ServiceKey, TenantName, Uid, Version};
use crate::service::{Endpoint, EndpointSlice, Service};

pub use mode::{Mode, Vlan};

/// A `TenantCluster`, parsed at the edge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TenantSpec {
    /// Its name.
    pub name: TenantName,
    /// Its UID: names return, UIDs do not.
    pub uid: Uid,
    /// `metadata.resourceVersion`.
    pub version: Version,
    /// `metadata.generation`.
    pub generation: i64,
    /// `metadata.labels`: pools may select tenants by them.
    pub labels: BTreeMap<String, String>,
    /// `metadata.deletionTimestamp` is set.
    pub deleting: bool,
    /// Our finalizer is present.
    pub finalizer: bool,
    /// The finalizers of others.
    pub other_finalizers: Vec<String>,
    /// How its API server is reached.
    pub access: Access,
    /// `metadata.creationTimestamp` in seconds of Unix time.
    pub created: u64,
    /// Classes that are ours.
    pub classes: Vec<String>,
    /// Whether Services without a class are ours.
    pub claim_classless: bool,
    /// Pools the tenant may draw from; empty means those open to all.
    pub pools: Vec<String>,
    /// The VPC, where the operator pinned it.
    pub vpc: Option<String>,
    /// Subnets backends may lie in; empty means all of the VPC.
    pub subnets: Vec<String>,
    /// The VLAN of its machines, in VLAN mode; without it the mode is overlay.
    pub vlan: Option<Vlan>,
    /// Namespace of the tenant's virtual machines.
    pub machine_namespace: String,
    /// Labels its virtual machines carry.
    pub machine_labels: BTreeMap<String, String>,
    /// What it may have at most.
    pub quota: cpo_api::Quota,
    /// What happens at its deletion.
    pub cleanup: CleanupPolicy,
    /// Nothing is changed.
    pub suspended: bool,
    /// How many vanished Services an operator agrees to release.
    pub acknowledged: Option<usize>,
    /// What its status holds.
    pub status: TenantClusterStatus,
}

/// How a tenant's API server is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Access {
    /// By the kubeconfig in a Secret.
    Kubeconfig(SecretKey),
    /// It is the under cluster's own.
    InCluster,
}

/// One key of one Secret on the under cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretKey {
    /// Namespace of the Secret.
    pub namespace: String,
    /// Name of the Secret.
    pub name: String,
    /// Key in its `data`.
    pub key: String,
}

impl TenantSpec {
    /// How its addresses are served.
    #[must_use]
    pub const fn mode(&self) -> Mode {
        match self.vlan {
            None => Mode::Overlay,
            Some(_) => Mode::Vlan,
        }
    }

    /// Whether it is the under cluster itself.
    #[must_use]
    pub const fn is_under_cluster(&self) -> bool {
        matches!(self.access, Access::InCluster)
    }

    /// Whether a Service is ours to serve.
    #[must_use]
    pub fn claims(&self, service: &Service) -> bool {
        service.load_balancer
            && match &service.class {
                None => self.claim_classless,
                Some(class) => self.classes.iter().any(|c| c == class),
            }
    }
}

/// A Node of a tenant. Every field is tenant-written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// The virtual machine it says it is: `spec.providerID` without `kubevirt://`, else its name.
    pub machine: String,
    /// Excluded from load balancers by label, about to be deleted, or being deleted.
    pub excluded: bool,
    /// Condition `Ready`; `false` also where it is missing or `Unknown`.
    pub ready: bool,
    /// When `Ready` changed last.
    pub ready_since: Option<Timestamp>,
    /// `status.addresses`: compared with, never used as backends.
    pub addresses: BTreeSet<IpAddr>,
}

/// What is known of one tenant.
#[derive(Clone, Debug)]
pub struct Tenant {
    /// What the operator wants.
    pub spec: TenantSpec,
    /// Counts the tenants that were learnt of: what was observed for one is not another's.
    pub incarnation: u64,
    /// How far the tenant's own objects are known.
    pub link: Link,
    /// The three complete lists are in: before that, an absent object proves nothing.
    pub synced: bool,
    /// Services that a complete list no longer named, so many at once that they are kept until an
    /// operator agrees.
    pub braked: BTreeSet<ServiceKey>,
    /// Services by key: those that are of our concern.
    pub services: BTreeMap<ServiceKey, Service>,
    /// The last state of Services that ceased to be of our concern: an answer may have told so
    /// before the watch, which then tells what is older.
    passed: BTreeMap<ServiceKey, (Uid, Version)>,
    /// Services that the list under way has not named yet.
    unlisted: BTreeSet<ServiceKey>,
    /// Services of which an answer came while a list is under way that did not name them yet.
    answered: BTreeSet<ServiceKey>,
    /// Nodes by name.
    pub nodes: BTreeMap<NodeName, Node>,
    /// Its namespaces.
    pub namespaces: Namespaces,
    /// EndpointSlices by namespace and name.
    pub slices: BTreeMap<(String, String), EndpointSlice>,
    by_service: BTreeMap<(String, String), BTreeSet<String>>,
}

/// A tenant's namespaces, which are read where a pool selects by their labels.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Namespaces {
    /// The round in which they are read; none while no pool asks for them.
    pub round: Option<Round>,
    /// Labels by name.
    pub labels: BTreeMap<String, Labels>,
    /// How far they are known.
    pub reading: Reading,
}

/// Counts how often namespaces began to be read: what was seen in an earlier round may be older
/// than what was forgotten since.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Round(u64);

impl Round {
    /// The one after it.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

/// How far something of a tenant is known that is not always read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reading {
    /// No complete list yet; what the last attempt failed for.
    Unread(String),
    /// All of it.
    Read,
    /// The tenant's API server refuses it, for this reason.
    Refused(String),
}

impl Default for Reading {
    fn default() -> Self {
        Self::Unread(String::new())
    }
}

/// How we stand with a tenant's API server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Link {
    /// Not answered yet.
    Connecting,
    /// It answers.
    Up {
        /// Version it reports.
        version: Option<String>,
        /// When our client certificate expires.
        expires: Option<Timestamp>,
    },
    /// It does not answer, or refuses us.
    Down(String),
    /// The kubeconfig is not accepted.
    Rejected(String),
}

impl Tenant {
    /// A tenant of which nothing but the operator's wish is known.
    #[must_use]
    pub const fn new(spec: TenantSpec) -> Self {
        Self {
            spec,
            incarnation: 0,
            link: Link::Connecting,
            synced: false,
            braked: BTreeSet::new(),
            passed: BTreeMap::new(),
            unlisted: BTreeSet::new(),
            answered: BTreeSet::new(),
            services: BTreeMap::new(),
            nodes: BTreeMap::new(),
            namespaces: Namespaces {
                round: None,
                labels: BTreeMap::new(),
                reading: Reading::Unread(String::new()),
            },
            slices: BTreeMap::new(),
            by_service: BTreeMap::new(),
        }
    }

    /// Stores a Service as the watch tells it, or passes over one that is of no concern; tells
    /// whether anything of our concern may be another. A state older than the last that is known is
    /// dropped, unless it is from a list.
    pub fn put_service(&mut self, key: &ServiceKey, service: Service) -> bool {
        match self.unlisted.remove(key) {
            true => self.store(key, service),
            false => self.store_newer(key, service),
        }
    }

    /// Stores a Service that we patched as the answer has it, unless it is gone meanwhile or a
    /// namesake has come; tells the same as [`Self::put_service`].
    pub fn put_patched(&mut self, key: &ServiceKey, service: Service) -> bool {
        let known = self.services.get(key).is_some_and(|known| known.uid == service.uid);
        let stored = known && self.store_newer(key, service);
        if stored && self.unlisted.remove(key) {
            self.answered.insert(key.clone());
        }
        stored
    }

    fn store_newer(&mut self, key: &ServiceKey, service: Service) -> bool {
        let stored = self.services.get(key).map(|known| (&known.uid, known.version));
        let passed = || self.passed.get(key).map(|(uid, version)| (uid, *version));
        let known = stored.or_else(passed);
        let newer =
            known.is_some_and(|(uid, version)| *uid == service.uid && version > service.version);
        !newer && self.store(key, service)
    }

    fn store(&mut self, key: &ServiceKey, service: Service) -> bool {
        if service.concerns_us() {
            self.passed.remove(key);
            self.services.insert(key.clone(), service);
            return true;
        }
        let changed = self.services.remove(key).is_some();
        if changed || self.passed.contains_key(key) {
            self.passed.insert(key.clone(), (service.uid, service.version));
        }
        changed
    }

    /// The Services of a namespace that are of our concern.
    #[must_use]
    pub fn services_in(&self, namespace: &str) -> Vec<ServiceKey> {
        let keys = self.services.range(ServiceKey::before_all_in(&self.spec.name, namespace)..);
        let keys = keys.map(|(key, _)| key).take_while(|key| key.namespace() == namespace);
        keys.cloned().collect()
    }

    /// Forgets a Service that is gone.
    pub fn remove_service(&mut self, key: &ServiceKey) {
        self.services.remove(key);
        self.passed.remove(key);
        self.unlisted.remove(key);
        self.answered.remove(key);
    }

    /// A list begins: however old it says its objects are, they replace what is known.
    pub fn listing_services(&mut self) {
        self.unlisted = self.services.keys().cloned().collect();
        self.answered.clear();
        self.passed.clear();
    }

    /// A list is complete, and what it does not name was removed. Where it was not believed, or
    /// could not be read, the next event is.
    pub fn listed_services(&mut self) {
        let unsure = std::mem::take(&mut self.unlisted).into_iter();
        for key in unsure.chain(std::mem::take(&mut self.answered)) {
            if let Some(service) = self.services.get_mut(&key) {
                service.version = Version::default();
            }
        }
    }

    /// Stores, or with `None` forgets, a slice; returns the namespace and name of every Service
    /// it concerns.
    pub fn put_slice(
        &mut self,
        namespace: &str,
        name: &str,
        slice: Option<EndpointSlice>,
    ) -> Vec<(String, String)> {
        let id = (namespace.to_owned(), name.to_owned());
        let mut concerned = Vec::new();
        let before = match slice {
            Some(slice) if self.slices.get(&id) == Some(&slice) => return concerned,
            Some(slice) => {
                let service = (namespace.to_owned(), slice.service.clone());
                self.by_service.entry(service.clone()).or_default().insert(name.to_owned());
                concerned.push(service);
                self.slices.insert(id, slice)
            }
            None => self.slices.remove(&id),
        };
        if let Some(before) = before {
            let service = (namespace.to_owned(), before.service);
            if !concerned.contains(&service) {
                if let Some(names) = self.by_service.get_mut(&service) {
                    names.remove(name);
                }
                concerned.push(service);
            }
        }
        concerned
    }

    /// The endpoints of a Service in a family.
    pub fn endpoints(&self, key: &ServiceKey, family: Family) -> impl Iterator<Item = &Endpoint> {
        let service = (key.namespace().to_owned(), key.name().to_owned());
        let names = self.by_service.get(&service).into_iter().flatten();
        names
            .filter_map(move |name| self.slices.get(&(service.0.clone(), name.clone())))
            .filter(move |slice| slice.family == Some(family))
            .flat_map(|slice| &slice.endpoints)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    fn slice(service: &str) -> Option<EndpointSlice> {
        let endpoint = Endpoint { node: None, ready: true, serving: true, terminating: false };
        Some(EndpointSlice {
            family: Some(Family::V4),
            service: service.into(),
            endpoints: vec![endpoint],
        })
    }

    #[test]
    fn a_slice_that_changes_its_service_concerns_both() {
        let mut tenant = Tenant::new(testing::tenant("a"));
        let web = ("default".to_owned(), "web".to_owned());
        let api = ("default".to_owned(), "api".to_owned());
        assert_eq!(tenant.put_slice("default", "s1", slice("web")), std::slice::from_ref(&web));
        assert!(tenant.put_slice("default", "s1", slice("web")).is_empty());
        assert_eq!(tenant.put_slice("default", "s1", slice("api")), [api.clone(), web]);
        let key = "a/default/web".parse().unwrap();
        assert_eq!(tenant.endpoints(&key, Family::V4).count(), 0);
        assert_eq!(tenant.put_slice("default", "s1", None), [api]);
    }

    #[test]
    fn a_service_is_claimed_by_class() {
        let mut spec = testing::tenant("a");
        let mut service = testing::service();
        assert!(spec.claims(&service));
        spec.claim_classless = false;
        assert!(!spec.claims(&service));
        service.class = Some("cloud-provider-ovn.io/default".into());
        assert!(spec.claims(&service));
        service.class = Some("other".into());
        assert!(!spec.claims(&service));
        service.class = None;
        spec.claim_classless = true;
        service.load_balancer = false;
        assert!(!spec.claims(&service));
    }
}
