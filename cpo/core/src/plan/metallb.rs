//! What the MetalLB of a tenant is to have that serves its Services itself: the pools that are left
//! to it, and who announces them. An add-on of the tenant's cluster takes it from a ConfigMap beside
//! its kubeconfig.

use serde_json::{Map, Value, json};

use crate::effect::{Owner, UnderEffect};
use crate::ids::TenantName;
use crate::under::{Advertisement, Pool, Unmanaged};
use crate::world::World;

/// The namespace of MetalLB's objects in the tenant.
const NAMESPACE: &str = "metallb-system";

/// The ConfigMap for a tenant, if it serves its Services itself. No pool is in it that gives nothing
/// itself, as one that is broken or overlaps another, nor one that is not bound to it: what is left
/// to everybody is nobody's.
#[must_use]
pub fn render(world: &World, name: &TenantName) -> Option<UnderEffect> {
    let tenant = world.under.unmanaged.get(name)?;
    let assignments = &world.assignments;
    let sound =
        |pool: &str| assignments.faults(pool).is_empty() && assignments.conflict(pool).is_none();
    let pools = world.under.pools.iter().filter(|(pool, _)| sound(pool));
    let pools: Vec<_> = pools.filter(|(_, pool)| is_left_to(pool, name, tenant)).collect();
    let addresses = pools.iter().filter_map(|(name, pool)| ip_address_pool(world, name, pool));
    let announced = world.under.advertisements.iter();
    let announced = announced.filter_map(|(name, by)| l2_advertisement(name, by, &pools));
    let documents = addresses.chain(announced).collect();
    Some(config_map(name, tenant, documents))
}

/// The ConfigMap of a tenant to which nothing is left.
#[must_use]
pub fn nothing(name: &TenantName, tenant: &Unmanaged) -> UnderEffect {
    config_map(name, tenant, Vec::new())
}

fn config_map(name: &TenantName, tenant: &Unmanaged, documents: Vec<Value>) -> UnderEffect {
    UnderEffect::RenderMetallb {
        namespace: tenant.namespace.clone(),
        name: format!("{name}-metallb"),
        owner: Owner { name: name.clone(), uid: tenant.uid.clone() },
        documents,
    }
}

fn is_left_to(pool: &Pool, name: &TenantName, tenant: &Unmanaged) -> bool {
    let Some(tenants) = &pool.tenants else { return false };
    let selected = tenants.selector.as_ref().is_some_and(|all| all.matches(&tenant.labels));
    pool.delegated && (tenants.names.contains(name.as_str()) || selected)
}

/// An `IPAddressPool` of what the pool may give and nobody has; nothing where no address is left.
fn ip_address_pool(world: &World, name: &str, pool: &Pool) -> Option<Value> {
    let left = world.assignments.left_of(name);
    let addresses: Vec<_> =
        left.ranges().map(|range| format!("{}-{}", range.first(), range.last())).collect();
    let spec = json!({
        "addresses": addresses,
        "autoAssign": pool.auto_assign,
        "avoidBuggyIPs": pool.avoid_buggy_ips,
    });
    (!addresses.is_empty()).then(|| object("IPAddressPool", name, spec))
}

/// An `L2Advertisement` of those of these pools that it announces; nothing where it announces none,
/// or not all Services of theirs. Nodes and interfaces are of the under cluster, and say nothing of
/// the tenant's.
fn l2_advertisement(name: &str, by: &Advertisement, pools: &[(&String, &Pool)]) -> Option<Value> {
    let whole = by.broken.is_none() && by.service_selectors.is_empty();
    let of = pools.iter().filter(|(name, pool)| whole && by.has_pool(name, &pool.labels));
    let of: Vec<_> = of.map(|(name, _)| name.as_str()).collect();
    (!of.is_empty()).then(|| object("L2Advertisement", name, json!({"ipAddressPools": of})))
}

