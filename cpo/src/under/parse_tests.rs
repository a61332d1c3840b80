use cpo_api::names;
use serde_json::{Value, json};

use super::*;

fn from<T: serde::de::DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).unwrap()
}

fn tenant(spec: Value) -> Option<TenantSpec> {
    let mut whole = json!({
        "apiVersion": "cloud-provider-ovn.io/v1alpha1", "kind": "TenantCluster",
        "metadata": {"name": "a", "uid": "u"},
        "spec": {
            "kubeconfig": {"secretRef": {"namespace": "tenant-a", "name": "a-kubeconfig"}},
            "backends": {"namespace": "tenant-a"},
        },
    });
    if let (Value::Object(more), Some(spec)) = (spec, whole["spec"].as_object_mut()) {
        spec.extend(more);
    }
    match tenant_cluster(&from::<TenantCluster>(whole))? {
        UnderObject::TenantCluster(_, spec) => spec,
        // Its namespace is all that is read of it.
        UnderObject::Unmanaged(_, tenant) => {
            assert_eq!(tenant.namespace, "tenant-a");
            None
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_tenant_of_few_words_gets_the_defaults() {
    let spec = tenant(json!({})).unwrap();
    assert_eq!(spec.classes, [names::DEFAULT_CLASS]);
    assert!(spec.claim_classless && !spec.suspended && spec.vpc.is_none());
    assert_eq!(spec.machine_labels[names::LABEL_CAPI_CLUSTER], "a");
    assert_eq!(spec.machine_namespace, "tenant-a");
}

#[test]
fn what_an_operator_says_wins_over_the_defaults() {
    let spec = tenant(json!({
        "loadBalancerClasses": ["x.io/y"], "claimClassless": false, "pools": ["gold"],
        "overlay": {"vpc": "vpc-a", "subnets": ["tenant-a"]}, "suspend": true,
        "backends": {"namespace": "vms", "matchLabels": {"owner": "a"}},
        "cleanupPolicy": "Delete",
    }))
    .unwrap();
    assert_eq!(spec.classes, ["x.io/y"]);
    assert!(!spec.claim_classless && spec.suspended);
    assert_eq!(
        (spec.vpc.as_deref(), spec.pools.as_slice()),
        (Some("vpc-a"), &["gold".to_owned()][..])
    );
    assert_eq!(spec.machine_labels, BTreeMap::from([("owner".to_owned(), "a".to_owned())]));
    assert_eq!(spec.cleanup, cpo_api::CleanupPolicy::Delete);
}

#[test]
fn an_unmanaged_tenant_is_not_ours() {
    assert!(tenant(json!({"mode": "Unmanaged"})).is_none());
}

fn ovn_eip_of(metadata: Value, spec: Value, status: Value) -> under::OvnEip {
    let whole = json!({
        "apiVersion": "kubeovn.io/v1", "kind": "OvnEip",
        "metadata": metadata, "spec": spec, "status": status,
    });
    match ovn_eip(from(whole)) {
        UnderObject::OvnEip(_, Some(eip)) => eip,
        other => panic!("{other:?}"),
    }
}

#[test]
fn kube_ovns_empty_strings_are_nothing() {
    let empty = json!({"externalSubnet": "external", "v4Ip": "", "v6Ip": "", "type": "nat"});
    let eip = ovn_eip_of(json!({"name": "cpo-1"}), empty, json!({"v4Ip": "", "ready": true}));
    assert_eq!((eip.spec_v4, eip.status_v4, eip.granted()), (None, None, None));
}

#[test]
fn an_address_is_granted_when_spec_and_status_agree_and_it_is_ready() {
    let metadata = || {
        json!({
            "name": "cpo-1",
            "labels": {names::LABEL_INSTALL: "default", names::LABEL_TENANT: "a"},
            "annotations": {names::ANNOTATION_SERVICE: "a/default/web"},
        })
    };
    let spec = json!({"externalSubnet": "external", "v4Ip": "198.51.100.20", "type": "nat"});
    let status = |ip: &str, ready: bool| json!({"v4Ip": ip, "ready": ready});
    let granted = |status| ovn_eip_of(metadata(), spec.clone(), status).granted();
    assert!(granted(status("198.51.100.20", true)).is_some());
    assert!(granted(status("198.51.100.20", false)).is_none());
    assert!(granted(status("198.51.100.21", true)).is_none());
    let eip = ovn_eip_of(metadata(), spec.clone(), json!(null));
    assert!(eip.labelled && eip.granted().is_none());
    assert_eq!(eip.service.unwrap().to_string(), "a/default/web");
}

#[test]
fn both_parts_of_a_dual_stack_subnet_are_read() {
    let whole = json!({
        "apiVersion": "kubeovn.io/v1", "kind": "Subnet", "metadata": {"name": "external"},
        "spec": {
            "vpc": "ovn-cluster", "cidrBlock": "198.51.100.0/24,2001:db8::/64",
            "gateway": "198.51.100.254,2001:db8::1",
            "excludeIps": ["198.51.100.1..198.51.100.9", "198.51.100.254", "no address"],
        },
        "status": {"v4availableIPs": 245.0},
    });
    let Some(UnderObject::Subnet(_, Some(subnet))) = subnet(from(whole)) else { panic!("none") };
    assert_eq!(subnet.cidr, Some("198.51.100.0/24".parse().unwrap()));
    assert_eq!(subnet.cidr6, Some("2001:db8::/64".parse().unwrap()));
    assert_eq!(subnet.gateways.len(), 2);
    assert!(subnet.excludes.contains("198.51.100.5".parse().unwrap()));
    assert_eq!(subnet.available, 245);
}

#[test]
fn a_count_in_floating_point_is_clamped() {
    assert_eq!((whole(-1.0), whole(f64::NAN), whole(2.9)), (0, 0, 2));
    assert!(whole(f64::INFINITY) > 1_000_000);
}

#[test]
fn a_pool_with_an_unreadable_range_is_broken_by_name() {
    let whole = json!({
        "apiVersion": "cloud-provider-ovn.io/v1alpha1", "kind": "AddressPool",
        "metadata": {"name": "public"},
        "spec": {"ovnSubnet": "external", "excludes": ["198.51.100.30", "198.51.100.9-198.51.100.5"]},
    });
    let Some(UnderObject::AddressPool(_, Some(pool))) = pool(from(whole)) else { panic!("none") };
    let why = pool.broken.unwrap();
    assert!(why.starts_with("spec.excludes[1]:") && why.contains("reversed"), "{why}");
    assert_eq!((pool.auto_assign, pool.quarantine_seconds), (true, 60));
}

#[test]
fn a_machine_runs_when_its_phase_says_so_and_it_is_not_being_deleted() {
    let runs = |phase: &str, deleted: Option<&str>| {
        let whole = json!({
            "apiVersion": "kubevirt.io/v1", "kind": "VirtualMachineInstance",
            "metadata": {"name": "vm1", "namespace": "tenant-a", "deletionTimestamp": deleted},
            "spec": {"domain": {}}, "status": {"phase": phase},
        });
        match instance(from(whole)) {
            Some(UnderObject::Instance(_, Some(runs))) => runs,
            other => panic!("{other:?}"),
        }
    };
    assert!(runs("Running", None));
    assert!(!runs("Scheduling", None) && !runs("Running", Some("2026-01-01T00:00:00Z")));
}

#[test]
fn the_shield_is_up_once_it_is_ready_with_an_address() {
    let read = |status: Value| {
        let whole = json!({
            "apiVersion": "kubeovn.io/v1", "kind": "OvnDnatRule",
            "metadata": {"name": "cloud-provider-ovn"}, "spec": {}, "status": status,
        });
        match shield(&from(whole)) {
            UnderObject::Shield(shield) => shield,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(read(json!({"ready": true, "v4Ip": "0.0.0.0"})), under::Shield::Up);
    assert_eq!(read(json!({"ready": true, "v4Ip": ""})), under::Shield::Unready);
    assert_eq!(read(json!(null)), under::Shield::Unready);
}

#[test]
fn the_addresses_of_a_node_are_read_and_its_names_are_not() {
    let object = from(json!({
        "metadata": {"name": "worker-1"},
        "status": {"addresses": [
            {"type": "InternalIP", "address": "192.0.2.7"},
            {"type": "InternalIP", "address": "2001:db8::7"},
            {"type": "Hostname", "address": "worker-1"},
        ]},
    }));
    let Some(UnderObject::Node(name, Some(addresses))) = node(object) else { panic!() };
    let expected = ["192.0.2.7", "2001:db8::7"].map(|ip| ip.parse::<IpAddr>().unwrap());
    assert_eq!((name.as_str(), addresses.addresses.as_slice()), ("worker-1", expected.as_slice()));
    let bare = from(json!({"metadata": {"name": "worker-2"}}));
    assert!(
        matches!(node(bare), Some(UnderObject::Node(_, Some(none))) if none.addresses.is_empty() && !none.out_of_service)
    );
}

#[test]
fn the_service_ranges_of_both_families_are_read() {
    let cidrs = json!(["10.96.0.0/12", "2001:db8:1::/112"]);
    let object = from(json!({"metadata": {"name": "kubernetes"}, "spec": {"cidrs": cidrs}}));
    let Some(UnderObject::ServiceCidr(_, Some(ranges))) = service_cidr(object) else { panic!() };
    let expected: Vec<AddressRange> =
        ["10.96.0.0/12", "2001:db8:1::/112"].iter().map(|cidr| cidr.parse().unwrap()).collect();
    assert_eq!(ranges, expected);
}
