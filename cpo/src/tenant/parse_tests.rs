use serde_json::{Value, json};

use super::*;

/// A Service of type LoadBalancer as an API server sends it; the fields of `spec` win.
fn object(metadata: Value, spec: Value, status: Value) -> core::Service {
    let mut whole = json!({
        "metadata": {"name": "web", "namespace": "default", "uid": "u-1", "resourceVersion": "7"},
        "spec": {
            "type": "LoadBalancer",
            "ports": [{"port": 80, "protocol": "TCP", "nodePort": 30080}],
        },
        "status": status,
    });
    for (part, more) in [("metadata", metadata), ("spec", spec)] {
        let (Value::Object(more), Some(part)) = (more, whole[part].as_object_mut()) else {
            continue;
        };
        part.extend(more);
    }
    serde_json::from_value(whole).unwrap()
}

fn read(metadata: Value, spec: Value, status: Value) -> Service {
    match service(object(metadata, spec, status)) {
        TenantObject::Service(namespace, name, Some(service)) => {
            assert_eq!((namespace.as_str(), name.as_str()), ("default", "web"));
            *service
        }
        other => panic!("{other:?}"),
    }
}

fn spec(spec: Value) -> Service {
    read(json!({}), spec, json!({}))
}

#[test]
fn a_plain_service_is_read() {
    let service = spec(json!({}));
    assert_eq!(service.uid, Uid::new("u-1"));
    assert_eq!(service.version, Version::parse(Some("7")));
    assert!(service.load_balancer && !service.finalizer);
    assert_eq!(service.policy, TrafficPolicy::Cluster);
    assert_eq!(service.ports[0].node_port, Some(30080));
}

#[test]
fn every_field_that_decides_is_read() {
    let service = spec(json!({
        "loadBalancerClass": "cloud-provider-ovn.io/default",
        "externalTrafficPolicy": "Local",
        "sessionAffinity": "ClientIP",
        "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 600}},
        "loadBalancerSourceRanges": ["10.0.0.0/8"],
        "ipFamilies": ["IPv4", "IPv6"],
        "ipFamilyPolicy": "RequireDualStack",
        "loadBalancerIP": "198.51.100.20",
        "publishNotReadyAddresses": true,
    }));
    assert_eq!(service.class.as_deref(), Some("cloud-provider-ovn.io/default"));
    assert_eq!(service.policy, TrafficPolicy::Local);
    assert_eq!(service.affinity, Some(600));
    assert_eq!(service.source_ranges, ["10.0.0.0/8"]);
    assert_eq!(service.families, Families::Both);
    assert_eq!(service.load_balancer_ip.as_deref(), Some("198.51.100.20"));
    assert!(service.publish_not_ready);
}

#[test]
fn families_are_those_in_which_the_tenants_own_cluster_serves_it() {
    let families = |listed: &[&str], policy: &str| {
        spec(json!({"ipFamilies": listed, "ipFamilyPolicy": policy})).families
    };
    assert_eq!(spec(json!({})).families, Families::Only(Family::V4));
    assert_eq!(families(&["IPv6"], "SingleStack"), Families::Only(Family::V6));
    // A cluster with one family alone, whatever is preferred.
    assert_eq!(families(&["IPv4"], "PreferDualStack"), Families::Only(Family::V4));
    assert_eq!(families(&["IPv6", "IPv4"], "PreferDualStack"), Families::Prefer(Family::V6));
    assert_eq!(families(&["IPv6", "IPv4"], "RequireDualStack"), Families::Both);
    let first = |listed: &[&str]| spec(json!({"ipFamilies": listed})).first_family;
    assert_eq!((first(&[]), first(&["IPv6", "IPv4"])), (Family::V4, Family::V6));
}

#[test]
fn a_selector_is_of_its_namespace() {
    let selector = spec(json!({"selector": {"tier": "front", "app": "web"}})).selector;
    assert_eq!(selector, "default/app=web,tier=front");
    assert_eq!(spec(json!({})).selector, "");
}

#[test]
fn affinity_without_a_timeout_is_the_api_servers_default() {
    assert_eq!(spec(json!({"sessionAffinity": "ClientIP"})).affinity, Some(10_800));
    assert_eq!(spec(json!({"sessionAffinity": "None"})).affinity, None);
}

#[test]
fn the_older_annotation_of_source_ranges_counts_as_the_field() {
    let annotations = json!({"annotations": {SOURCE_RANGES: "10.0.0.0/8"}});
    assert_eq!(read(annotations, json!({}), json!({})).source_ranges.len(), 1);
}

#[test]
fn annotations_of_no_meaning_to_us_are_dropped() {
    let annotations = json!({"annotations": {
        "metallb.io/address-pool": "public", "cloud-provider-ovn.io/keep-address": "true",
        "example.com/blob": "x",
    }});
    let service = read(annotations, json!({}), json!({}));
    assert_eq!(service.annotations.len(), 2);
}

