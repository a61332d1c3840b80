use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::*;

const ROW: Uuid = Uuid::from_u128(1);
const VPC: Uuid = Uuid::from_u128(2);
const FRESH: Uuid = Uuid::from_u128(9);

fn router() -> RouterRef {
    RouterRef { uuid: VPC, name: "vpc-a".into() }
}

fn row() -> LoadBalancer {
    LoadBalancer {
        name: "cloud-provider-ovn".into(),
        protocol: Protocol::Udp,
        vips: [("198.51.100.20:53".to_owned(), "10.0.0.2:30053".to_owned())].into(),
        options: [("reject".to_owned(), "true".to_owned())].into(),
        selection_fields: BTreeSet::from(["ip_src".to_owned()]),
        external_ids: [(OWNER.to_owned(), "u/default/web/udp".to_owned())].into(),
    }
}

fn written(edits: &[LbEdit]) -> Vec<Value> {
    let txn = transaction([], edits.iter(), "default", || FRESH);
    txn.operations().iter().map(|op| serde_json::to_value(op).unwrap()).collect()
}

fn kinds(operations: &[Value]) -> Vec<String> {
    let kind =
        |o: &Value| format!("{} {}", o["op"].as_str().unwrap(), o["table"].as_str().unwrap());
    operations.iter().map(kind).collect()
}

#[test]
fn a_new_row_is_inserted_under_a_fresh_uuid_and_attached_behind_a_guard_on_its_router() {
    let ops = written(&[LbEdit::Insert { row: row(), router: router() }]);
    assert_eq!(
        kinds(&ops),
        ["wait Logical_Router", "insert Load_Balancer", "mutate Logical_Router"]
    );
    assert_eq!(ops[0]["rows"][0]["name"], "vpc-a");
    assert_eq!(ops[0]["timeout"], 0);
    assert_eq!(ops[1]["uuid"], FRESH.to_string());
    assert_eq!(ops[1]["row"]["protocol"], "udp");
    assert_eq!(ops[2]["mutations"][0][1], "insert");
}

#[test]
fn a_change_writes_the_columns_that_differ_to_the_row_of_that_owner_alone() {
    let change = LbChange { vips: Some([].into()), ..LbChange::default() };
    let ops = written(&[LbEdit::Change { row: ROW, owner: "o".into(), change }]);
    assert_eq!(kinds(&ops), ["wait Load_Balancer", "update Load_Balancer"]);
    assert_eq!(ops[1]["row"], json!({"vips": ["map", []]}));
    let conditions = ops[1]["where"].to_string();
    assert!(conditions.contains("includes") && conditions.contains(r#"["owner","o"]"#));
    assert!(conditions.contains(r#"["install","default"]"#));
}

#[test]
fn only_a_tombstone_is_deleted() {
    let ops = written(&[LbEdit::Delete { row: ROW, owner: "o".into() }]);
    assert_eq!(kinds(&ops), ["delete Load_Balancer"]);
    let conditions = ops[0]["where"].to_string();
    assert!(conditions.contains(r#"["vips","==",["map",[]]]"#), "{conditions}");
    assert!(conditions.contains(r#"["owner","o"]"#));
}

#[test]
fn a_router_and_a_row_are_guarded_once_however_many_edits_rely_on_them() {
    let change = LbChange { name: Some("x".into()), ..LbChange::default() };
    let edits = [
        LbEdit::Insert { row: row(), router: router() },
        LbEdit::Change { row: ROW, owner: "o".into(), change },
        LbEdit::Attach { row: ROW, router: router() },
        LbEdit::Detach { row: ROW, router: Uuid::from_u128(3) },
    ];
    let ops = written(&edits);
    let waits = kinds(&ops).into_iter().filter(|kind| kind.starts_with("wait")).count();
    assert_eq!(waits, 2);
    let routers: BTreeSet<_> = edits.iter().filter_map(super::router).collect();
    assert!(ops.len() <= edits.iter().map(operations).sum::<usize>() + routers.len());
}
