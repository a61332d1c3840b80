use serde_json::{Value, json};
use speaker_core::world::VlanName;

use super::*;

const US: &str = "n1";

fn us() -> NodeName {
    US.parse().unwrap()
}

fn read_eip(change: impl FnOnce(&mut Value)) -> Parsed {
    let mut object = json!({
        "apiVersion": "cloud-provider-ovn.io/v1alpha1",
        "kind": "Eip",
        "metadata": { "name": "10.205.0.50", "uid": "u1", "resourceVersion": "7" },
        "spec": {
            "address": "10.205.0.50",
            "mode": "Vlan",
            "tenant": { "name": "a", "uid": "t1" },
            "services": [{ "key": "default/web", "uid": "s1", "ports": [
                { "protocol": "TCP", "port": 80 }
            ] }],
            "vlan": {
                "announce": { "l2": ["all"] },
                "delivery": "Routed",
                "nextHops": [{ "address": "10.205.0.1", "mac": "02:00:00:00:00:01", "vm": "vm1" }],
                "probe": { "kind": "KubeProxy", "port": 10256 },
            },
        },
        "status": { "announcements": [
            { "node": "n1", "uid": "u1", "state": "Announced" },
            { "node": "n2", "uid": "u0", "state": "Announced" },
            { "node": "n3", "uid": "u1", "state": "Conflict" },
        ] },
    });
    change(&mut object);
    eip(serde_json::from_value(object).unwrap(), &us())
}

