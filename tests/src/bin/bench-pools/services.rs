//! Services that ask for addresses.

use anyhow::{Result, anyhow};
use pools::{
    Afterwards, Allocator, Assigned, Families, Family, Labels, Port, Protocol, Request, Service,
};

/// How many tenants there are.
pub(crate) const TENANTS: usize = 200;

/// The name of a Service, and its place among the tenants.
pub(crate) struct Named {
    tenant: String,
    namespace: String,
    name: String,
}

impl Named {
    pub(crate) fn new(number: usize) -> Self {
        Self {
            tenant: format!("tenant-{:03}", number % TENANTS),
            namespace: format!("namespace-{}", number % 7),
            name: format!("service-{number}"),
        }
    }

    pub(crate) fn get(&self) -> Service<'_> {
        Service { tenant: &self.tenant, namespace: &self.namespace, name: &self.name }
    }
}

pub(crate) const PORTS: [Port; 1] = [Port { protocol: Protocol::Tcp, number: 80 }];

/// Assigns an IPv4 address of a pool, or of any.
pub(crate) fn assign(
    allocator: &mut Allocator,
    service: &Named,
    pool: Option<&str>,
) -> Result<Assigned> {
    static NONE: Labels = Labels::new();
    let request = Request {
        service: service.get(),
        labels: &NONE,
        namespace_labels: None,
        families: Families::Only(Family::V4),
        addresses: &[],
        pool,
        ports: &PORTS,
        sharing: None,
        among: None,
    };
    allocator.assign(&request).map_err(|refusal| anyhow!("{refusal}"))
}

/// Releases what it has, and forgets it at once, as when its rest is over.
pub(crate) fn release(allocator: &mut Allocator, service: &Named) {
    for address in allocator.release(&service.get(), Afterwards::Rest(0)) {
        allocator.forget(address);
    }
}
