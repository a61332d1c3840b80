//! What the Northbound database holds, as far as it concerns us.
//!
//! Fed row by row; the indexes follow each row, so that a change of one row costs what that row
//! costs, however many there are.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use uuid::Uuid;

use crate::ids::ServiceKey;
use crate::service::Protocol;

/// `external_ids` key: who made the row.
pub const VENDOR: &str = "vendor";
/// Value of [`VENDOR`] on our rows.
pub const VENDOR_US: &str = "cpo";
/// Value of [`VENDOR`] on Kube-OVN's rows.
pub const VENDOR_KUBE_OVN: &str = "kube-ovn";
/// `external_ids` key: the installation.
pub const INSTALL: &str = "install";
/// `external_ids` key: identity of a row, `<tenant uid>/<namespace>/<name>/<protocol>`.
pub const OWNER: &str = "owner";
/// `external_ids` key: `<tenant>/<namespace>/<name>`.
pub const SERVICE: &str = "service";

/// A `Load_Balancer` row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoadBalancer {
    /// `name`.
    pub name: String,
    /// `protocol`.
    pub protocol: Protocol,
    /// `vips`: `address:port` → `address:port,…`.
    pub vips: BTreeMap<String, String>,
    /// `options`.
    pub options: BTreeMap<String, String>,
    /// `selection_fields`.
    pub selection_fields: BTreeSet<String>,
    /// `external_ids`.
    pub external_ids: BTreeMap<String, String>,
}

impl LoadBalancer {
    /// The Service it serves, if the row is ours.
    #[must_use]
    pub fn service(&self, install: &str) -> Option<ServiceKey> {
        let ours = self.external_id(VENDOR) == Some(VENDOR_US)
            && self.external_id(INSTALL) == Some(install);
        if !ours {
            return None;
        }
        self.external_id(SERVICE)?.parse().ok()
    }

    /// A value of `external_ids`.
    #[must_use]
    pub fn external_id(&self, key: &str) -> Option<&str> {
        self.external_ids.get(key).map(String::as_str)
    }

    /// The address it serves; a row of ours serves one.
    #[must_use]
    pub fn address(&self) -> Option<Ipv4Addr> {
        self.vips.keys().find_map(|vip| address_of(vip))
    }

    /// Emptied: it serves nothing and waits to be used again or swept.
    #[must_use]
    pub fn is_tombstone(&self) -> bool {
        self.vips.is_empty()
    }
}

/// A `Logical_Router` row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Router {
    /// `name`.
    pub name: String,
    /// `external_ids:vendor` says Kube-OVN made it.
    pub of_kube_ovn: bool,
    /// `ports`.
    pub ports: BTreeSet<Uuid>,
    /// `load_balancer`.
    pub load_balancers: BTreeSet<Uuid>,
    /// `nat`.
    pub nat: BTreeSet<Uuid>,
    /// `policies`.
    pub policies: BTreeSet<Uuid>,
    /// `static_routes`.
    pub routes: BTreeSet<Uuid>,
}

/// A `Logical_Router_Port` row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouterPort {
    /// `name`.
    pub name: String,
    /// `networks`: the port's own addresses with their prefix lengths.
    pub networks: Vec<Ipv4Net>,
    /// It has `gateway_chassis` or an `ha_chassis_group`.
    pub gateway: bool,
    /// Chassis names of its `gateway_chassis`, highest priority first.
    pub chassis: Vec<String>,
}

/// A `Logical_Router_Static_Route` row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// `ip_prefix`.
    pub prefix: String,
    /// `nexthop`.
    pub nexthop: String,
    /// `policy` is `src-ip`.
    pub by_source: bool,
    /// `route_table`; empty is the main one.
    pub table: String,
    /// `output_port`.
    pub output_port: Option<String>,
}

/// A `Logical_Router_Policy` row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// `priority`.
    pub priority: i64,
    /// `match`.
    pub matches: String,
    /// `action`.
    pub action: String,
    /// `nexthops` and `nexthop`.
    pub nexthops: Vec<String>,
}

/// State of the connection to the Northbound database.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum OvnLink {
    /// Not connected since the start.
    #[default]
    Connecting,
    /// Connected, and the rows are complete.
    Up,
    /// Connected before; the rows are those of that time.
    Down(String),
}

/// One change of one row; `None` where the row is gone.
#[derive(Clone, Debug)]
pub enum RowChange {
    /// Of `Load_Balancer`.
    LoadBalancer(Uuid, Option<LoadBalancer>),
    /// Of `Logical_Router`.
    Router(Uuid, Option<Router>),
    /// Of `Logical_Router_Port`.
    Port(Uuid, Option<RouterPort>),
    /// Of `Logical_Router_Static_Route`.
    Route(Uuid, Option<Route>),
    /// Of `Logical_Router_Policy`.
    Policy(Uuid, Option<Policy>),
    /// Of `NAT`: its `external_ip`.
    Nat(Uuid, Option<Ipv4Addr>),
    /// Of `NB_Global`: the version northd reports.
    Northd(Option<String>),
}