fn seen((object, complaints): Parsed) -> (Box<SeenEip>, Vec<String>) {
    match object {
        Some(Object::Eip(_, Some(seen))) => (seen, complaints),
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_address_is_read_with_what_speakers_say_of_this_very_object() {
    let (seen, complaints) = seen(read_eip(|_| ()));
    assert_eq!(complaints, [""; 0]);
    let machine = Machine {
        address: "10.205.0.1".parse().unwrap(),
        mac: Some("02:00:00:00:00:01".parse().unwrap()),
    };
    let expected = Eip {
        uid: "u1".into(),
        vlan: VlanName::from("a"),
        tenant: "t1".into(),
        advertised: Arc::new(["all".to_owned()].into()),
        delivery: Delivery::Routed { machines: Arc::new([machine].into()) },
        ports: [Port { protocol: Protocol::Tcp, number: 80 }].into(),
        probe: Some(10_256),
        announced: true,
    };
    assert_eq!(seen.eip, expected);
    assert_eq!((seen.version, seen.ours.unwrap().node.as_str()), (Some(7), US));
}

#[test]
fn fields_that_are_not_known_yet_keep_no_address_from_being_read() {
    let (plain, _) = seen(read_eip(|_| ()));
    let (newer, complaints) = seen(read_eip(|eip| {
        for at in ["/spec", "/spec/vlan", "/spec/vlan/announce", "/spec/vlan/nextHops/0"] {
            eip.pointer_mut(at).unwrap()["ofLater"] = json!(true);
        }
        eip["status"]["announcements"][0]["ofLater"] = json!(true);
    }));
    assert_eq!((newer, complaints), (plain, Vec::new()));
}

#[test]
fn an_address_of_another_mode_is_of_no_concern() {
    for change in [("mode", json!("Overlay")), ("vlan", json!(null))] {
        let (object, _) = read_eip(|eip| {
            eip["spec"][change.0] = change.1.clone();
            eip["status"] = json!(null);
        });
        assert_eq!(object, None, "{change:?}");
    }
}

#[test]
fn an_address_of_another_mode_with_our_entry_is_handed_on_without_orders() {
    for change in [("mode", json!("Overlay")), ("vlan", json!(null))] {
        let (seen, _) = seen(read_eip(|eip| eip["spec"][change.0] = change.1.clone()));
        assert_eq!(seen.ours.unwrap().node, US, "{change:?}");
        let nowhere = Delivery::Local { nodes: BTreeSet::new() };
        assert_eq!(seen.eip.delivery, nowhere, "it is not served here");
        assert!(seen.eip.advertised.is_empty() && seen.eip.ports.is_empty());
    }
}

#[test]
fn who_is_contested_announces_and_who_is_in_conflict_does_not() {
    for (state, expected) in [("Announced", true), ("Contested", true), ("Conflict", false)] {
        let announcements = json!([{ "node": "n2", "uid": "u1", "state": state }]);
        let read = read_eip(|eip| eip["status"]["announcements"] = announcements);
        assert_eq!(seen(read).0.eip.announced, expected, "{state}");
    }
}

#[test]
fn a_next_hop_that_no_machine_can_have_is_named_and_passed_over() {
    let bad = ["224.0.0.1", "127.0.0.1", "0.0.0.0", "169.254.1.1", "255.255.255.255"];
    for address in bad.into_iter().chain(["ff02::1", "::1", "::", "::ffff:10.0.0.1"]) {
        let (seen, complaints) = seen(read_eip(|eip| {
            eip["spec"]["vlan"]["nextHops"] = json!([
                { "address": address, "vm": "vm1" },
                { "address": "10.205.0.2", "vm": "vm2" },
            ]);
        }));
        let left = Machine { address: "10.205.0.2".parse().unwrap(), mac: None };
        assert_eq!(
            seen.eip.delivery,
            Delivery::Routed { machines: Arc::new([left].into()) },
            "{address}"
        );
        assert_eq!(complaints, [format!("next hop {address} is no address of one machine")]);
    }
}

#[test]
fn what_cannot_be_read_of_an_address_is_named_and_the_rest_is_served() {
    let (seen, complaints) = seen(read_eip(|eip| {
        eip["spec"]["vlan"]["nextHops"] = json!([
            { "address": "gone", "vm": "vm1" },
            { "address": "10.205.0.2", "mac": "ff:ff:ff:ff:ff:ff", "vm": "vm2" },
        ]);
        eip["spec"]["services"][0]["ports"][0]["protocol"] = json!("ICMP");
    }));
    let left = Machine { address: "10.205.0.2".parse().unwrap(), mac: None };
    assert_eq!(seen.eip.delivery, Delivery::Routed { machines: Arc::new([left].into()) });
    assert_eq!(seen.eip.ports, BTreeSet::new());
    assert_eq!(complaints.len(), 3, "{complaints:?}");
}

#[test]
fn an_address_is_known_by_the_name_of_its_object() {
    for text in ["10.205.0.50", "2001:db8::1"] {
        let address: IpAddr = text.parse().unwrap();
        assert_eq!(address_of(&cpo_api::Eip::name_of(address)), Some(address));
    }
    assert_eq!(address_of("web"), None);
}

fn read_tenant(change: impl FnOnce(&mut Value)) -> Parsed {
    let mut object = json!({
        "apiVersion": "cloud-provider-ovn.io/v1alpha1",
        "kind": "TenantCluster",
        "metadata": { "name": "a", "uid": "t1" },
        "spec": {
            "kubeconfig": { "secretRef": { "namespace": "x", "name": "y" } },
            "mode": "Vlan",
            "backends": { "namespace": "x" },
            "vlan": {
                "cidrs": ["10.205.0.0/24"],
                "subnets": ["s"],
                "interfaces": [
                    { "name": "eth0.205", "nodeSelector": { "matchExpressions": [
                        { "key": "rack", "operator": "In", "values": ["r1", "r2"] }
                    ] } },
                    { "name": "bond0" },
                ],
            },
        },
    });
    change(&mut object);
    tenant(serde_json::from_value(object).unwrap())
}

fn read_vlan(parsed: Parsed) -> Tenant {
    match parsed.0 {
        Some(Object::Tenant(_, Some(tenant))) => tenant,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_tenant_in_vlan_mode_has_its_vlan() {
    let tenant = read_vlan(read_tenant(|_| ()));
    assert!(!tenant.deleting);
    assert_eq!(&*tenant.vlan.tenant, "t1");
    let [racks, rest] = &*tenant.vlan.interfaces else { panic!("{tenant:?}") };
    let in_rack = |rack: &str| [("rack".to_owned(), rack.to_owned())].into();
    assert!(racks.nodes.matches(&in_rack("r2")) && !racks.nodes.matches(&in_rack("r3")));
    assert_eq!((rest.interface.as_str(), rest.kind), ("bond0", ConnectionKind::Macvlan));
    assert!(rest.nodes.matches(&in_rack("r3")));
}

#[test]
fn a_port_of_open_vswitch_has_the_number_of_the_vlan() {
    let by = |id: Value| {
        let (object, complaints) = read_tenant(|object| {
            object["spec"]["vlan"]["id"] = id;
            object["spec"]["vlan"]["interfaces"] = json!([{ "name": "br-ex", "kind": "OvsPort" }]);
        });
        (read_vlan((object, Vec::new())).vlan.interfaces.pop(), complaints.len())
    };
    let kind = by(json!(205)).0.map(|connection| connection.kind);
    assert_eq!(kind, Some(ConnectionKind::OvsPort { tag: 205 }));
    assert_eq!(by(json!(null)), (None, 1));
}

#[test]
fn a_speaker_has_the_addresses_that_its_node_is_given() {
    let (object, complaints) = read_tenant(|object| {
        object["spec"]["vlan"]["cidrs"] = json!(["10.205.0.0/24", "2001:db8::/64"]);
        object["spec"]["vlan"]["speakerAddresses"] = json!([
            { "node": "n1", "addresses": ["10.205.0.241", "2001:db8::f1"] },
            { "node": "n2", "addresses": ["10.205.0.0/24", "224.0.0.1"] },
        ]);
    });
    assert_eq!(complaints.len(), 2, "{complaints:?}");
    let source = |address: &str, prefix| Source { address: address.parse().unwrap(), prefix };
    let ours = [source("10.205.0.241", 32), source("2001:db8::f1", 64)].into();
    let sources = read_vlan((object, complaints)).vlan.sources;
    assert_eq!(sources, [("n1".parse().unwrap(), ours)].into());
}

#[test]
fn a_tenant_in_another_mode_has_none_and_one_that_is_being_deleted_says_so() {
    let other = read_tenant(|object| object["spec"]["mode"] = json!("Overlay"));
    assert_eq!(other.0, None);
    let deleted = json!("2026-01-01T00:00:00Z");
    let deleting = read_tenant(|object| object["metadata"]["deletionTimestamp"] = deleted);
    assert!(read_vlan(deleting).deleting);
}

#[test]
fn a_name_that_no_interface_can_have_is_passed_over() {
    for name in ["", "..", "a/b", "a b", "sixteen-letters-"] {
        let set = |object: &mut Value| {
            object["spec"]["vlan"]["interfaces"][0]["name"] = json!(name);
        };
        let (object, complaints) = read_tenant(set);
        assert_eq!(complaints.len(), 1, "{name:?}");
        assert_eq!(read_vlan((object, complaints)).vlan.interfaces.len(), 1, "{name:?}");
    }
}

#[test]
fn an_advertisement_names_nodes_interfaces_and_its_refresh() {
    let object = json!({
        "apiVersion": "cloud-provider-ovn.io/v1alpha1",
        "kind": "L2Advertisement",
        "metadata": { "name": "all" },
        "spec": { "nodeSelectors": [{ "matchLabels": { "edge": "yes" } }], "interfaces": ["e1"] },
    });
    let (object, _) = advertisement(serde_json::from_value(object).unwrap());
    let Some(Object::Advertisement(name, Some(read))) = object else { panic!("{object:?}") };
    assert_eq!((name.as_str(), read.refresh), ("all", Some(Duration::from_secs(60))));
    assert!(read.interfaces.contains("e1"));
    assert!(!read.nodes[0].matches(&pools::Labels::new()));
}

#[test]
fn a_node_is_excluded_by_its_label_unless_that_is_false_or_ignored() {
    let excluded = |value: Option<&str>, ignore| {
        let labels: pools::Labels = value
            .map(|value| (names::EXCLUDE_NODE.to_owned(), value.to_owned()))
            .into_iter()
            .collect();
        let object = json!({ "metadata": { "name": "n1", "labels": labels } });
        match node(&serde_json::from_value(object).unwrap(), ignore).0 {
            Some(Object::Node(_, Some(node))) => node.excluded,
            other => panic!("{other:?}"),
        }
    };
    assert!(excluded(Some(""), false) && excluded(Some("true"), false));
    assert!(!excluded(Some("False"), false) && !excluded(Some("0"), false));
    assert!(!excluded(None, false));
    assert!(!excluded(Some("true"), true));
}
