use super::*;
use crate::service::Endpoint;
use crate::testing::{self, at, endpoint, key, machine, node, world};
use crate::under::Machine;
use crate::world::World;

const WEB: &str = "a/default/web";

/// The moment of these tests, in milliseconds.
const NOW: u64 = 1_000_000;

fn resolved_for(world: &World, service: &Service) -> Resolved {
    let tenant = &world.tenants[&"a".parse().unwrap()];
    resolve(tenant, &world.under, &key(WEB), service, at(NOW))
}

fn resolved(world: &World) -> Resolved {
    resolved_for(world, &testing::service())
}

fn local() -> Service {
    Service { policy: TrafficPolicy::Local, ..testing::service() }
}

fn addresses(resolved: &Resolved) -> Vec<String> {
    resolved.backends.iter().map(|b| b.address.to_string()).collect()
}

fn reasons(resolved: &Resolved) -> Vec<Reason> {
    resolved.problems.iter().map(|p| p.reason).collect()
}

/// With tenant `b`'s machine `secret`, in its own namespace, VPC and subnet.
fn with_neighbour() -> World {
    let mut world = world();
    let id = ("tenant-b".to_owned(), "secret".to_owned());
    world.under.machines.insert(id.clone(), machine("b"));
    world.under.instances.insert(id, true);
    let b = testing::subnet("vpc-b", "10.9.0.0/24", "10.9.0.1", &[]);
    world.under.subnets.insert("tenant-b".into(), b);
    let ip = crate::under::Ip {
        machine: "secret".into(),
        namespace: "tenant-b".into(),
        subnet: "tenant-b".into(),
        v4: "10.9.0.9".parse().ok(),
        v6: None,
        mac: None,
        of_machine: true,
    };
    world.put_ip("secret.tenant-b", Some(ip));
    world
}

#[test]
fn every_node_whose_machine_is_the_tenants_receives_traffic() {
    let resolved = resolved(&world());
    assert_eq!(addresses(&resolved), ["10.0.0.2", "10.0.0.3"]);
    assert_eq!((resolved.total, resolved.vpcs.len()), (2, 1));
    assert!(resolved.problems.is_empty() && resolved.wake.is_none());
}

#[test]
fn a_forged_provider_id_of_another_tenants_machine_reaches_nothing() {
    let mut world = with_neighbour();
    for forged in ["secret", "tenant-b/secret", "../tenant-b/secret", "secret.tenant-b"] {
        world.node("vm1").machine = forged.into();
        assert_eq!(addresses(&resolved(&world)), ["10.0.0.3"], "{forged}");
    }
}

#[test]
fn forged_node_addresses_are_no_backends() {
    let mut world = world();
    world.node("vm1").addresses = ["10.9.0.9".parse().unwrap()].into();
    assert_eq!(addresses(&resolved(&world)), ["10.0.0.2", "10.0.0.3"]);
}

#[test]
fn a_machine_of_another_cluster_in_the_same_namespace_is_not_the_tenants() {
    let mut world = world();
    let id = ("tenant-a".to_owned(), "vm1".to_owned());
    world.under.machines.insert(id.clone(), machine("other"));
    assert_eq!(addresses(&resolved(&world)), ["10.0.0.3"]);
    world.under.machines.insert(id, Machine { labels: [].into() });
    assert_eq!(addresses(&resolved(&world)), ["10.0.0.3"]);
}

#[test]
fn two_nodes_that_name_one_machine_are_one_backend() {
    let mut world = world();
    let forged = node("vm2", "10.0.0.3");
    world.tenant_a().nodes.insert("also-vm2".parse().unwrap(), forged);
    let resolved = resolved(&world);
    assert_eq!(addresses(&resolved), ["10.0.0.2", "10.0.0.3"]);
}

#[test]
fn an_address_outside_its_subnet_is_refused_and_told() {
    let world = world().with_ip("vm1.tenant-a", "vm1", "tenant-a", "192.0.2.7");
    let resolved = resolved(&world);
    assert_eq!(addresses(&resolved), ["10.0.0.3"]);
    assert_eq!(reasons(&resolved), [Reason::BackendForeign]);
    assert!(!resolved.problems[0].message.contains("192.0.2.7"), "for the operator alone");
    assert!(resolved.problems[0].operator_text().contains("192.0.2.7"));
}

