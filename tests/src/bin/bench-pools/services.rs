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
        Self::of_tenant(number % TENANTS, number)
    }

    pub(crate) fn of_tenant(tenant: usize, number: usize) -> Self {
        Self {
            tenant: format!("tenant-{tenant:03}"),
            namespace: format!("namespace-{}", number % 7),
            name: format!("service-{number}"),
        }
    }

    pub(crate) fn get(&self) -> Service<'_> {
        Service { tenant: &self.tenant, namespace: &self.namespace, name: &self.name }
    }
}

pub(crate) const PORTS: [Port; 1] = [Port { protocol: Protocol::Tcp, number: 80 }];

/// An IPv4 address of a pool, or of any.
pub(crate) fn request<'r>(service: &'r Named, pool: Option<&'r str>) -> Request<'r> {
    static NONE: Labels = Labels::new();
    Request {
        service: service.get(),
        labels: &NONE,
        namespace_labels: None,
        families: Families::Only(Family::V4),
        addresses: &[],
        pool,
        ports: &PORTS,
        sharing: None,
        among: None,
    }
}

/// Assigns it.
pub(crate) fn assign(
    allocator: &mut Allocator,
    service: &Named,
    pool: Option<&str>,
) -> Result<Assigned> {
    allocator.assign(&request(service, pool)).map_err(|refusal| anyhow!("{refusal}"))
}

/// Releases what it has, and forgets it at once, as when its rest is over.
pub(crate) fn release(allocator: &mut Allocator, service: &Named) {
    for address in allocator.release(&service.get(), Afterwards::Rest(0)) {
        allocator.forget(address);
    }
}
