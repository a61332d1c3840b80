use super::*;
use crate::ovsdb::replica::Row;
use crate::ovsdb::txn::{Insert, Operation, Update};

fn load_balancer() -> LoadBalancer {
    LoadBalancer {
        uuid: Uuid::from_u128(1),
        name: "web".to_owned(),
        vips: [("192.0.2.1:80".to_owned(), "10.0.0.1:30080".to_owned())].into(),
        protocol: Protocol::Udp,
        ..LoadBalancer::default()
    }
}

#[test]
fn a_typed_row_survives_the_way_through_a_row() {
    assert_eq!(LoadBalancer::from_row(&load_balancer().to_row()), load_balancer());
}

#[test]
fn a_column_the_server_lacks_reads_as_its_default() {
    let row = Row::new(
        Uuid::from_u128(1),
        [("name", "web".to_owned())]
            .map(|(name, value)| (name, crate::ovsdb::value::ToDatum::to_datum(&value))),
    );
    let read = LoadBalancer::from_row(&row);
    assert_eq!(read, LoadBalancer { vips: [].into(), protocol: Protocol::Tcp, ..load_balancer() });
}

#[test]
fn an_insert_leaves_out_columns_that_hold_their_default() {
    let insert = Operation::from(Insert::row(&load_balancer()));
    let json: serde_json::Value = serde_json::to_value(&insert).unwrap();
    let columns: Vec<&String> = json["row"].as_object().unwrap().keys().collect();
    assert_eq!(columns, ["name", "protocol", "vips"]);
    assert_eq!(json["uuid"], "00000000-0000-0000-0000-000000000001");
}

#[test]
fn an_update_holds_only_the_columns_that_differ_even_when_emptied() {
    let emptied = LoadBalancer { vips: [].into(), ..load_balancer() };
    assert_eq!(Update::changed(&load_balancer(), &load_balancer()), None);
    let update = Operation::from(Update::changed(&load_balancer(), &emptied).unwrap());
    let json = serde_json::to_value(&update).unwrap();
    assert_eq!(json["row"], serde_json::json!({"vips": ["map", []]}));
}

#[test]
fn every_table_is_monitored_once() {
    let spec = database(tables());
    let names: std::collections::BTreeSet<_> = spec.tables.iter().map(|t| &t.name).collect();
    assert_eq!(names.len(), spec.tables.len());
}

#[test]
fn what_is_monitored_can_be_narrowed() {
    assert_eq!(Nat::spec().only(["external_ip"]).columns, ["external_ip"]);
}