/// What a change of a row may alter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Concern {
    /// One Service.
    Service(ServiceKey),
    /// Whoever uses this address.
    Address(Ipv4Addr),
    /// Everybody: the shape of a router changed.
    Everybody,
}

/// The rows, and the indexes on them.
#[derive(Clone, Debug, Default)]
pub struct Ovn {
    /// How the connection stands.
    pub link: OvnLink,
    /// `Load_Balancer`.
    pub load_balancers: BTreeMap<Uuid, LoadBalancer>,
    /// `Logical_Router`.
    pub routers: BTreeMap<Uuid, Router>,
    /// `Logical_Router_Port`.
    pub ports: BTreeMap<Uuid, RouterPort>,
    /// `Logical_Router_Static_Route`.
    pub routes: BTreeMap<Uuid, Route>,
    /// `Logical_Router_Policy`.
    pub policies: BTreeMap<Uuid, Policy>,
    /// `NAT`: external address.
    pub nat: BTreeMap<Uuid, Ipv4Addr>,
    /// Version northd reports, for example `25.03.0-20.41.0-77.6`.
    pub northd: Option<String>,
    /// Our rows by Service.
    pub of_service: BTreeMap<ServiceKey, BTreeSet<Uuid>>,
    /// Our rows that are emptied, and the Service each was for.
    pub tombstones: BTreeMap<Uuid, ServiceKey>,
    /// Every row by Vip key.
    by_vip: BTreeMap<String, BTreeSet<Uuid>>,
    /// Routers a load balancer is attached to.
    attached: BTreeMap<Uuid, BTreeSet<Uuid>>,
}

impl Ovn {
    /// Whether the rows are known at all.
    #[must_use]
    pub const fn known(&self) -> bool {
        !matches!(self.link, OvnLink::Connecting)
    }

    /// Routers a load balancer is attached to.
    pub fn attached_to(&self, balancer: Uuid) -> impl Iterator<Item = Uuid> {
        self.attached.get(&balancer).into_iter().flatten().copied()
    }

    /// Rows that hold the Vip `address:port`, with any protocol.
    pub fn holding(&self, vip: &str) -> impl Iterator<Item = (Uuid, &LoadBalancer)> {
        let rows = self.by_vip.get(vip).into_iter().flatten();
        rows.filter_map(|uuid| self.load_balancers.get(uuid).map(|row| (*uuid, row)))
    }

    /// Stores one change and says what it concerns.
    pub fn apply(&mut self, change: RowChange, install: &str) -> Vec<Concern> {
        let shape = vec![Concern::Everybody];
        match change {
            RowChange::LoadBalancer(uuid, row) => self.put_balancer(uuid, row, install),
            RowChange::Router(uuid, row) => self.put_router(uuid, row, install),
            RowChange::Port(uuid, row) => changed(&mut self.ports, uuid, row, shape),
            RowChange::Route(uuid, row) => changed(&mut self.routes, uuid, row, shape),
            RowChange::Policy(uuid, row) => changed(&mut self.policies, uuid, row, shape),
            RowChange::Nat(uuid, address) => {
                let before = self.nat.get(&uuid).copied();
                let concerns = [before, address].into_iter().flatten().map(Concern::Address);
                let concerns = concerns.collect();
                changed(&mut self.nat, uuid, address, concerns)
            }
            RowChange::Northd(version) => {
                let concerns = if self.northd == version { Vec::new() } else { shape };
                self.northd = version;
                concerns
            }
        }
    }

    fn put_balancer(
        &mut self,
        uuid: Uuid,
        row: Option<LoadBalancer>,
        install: &str,
    ) -> Vec<Concern> {
        let mut concerns = Vec::new();
        if let Some(before) = self.load_balancers.remove(&uuid) {
            for vip in before.vips.keys() {
                unlink(&mut self.by_vip, vip, uuid);
            }
            concerns.extend(concerns_of(&before, install));
            if let Some(key) = before.service(install) {
                unlink(&mut self.of_service, &key, uuid);
            }
            self.tombstones.remove(&uuid);
        }
        if let Some(row) = row {
            for vip in row.vips.keys() {
                self.by_vip.entry(vip.clone()).or_default().insert(uuid);
            }
            concerns.extend(concerns_of(&row, install));
            if let Some(key) = row.service(install) {
                if row.is_tombstone() {
                    self.tombstones.insert(uuid, key.clone());
                }
                self.of_service.entry(key).or_default().insert(uuid);
            }
            self.load_balancers.insert(uuid, row);
        }
        concerns
    }

