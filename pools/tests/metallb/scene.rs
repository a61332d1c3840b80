//! Pools, and Services that ask for their addresses.
#![allow(dead_code, reason = "each test crate needs some of it")]

use std::collections::BTreeMap;
use std::net::IpAddr;

use pools::{
    Afterwards, Allocator, Assigned, Families, Family, Given, Labels, PoolSpec, Port, Protocol,
    Refusal, Request, Service, Sharing, Target, Unavailable,
};

/// An allocator with pools, and Services of one tenant that ask it.
#[derive(Clone, Default)]
pub(crate) struct Scene {
    pub(crate) allocator: Allocator,
    pub(crate) pools: BTreeMap<String, PoolSpec>,
}

/// What a Service asks for, but for its name.
#[derive(Clone, Copy)]
pub(crate) struct Ask<'a> {
    pub(crate) namespace: &'a str,
    pub(crate) labels: &'a [(&'a str, &'a str)],
    pub(crate) families: Families,
    pub(crate) addresses: &'a [&'a str],
    pub(crate) pool: Option<&'a str>,
    pub(crate) port: u16,
    pub(crate) sharing: Option<(&'a str, &'a str)>,
}

pub(crate) const V4: Ask<'_> = Ask {
    namespace: "default",
    labels: &[],
    families: Families::Only(Family::V4),
    addresses: &[],
    pool: None,
    port: 80,
    sharing: None,
};
pub(crate) const V6: Ask<'_> = Ask { families: Families::Only(Family::V6), ..V4 };
pub(crate) const DUAL: Ask<'_> = Ask { families: Families::Both, ..V4 };

pub(crate) fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

pub(crate) fn spec(ranges: &[&str]) -> PoolSpec {
    let addresses = ranges.iter().map(|range| range.parse().unwrap()).collect();
    PoolSpec { addresses, ..PoolSpec::default() }
}

pub(crate) fn labels(pairs: &[(&str, &str)]) -> Labels {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

pub(crate) fn service<'s>(namespace: &'s str, name: &'s str) -> Service<'s> {
    Service { tenant: "tenant", namespace, name }
}

impl Scene {
    pub(crate) fn new<const N: usize>(pools: [(&str, PoolSpec); N]) -> Self {
        let mut scene = Self::default();
        scene.set(pools);
        scene
    }

    pub(crate) fn set<const N: usize>(&mut self, pools: [(&str, PoolSpec); N]) {
        self.pools = pools.map(|(name, spec)| (name.to_owned(), spec)).into();
        self.allocator.set_pools(self.pools.clone());
    }

    pub(crate) fn assign(&mut self, name: &str, ask: Ask<'_>) -> Result<Assigned, Refusal> {
        let addresses: Vec<IpAddr> = ask.addresses.iter().copied().map(ip).collect();
        self.allocator.assign(&Request {
            service: service(ask.namespace, name),
            labels: &labels(ask.labels),
            namespace_labels: Some(&labels(&[("kubernetes.io/metadata.name", ask.namespace)])),
            families: ask.families,
            addresses: &addresses,
            pool: ask.pool,
            ports: &[Port { protocol: Protocol::Tcp, number: ask.port }],
            sharing: ask.sharing.map(|(key, backends)| Sharing { key, backends }),
            among: None,
        })
    }

    /// What a Service has after asking, which must be granted.
    pub(crate) fn gets(&mut self, name: &str, ask: Ask<'_>) -> Vec<String> {
        match self.assign(name, ask) {
            Ok(Assigned::New(Target::These(given)) | Assigned::Kept(given)) => texts(&given),
            other => panic!("{name}: {other:?}"),
        }
    }

    /// Why a Service that asks for one address does not get it.
    pub(crate) fn refused(&mut self, name: &str, ask: Ask<'_>) -> Unavailable {
        match self.assign(name, ask) {
            Err(Refusal::Unavailable { why, .. }) => why,
            other => panic!("{name}: {other:?}"),
        }
    }

    pub(crate) fn exhausted(&mut self, name: &str, ask: Ask<'_>) -> bool {
        matches!(self.assign(name, ask), Err(Refusal::Exhausted { .. }))
    }

    /// Lets go of what a Service has; nothing rests.
    pub(crate) fn free(&mut self, name: &str) {
        self.allocator.release(&service("default", name), Afterwards::Free);
    }
}

pub(crate) fn texts(given: &Given) -> Vec<String> {
    let both = [given.addresses.v4, given.addresses.v6];
    both.into_iter().flatten().map(|address| address.to_string()).collect()
}