#[test]
fn an_address_in_another_vpc_is_another_matter() {
    let world = with_neighbour().with_ip("vm1.second", "vm1", "tenant-b", "10.9.0.7");
    assert_eq!(addresses(&resolved(&world)), ["10.0.0.2", "10.0.0.3"]);
    let moved = with_neighbour().with_ip("vm1.tenant-a", "vm1", "tenant-b", "10.9.0.7");
    assert_eq!(addresses(&resolved(&moved)), ["10.0.0.3"]);
}

#[test]
fn two_addresses_in_the_vpc_are_a_problem_and_no_guess() {
    let second = testing::subnet("vpc-a", "10.0.1.0/24", "10.0.1.1", &[]);
    let mut world = world().with_ip("vm1.second", "vm1", "second", "10.0.1.2");
    world.under.subnets.insert("second".into(), second);
    let ambiguous = resolved(&world);
    assert_eq!(addresses(&ambiguous), ["10.0.0.3"]);
    assert_eq!(reasons(&ambiguous), [Reason::BackendForeign]);
    world.tenant_a().spec.subnets = vec!["tenant-a".into()];
    assert_eq!(addresses(&resolved(&world)), ["10.0.0.2", "10.0.0.3"]);
}

#[test]
fn the_address_of_a_pod_is_not_that_of_a_machine() {
    let mut world = world();
    let mut pod = world.under.ips["vm1.tenant-a"].clone();
    pod.of_machine = false;
    world.put_ip("vm1.tenant-a", Some(pod));
    assert_eq!(addresses(&resolved(&world)), ["10.0.0.3"]);
}

#[test]
fn an_excluded_node_receives_nothing() {
    let mut world = world();
    world.node("vm1").excluded = true;
    let resolved = resolved(&world);
    assert_eq!((addresses(&resolved), resolved.total), (vec!["10.0.0.3".to_owned()], 1));
}

#[test]
fn excluding_every_node_leaves_none() {
    let mut world = world();
    world.node("vm1").excluded = true;
    world.node("vm2").excluded = true;
    let resolved = resolved(&world);
    assert!(resolved.backends.is_empty());
    assert_eq!(reasons(&resolved), [Reason::NoEligibleNodes]);
}

fn not_ready_for(world: &mut World, node: &str, milliseconds: u64) {
    let node = world.node(node);
    (node.ready, node.ready_since) = (false, Some(at(NOW - milliseconds).wall));
}

#[test]
fn a_node_not_ready_for_less_than_ten_seconds_stays_and_is_looked_at_again() {
    let mut world = world();
    not_ready_for(&mut world, "vm1", 9_000);
    let resolved = resolved(&world);
    assert_eq!(addresses(&resolved), ["10.0.0.2", "10.0.0.3"]);
    assert_eq!(resolved.wake, Some(Duration::from_millis(NOW + 1_000)));
}

#[test]
fn a_node_not_ready_for_ten_seconds_receives_nothing() {
    let mut world = world();
    not_ready_for(&mut world, "vm1", 10_000);
    let resolved = resolved(&world);
    assert_eq!(addresses(&resolved), ["10.0.0.3"]);
    assert_eq!(resolved.wake, None);
}

#[test]
fn a_time_from_the_future_earns_no_more_than_the_grace() {
    let mut world = world();
    let node = world.node("vm1");
    (node.ready, node.ready_since) = (false, Some(at(NOW + 3_600_000).wall));
    assert_eq!(resolved(&world).wake, Some(Duration::from_millis(NOW + 10_000)));
}

#[test]
fn a_machine_that_does_not_run_receives_nothing() {
    let mut world = world();
    let id = ("tenant-a".to_owned(), "vm1".to_owned());
    world.under.instances.insert(id.clone(), false);
    assert_eq!(addresses(&resolved(&world)), ["10.0.0.3"]);
    world.under.instances.remove(&id);
    assert_eq!(addresses(&resolved(&world)), ["10.0.0.3"]);
}