fn object(kind: &str, name: &str, spec: Value) -> Value {
    let fields = [
        ("apiVersion", json!("metallb.io/v1beta1")),
        ("kind", json!(kind)),
        ("metadata", json!({"name": name, "namespace": NAMESPACE})),
        ("spec", spec),
    ];
    Map::from_iter(fields.map(|(key, value)| (key.to_owned(), value))).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::Uid;
    use crate::testing::{self, only, ranges};

    fn world(change: impl FnOnce(&mut Pool)) -> World {
        let mut world = testing::world();
        let tenant = Unmanaged {
            uid: Uid::new("uid-m"),
            labels: [("tier".to_owned(), "gold".to_owned())].into(),
            namespace: "tenant-m".into(),
        };
        world.under.unmanaged.insert("m".parse().unwrap(), tenant);
        let mut pool = ranges(&["198.51.100.210-198.51.100.219", "2001:db8::/126"]);
        (pool.delegated, pool.tenants) = (true, only(&["m"]));
        pool.excludes = vec!["198.51.100.213".parse().unwrap()];
        change(&mut pool);
        world.under.pools.insert("theirs".into(), pool);
        world.under.advertisements.insert("all".into(), Advertisement::default());
        let other = Advertisement { pools: ["public".into()].into(), ..Advertisement::default() };
        world.under.advertisements.insert("other".into(), other);
        world.reckon_all();
        world
    }

    fn documents(world: &World) -> Vec<Value> {
        match render(world, &"m".parse().unwrap()) {
            Some(UnderEffect::RenderMetallb { namespace, name, documents, .. }) => {
                assert_eq!((&*namespace, &*name), ("tenant-m", "m-metallb"));
                documents
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_tenant_is_told_of_the_pools_that_are_left_to_it_and_of_what_announces_them() {
        let documents = documents(&world(|_| {}));
        let kinds: Vec<_> = documents.iter().map(|d| d["kind"].as_str().unwrap()).collect();
        assert_eq!(kinds, ["IPAddressPool", "L2Advertisement"]);
        let addresses = [
            "198.51.100.210-198.51.100.212",
            "198.51.100.214-198.51.100.219",
            "2001:db8::-2001:db8::3",
        ];
        assert_eq!(documents[0]["spec"]["addresses"], json!(addresses));
        assert_eq!(documents[1]["spec"], json!({"ipAddressPools": ["theirs"]}));
        assert_eq!(documents[1]["metadata"]["namespace"], "metallb-system");
    }

    #[test]
    fn a_pool_of_others_or_of_everybody_or_that_we_give_from_ourselves_is_not_told() {
        let hidden: [fn(&mut Pool); 4] = [
            |pool| pool.delegated = false,
            |pool| pool.tenants = only(&["other"]),
            |pool| pool.tenants = None,
            |pool| pool.broken = Some("spec.addresses[0]: x".to_owned()),
        ];
        for change in hidden {
            assert_eq!(documents(&world(change)), Vec::<Value>::new());
        }
    }

    #[test]
    fn what_is_in_use_is_not_left_to_it() {
        let mut world = world(|_| {});
        let mut held = testing::ovn_eip(None, "external", "198.51.100.215".parse().ok());
        (held.ready, held.status_v4) = (true, held.spec_v4);
        world.put_ovn_eip("somebody-elses", Some(held));
        let addresses = documents(&world)[0]["spec"]["addresses"].to_string();
        assert!(addresses.contains("198.51.100.214-198.51.100.214"), "{addresses}");
        assert!(addresses.contains("198.51.100.216-198.51.100.219"), "{addresses}");
    }

    #[test]
    fn a_pool_that_overlaps_another_or_is_left_to_several_is_told_to_nobody() {
        let mut overlapping = world(|pool| pool.created = 9);
        overlapping.under.pools.insert("older".into(), ranges(&["198.51.100.219-198.51.100.230"]));
        overlapping.reckon_all();
        assert_eq!(documents(&overlapping), Vec::<Value>::new());
        let several = world(|pool| pool.tenants = only(&["m", "n"]));
        assert_eq!(documents(&several), Vec::<Value>::new());
        let fault = &several.assignments.faults("theirs")[0];
        assert_eq!(fault.reason, "DelegatedToSeveral");
        assert!(fault.message.contains("is m, n"), "{}", fault.message);
    }

    #[test]
    fn an_advertisement_of_certain_services_alone_is_none_of_all() {
        let mut world = world(|_| {});
        let all = world.under.advertisements.get_mut("all").unwrap();
        all.service_selectors = vec![pools::Selector::default()];
        assert_eq!(documents(&world).len(), 1, "the pool alone");
    }

    #[test]
    fn nobody_else_is_told() {
        assert_eq!(render(&world(|_| {}), &"a".parse().unwrap()), None);
    }
}
