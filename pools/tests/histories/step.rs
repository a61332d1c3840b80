//! What may happen.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use pools::{
    Afterwards, Bound, Families, Family, Labels, Owner, PerFamily, PoolSpec, Port, Protocol, Quota,
    Record, Request, Selector, Service, ServiceAllocation, Sharing, Source, TenantSpec,
};
use proptest::prelude::*;

pub(crate) const TENANTS: [&str; 2] = ["blue", "green"];
const NAMESPACES: [&str; 2] = ["a", "b"];
const NAMES: [&str; 3] = ["x", "y", "z"];

/// What is so beside the allocator.
#[derive(Default)]
pub(crate) struct World {
    pub(crate) pools: BTreeMap<String, PoolSpec>,
    pub(crate) now: u64,
}

#[derive(Clone, Debug)]
pub(crate) enum Step {
    Pools(Vec<usize>),
    Tenant(&'static str, TenantSpec),
    Assign(Wish),
    Release(Named, Then),
    ReleaseFamily(Named, Family, Then),
    Withdraw(Named),
    /// What is promised to a Service is written into its records.
    Confirm(Named, u64),
    Left(&'static str, PerFamily<u64>),
    RemoveTenant(&'static str),
    Pass(i64),
    Record(Written),
    Forget(IpAddr),
    Restart(u64),
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Named(usize, usize, usize);

#[derive(Clone, Copy, Debug)]
pub(crate) enum Then {
    Free,
    Rest(u64),
    Keep,
    Reserved(Option<(&'static str, &'static str)>),
}

#[derive(Clone, Debug)]
pub(crate) struct Wish {
    pub(crate) service: Named,
    families: Families,
    addresses: Vec<IpAddr>,
    pool: Option<&'static str>,
    ports: Vec<u16>,
    sharing: Option<(&'static str, &'static str)>,
}

#[derive(Clone, Debug)]
pub(crate) struct Written {
    address: IpAddr,
    pool: &'static str,
    services: Vec<(Named, u16)>,
    created: u64,
    kind: u8,
}

impl Named {
    pub(crate) fn get(self) -> Service<'static> {
        let Self(tenant, namespace, name) = self;
        Service { tenant: TENANTS[tenant], namespace: NAMESPACES[namespace], name: NAMES[name] }
    }
}

pub(crate) fn services() -> impl Iterator<Item = Service<'static>> {
    (0..12).map(|n| Named(n % 2, n / 2 % 2, n / 4).get())
}

impl Then {
    pub(crate) fn at(self, now: u64) -> Afterwards<'static> {
        match self {
            Self::Free => Afterwards::Free,
            Self::Rest(seconds) => Afterwards::Rest(now + seconds),
            Self::Keep => Afterwards::Keep,
            Self::Reserved(whom) => Afterwards::Reserved(whom),
        }
    }
}

impl Wish {
    pub(crate) fn with_request<T>(&self, then: impl FnOnce(&Request<'_>) -> T) -> T {
        // The same numbers of two protocols.
        let port = |number: &u16| match number {
            80..=81 => Port { protocol: Protocol::Tcp, number: *number },
            _ => Port { protocol: Protocol::Udp, number: *number - 2 },
        };
        let ports: Vec<Port> = self.ports.iter().map(port).collect();
        let service = self.service.get();
        let labels = Labels::from([("app".to_owned(), service.name.to_owned())]);
        then(&Request {
            service,
            labels: &labels,
            namespace_labels: None,
            families: self.families,
            addresses: &self.addresses,
            pool: self.pool,
            ports: &ports,
            sharing: self.sharing.map(|(key, backends)| Sharing { key, backends }),
            among: None,
        })
    }
}

impl Written {
    pub(crate) fn with_record<T>(&self, now: u64, then: impl FnOnce(&Record<'_>) -> T) -> T {
        let owner = self.services[0].0.get();
        let ports: Vec<_> = self
            .services
            .iter()
            .map(|(_, number)| [Port { protocol: Protocol::Udp, number: *number - 10 }])
            .collect();
        let bound: Vec<Bound<'_>> = (self.services.iter().zip(&ports))
            .map(|((service, _), ports)| {
                let Service { namespace, name, .. } = service.get();
                Bound { namespace, name, ports }
            })
            .collect();
        let last = (owner.namespace, owner.name);
        let key = if self.services[0].1.is_multiple_of(2) { "k" } else { "" };
        let sharing = (bound.len() > 1).then_some(Sharing { key, backends: "" });
        let tenant = owner.tenant;
        let owner = match self.kind {
            0 => Owner::Services { tenant, services: &bound, sharing },
            1 => Owner::Resting { tenant, last: Some(last), until: now + 5 },
            2 => Owner::Reserved { tenant, service: Some(last) },
            3 => Owner::Kept { tenant, namespace: last.0, name: last.1 },
            4 => Owner::Foreign("a gateway"),
            5 => Owner::Services { tenant, services: &[], sharing },
            _ => Owner::Reserved { tenant, service: None },
        };
        let Self { address, pool, created, .. } = *self;
        then(&Record { address, pool, created, owner })
    }
}

/// Pools that fit together, and some that do not.
pub(crate) fn pools_named(kinds: &[usize]) -> BTreeMap<String, PoolSpec> {
    let all = palette();
    kinds.iter().map(|kind| all[kind % all.len()].clone()).collect()
}

fn palette() -> Vec<(String, PoolSpec)> {
    let spec = |ranges: &[&str]| PoolSpec {
        addresses: ranges.iter().map(|range| range.parse().unwrap()).collect(),
        ..PoolSpec::default()
    };
    let allocation = |priority, namespace: &str| {
        let namespaces = BTreeSet::from([namespace.to_owned()]);
        Some(ServiceAllocation { priority, namespaces, ..ServiceAllocation::default() })
    };
    let labels = Labels::from([("app".to_owned(), "z".to_owned())]);
    let selected = ServiceAllocation {
        service_selectors: vec![Selector { labels, requirements: Vec::new() }],
        ..ServiceAllocation::default()
    };
    let blue = || Some(BTreeSet::from(["blue".to_owned()]));
    let named = |name: &str, spec: PoolSpec| (name.to_owned(), spec);
    let (four, dual) = (["10.0.0.0/30"], ["10.0.1.4-10.0.1.7", "2001:db8::/126"]);
    vec![
        named("four", spec(&four)),
        named("four", PoolSpec { excludes: vec!["10.0.0.1".parse().unwrap()], ..spec(&four) }),
        named("four", PoolSpec { avoid_buggy_ips: true, ..spec(&["10.0.0.0-10.0.0.5"]) }),
        named("four", PoolSpec { drain: true, ..spec(&four) }),
        named("dual", spec(&dual)),
        named("dual", PoolSpec { tenants: blue(), ..spec(&dual) }),
        named("dual", PoolSpec { auto_assign: false, ..spec(&dual) }),
        named("six", spec(&["2001:db8:1::/127"])),
        named("six", PoolSpec { delegated: true, ..spec(&["2001:db8:1::/127"]) }),
        named("first", PoolSpec { allocation: allocation(1, "a"), ..spec(&["10.0.2.0/31"]) }),
        named("later", PoolSpec { allocation: allocation(0, "a"), ..spec(&["10.0.3.0/31"]) }),
        named("label", PoolSpec { allocation: Some(selected), ..spec(&["10.0.4.0/31"]) }),
        named("clash", PoolSpec { created: 1, ..spec(&["10.0.0.2-10.0.0.9", "10.0.9.9"]) }),
        named("four", PoolSpec { broken: true, ..spec(&four) }),
        named("net", subnet("net", 3, 1, spec(&["10.0.5.0/29", "2001:db8:5::/120"]))),
        named("net", subnet("net", 0, 9, spec(&["10.0.5.0/29", "2001:db8:5::/126"]))),
        named("net", subnet("net", 1, 0, PoolSpec { drain: true, ..spec(&["10.0.5.0/30"]) })),
        named("ours", subnet("net", 3, 3, PoolSpec { tenants: blue(), ..spec(&["10.0.5.0/30"]) })),
        named("ours", subnet("web", 3, 3, PoolSpec { created: 2, ..spec(&["10.0.5.2/31"]) })),
        named("split", spec(&["10.0.0.2/31", "10.0.1.6"])),
    ]
}

fn subnet(name: &str, v4: u64, v6: u64, spec: PoolSpec) -> PoolSpec {
    let source = Source::Elsewhere { name: name.into(), free: PerFamily { v4, v6 } };
    PoolSpec { source, ..spec }
}

pub(crate) const POOLS: [&str; 10] =
    ["four", "dual", "six", "first", "later", "label", "clash", "net", "ours", "none"];

fn addresses() -> impl Strategy<Value = IpAddr> {
    let all = [
        "10.0.0.0",
        "10.0.0.1",
        "10.0.0.2",
        "10.0.0.3",
        "10.0.0.9",
        "10.0.1.4",
        "10.0.1.6",
        "10.0.2.1",
        "10.0.4.0",
        "10.0.5.1",
        "10.0.5.2",
        "2001:db8:5::1",
        "10.0.9.9",
        "192.0.2.1",
        "2001:db8::",
        "2001:db8::2",
        "2001:db8:1::1",
    ];
    prop::sample::select(all.to_vec()).prop_map(|text| text.parse().unwrap())
}

fn named() -> impl Strategy<Value = Named> {
    (0..2_usize, 0..2_usize, 0..3_usize).prop_map(|(t, ns, n)| Named(t, ns, n))
}

fn family() -> impl Strategy<Value = Family> {
    prop_oneof![Just(Family::V4), Just(Family::V6)]
}

fn wish() -> impl Strategy<Value = Wish> {
    let families = prop_oneof![
        4 => Just(Families::Only(Family::V4)),
        1 => Just(Families::Only(Family::V6)),
        1 => Just(Families::Both),
        2 => family().prop_map(Families::Prefer),
    ];
    let addresses = prop_oneof![
        4 => Just(Vec::new()),
        2 => prop::collection::vec(addresses(), 1),
        1 => prop::collection::vec(addresses(), 2),
    ];
    let pool =
        prop_oneof![3 => Just(None), 1 => prop::sample::select(POOLS.to_vec()).prop_map(Some)];
    let ports = prop::collection::btree_set(80_u16..84, 1..3);
    let sharing = prop_oneof![
        2 => Just(None),
        2 => (prop::sample::select(vec!["k", "l", ""]), prop::sample::select(vec!["", "app=x"]))
            .prop_map(Some),
    ];
    (named(), families, addresses, pool, ports, sharing).prop_map(
        |(service, families, addresses, pool, ports, sharing)| Wish {
            service,
            families,
            addresses,
            pool,
            ports: ports.into_iter().collect(),
            sharing,
        },
    )
}

fn tenant() -> impl Strategy<Value = TenantSpec> {
    let limit = || prop::option::of(0_u64..5);
    let pools = prop_oneof![
        3 => Just(BTreeSet::new()),
        1 => Just(BTreeSet::from(["four".to_owned(), "dual".to_owned()])),
    ];
    (limit(), limit(), limit(), limit(), pools).prop_map(|(services, v4, v6, ports, pools)| {
        let addresses = PerFamily { v4, v6 };
        let quota = Quota { load_balancers: services, addresses, ports };
        TenantSpec { quota, pools }
    })
}

pub(crate) fn steps(count: usize) -> impl Strategy<Value = Vec<Step>> {
    let then = prop_oneof![3 => (0_u64..9).prop_map(Then::Rest), 1 => Just(Then::Keep),
        1 => Just(Then::Free), 1 => prop::option::of(Just(("a", "x"))).prop_map(Then::Reserved)];
    let written = (addresses(), prop::sample::select(POOLS.to_vec()), 0_u8..12, 0_u64..4);
    let services = prop::collection::vec((named(), 90_u16..95), 1..3);
    let written =
        (written, services).prop_map(|((address, pool, kind, created), services)| Written {
            address,
            pool,
            services,
            created,
            // Most are of Services.
            kind: kind.saturating_sub(5),
        });
    let step = prop_oneof![
        2 => prop::collection::vec(0_usize..20, 0..7).prop_map(Step::Pools),
        1 => (prop::sample::select(TENANTS.to_vec()), tenant())
            .prop_map(|(name, spec)| Step::Tenant(name, spec)),
        14 => wish().prop_map(Step::Assign),
        3 => (named(), then.clone()).prop_map(|(service, then)| Step::Release(service, then)),
        2 => (named(), family(), then)
            .prop_map(|(service, family, then)| Step::ReleaseFamily(service, family, then)),
        2 => named().prop_map(Step::Withdraw),
        6 => (named(), 0_u64..4).prop_map(|(service, created)| Step::Confirm(service, created)),
        1 => (prop::sample::select(vec!["net", "ours", "four"]), 0_u64..3, 0_u64..3)
            .prop_map(|(pool, v4, v6)| Step::Left(pool, PerFamily { v4, v6 })),
        1 => prop::sample::select(TENANTS.to_vec()).prop_map(Step::RemoveTenant),
        2 => (-3_i64..8).prop_map(Step::Pass),
        3 => written.prop_map(Step::Record),
        1 => addresses().prop_map(Step::Forget),
        1 => any::<u64>().prop_map(Step::Restart),
    ];
    prop::collection::vec(step, count / 2..=count)
}