#[test]
fn a_port_out_of_range_or_of_another_protocol_is_no_port() {
    let service = spec(json!({"ports": [
        {"port": 0, "nodePort": 1}, {"port": 70_000}, {"port": 80, "protocol": "DCCP"},
        {"port": 81, "nodePort": 0}, {"port": 82, "protocol": "SCTP", "nodePort": 30082},
    ]}));
    let ports: Vec<_> = service.ports.iter().map(|p| (p.port, p.protocol, p.node_port)).collect();
    assert_eq!(ports, [(81, Protocol::Tcp, None), (82, Protocol::Sctp, Some(30082))]);
}

#[test]
fn status_is_read_as_it_was_published() {
    let service = read(
        json!({}),
        json!({}),
        json!({
            "loadBalancer": {"ingress": [{
                "ip": "198.51.100.20", "ipMode": "VIP",
                "ports": [{"port": 443, "protocol": "TCP"}, {"port": 80, "protocol": "TCP"}],
            }]},
            "conditions": [
                {"type": names::PROGRAMMED, "status": "True", "reason": "Programmed",
                 "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z"},
                {"type": "example.com/Other", "status": "True", "reason": "X",
                 "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z"},
            ],
        }),
    );
    let expected = Ingress {
        ip: "198.51.100.20".into(),
        ports: vec![(80, Protocol::Tcp), (443, Protocol::Tcp)],
        ..Ingress::default()
    };
    assert_eq!(service.status.ingress, [expected]);
    assert_eq!(service.status.conditions.len(), 1);
    assert_eq!(service.status.conditions[0].last_transition_time, "2026-01-01T00:00:00Z");
}

#[test]
fn a_service_of_no_concern_is_dropped_and_one_that_was_ours_is_not() {
    let cluster_ip = json!({"type": "ClusterIP"});
    assert!(!read(json!({}), cluster_ip.clone(), json!({})).concerns_us());
    let finalizer = json!({"finalizers": [names::SERVICE_FINALIZER]});
    assert!(read(finalizer, cluster_ip, json!({})).concerns_us());
}

fn read_node(value: Value) -> Node {
    match node(serde_json::from_value(value).unwrap()) {
        Some(TenantObject::Node(_, Some(node))) => node,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_node_names_its_machine_by_provider_id_or_else_by_its_own_name() {
    let plain = read_node(json!({"metadata": {"name": "n1"}}));
    assert_eq!((plain.machine.as_str(), plain.ready, plain.excluded), ("n1", false, false));
    let other = read_node(json!({
        "metadata": {"name": "n1"},
        "spec": {"providerID": "kubevirt://vm1"},
        "status": {
            "addresses": [{"type": "InternalIP", "address": "10.0.0.2"},
                          {"type": "Hostname", "address": "n1"}],
            "conditions": [{"type": "Ready", "status": "True",
                            "lastTransitionTime": "2026-01-01T00:00:00Z"}],
        },
    }));
    assert_eq!(other.machine, "vm1");
    assert!(other.ready && other.ready_since.is_some());
    assert_eq!(other.addresses.len(), 1);
}

#[test]
fn a_node_is_excluded_by_label_taint_or_deletion() {
    let label = |value: &str| {
        let labels = json!({names::EXCLUDE_NODE: value});
        read_node(json!({"metadata": {"name": "n1", "labels": labels}})).excluded
    };
    assert!(label("") && label("true") && label("whatever"));
    assert!(!label("false") && !label("0"));
    let taint = json!([{"key": names::TAINT_TO_BE_DELETED, "effect": "NoSchedule"}]);
    assert!(read_node(json!({"metadata": {"name": "n1"}, "spec": {"taints": taint}})).excluded);
    let gone = "2026-01-01T00:00:00Z";
    assert!(read_node(json!({"metadata": {"name": "n1", "deletionTimestamp": gone}})).excluded);
}

#[test]
fn an_endpoint_without_conditions_is_ready_and_a_slice_without_a_service_is_nobodys() {
    let read = |labels: Value| {
        let value = json!({
            "metadata": {"name": "s1", "namespace": "default", "labels": labels},
            "addressType": "IPv4",
            "endpoints": [
                {"addresses": ["10.244.1.2"], "nodeName": "n1"},
                {"addresses": ["10.244.1.3"], "nodeName": "NOT A NAME",
                 "conditions": {"ready": false, "serving": true, "terminating": true}},
            ],
        });
        slice(serde_json::from_value(value).unwrap())
    };
    assert!(read(json!({})).is_none());
    let Some(TenantObject::Slice(_, _, Some(slice))) = read(json!({SERVICE_NAME: "web"})) else {
        panic!("no slice");
    };
    let [first, second] = slice.endpoints.as_slice() else { panic!("{slice:?}") };
    assert!(first.ready && first.serving && !first.terminating && first.node.is_some());
    assert!(!second.ready && second.serving && second.terminating && second.node.is_none());
}
