use super::*;
use crate::ovsdb::txn::{Condition, Delete, Insert, Mutate, Operation, Select, Txn, Update, Wait};
use crate::ovsdb::value::Uuid;

fn sorted(txn: &Txn, reply: &str) -> Outcome {
    let expectations: Vec<_> = txn.operations().iter().map(Operation::expectation).collect();
    let schema = r#"{"name":"D","tables":{"T":{"columns":{"n":{"type":"integer"}}}}}"#;
    let schema = DatabaseSchema::parse(schema).unwrap();
    outcome(Ok(&RawValue::from_string(reply.to_owned()).unwrap()), &expectations, &schema)
}

fn guarded() -> Txn {
    Txn::new()
        .with(Wait::row("T", Uuid::from_u128(1)).fence())
        .with(Wait::row("T", Uuid::from_u128(2)))
        .with(Update::row("T", Uuid::from_u128(2)).set("n", &1).expect_count(1))
}

#[test]
fn operations_are_written_as_the_protocol_says() {
    let one = Uuid::from_u128(1);
    let txn = guarded()
        .with(Insert::new("T", one).set("n", &7))
        .with(Mutate::row("T", one).remove("m", "k").insert("m", &[one]).add("n", -1))
        .with(Delete::all("T").filter(Condition::includes("n", &3)))
        .with(Wait::absent("T", Condition::equal("n", &3)))
        .with(Select::all("T").columns(["n"]))
        .comment("why");
    let uuid = r#"["uuid","00000000-0000-0000-0000-000000000001"]"#;
    let two = uuid.replace("01\"", "02\"");
    let lines: Vec<String> =
        txn.operations().iter().map(|op| serde_json::to_string(op).unwrap()).collect();
    assert_eq!(
        lines,
        [
            format!(r#"{{"op":"wait","timeout":0,"table":"T","where":[["_uuid","==",{uuid}]],"columns":["_uuid"],"until":"==","rows":[{{"_uuid":{uuid}}}]}}"#),
            format!(r#"{{"op":"wait","timeout":0,"table":"T","where":[["_uuid","==",{two}]],"columns":["_uuid"],"until":"==","rows":[{{"_uuid":{two}}}]}}"#),
            format!(r#"{{"op":"update","table":"T","where":[["_uuid","==",{two}]],"row":{{"n":1}}}}"#),
            r#"{"op":"insert","table":"T","uuid":"00000000-0000-0000-0000-000000000001","row":{"n":7}}"#.to_owned(),
            format!(r#"{{"op":"mutate","table":"T","where":[["_uuid","==",{uuid}]],"mutations":[["m","delete","k"],["m","insert",{uuid}],["n","+=",-1]]}}"#),
            r#"{"op":"delete","table":"T","where":[["n","includes",3]]}"#.to_owned(),
            r#"{"op":"wait","timeout":0,"table":"T","where":[["n","==",3]],"columns":["_uuid"],"until":"==","rows":[]}"#.to_owned(),
            r#"{"op":"select","table":"T","where":[],"columns":["n"]}"#.to_owned(),
            r#"{"op":"comment","comment":"why"}"#.to_owned(),
        ]
    );
}

#[test]
fn a_committed_transaction_tells_the_result_of_each_operation() {
    let txn = guarded().with(Insert::new("T", Uuid::from_u128(7))).with(Select::all("T"));
    let reply = r#"[{},{},{"count":1},{"uuid":["uuid","00000000-0000-0000-0000-000000000007"]},
        {"rows":[{"n":5,"_uuid":["uuid","00000000-0000-0000-0000-000000000007"]}]}]"#;
    let Outcome::Committed(results) = sorted(&txn, reply) else { panic!() };
    assert_eq!(results[3], OperationResult::Inserted(Uuid::from_u128(7)));
    let OperationResult::Rows(rows) = &results[4] else { panic!() };
    assert_eq!(rows[0].keys().collect::<Vec<_>>(), ["_uuid", "n"]);
}

#[test]
fn a_count_that_differs_is_told_although_committed() {
    let outcome = sorted(&guarded(), r#"[{},{},{"count":0}]"#);
    let mismatch = CountMismatch { operation: 2, expected: 1, actual: 0 };
    assert!(
        matches!(&outcome, Outcome::Mismatched { mismatches, .. } if *mismatches == [mismatch])
    );
    assert!(outcome.is_committed());
}

#[test]
fn only_the_fence_fences() {
    let fence = sorted(&guarded(), r#"[{"error":"timed out"},null,null]"#);
    assert!(matches!(fence, Outcome::Fenced(TransactError { operation: Some(0), .. })));
    let guard = sorted(&guarded(), r#"[{},{"error":"timed out","details":"d"},null]"#);
    assert!(matches!(guard, Outcome::Retry(TransactError { operation: Some(1), .. })));
}

#[test]
fn an_error_at_commit_is_the_result_beyond_the_last_operation() {
    let reply = r#"[{},{},{"count":1},{"error":"referential integrity violation","details":"d"}]"#;
    let Outcome::Hard(error) = sorted(&guarded(), reply) else { panic!() };
    assert_eq!(error.operation, None);
    assert_eq!(error.to_string(), "referential integrity violation: d");
}

#[test]
fn every_known_error_has_its_class() {
    let class = |name: &str| sorted(&guarded(), &format!(r#"[{{}},{{}},{{"error":"{name}"}}]"#));
    for name in [
        "constraint violation",
        "referential integrity violation",
        "duplicate uuid",
        "not allowed",
        "permission error",
        "syntax error",
        "unknown column",
        "never seen before",
    ] {
        assert!(matches!(class(name), Outcome::Hard(_)), "{name}");
    }
    for name in ["timed out", "unknown database", "aborted", "I/O error", "resources exhausted"] {
        assert!(matches!(class(name), Outcome::Retry(_)), "{name}");
    }
    for name in ["cluster error", "canceled"] {
        assert!(matches!(class(name), Outcome::Unknown(_)), "{name}");
    }
}

#[test]
fn an_error_instead_of_results_has_its_class_too() {
    let schema = DatabaseSchema::parse(r#"{"name":"D","tables":{}}"#).unwrap();
    let refused = |error: &str| {
        let error = RpcError { error: error.to_owned(), details: None };
        outcome(Err(error), &[Expectation::Guard { fence: true }], &schema)
    };
    assert!(matches!(refused("unknown database"), Outcome::Retry(e) if e.operation.is_none()));
    assert!(matches!(refused("canceled"), Outcome::Unknown(_)), "a relay lost its server");
    assert!(matches!(refused("timed out"), Outcome::Retry(_)), "of no operation: no fence");
    assert!(matches!(refused("syntax error"), Outcome::Hard(_)));
}

#[test]
fn the_last_of_a_repeated_member_wins() {
    let reply = r#"[{},{"more":1},{"count":"x","count":0,"count":1}]"#;
    assert!(matches!(sorted(&guarded(), reply), Outcome::Unknown(_)), "each must be readable");
    let reply = r#"[{},{"more":1},{"count":0,"count":1}]"#;
    assert!(matches!(sorted(&guarded(), reply), Outcome::Committed(_)));
}

#[test]
fn a_reply_that_cannot_be_understood_leaves_the_outcome_unknown() {
    for reply in [
        "null",
        "{}",
        "[]",
        "[{},{}]",
        "[{},{},{}]",
        r#"[{},{},{"count":-1}]"#,
        r#"[{},{},{"count":1},{}]"#,
        r#"[null,null,null]"#,
        r#"[1,2,3]"#,
        r#"[[],[],[null,1]]"#,
        r#"[{},{},{"count":1,"error":5}]"#,
    ] {
        assert!(matches!(sorted(&guarded(), reply), Outcome::Unknown(_)), "{reply}");
    }
}
