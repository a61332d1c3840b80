use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use serde::de::DeserializeSeed;
use serde_json::{Value, json};

use super::super::UpdatesSeed;
use super::*;
use crate::ovsdb::schema::{DatabaseSchema, DatabaseSpec, IndexSpec, TableSpec};
use crate::ovsdb::value::{Atom, ToDatum};

const SCHEMA: &str = r#"{"name":"D","version":"1.0.0","tables":{"T":{"columns":{
    "name":{"type":"string"},
    "note":{"type":{"key":"string","min":0,"max":1}},
    "set":{"type":{"key":"integer","min":0,"max":"unlimited"}},
    "map":{"type":{"key":"string","value":"string","min":0,"max":"unlimited"}}}}}}"#;

fn resolved() -> Arc<Resolved> {
    let table = TableSpec::new("T", ["name", "note", "set", "map", "absent"]);
    let spec = DatabaseSpec::new("D", [table]).index(by_name());
    Arc::new(Resolved::new(DatabaseSchema::parse(SCHEMA).unwrap(), &spec))
}

fn by_name() -> IndexSpec {
    IndexSpec::column("T", "name")
}

fn uuid(number: u128) -> Uuid {
    Uuid::from_u128(number)
}

fn updates(rows: &[(u128, Value)]) -> Updates {
    let rows: serde_json::Map<_, _> =
        rows.iter().map(|(number, row)| (uuid(*number).to_string(), row.clone())).collect();
    let json = json!({"T": rows, "Unmonitored": {"nonsense": 1}}).to_string();
    UpdatesSeed(&resolved()).deserialize(&mut serde_json::Deserializer::from_str(&json)).unwrap()
}

fn replica(rows: &[(u128, Value)]) -> Replica {
    let mut replica = Replica::default();
    replica.replace(&resolved(), updates(rows), None);
    replica
}

#[test]
fn omitted_columns_hold_their_default() {
    let replica = replica(&[(1, json!({"initial": {"name": "a"}}))]);
    let row = replica.row("T", uuid(1)).unwrap();
    assert_eq!(row.read::<String>("name").as_deref(), Some("a"));
    assert_eq!(row.read::<Option<String>>("note"), Some(None));
    assert_eq!(row.read::<BTreeSet<i64>>("set"), Some(BTreeSet::new()));
    assert_eq!(row.get("absent"), None);
}

#[test]
fn a_modify_is_a_difference_for_sets_and_maps_and_a_value_for_the_rest() {
    let mut replica = replica(&[(
        1,
        json!({"initial": {"name": "a", "note": "n", "set": ["set", [1, 2]],
            "map": ["map", [["same", "x"], ["other", "x"], ["kept", "x"]]]}}),
    )]);
    let modify = json!({"modify": {"name": "b", "note": ["set", []], "set": ["set", [2, 3]],
        "map": ["map", [["same", "x"], ["other", "y"], ["new", "z"]]]}});
    let changes = replica.apply(updates(&[(1, modify)]), Some(uuid(9))).unwrap();
    let row = replica.row("T", uuid(1)).unwrap();
    assert_eq!(changes.len(), 1);
    assert_eq!(changes[0].new.as_ref(), Some(row));
    assert_eq!(row.read::<String>("name").as_deref(), Some("b"));
    assert_eq!(row.read::<Option<String>>("note"), Some(None));
    assert_eq!(row.read::<BTreeSet<i64>>("set"), Some(BTreeSet::from([1, 3])));
    let map = row.read::<BTreeMap<String, String>>("map").unwrap();
    let expected = [("kept", "x"), ("new", "z"), ("other", "y")];
    assert_eq!(map, expected.map(|(k, v)| (k.to_owned(), v.to_owned())).into());
    assert_eq!(replica.last_transaction(), Some(uuid(9)));
}

#[test]
fn a_replacement_tells_only_what_differs_and_keeps_equal_rows_in_place() {
    let mut replica = replica(&[
        (1, json!({"initial": {"name": "same"}})),
        (2, json!({"initial": {"name": "old"}})),
        (3, json!({"initial": {"name": "gone"}})),
    ]);
    let same = replica.row("T", uuid(1)).unwrap().clone();
    let contents = updates(&[
        (1, json!({"initial": {"name": "same"}})),
        (2, json!({"initial": {"name": "new"}})),
        (4, json!({"initial": {"name": "born"}})),
    ]);
    let changes = replica.replace(&resolved(), contents, None);
    let kinds: Vec<_> = changes
        .iter()
        .map(|change| (change.uuid.as_u128(), change.old.is_some(), change.new.is_some()))
        .collect();
    assert_eq!(kinds, [(2, true, true), (4, false, true), (3, true, false)]);
    assert!(Arc::ptr_eq(&same, replica.row("T", uuid(1)).unwrap()));
    assert_eq!(replica.table("T").len(), 3);
}

#[test]
fn an_update_that_does_not_fit_leaves_the_replica_as_it_was() {
    let mut replica =
        replica(&[(1, json!({"initial": {"name": "a"}})), (2, json!({"initial": {"name": "b"}}))]);
    let rows = |replica: &Replica| replica.table("T").iter().cloned().collect::<Vec<_>>();
    let before = rows(&replica);
    let misfit = updates(&[
        (1, json!({"delete": null})),
        (2, json!({"modify": {"name": "c"}})),
        (3, json!({"insert": {"name": "d"}})),
        (4, json!({"modify": {"name": "e"}})),
    ]);
    let error = replica.apply(misfit, Some(uuid(9))).unwrap_err();
    assert_eq!(error, ReplicaError::UnknownRow { table: "T".into(), uuid: uuid(4) });
    assert_eq!(rows(&replica), before);
    assert_eq!((replica.table("T").len(), replica.last_transaction()), (2, None));
    let found = |name: &str| replica.table("T").find(&by_name(), name).count();
    assert_eq!(["a", "b", "c", "d"].map(found), [1, 1, 0, 0]);
}

