//! What MetalLB does not have: promises, pools that others hand out, records, tenants' quotas.
#![cfg(test)]

mod elsewhere;
mod promises;
mod quota;
mod records;
mod refusals;
#[path = "../metallb/scene.rs"]
mod scene;

use pools::{
    Afterwards, Allocator, Assigned, Bound, Families, Family, Owner, PerFamily, PoolSpec, Record,
    RecordError, Refusal, Service, Source, State, Target, Unavailable,
};
use scene::{Ask, DUAL, Scene, V4, V6, ip, service, spec, texts};

const PREFER: Ask<'_> = Ask { families: Families::Prefer(Family::V4), ..V4 };

/// Tells the record of an address of pool `pool`.
fn tell(scene: &mut Scene, address: &str, owner: Owner<'_>) -> Result<(), RecordError> {
    let address = ip(address);
    scene.allocator.restore(&Record { address, pool: "pool", created: 0, owner })
}

/// Tells that Services of the tenant have an address.
fn bound(scene: &mut Scene, address: &str, names: &[&str]) -> Result<(), RecordError> {
    let bind = |name| Bound { namespace: "default", name, ports: &[] };
    let services: Vec<Bound<'_>> = names.iter().copied().map(bind).collect();
    tell(scene, address, Owner::Services { tenant: "tenant", services: &services, sharing: None })
}

fn state(scene: &Scene, address: &str) -> Option<State> {
    scene.allocator.entry(ip(address)).map(|entry| entry.state)
}

fn assigned(names: &[&str]) -> Option<State> {
    Some(State::Assigned(names.iter().map(|name| format!("default/{name}")).collect()))
}

fn resting(last: &str) -> Owner<'_> {
    Owner::Resting { tenant: "tenant", last: Some(("default", last)), until: 60 }
}
