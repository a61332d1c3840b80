//! The under cluster as a tenant: its own Services, announced by its nodes and delivered to them.

use cpo_api::Delivery;

use super::bench::{Bench, WEB, new_service};
use super::vlan::{self, settle};
use crate::service::TrafficPolicy;
use crate::tenant::Access;
use crate::testing::{self, endpoint, under_node};
use crate::world::World;

/// The under cluster is tenant `a`; its nodes are `node1` and `node2`, of 10.205.0.0/24.
fn world() -> World {
    let mut world = vlan::world();
    for (name, address) in [("node1", "10.205.0.2"), ("node2", "10.205.0.3")] {
        world.under.nodes.insert(name.into(), under_node(address));
    }
    let tenant = world.tenant_a();
    tenant.spec.access = Access::InCluster;
    (tenant.spec.subnets, tenant.spec.machine_namespace) = (Vec::new(), String::new());
    tenant.nodes = ["node1", "node2"]
        .map(|name| (name.parse().unwrap(), testing::node(name, "10.205.0.2")))
        .into();
    world
}

fn served() -> Bench {
    let mut bench = Bench::told(world().with_service(WEB, *new_service()));
    settle(&mut bench, Some("node1"));
    assert_eq!(bench.published(WEB).as_deref(), Some("10.205.0.50"));
    bench.log.clear();
    bench
}

fn nodes(bench: &Bench) -> Vec<&str> {
    let orders = vlan::eip(bench, "10.205.0.50").spec.vlan.as_ref().unwrap();
    assert_eq!(orders.delivery, Delivery::Local);
    orders.next_hops.iter().map(|hop| &*hop.vm).collect()
}

#[test]
fn its_services_are_delivered_to_the_nodes_themselves() {
    let mut bench = served();
    assert_eq!(nodes(&bench), ["node1", "node2"]);
    bench.wait(120);
    assert!(bench.log.is_empty(), "the steady state writes nothing: {:?}", bench.log);
}

#[test]
fn nodes_without_an_endpoint_take_nothing_under_policy_local() {
    let mut bench = served();
    bench.when(|w| {
        *w = w.clone().with_endpoints(&[endpoint("node2")]);
        w.service(WEB).policy = TrafficPolicy::Local;
    });
    settle(&mut bench, Some("node2"));
    assert_eq!(nodes(&bench), ["node2"]);
}

#[test]
fn a_node_that_is_excluded_takes_nothing() {
    let mut bench = served();
    bench.when(|w| w.node("node1").excluded = true);
    settle(&mut bench, Some("node2"));
    assert_eq!(nodes(&bench), ["node2"]);
}

#[test]
fn of_two_that_are_the_under_cluster_the_older_counts() {
    let mut world = world();
    let mut second = testing::tenant("b");
    (second.access, second.created) = (Access::InCluster, 7);
    world.tenants.insert("b".parse().unwrap(), crate::tenant::Tenant::new(second.clone()));
    let first = world.tenants[&"a".parse().unwrap()].spec.clone();
    assert_eq!(world.rival(&first), None);
    assert_eq!(world.rival(&second).map(ToString::to_string).as_deref(), Some("a"));
    let tenant = &world.tenants[&"b".parse().unwrap()];
    let status = crate::plan::tenant_status(&world, tenant, testing::at(0));
    let ready = status.conditions.iter().find(|c| c.type_ == "Ready").unwrap();
    assert_eq!(ready.reason, "AnotherInCluster");
    assert!(ready.message.contains("TenantCluster a"), "{ready:?}");
    world.tenant_a().spec.deleting = true;
    assert_eq!(world.rival(&second), None, "it may take over");
}

#[test]
fn a_node_whose_address_comes_late_takes_part_then() {
    let mut world = world().with_service(WEB, *new_service());
    let late = world.under.nodes.insert("node2".into(), crate::under::Node::default());
    let mut bench = Bench::told(world);
    settle(&mut bench, Some("node1"));
    assert_eq!(nodes(&bench), ["node1"]);
    bench.when(|w| drop(w.under.nodes.insert("node2".into(), late.unwrap())));
    bench.wait(2);
    assert_eq!(nodes(&bench), ["node1", "node2"]);
}
