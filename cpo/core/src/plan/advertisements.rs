//! What is wrong with an `L2Advertisement`: it degrades itself, and no other.
//!
//! Two that cover the same pool for the same Service and say different things of it contradict each
//! other. The older one counts, and of one age the first by name; the other is not followed for that
//! Service, and says so.

use cpo_api::{L2AdvertisementStatus, merge_conditions};
use pools::Labels;

use super::report;
use crate::ids::ServiceKey;
use crate::time::Now;
use crate::under::{Advertisement, Pool};
use crate::world::World;

/// An advertisement and its name.
pub(super) type Named<'w> = (&'w String, &'w Advertisement);

/// Something that is wrong with it: why in one word, and what, where and the remedy.
type Fault = (&'static str, String);

/// The status an `L2Advertisement` should have.
#[must_use]
pub fn advertisement_status(
    world: &World,
    name: &str,
    of: &Advertisement,
    now: Now,
) -> L2AdvertisementStatus {
    let faults = faults(world, name, of);
    let texts: Vec<&str> = faults.iter().map(|(_, text)| text.as_str()).collect();
    let reason = faults.first().map_or("Ready", |(reason, _)| *reason);
    let ready = report::condition("Ready", faults.is_empty(), reason, &texts.join("; "), now);
    let conditions = report::observed(of.generation, vec![ready]);
    L2AdvertisementStatus { conditions: merge_conditions(&of.status.conditions, conditions) }
}

fn faults(world: &World, name: &str, of: &Advertisement) -> Vec<Fault> {
    let unreadable = of.broken.iter().map(|why| ("SelectorInvalid", why.clone()));
    let mut faults: Vec<Fault> = unreadable.collect();
    faults.extend(of.pools.iter().filter_map(|pool| of_pool(world, pool, of)));
    faults.extend(of_pool_selectors(world, of));
    if !is_delegated(world, of) {
        faults.extend(of.interfaces.iter().filter_map(|interface| of_interface(world, interface)));
    }
    faults.extend(contradiction(world, (name, of)));
    faults
}

/// What is wrong with a pool that it names.
fn of_pool(world: &World, name: &str, of: &Advertisement) -> Option<Fault> {
    let Some(pool) = world.under.pools.get(name) else {
        let text = format!(
            "spec.ipAddressPools: there is no AddressPool {name}: make it, or take its name out"
        );
        return Some(("PoolNotFound", text));
    };
    let direct = match of.delivery {
        cpo_api::Delivery::Direct => ", and Direct delivers on the link alone",
        cpo_api::Delivery::Routed | cpo_api::Delivery::Local => "",
    };
    // What is left to a tenant's own MetalLB is announced by that.
    (!pool.delegated && !world.is_on_a_vlan(pool)).then(|| {
        let text = format!(
            "spec.ipAddressPools: not all addresses of AddressPool {name} lie in spec.vlan.cidrs of \
             a TenantCluster{direct}: put them there, or take its name out"
        );
        ("PoolNotInVlan", text)
    })
}

fn of_pool_selectors(world: &World, of: &Advertisement) -> Option<Fault> {
    let selects = |labels: &Labels| of.pool_selectors.iter().any(|s| s.matches(labels));
    let idle = !of.pool_selectors.is_empty()
        && of.pools.is_empty()
        && !world.under.pools.values().any(|pool| selects(&pool.labels));
    idle.then(|| {
        let text = "spec.ipAddressPoolSelectors: no AddressPool has such labels: label one, or \
                    change the selectors";
        ("SelectsNoPool", text.to_owned())
    })
}

/// Whether it is for pools alone that are left to tenants' own MetalLB.
fn is_delegated(world: &World, of: &Advertisement) -> bool {
    let delegated =
        |name: &String| world.under.pools.get(name).is_some_and(|pool: &Pool| pool.delegated);
    !of.pools.is_empty() && of.pools.iter().all(delegated)
}

fn of_interface(world: &World, name: &str) -> Option<Fault> {
    let mut vlans = world.tenants.values().filter_map(|tenant| tenant.spec.vlan.as_ref());
    let known = vlans.any(|vlan| vlan.interfaces.contains(name));
    (!known).then(|| {
        let text = format!(
            "spec.interfaces: spec.vlan.interfaces of no TenantCluster names {name}: name it there, \
             or take it out"
        );
        ("InterfaceNotFound", text)
    })
}

/// Which of several count first: the oldest, and of one age the first by name.
pub(super) fn rank<'w>((name, of): &Named<'w>) -> (u64, &'w str) {
    (of.created, name.as_str())
}

/// Whether both say the same of what both cover.
pub(super) fn agree(one: &Advertisement, other: &Advertisement) -> bool {
    (one.delivery, one.probe) == (other.delivery, other.probe)
}

/// That one which counts first says something else of what this one covers.
fn contradiction(world: &World, (name, of): (&str, &Advertisement)) -> Option<Fault> {
    let first = |other: &Named<'_>| rank(other) < (of.created, name);
    let mut others = world.under.advertisements.iter();
    let (other, by) =
        others.find(|other| first(other) && !agree(of, other.1) && meet(world, of, other.1))?;
    let field = if of.delivery == by.delivery { "probe" } else { "delivery" };
    let text = format!(
        "spec.{field}: L2Advertisement {other}, which is older, says otherwise of the same pool and \
         Services, and this one is not followed for them: let both say the same, or tell them apart \
         by ipAddressPools or serviceSelectors"
    );
    Some(("Contradicted", text))
}

/// Whether both cover a pool for the same Services.
fn meet(world: &World, one: &Advertisement, other: &Advertisement) -> bool {
    let pools = &world.under.pools;
    let both =
        |name: &str, labels: &Labels| one.has_pool(name, labels) && other.has_pool(name, labels);
    if !pools.iter().any(|(name, pool)| both(name, &pool.labels)) {
        return false;
    }
    if one.service_selectors.is_empty() || other.service_selectors.is_empty() {
        return true;
    }
    let mut served = world.under.eips.values().filter(|eip| eip.on_vlan());
    served.any(|eip| {
        let pool = &eip.spec.pool;
        let Some(found) = pools.get(pool).map(|pool| &pool.labels) else { return false };
        let mut owners = eip.owners.iter().filter_map(|key| labels_of(world, key));
        owners.any(|labels| one.covers(pool, found, labels) && other.covers(pool, found, labels))
    })
}

fn labels_of<'w>(world: &'w World, key: &ServiceKey) -> Option<&'w Labels> {
    Some(&world.tenants.get(key.tenant())?.services.get(key)?.labels)
}

/// Of the advertisements of one pool and Service those that are followed: the one that counts first,
/// and what agrees with it, by name.
pub(super) fn followed<'w>(covering: Vec<Named<'w>>) -> Vec<Named<'w>> {
    let first = covering.iter().min_by_key(|named| rank(named)).map(|(_, first)| *first);
    let agrees = |(_, of): &Named<'w>| first.is_some_and(|first| agree(first, of));
    covering.into_iter().filter(agrees).collect()
}

#[cfg(test)]
#[path = "advertisements_tests.rs"]
mod tests;
