use std::sync::Arc;

use ovn_client::ToDatum as _;
use ovn_client::ovsdb::replica::{RowUpdate, TableUpdate, Updates};
use ovn_client::ovsdb::schema::{ColumnType, Kind, Layout, Resolved};
use serde_json::json;

use super::*;

const ROW: Uuid = Uuid::from_u128(1);
const FRESH: Uuid = Uuid::from_u128(9);

/// A database with these rows' `external_ids`.
fn replica(rows: &[&[(&str, &str)]]) -> Replica {
    let map = ColumnType::map(Kind::String, Kind::String);
    let layout = Arc::new(Layout::new(LoadBalancer::TABLE, [("external_ids".into(), map)]));
    let numbered = (1_u128..).map(Uuid::from_u128).zip(rows);
    let rows = numbered.map(|(uuid, ids)| {
        let ids: BTreeMap<String, String> =
            ids.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        (uuid, RowUpdate::Insert(vec![Some(ids.to_datum())]))
    });
    let update = TableUpdate::new(layout.clone(), rows.collect());
    let indexes = vec![by_role()];
    let resolved = Arc::new(Resolved { layouts: vec![layout], indexes, ..Resolved::default() });
    let mut replica = Replica::default();
    replica.replace(&resolved, Updates(vec![update]), None);
    replica
}

fn epoch(writer: &str) -> Epoch {
    Epoch::new("default".parse().unwrap(), writer.to_owned())
}

fn held_by<'a>(writer: &'a str, epoch: &'a str) -> [(&'a str, &'a str); 5] {
    [
        ("vendor", "cpo"),
        ("install", "default"),
        ("role", "epoch"),
        ("epoch", epoch),
        ("writer", writer),
    ]
}

fn taking(guard: Guard) -> Vec<serde_json::Value> {
    let Guard::Take(operations) = guard else { panic!("{guard:?}") };
    operations.iter().map(|operation| serde_json::to_value(operation).unwrap()).collect()
}

#[test]
fn the_first_writer_makes_the_row_if_there_is_none() {
    let guard = epoch("us").guard(&replica(&[&[("owner", "x")]]), || FRESH);
    let operations = taking(guard);
    assert_eq!((&operations[0]["op"], &operations[0]["rows"]), (&json!("wait"), &json!([])));
    assert_eq!(operations[1]["uuid"], json!(FRESH.to_string()));
    let ids = operations[1]["row"]["external_ids"].to_string();
    assert!(ids.contains(r#"["epoch","1"]"#) && ids.contains(r#"["writer","us"]"#), "{ids}");
    assert_eq!(operations[1]["row"]["name"], "cloud-provider-ovn");
    assert_eq!(operations[1]["row"].get("vips"), None);
}

#[test]
fn another_writers_epoch_is_raised_if_it_is_still_that() {
    let operations = taking(epoch("us").guard(&replica(&[&held_by("them", "41")]), || FRESH));
    assert_eq!(operations[0]["timeout"], 0);
    assert!(operations[0]["rows"][0].to_string().contains("them"));
    assert_eq!(operations[1]["where"], json!([["_uuid", "==", ["uuid", ROW.to_string()]]]));
    assert!(operations[1]["row"]["external_ids"].to_string().contains(r#"["epoch","42"]"#));
}

#[test]
fn our_own_epoch_is_waited_on_and_failing_it_fences() {
    let guard = epoch("us").guard(&replica(&[&held_by("us", "42")]), || FRESH);
    let Guard::Hold(wait) = guard else { panic!("{guard:?}") };
    assert!(wait.is_fence());
}

#[test]
fn who_lost_the_epoch_takes_it_no_more_but_a_deleted_row_is_made_again() {
    let (ours, theirs) = (replica(&[&held_by("us", "42")]), replica(&[&held_by("them", "43")]));
    let mut epoch = epoch("us");
    // That the row was seen is enough: the outcome of the transaction may never have come.
    assert!(!epoch.look(&ours));
    assert_eq!(taking(epoch.guard(&replica(&[]), || FRESH))[1]["op"], "insert");
    assert_eq!(epoch.guard(&theirs, || FRESH), Guard::Lost);
    for replica in [replica(&[]), ours] {
        assert_eq!(epoch.guard(&replica, || FRESH), Guard::Lost, "lost is lost");
    }
}

#[test]
fn lost_is_lost_for_the_term_alone_and_the_next_raises_the_epoch_anew() {
    let (ours, theirs) = (replica(&[&held_by("us-1", "42")]), replica(&[&held_by("them", "43")]));
    let mut epoch = epoch("us-1");
    assert!(!epoch.look(&ours) && epoch.look(&theirs));
    epoch.begin_term("us-2".to_owned());
    let raised = taking(epoch.guard(&theirs, || FRESH))[1]["row"]["external_ids"].to_string();
    assert!(raised.contains(r#"["epoch","44"]"#) && raised.contains(r#"["writer","us-2"]"#));
}

#[test]
fn our_own_epoch_of_an_earlier_term_is_raised_like_anothers() {
    let mut epoch = epoch("us-1");
    let before = replica(&[&held_by("us-1", "42")]);
    assert!(matches!(epoch.guard(&before, || FRESH), Guard::Hold(_)));
    epoch.begin_term("us-2".to_owned());
    assert!(!epoch.look(&before));
    assert_eq!(taking(epoch.guard(&before, || FRESH))[1]["op"], "update");
}

#[test]
fn who_never_had_the_epoch_loses_nothing() {
    let mut epoch = epoch("us");
    assert!(!epoch.look(&replica(&[&held_by("them", "43")])));
    assert!(!epoch.look(&replica(&[])));
}

#[test]
fn another_installations_epoch_is_none_of_ours() {
    let mut theirs = held_by("them", "9");
    theirs[1].1 = "blue";
    assert_eq!(taking(epoch("us").guard(&replica(&[&theirs]), || FRESH))[1]["op"], "insert");
}