#[test]
fn liveness_never_empties_the_set() {
    let mut world = world();
    not_ready_for(&mut world, "vm1", 60_000);
    not_ready_for(&mut world, "vm2", 60_000);
    assert_eq!(addresses(&resolved(&world)).len(), 2, "all not ready");
    let mut world = testing::world();
    world.under.instances.clear();
    assert_eq!(addresses(&resolved(&world)).len(), 2, "none runs");
}

fn on_local(endpoints: &[Endpoint]) -> Resolved {
    resolved_for(&world().with_endpoints(endpoints), &local())
}

#[test]
fn local_takes_nodes_with_a_ready_endpoint() {
    let unready = Endpoint { ready: false, serving: false, ..endpoint("vm2") };
    assert_eq!(addresses(&on_local(&[endpoint("vm1"), unready])), ["10.0.0.2"]);
}

#[test]
fn local_falls_back_to_endpoints_that_serve_while_they_terminate() {
    let leaving = Endpoint { ready: false, terminating: true, ..endpoint("vm2") };
    assert_eq!(addresses(&on_local(std::slice::from_ref(&leaving))), ["10.0.0.3"]);
    assert_eq!(addresses(&on_local(&[leaving, endpoint("vm1")])), ["10.0.0.2"]);
    let gone = Endpoint { ready: false, serving: false, terminating: true, ..endpoint("vm2") };
    assert!(on_local(&[gone]).backends.is_empty());
}

#[test]
fn local_without_an_endpoint_has_no_backend_and_says_so() {
    let resolved = on_local(&[]);
    assert!(resolved.backends.is_empty());
    assert_eq!(reasons(&resolved), [Reason::NoEligibleNodes]);
    assert_eq!(resolved.vpcs.len(), 1, "the router is known all the same");
}

#[test]
fn local_with_an_endpoint_without_node_takes_all_nodes_and_warns() {
    let resolved = on_local(&[endpoint("vm1"), endpoint("")]);
    assert_eq!(addresses(&resolved), ["10.0.0.2", "10.0.0.3"]);
    assert_eq!(reasons(&resolved), [Reason::EndpointWithoutNode]);
}

#[test]
fn an_endpoint_on_an_invented_node_reaches_nothing() {
    assert!(on_local(&[endpoint("secret")]).backends.is_empty());
}

#[test]
fn publishing_not_ready_addresses_counts_every_endpoint_as_ready() {
    let unready = Endpoint { ready: false, serving: false, ..endpoint("vm2") };
    let service = Service { publish_not_ready: true, ..local() };
    let world = world().with_endpoints(&[endpoint("vm1"), unready]);
    assert_eq!(addresses(&resolved_for(&world, &service)), ["10.0.0.2", "10.0.0.3"]);
}

#[test]
fn cluster_asks_for_no_endpoint() {
    assert_eq!(addresses(&resolved(&world().with_endpoints(&[]))).len(), 2);
}

#[test]
fn a_backend_not_among_the_nodes_addresses_is_served_and_reported() {
    let mut world = world();
    world.node("vm1").addresses = ["192.168.1.5".parse().unwrap()].into();
    let found = resolved(&world);
    assert_eq!(addresses(&found), ["10.0.0.2", "10.0.0.3"]);
    assert_eq!(reasons(&found), [Reason::NodePortUnreachable]);
    world.node("vm1").addresses.clear();
    assert!(resolved(&world).problems.is_empty(), "a node without addresses proves nothing");
}

#[test]
fn a_machine_carries_all_the_labels_asked_for() {
    let mut world = world();
    world.tenant_a().spec.machine_labels.insert("pool".into(), "workers".into());
    assert!(resolved(&world).backends.is_empty());
    let id = ("tenant-a".to_owned(), "vm1".to_owned());
    let labels = &mut world.under.machines.get_mut(&id).unwrap().labels;
    labels.insert("pool".into(), "workers".into());
    assert_eq!(addresses(&resolved(&world)), ["10.0.0.2"]);
}

#[test]
fn local_sends_nothing_to_an_endpoint_that_serves_but_is_neither_ready_nor_leaving() {
    let odd = Endpoint { ready: false, serving: true, terminating: false, ..endpoint("vm2") };
    assert!(on_local(&[odd]).backends.is_empty());
}