#[test]
fn of_what_is_told_twice_the_last_counts() {
    let (one, two) = (uuid(1), uuid(2));
    let text = format!(
        r#"{{"T": {{"{two}": {{"initial": {{"name": "nobody"}}}}}},
            "T": {{"{two}": {{"initial": {{"name": "b"}}}},
                   "{one}": {{"initial": {{"name": "x", "name": "y"}}}},
                   "{one}": {{"initial": {{"name": "z", "name": "a"}}}}}}}}"#
    );
    let mut json = serde_json::Deserializer::from_str(&text);
    let twice = UpdatesSeed(&resolved()).deserialize(&mut json).unwrap();
    assert_eq!(twice.rows(), 2);
    let mut replica = Replica::default();
    replica.replace(&resolved(), twice, None);
    let names = replica.table("T").iter().map(|row| row.read::<String>("name").unwrap());
    assert_eq!(names.collect::<Vec<_>>(), ["a", "b"]);
}

#[test]
fn who_holds_a_state_keeps_it() {
    let mut newest = replica(&[(1, json!({"initial": {"name": "a"}}))]);
    let held = newest.clone();
    for rows in [
        vec![(2, json!({"insert": {"name": "b"}})), (1, json!({"modify": {"name": "c"}}))],
        vec![(1, json!({"delete": null})), (2, json!({"modify": {"name": "a"}}))],
    ] {
        newest.apply(updates(&rows), Some(uuid(7))).unwrap();
    }
    let found = |replica: &Replica, name: &str| {
        let rows = replica.table("T").find(&by_name(), name);
        rows.map(|row| row.uuid().as_u128()).collect::<Vec<_>>()
    };
    assert_eq!((found(&newest, "a"), found(&newest, "c")), (vec![2], vec![]));
    assert_eq!((found(&held, "a"), found(&held, "c")), (vec![1], vec![]));
    assert_eq!((held.table("T").len(), newest.table("T").len()), (1, 1));
    assert_eq!(held.row("T", uuid(1)).unwrap().read::<String>("name").unwrap(), "a");
}

#[test]
fn an_update_without_effect_is_no_change() {
    let mut replica = replica(&[(1, json!({"initial": {"name": "a"}}))]);
    let none = updates(&[(1, json!({"modify": {"name": "a"}})), (2, json!({"delete": null}))]);
    assert_eq!(replica.apply(none, None), Ok(vec![]));
}

#[test]
fn hostile_updates_are_errors() {
    for json in [
        r#"{"T":{"x":{"delete":null}}}"#,
        r#"{"T":{"00000000-0000-0000-0000-000000000001":{}}}"#,
        r#"{"T":{"00000000-0000-0000-0000-000000000001":{"burn":null}}}"#,
        r#"{"T":{"00000000-0000-0000-0000-000000000001":{"modify":{"name":1}}}}"#,
        r#"{"T":[]}"#,
        "[]",
        "null",
    ] {
        let mut json = serde_json::Deserializer::from_str(json);
        assert!(UpdatesSeed(&resolved()).deserialize(&mut json).is_err());
    }
}

/// The difference a server sends so that `old` becomes `new`.
fn difference(ty: &ColumnType, old: &Datum, new: &Datum) -> Datum {
    match (old, new) {
        _ if ty.replaced_whole() => new.clone(),
        (Datum::Set(old), Datum::Set(new)) => {
            let differs = |atom: &&Atom| old.contains(atom) != new.contains(atom);
            Datum::Set(old.iter().chain(new.iter()).filter(differs).cloned().collect())
        }
        (Datum::Map(old), Datum::Map(new)) => {
            let removed = old.iter().filter(|(key, _)| new.get(key).is_none());
            let written = new.iter().filter(|(key, value)| old.get(key) != Some(value));
            Datum::Map(removed.chain(written).cloned().collect())
        }
        _ => panic!("two values of one column have one shape"),
    }
}

proptest! {
    #[test]
    fn applying_a_difference_leads_to_the_new_value(
        sets in any::<[BTreeSet<i8>; 2]>(),
        maps in any::<[BTreeMap<u8, bool>; 2]>(),
        notes in any::<[Option<String>; 2]>(),
    ) {
        let resolved = resolved();
        let layout = resolved.layout("T").unwrap();
        let ty = |name: &str| layout.column(name).unwrap().1;
        let set = sets.map(|set| set.into_iter().map(i64::from).collect::<BTreeSet<_>>().to_datum());
        let map = maps.map(|map| {
            let pairs = map.into_iter().map(|(key, value)| (key.to_string(), value.to_string()));
            pairs.collect::<BTreeMap<_, _>>().to_datum()
        });
        let note = notes.map(|note| note.to_datum());
        for (name, [old, new]) in [("set", set), ("map", map), ("note", note)] {
            let difference = difference(ty(name), &old, &new);
            prop_assert_eq!(apply_difference(ty(name), &old, &difference), new);
        }
    }
}