    fn put_router(&mut self, uuid: Uuid, row: Option<Router>, install: &str) -> Vec<Concern> {
        let before = self.routers.remove(&uuid);
        let old = before.as_ref().map(|r| r.load_balancers.clone()).unwrap_or_default();
        let new = row.as_ref().map(|r| r.load_balancers.clone()).unwrap_or_default();
        let mut concerns = Vec::new();
        for balancer in old.symmetric_difference(&new) {
            if new.contains(balancer) {
                self.attached.entry(*balancer).or_default().insert(uuid);
            } else {
                unlink(&mut self.attached, balancer, uuid);
            }
            if let Some(row) = self.load_balancers.get(balancer) {
                concerns.extend(concerns_of(row, install));
            }
        }
        if shape(before.as_ref()) != shape(row.as_ref()) {
            concerns.push(Concern::Everybody);
        }
        if let Some(row) = row {
            self.routers.insert(uuid, row);
        }
        concerns
    }
}

/// A router without its load balancers.
fn shape(router: Option<&Router>) -> Option<Router> {
    router.map(|router| Router { load_balancers: BTreeSet::new(), ..router.clone() })
}

fn concerns_of(row: &LoadBalancer, install: &str) -> Vec<Concern> {
    match row.service(install) {
        Some(key) => vec![Concern::Service(key)],
        None => row.vips.keys().filter_map(|vip| address_of(vip)).map(Concern::Address).collect(),
    }
}

/// The address of a Vip key `address:port`.
fn address_of(vip: &str) -> Option<Ipv4Addr> {
    vip.rsplit_once(':')?.0.parse().ok()
}

fn changed<K: Ord, V: PartialEq>(
    map: &mut BTreeMap<K, V>,
    key: K,
    value: Option<V>,
    concerns: Vec<Concern>,
) -> Vec<Concern> {
    if map.get(&key) == value.as_ref() {
        return Vec::new();
    }
    match value {
        Some(value) => map.insert(key, value),
        None => map.remove(&key),
    };
    concerns
}

/// Removes `member` from the set at `key`, and the set when it is empty.
pub(crate) fn unlink<K: Ord + Clone, V: Ord>(
    index: &mut BTreeMap<K, BTreeSet<V>>,
    key: &K,
    member: V,
) {
    if let Some(set) = index.get_mut(key) {
        set.remove(&member);
        if set.is_empty() {
            index.remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    #[test]
    fn attaching_a_row_concerns_its_service_alone() {
        let mut ovn = Ovn::default();
        let (row, router) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let balancer = testing::balancer("a/default/web", "198.51.100.20:80", "10.0.0.2:30080");
        ovn.apply(RowChange::LoadBalancer(row, Some(balancer)), "default");
        let mut attached = testing::router("vpc-a");
        ovn.apply(RowChange::Router(router, Some(attached.clone())), "default");
        attached.load_balancers.insert(row);
        let concerns = ovn.apply(RowChange::Router(router, Some(attached)), "default");
        assert_eq!(concerns, [Concern::Service("a/default/web".parse().unwrap())]);
        assert_eq!(ovn.attached_to(row).collect::<Vec<_>>(), [router]);
        ovn.apply(RowChange::Router(router, None), "default");
        assert_eq!(ovn.attached_to(row).count(), 0);
    }

    #[test]
    fn a_foreign_row_concerns_whoever_uses_its_addresses() {
        let mut ovn = Ovn::default();
        let mut balancer = testing::balancer("a/default/web", "198.51.100.20:80", "");
        balancer.external_ids.clear();
        let concerns =
            ovn.apply(RowChange::LoadBalancer(Uuid::from_u128(1), Some(balancer)), "default");
        assert_eq!(concerns, [Concern::Address("198.51.100.20".parse().unwrap())]);
        assert_eq!(ovn.holding("198.51.100.20:80").count(), 1);
        assert!(ovn.of_service.is_empty());
        ovn.apply(RowChange::LoadBalancer(Uuid::from_u128(1), None), "default");
        assert_eq!(ovn.holding("198.51.100.20:80").count(), 0);
    }

    #[test]
    fn another_installations_row_is_foreign() {
        let mut ovn = Ovn::default();
        let balancer = testing::balancer("a/default/web", "198.51.100.20:80", "");
        ovn.apply(RowChange::LoadBalancer(Uuid::from_u128(1), Some(balancer)), "other");
        assert!(ovn.of_service.is_empty());
    }
}
